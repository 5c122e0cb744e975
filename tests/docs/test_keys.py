"""Every key of the configuration is explained twice: in the schema, for editors, and in a shipped example, for eyes."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.house.tree import ROOT

EXAMPLES = sorted((ROOT / "config").rglob("*.yaml"))


# JSON Schema is a tree of anything.
Schema = dict[str, Any]
SCHEMA: Schema = json.loads((ROOT / "config" / "syncd.schema.json").read_text("utf-8"))


class Key(NamedTuple):
    """A key as the shipped JSON Schema declares it."""

    owner: str
    name: str
    schema: Schema

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}"


def keys() -> Iterator[Key]:
    """Walk every object of the schema."""
    for owner, parts in [("top", SCHEMA), *SCHEMA["$defs"].items()]:
        for name, schema in parts.get("properties", {}).items():
            yield Key(owner, name, schema)


def is_of_a_later_version(schema: Schema) -> bool:
    """Tell whether the only value allowed is the one that asks for nothing."""
    if "$ref" in schema:
        parts = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]["properties"]
        return all(is_of_a_later_version(part) for part in parts.values())
    allowed = schema.get("enum")
    return allowed is not None and len([value for value in allowed if value is not None]) <= 1


@pytest.mark.parametrize("key", list(keys()), ids=str)
def test_a_key_has_a_sentence_in_the_schema(key: Key) -> None:
    described = key.schema.get("description") or "$ref" in key.schema
    assert described


@pytest.mark.parametrize(
    "key", [k for k in keys() if not is_of_a_later_version(k.schema)], ids=str
)
def test_a_key_stands_in_an_example(key: Key) -> None:
    written = re.compile(rf"(^|[\s{{#-]){key.name}:", re.MULTILINE)
    assert any(written.search(path.read_text("utf-8")) for path in EXAMPLES)
