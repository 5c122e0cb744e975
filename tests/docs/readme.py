"""The README, cut into the pieces that the tests of this folder hold against the project."""

import re
from typing import NamedTuple

import pytest

from tests.house.tree import ROOT

_HEADING = re.compile(r"^#{1,6} +(?P<title>.*?) *$")
_QUOTED = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[[^]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


class Row(NamedTuple):
    """One row of a table, or one item of a list: its text and what stands in `backticks` or is linked."""

    text: str
    named: tuple[str, ...]


def readme() -> str:
    """Read the README, or fail saying that there is none."""
    path = ROOT / "README.md"
    if not path.is_file():
        pytest.fail("README.md does not exist yet")
    return path.read_text("utf-8")


def section(title: str) -> list[str]:
    """Return the lines below the heading that begins with `title`, down to the next heading."""
    lines: list[str] = []
    inside = False
    for line in readme().splitlines():
        heading = _HEADING.match(line)
        if heading is not None:
            inside = heading["title"].lower().startswith(title.lower())
        elif inside:
            lines.append(line)
    if not lines:
        pytest.fail(f"README.md has no section {title!r}")
    return lines


def rows(title: str) -> list[Row]:
    """Return the rows of the table, or items of the list, in a section; a table's head is left out."""
    lines = section(title)
    heads = {
        i - 1 for i, line in enumerate(lines) if re.fullmatch(r"\|[ :|-]+\|", line.strip())
    }
    body = [
        line.strip()
        for i, line in enumerate(lines)
        if line.strip().startswith(("|", "- ", "* ")) and i not in heads and i - 1 not in heads
    ]
    return [Row(line, (*_QUOTED.findall(line), *_LINK.findall(line))) for line in body]
