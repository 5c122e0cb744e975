"""Good configurations load: those of tests/config/good, and the shipped examples."""

import json
import re
import shutil
from pathlib import Path

import pytest

from syncd.config.anatomy import keys_of
from syncd.config.load import json_schema, load_settings
from syncd.config.resolve import resolve
from syncd.config.schema import Incoming, Outgoing, Section
from tests.support.configuration import KEY_LINE, problems

SAID_OTHERWISE = {"mode", "accept"}
"""Keys with one word to choose in this version, which is the default."""

GOOD = sorted((Path(__file__).parent / "good").glob("*.yaml"))
SHIPPED = Path(__file__).parents[2] / "config"
EXAMPLES = sorted(SHIPPED.glob("*.yaml"))


@pytest.mark.parametrize("good", GOOD, ids=lambda path: path.stem)
def test_a_good_configuration_loads_and_resolves(good: Path, tmp_path: Path) -> None:
    path = tmp_path / good.name
    shutil.copy(good, path)
    path.chmod(0o600)
    assert problems(path) == []
    settings = load_settings(path, environ={})
    assert len(resolve(settings).mailboxes) == len(settings.mailboxes)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_shipped_example_loads_and_resolves(example: Path, tmp_path: Path) -> None:
    folder = tmp_path / "syncd"
    shutil.copytree(SHIPPED, folder)
    for path in folder.rglob("*.yaml"):
        path.chmod(0o600)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "syncd-key").write_text(f"{KEY_LINE}\n")
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert problems(folder / example.name, environ) == []
    plan = resolve(load_settings(folder / example.name, environ=environ))
    assert plan.mailboxes
    assert all(mailbox.incoming_login for mailbox in plan.mailboxes)


def test_every_shipped_file_tells_editors_where_the_schema_is() -> None:
    for path in SHIPPED.rglob("*.yaml"):
        hint, _, schema = path.read_text().splitlines()[0].partition("$schema=")
        assert hint == "# yaml-language-server: "
        assert (path.parent / schema).resolve() == SHIPPED / "syncd.schema.json"


def test_the_shipped_schema_is_that_of_the_code() -> None:
    shipped = json.loads((SHIPPED / "syncd.schema.json").read_text())
    assert shipped == json_schema(), (
        "write it anew: syncd config schema > config/syncd.schema.json"
    )


def test_every_key_of_this_version_stands_in_an_example() -> None:
    written = "\n".join(path.read_text() for path in SHIPPED.rglob("*.yaml"))
    sections: list[type[Section]] = [*Section.__subclasses__(), Incoming, Outgoing]
    keys = {key for section in sections for key in keys_of(section)}
    assert {key for key in keys if not re.search(rf"\b{key}: ?", written)} == SAID_OTHERWISE
