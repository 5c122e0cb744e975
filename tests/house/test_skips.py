"""In CI a skip is a failure: tests/conftest.py, tried on a small suite of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

SUITE = """\
import pytest

def test_skips_itself():
    pytest.skip("no server here")

@pytest.fixture
def server():
    pytest.skip("no server here")

def test_skipped_by_its_fixture(server):
    pass

@pytest.mark.corpus
def test_of_old_mail():
    pytest.skip("no corpus here")

@pytest.mark.xfail
def test_fails_as_expected():
    assert False
"""
FILE_THAT_SKIPS = "import pytest\npytest.skip('no server here', allow_module_level=True)\n"


def run_suite(folder: Path, *, ci: str) -> subprocess.CompletedProcess[str]:
    """Run the small suite under a copy of our conftest."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "test_file.py").write_text(FILE_THAT_SKIPS)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    corpus: of old mail\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"],
        cwd=folder, env=os.environ | {"CI": ci}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("ci", ["true", "1"])
def test_in_ci_a_skip_fails_and_says_what_was_missing(tmp_path: Path, ci: str) -> None:
    result = run_suite(tmp_path, ci=ci)
    assert result.returncode != 0
    assert "1 failed, 1 skipped, 1 xfailed, 2 errors" in result.stdout
    assert result.stdout.count("in CI a skip is a failure: Skipped: no server here") >= 3


@pytest.mark.parametrize("ci", ["", "false"])
def test_elsewhere_a_skip_is_a_skip(tmp_path: Path, ci: str) -> None:
    result = run_suite(tmp_path, ci=ci)
    assert result.returncode == 0
    assert "4 skipped, 1 xfailed" in result.stdout
