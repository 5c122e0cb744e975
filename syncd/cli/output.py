"""What commands print: tables for people, JSON for programs.

Rule 1: text that came from outside (subjects, server replies) never reaches a terminal with
control characters in it (faults 65).
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

JsonValue = Any  # JSON as orjson takes it: nested dicts, lists, str, numbers, None


def plain(text: str) -> str:
    """Replace control and format characters, so that no mail can move a cursor."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def say(text: str = "") -> None:
    """Print one line on standard output."""
    sys.stdout.write(text + "\n")


def remark(text: str) -> None:
    """Print one line on standard error: beside the result, not part of it."""
    sys.stderr.write(text + "\n")


def print_json(value: JsonValue) -> None:
    """Print one JSON document and a line end."""
    sys.stdout.buffer.write(
        orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
    sys.stdout.flush()


def counted(number: int, one: str, more: str) -> str:
    """Write `1 mailbox`, `0 mailboxes`."""
    return f"{number} {one if number == 1 else more}"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; wide when piped, so that no cell is cut for a program."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    piped = not sys.stdout.isatty()
    console = Console(width=10_000 if piped else None, soft_wrap=piped)
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=piped, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    console.print(table)


def print_fields(fields: Mapping[str, object], indent: str = "") -> None:
    """Print names and values, nested mappings indented."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        if isinstance(value, Mapping):
            say(f"{indent}{name}:")
            print_fields(value, indent + "  ")
        else:
            say(f"{indent}{name:<{width}}  {cell(value)}")


def cell(value: object) -> str:
    """Turn one value into text for a person."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(timespec="seconds")
        case list() | tuple():
            return ", ".join(cell(part) for part in value) or "-"
        case _:
            return plain(str(value))
