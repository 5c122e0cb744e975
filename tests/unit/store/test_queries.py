"""Named queries: how .sql files are cut, and that code and files know the same names."""

import ast
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import syncd.store
from syncd.store.migrate import load_migrations
from syncd.store.queries import (
    QueriesBroken,
    UnknownQuery,
    collect,
    load_queries,
    load_statements,
    parse_blocks,
    to_positional,
)

_ASKING = {"fetch_all", "fetch_one", "execute", "execute_many"}


def test_a_block_is_its_statement_without_comments_and_semicolon() -> None:
    text = (
        "-- What this file is about.\n\n"
        "-- name: first_one\n-- Why.\nSELECT 1\n    AS one;\n\n-- name: second\nDELETE FROM a;\n"
    )
    assert parse_blocks("a.sql", text) == {
        "first_one": "SELECT 1\n    AS one",
        "second": "DELETE FROM a",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT 1;\n-- name: late\nSELECT 2;", "before the first name"),
        ("-- name: twice\nSELECT 1;\n-- name: twice\nSELECT 2;", "two queries are named"),
        ("-- name: hollow\n-- only words\n", "is empty"),
        ("-- name: Wrong-Name\nSELECT 1;", "is no name"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(text: str, words: str) -> None:
    with pytest.raises(QueriesBroken, match=words):
        parse_blocks("a.sql", text)


def test_a_name_that_two_files_hold_is_refused() -> None:
    with pytest.raises(QueriesBroken, match="'same'"):
        collect([{"same": "SELECT 1"}, {"same": "SELECT 2"}])


def test_an_unknown_name_says_which() -> None:
    with pytest.raises(UnknownQuery, match="'nowhere'"):
        load_statements("sqlite")["nowhere"]


@pytest.mark.parametrize(
    ("query", "text", "values"),
    [
        ("SELECT 1", "SELECT 1", ()),
        ("SELECT :a", "SELECT ?", (1,)),
        ("SELECT :b, :a, :b", "SELECT ?, ?, ?", (2, 1, 2)),
        ("SELECT ':a', 'it''s :b', :a", "SELECT ':a', 'it''s :b', ?", (1,)),
        ("SELECT :a -- not :b, 'nor\n+ :b", "SELECT ? -- not :b, 'nor\n+ ?", (1, 2)),
    ],
)
def test_parameters_get_places(query: str, text: str, values: tuple[int, ...]) -> None:
    statement = to_positional(query)
    assert statement.text == text
    assert statement.values({"a": 1, "b": 2, "unused": 3}) == values


def test_a_parameter_that_is_missing_is_named() -> None:
    with pytest.raises(KeyError, match="b"):
        to_positional("SELECT :a, :b").values({"a": 1})


def test_every_query_compiles_against_the_schema() -> None:
    connection = _migrated()
    for name, statement in load_queries("sqlite").items():
        try:
            connection.execute(f"EXPLAIN {statement}", _Anything())
        except sqlite3.Error as exc:
            pytest.fail(f"{name}: {exc}")
    connection.close()


def test_every_query_that_code_asks_for_is_there() -> None:
    asked = {
        node.args[0].value
        for node in _nodes()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _ASKING
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
        and node.args[0].value.islower()  # SQLite's own BEGIN and PRAGMA are none of these
    }
    assert asked
    assert asked - set(load_queries("sqlite")) == set()


def test_no_query_lies_there_unused() -> None:
    words = {node.value for node in _nodes() if isinstance(node, ast.Constant)}
    assert set(load_queries("sqlite")) - words == set()


class _Anything(dict[str, int]):
    """Gives every parameter a value."""

    def __missing__(self, name: str) -> int:
        return 0


def _migrated() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for migration in load_migrations("sqlite"):
        connection.executescript(migration.script)
    return connection


def _nodes() -> Iterator[ast.AST]:
    """Walk the code of every store module."""
    for file in Path(str(syncd.store.__file__)).parent.glob("*.py"):
        yield from ast.walk(ast.parse(file.read_text("utf-8")))
