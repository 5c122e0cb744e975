"""Each rule of the schema has a file in bad/ that breaks it, and the sentences it must get.

A file's first comment lines are its problems, all of them, in order: `# 7:38: key: sentence`.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from syncd.config.fields import NotYet, OneOf
from syncd.config.schema import Incoming, Outgoing, Section
from syncd.config.values import VERSION
from tests.support.configuration import problems

T = TypeVar("T")

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))


@pytest.mark.parametrize("bad", BAD, ids=lambda path: path.stem)
def test_a_bad_configuration_gets_exactly_its_sentences(bad: Path, tmp_path: Path) -> None:
    path = tmp_path / bad.name
    shutil.copy(bad, path)
    path.chmod(0o600)
    expected = list(_expected(bad))
    assert expected
    assert problems(path) == [f"{bad.name}:{sentence}" for sentence in expected]


@pytest.mark.parametrize("bad", BAD, ids=lambda path: path.stem)
def test_no_sentence_repeats_a_secret(bad: Path) -> None:
    assert "geheim" not in " ".join(_expected(bad))


def test_every_key_of_a_later_version_has_a_file_that_asks_for_it() -> None:
    said = {
        match[1]
        for bad in BAD
        for sentence in _expected(bad)
        if (match := re.search(r"(\w+): not supported by this version", sentence))
    }
    assert {name for name, _ in _fields_with(NotYet)} - said == {"messages"}


def test_every_word_that_is_understood_and_not_taken_has_a_file_that_uses_it() -> None:
    said = "\n".join(sentence for bad in BAD for sentence in _expected(bad))
    for name, kind in _fields_with(OneOf):
        for word in kind.later:
            assert f"{name}: {word} is not supported" in said
        for word in kind.refused:
            assert f"{name}: {word} is refused" in said


def _expected(bad: Path) -> Iterator[str]:
    for line in bad.read_text().splitlines():
        if not line.startswith("# "):
            return
        yield line.removeprefix("# ").replace("({version})", f"({VERSION})")


def _fields_with(kind: type[T]) -> Iterator[tuple[str, T]]:
    sections: list[type[Section]] = [*Section.__subclasses__(), Incoming, Outgoing]
    for section in sections:
        for name, field in section.model_fields.items():
            for piece in field.metadata:
                if isinstance(piece, kind):
                    yield name, piece
