"""Every deciding module has its own unit tests, and they alone walk each of its branches.

A module covered by accident, through somebody else's tests, has nobody who says what it should do.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.project import deciding_modules, own_test_of
from tests.house.tree import ROOT, shown


@pytest.mark.parametrize("module", deciding_modules(), ids=shown)
def test_the_own_tests_of_a_deciding_module_walk_every_branch(
    module: Path, tmp_path: Path
) -> None:
    own = own_test_of(module)
    assert own.is_file(), f"{shown(module)} has no {shown(own)}"
    report = measure(module, own, tmp_path)
    assert report["missing_lines"] == []
    assert report["missing_branches"] == []


def measure(module: Path, own: Path, folder: Path) -> dict[str, list[object]]:
    """Run one test file alone under coverage and return what it says of one module."""
    environment = os.environ | {"COVERAGE_FILE": str(folder / "coverage")}
    python = [sys.executable, "-m"]
    tested = subprocess.run(
        [*python, "coverage", "run", f"--include={module}", "-m", "pytest", "-q", "-x", "-p", "no:xdist", str(own)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    written = folder / "report.json"
    subprocess.run(
        [*python, "coverage", "json", "-q", "-o", str(written)],
        cwd=ROOT, env=environment, capture_output=True, check=True,
    )  # fmt: skip
    files: dict[str, dict[str, list[object]]] = json.loads(written.read_text("utf-8"))["files"]
    assert shown(module) in files, f"{shown(own)} does not even import {shown(module)}"
    return files[shown(module)]
