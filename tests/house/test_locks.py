"""The lock files: every package pinned, every pin hashed, and no word about where it comes from."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.house.tree import ROOT

LOCKS = sorted((ROOT / "deploy" / "lock").glob("*.txt"))
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^\s;]+)(?: ; [^\\]+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")


def pins(lock: str) -> dict[str, str]:
    """Read name -> version out of deploy/lock/NAME.txt."""
    text = (ROOT / "deploy" / "lock" / f"{lock}.txt").read_text("ascii")
    return {m["name"]: m["version"] for line in text.splitlines() if (m := PIN.match(line))}


def canonical(requirement: str) -> str:
    """Bring the name in a requirement to the form that lock files use."""
    name = REQUIREMENT.match(requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_is_pins_and_hashes_and_nothing_else(lock: Path) -> None:
    previous_was_pin = False
    for number, line in enumerate(lock.read_text("ascii").splitlines(), 1):
        is_pin = PIN.match(line) is not None
        assert is_pin or HASH.match(line), f"{lock.name}:{number}: {line}"
        assert not (previous_was_pin and is_pin), (
            f"{lock.name}:{number}: the pin before has no hash"
        )
        previous_was_pin = is_pin
    assert not previous_was_pin, f"{lock.name}: the last pin has no hash"


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    locked = pins("runtime")
    missing = [d for d in project["project"]["dependencies"] if canonical(d) not in locked]
    assert not missing, "run `make lock`"


@pytest.mark.parametrize(
    ("narrow", "wide"), [("build", "test"), ("runtime", "test"), ("test", "check")]
)
def test_the_wider_lock_holds_the_narrower_one(narrow: str, wide: str) -> None:
    assert pins(narrow).items() <= pins(wide).items(), "run `make lock`"
