"""What the README points at is there."""

import re
from pathlib import Path

import pytest

from tests.docs.readme import Row, readme, rows
from tests.house.tree import PACKAGE, ROOT

TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)
SAID = re.compile(r"\bmake ([a-z]+)\b")
DEFINED = r"^\s*(?:async def|def|class) {0}\b|^{0}\b.*="


def places(row: Row) -> list[Path]:
    """Find the files and folders a row names: from the project's root, or from syncd/."""
    named = [
        word for word in row.named if "/" in word or word.endswith((".py", ".md", ".toml"))
    ]
    found = [
        next((base / word for base in (ROOT, PACKAGE) if (base / word).exists()), None)
        for word in named
    ]
    missing = [word for word, place in zip(named, found, strict=True) if place is None]
    assert not missing, f"{row.text}\nnames what is not there: {missing}"
    return [place for place in found if place is not None]


def test_every_row_of_where_is_points_at_a_thing_that_exists() -> None:
    table = rows("Where is")
    assert len(table) >= 10, "the table is too short to be useful, or is not read as one"
    for row in table:
        assert places(row), f"no place in this row: {row.text}"


def test_every_name_in_a_row_of_where_is_is_defined_in_its_place() -> None:
    for row in rows("Where is"):
        code = "\n".join(p.read_text("utf-8") for p in places(row) if p.suffix == ".py")
        names = [
            word.removesuffix("()")
            for word in row.named
            if word.removesuffix("()").isidentifier()
        ]
        missing = [
            n for n in names if code and not re.search(DEFINED.format(n), code, re.MULTILINE)
        ]
        assert not missing, f"{row.text}\nis not defined there: {missing}"


def test_every_make_command_in_the_readme_is_a_target() -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text("utf-8")))
    assert set(SAID.findall(readme())) <= targets


def test_the_readme_has_a_glossary() -> None:
    assert len(rows("Glossary")) >= 5


@pytest.mark.parametrize("command", ["make run", "make test"])
def test_the_two_commands_stand_in_the_readme(command: str) -> None:
    assert command in readme()
