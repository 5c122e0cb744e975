"""Every command that `--help` shows stands in the README or in a guide."""

import re
from collections.abc import Iterator
from itertools import chain

import pytest
import typer

from syncd.cli.main import app
from tests.docs.readme import readme
from tests.house.tree import ROOT

GUIDES = ROOT / "deploy" / "guides"


def commands(app: typer.Typer, *groups: str) -> Iterator[tuple[str, ...]]:
    """Walk what `--help` shows: ("mailbox", "poll"), ("run",), …"""
    for command in app.registered_commands:
        assert command.name is not None, "a command's name is said, not guessed"
        if not command.hidden:
            yield (*groups, command.name)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        name = group.name or group.typer_instance.info.name
        assert name is not None
        yield from commands(group.typer_instance, *groups, name)


def documentation() -> str:
    """Read all that is written for operators."""
    return "\n".join(
        chain([readme()], (p.read_text("utf-8") for p in sorted(GUIDES.rglob("*.md"))))
    )


@pytest.mark.parametrize("path", sorted(commands(app)), ids=" ".join)
def test_a_command_is_documented(path: tuple[str, ...]) -> None:
    *groups, verb = path
    # `syncd mailbox list|show|poll` documents three.
    written = re.findall(
        rf"\bsyncd {''.join(f'{g} ' for g in groups)}([a-z|-]+)", documentation()
    )
    assert any(verb in verbs.split("|") for verbs in written), f"syncd {' '.join(path)}"
