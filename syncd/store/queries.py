"""Named queries: every statement lives in `sql/<dialect>/*.sql` under a `-- name:` line.

A file is a row of blocks; `-- name: take_numbers` opens one, the statement follows, comments
stand where they help. Names are unique over all files of a dialect, so that a name found in
code leads to one place.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from operator import itemgetter

from syncd.store.database import Parameters, Value

_NAME_LINE = re.compile(r"^-- name:\s*(?P<name>[a-z][a-z0-9_]*)\s*$")
_WORDS = re.compile(r"'(?:[^']|'')*'|--[^\n]*|:(?P<name>[a-z][a-z0-9_]*)")
"""Strings and comments, which are left alone, and parameters."""


class QueriesBroken(ValueError):
    """The .sql files contradict themselves: a mistake in the program, found when it starts."""


class UnknownQuery(LookupError):
    """The code asks for a query that no .sql file holds: a mistake in the program."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement whose parameters have places instead of names, as drivers bind them fastest."""

    text: str
    values: Callable[[Parameters], tuple[Value, ...]]
    """Puts named parameters into their places; a name that is missing is a KeyError."""


class Statements(dict[str, Statement]):
    """Statements by name; asking for an unknown one says so."""

    def __missing__(self, name: str) -> Statement:
        raise UnknownQuery(f"no .sql file holds a query named {name!r}")


def load_statements(dialect: str) -> Statements:
    """Read every query of one dialect, its parameters in places."""
    queries = load_queries(dialect)
    return Statements((name, to_positional(text)) for name, text in queries.items())


def to_positional(query: str) -> Statement:
    """Replace `:name` by `?`, as often as it stands there."""
    names = [match["name"] for match in _WORDS.finditer(query) if match["name"]]
    text = _WORDS.sub(lambda match: "?" if match["name"] else match[0], query)
    match names:
        case []:
            return Statement(text, lambda _: ())
        case [name]:
            return Statement(text, lambda parameters: (parameters[name],))
        case _:
            return Statement(text, itemgetter(*names))


def load_queries(dialect: str) -> dict[str, str]:
    """Read every query of one dialect from the package's own files."""
    return collect(parse_blocks(file.name, file.read_text("utf-8")) for file in _files(dialect))


def collect(files: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Join the blocks of many files; a name that two of them hold is an error."""
    queries: dict[str, str] = {}
    for blocks in files:
        for name, query in blocks.items():
            if name in queries:
                raise QueriesBroken(f"two .sql files hold a query named {name!r}")
            queries[name] = query
    return queries


def parse_blocks(file: str, text: str) -> dict[str, str]:
    """Cut one file into its named statements."""
    blocks: dict[str, str] = {}
    for name, lines in _blocks(file, text):
        statement = "\n".join(lines).strip().removesuffix(";")
        if not statement:
            raise QueriesBroken(f"{file}: the query named {name!r} is empty")
        if name in blocks:
            raise QueriesBroken(f"{file}: two queries are named {name!r}")
        blocks[name] = statement
    return blocks


def _blocks(file: str, text: str) -> Iterator[tuple[str, list[str]]]:
    name: str | None = None
    lines: list[str] = []
    for line in text.splitlines():
        opening = _NAME_LINE.match(line)
        if opening:
            if name is not None:
                yield name, lines
            name, lines = opening["name"], []
        elif line.startswith("-- name:"):
            raise QueriesBroken(f"{file}: {line!r} is no name: lower case, digits, underscores")
        elif line.strip() and not line.lstrip().startswith("--"):
            if name is None:
                raise QueriesBroken(f"{file}: a statement stands before the first name")
            lines.append(line)
    if name is not None:
        yield name, lines


def _files(dialect: str) -> list[Traversable]:
    folder = resources.files("syncd.store") / "sql" / dialect
    return sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
