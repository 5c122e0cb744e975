"""The schema seen from outside: which keys a place takes, and which of them hold secrets."""

from collections.abc import Iterator
from functools import cache
from typing import Annotated, get_args, get_origin

from pydantic.fields import FieldInfo

from syncd.config.fields import Confidential, NotYet
from syncd.config.problems import Loc
from syncd.config.schema import Section, Settings
from syncd.config.strict_yaml import Value


@cache
def keys_of(section: type[Section]) -> tuple[str, ...]:
    """Return the keys that a section takes in this version."""
    return tuple(name for name, field in section.model_fields.items() if not _is_later(field))


def section_at(loc: Loc) -> type[Section] | None:
    """Return the section that a location is, or None where it is something else."""
    section: type[Section] | None = Settings
    for step in loc:
        if section is None:
            return None
        if isinstance(step, int):
            continue
        field = section.model_fields.get(step)
        section = _section_of(field) if field else None
    return section


def secrets_written(
    node: Value, section: type[Section] = Settings, loc: Loc = ()
) -> Iterator[Loc]:
    """Yield where a document holds secrets, however they are spelled."""
    if not isinstance(node, dict):
        return
    for name, below, secret in _deep_keys(section):
        if name not in node:
            continue
        value = node[name]
        items: list[tuple[Loc, Value]] = [((*loc, name), value)]
        if isinstance(value, list):
            items = [((*loc, name, n), item) for n, item in enumerate(value)]
        for where, item in items:
            if secret:
                yield where
            elif below:
                yield from secrets_written(item, below, where)


@cache
def _deep_keys(section: type[Section]) -> tuple[tuple[str, type[Section] | None, bool], ...]:
    """Return the keys below which secrets stand, or that are secrets themselves."""
    keys = []
    for name, field in section.model_fields.items():
        secret = any(isinstance(piece, Confidential) for piece in _pieces_of(field))
        below = _section_of(field)
        if secret or (below and _deep_keys(below)):
            keys.append((name, below, secret))
    return tuple(keys)


def _is_later(field: FieldInfo) -> bool:
    section = _section_of(field)
    only_later_keys = section is not None and not keys_of(section)
    return only_later_keys or any(isinstance(piece, NotYet) for piece in field.metadata)


def _section_of(field: FieldInfo) -> type[Section] | None:
    for piece in _pieces_of(field):
        if isinstance(piece, type) and issubclass(piece, Section):
            return piece
    return None


def _pieces_of(field: FieldInfo) -> Iterator[object]:
    yield from field.metadata
    yield from _pieces(field.annotation)


def _pieces(annotation: object) -> Iterator[object]:
    yield annotation
    if get_origin(annotation) is Annotated:
        yield from getattr(annotation, "__metadata__", ())
    for argument in get_args(annotation):
        yield from _pieces(argument)
