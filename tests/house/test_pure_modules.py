"""Every deciding module has its own unit tests, and they alone walk each of its branches.

A module covered by accident, through somebody else's tests, has nobody who says what it should do.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from coverage import Coverage

from tests.house.project import deciding_modules, own_test_of
from tests.house.tree import ROOT, shown

MODULES = deciding_modules()
# What is walked must not depend on luck: in CI hypothesis draws the same examples every time.
DERANDOMIZED = {"CI": "true"}


class Walked(NamedTuple):
    """What tests did not reach in a module."""

    missing_lines: list[int]
    missing_branches: list[list[int]]


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the own tests of all deciding modules once, noting which test file walked what."""
    data = tmp_path_factory.mktemp("coverage") / "data"
    tests = [str(own) for own in map(own_test_of, MODULES) if own.is_file()]
    include = ",".join(str(module) for module in MODULES)
    result = subprocess.run(
        [
            *(sys.executable, "-m", "coverage", "run", f"--include={include}"),
            *("-m", "pytest", "-q", "-p", "no:xdist", "-p", "tests.house.context_per_file", *tests),
        ],
        cwd=ROOT, env=os.environ | {"COVERAGE_FILE": str(data)} | DERANDOMIZED, capture_output=True, text=True, check=False,
    )  # fmt: skip
    # 1: some test failed. It fails under its own name too; here only the ways walked count.
    assert result.returncode in {0, 1}, result.stdout + result.stderr
    return data


def walk_of(module: Path, own: Path, data: Path) -> Walked:
    """Say what `own`, and importing, left out of `module`."""
    measured = Coverage(data_file=str(data))
    measured.load()
    report = data.with_name("report.json")
    measured.json_report(
        morfs=[str(module)], outfile=str(report), contexts=["^$", f"^{re.escape(str(own))}$"]
    )
    found = json.loads(report.read_text("utf-8"))["files"][shown(module)]
    return Walked(found["missing_lines"], found["missing_branches"])


@pytest.mark.parametrize("module", MODULES, ids=shown)
def test_the_own_tests_of_a_deciding_module_walk_every_branch(
    module: Path, walked: Path
) -> None:
    own = own_test_of(module)
    assert own.is_file(), f"{shown(module)} has no {shown(own)}"
    assert walk_of(module, own, walked) == Walked([], [])


def test_what_others_walk_does_not_count(walked: Path) -> None:
    module = ROOT / "syncd" / "incoming" / "headers.py"
    stranger = own_test_of(ROOT / "syncd" / "scheduler" / "due.py")
    assert walk_of(module, stranger, walked).missing_lines
