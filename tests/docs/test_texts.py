"""What syncd tells people to type exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.cli.main import app
from tests.docs.test_commands import commands
from tests.house.tree import PACKAGE, shown

COMMANDS = set(commands(app))
GROUPS = {path[:1] for path in COMMANDS}
# `syncd mailbox list`, `syncd status --json`; what is announced for later is not looked for.
SAID = re.compile(r"`syncd ([a-z-]+)(?: ([a-z-]+))?[^`]*`(?!,? in a later version)")
# Says what is missing, command by command.
LATER = PACKAGE / "cli" / "later.py"


def texts(path: Path) -> Iterator[str]:
    """Walk the strings of a module, its docstrings included; what an f-string fills in is an X."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        constants = [p.value if isinstance(p, ast.Constant) else "X" for p in parts]
        yield "".join(part for part in constants if isinstance(part, str))


def unknown_commands(text: str) -> list[str]:
    """List the commands a text names that `--help` does not show."""
    return [
        f"syncd {first} {second}".strip()
        for first, second in SAID.findall(text)
        if (first, second) not in COMMANDS
        and (first,) not in COMMANDS
        and (second or (first,) not in GROUPS)
    ]


def test_an_invented_command_would_be_found() -> None:
    assert unknown_commands("try `syncd mailbox exorcise X`") == ["syncd mailbox exorcise"]
    assert unknown_commands("see `syncd mailbox poll X` or `syncd status --json`") == []


@pytest.mark.parametrize(
    "path", sorted(p for p in PACKAGE.rglob("*.py") if p != LATER), ids=shown
)
def test_every_command_that_a_text_names_exists(path: Path) -> None:
    assert [name for text in texts(path) for name in unknown_commands(text)] == []
