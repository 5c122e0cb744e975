"""deploy/setup on machines that lack Python: the system around the script is made of small fakes."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.house.tree import ROOT

TOOLS = (
    "sh", "cat", "chmod", "cp", "cut", "dirname", "flock", "grep", "head", "mkdir", "rm", "sha256sum", "touch",
)  # fmt: skip

# Makes an environment whose python and pip write down how they were called.
PYTHON = """\
#!/bin/sh
case "$*" in
  *"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo "#!$PWD/.venv/bin/python" > .venv/bin/pip ;;
  *"sys.prefix"*) echo .venv ;;
  *"pip install"*) echo "pip $*" >> calls ;;
esac
"""
# Installing works only once the package lists are there; what it installs is the python above.
APT_GET = """\
#!/bin/sh
echo "apt-get $*" >> calls
case "$*" in
  *update*) touch lists ;;
  *install*) [ -e lists ] && cp spare-python "{programs}/python3" ;;
esac
"""


class Machine(NamedTuple):
    """A folder that holds a copy of deploy/setup, and the few programs the script may find."""

    folder: Path
    programs: Path

    def put(self, name: str, script: str) -> None:
        """Install a program."""
        path = self.programs / name
        path.write_text(script)
        path.chmod(0o755)

    def setup(self, purpose: str) -> subprocess.CompletedProcess[str]:
        """Run the script with nothing else on the PATH."""
        return subprocess.run(
            [self.folder / "deploy" / "setup", purpose],
            env={"PATH": str(self.programs)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def calls(self) -> list[str]:
        """Return what apt-get and pip were asked, in order."""
        record = self.folder / "calls"
        return record.read_text().splitlines() if record.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    folder, programs = tmp_path / "syncd", tmp_path / "programs"
    programs.mkdir()
    shutil.copytree(ROOT / "deploy" / "lock", folder / "deploy" / "lock")
    shutil.copy(ROOT / "deploy" / "setup", folder / "deploy" / "setup")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (programs / tool).symlink_to(found)
    machine = Machine(folder, programs)
    machine.put("id", "#!/bin/sh\necho 0\n")
    machine.put("apt-get", APT_GET.format(programs=programs))
    spare = folder / "spare-python"
    spare.write_text(PYTHON)
    spare.chmod(0o755)
    return machine


def test_without_root_it_says_what_the_administrator_must_type(machine: Machine) -> None:
    machine.put("id", "#!/bin/sh\necho 1000\n")
    result = machine.setup("run")
    assert result.returncode == 1
    assert "apt-get update && apt-get install python3 python3-venv" in result.stderr
    assert machine.calls() == []


def test_root_without_package_lists_gets_python_after_an_update(machine: Machine) -> None:
    result = machine.setup("run")
    assert result.returncode == 0, result.stderr
    asked = [call for call in machine.calls() if call.startswith("apt-get")]
    assert [call.split()[1] for call in asked] == ["install", "update", "install"]


def test_packages_are_installed_by_hash_and_the_project_without_fetching(
    machine: Machine,
) -> None:
    machine.put("python3", PYTHON)
    result = machine.setup("test")
    assert result.returncode == 0, result.stderr
    packages, project = machine.calls()
    assert "--require-hashes" in packages
    assert "-r deploy/lock/test.txt" in packages
    assert "--no-index" in project
    assert "--no-build-isolation" in project


def test_the_second_time_nothing_is_done(machine: Machine) -> None:
    machine.put("python3", PYTHON)
    machine.setup("test")
    before = machine.calls()
    assert machine.setup("test").returncode == 0
    assert machine.calls() == before


def test_a_changed_lock_is_installed_and_the_project_left_alone(machine: Machine) -> None:
    machine.put("python3", PYTHON)
    machine.setup("test")
    with (machine.folder / "deploy" / "lock" / "test.txt").open("a") as lock:
        lock.write("# one more\n")
    machine.setup("test")
    assert [("-r deploy/lock/test.txt" in call) for call in machine.calls()] == [
        True,
        False,
        True,
    ]


def test_a_folder_that_was_moved_is_set_up_anew(machine: Machine) -> None:
    machine.put("python3", PYTHON)
    machine.setup("test")
    moved = machine._replace(folder=machine.folder.rename(machine.folder.with_name("moved")))
    result = moved.setup("test")
    assert "making .venv" in result.stderr
    assert len(moved.calls()) == 4
