"""The configuration in effect, value by value, each with its origin; secrets as ***."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from syncd.config.anatomy import keys_of, section_at
from syncd.config.problems import Loc
from syncd.config.rules import default_profile
from syncd.config.schema import Settings


@dataclass(frozen=True, slots=True)
class Shown:
    """One value in effect: its key, how the file would say it, and where it comes from."""

    key: str
    value: str
    origin: str


def effective(settings: Settings) -> Iterator[Shown]:
    """Yield every value in effect, in the order of the schema."""
    yield from _leaves(settings, _filled_in(settings), ())


def _filled_in(settings: Settings) -> dict[str, object]:
    """Return all values, those filled in from others too."""
    values: dict[str, Any] = settings.model_dump(mode="json")  # Any: JSON
    for shown, profile in zip(values["profiles"], settings.profiles, strict=True):
        for name, side in (("incoming", profile.incoming), ("outgoing", profile.outgoing)):
            if side is not None:
                shown[name]["port"] = side.filled_port
    defaults = values["email_settings"]
    for shown in values["mailboxes"]:
        shown["name"] = shown["name"] or shown["address"]
        shown["profile"] = shown["profile"] or default_profile(settings)
        shown["incoming"] = shown["incoming"] or defaults["incoming"]
        shown["outgoing"] = shown["outgoing"] or defaults["outgoing"]
        if shown["credentials"] is not None:
            login = shown["credentials"]
            login["username"] = login["username"] or shown["address"]
    return values


def _leaves(settings: Settings, value: object, loc: Loc) -> Iterator[Shown]:
    section = section_at(loc)
    match value:
        case dict() if section is not None:
            for key in keys_of(section):
                yield from _leaves(settings, value[key], (*loc, key))
        case list() if value:
            for n, item in enumerate(value):
                yield from _leaves(settings, item, (*loc, n))
        case _:
            yield Shown(settings.key_path(loc), _in_yaml(value), settings.origin(loc))


def _in_yaml(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list():
            return "[]"
        case _:
            return str(value)
