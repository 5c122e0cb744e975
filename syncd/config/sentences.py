"""From pydantic's errors to ours: place, key, and a sentence."""

import difflib
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from syncd.config.anatomy import keys_of, section_at
from syncd.config.problems import Finding, Loc, Problem
from syncd.config.strict_yaml import YamlMap, key_path, place_near, value_at
from syncd.config.values import found_kind

_MUST_BE_A_LIST: Final = ("list_type", "tuple_type")
_MUST_BE_A_MAPPING: Final = ("model_type", "model_attributes_type", "dict_type")


def problems_of(error: ValidationError, tree: YamlMap) -> Iterator[Problem]:
    """Yield every problem that validation found in a document."""
    for details in error.errors(include_url=False):
        unknown = details["type"] == "extra_forbidden"
        yield located(Finding(details["loc"], _sentence(details), at_key=unknown), tree)


def located(finding: Finding, tree: YamlMap) -> Problem:
    """Say where a finding stands: at the key when the key is wrong, else at its value."""
    place = place_near(tree, finding.loc)
    if finding.at_key and finding.loc:
        *around, key = finding.loc
        section = value_at(tree, tuple(around))
        if isinstance(section, YamlMap) and isinstance(key, str) and key in section:
            place = section.key_places[key]
    return Problem.at(place, key_path(tree, finding.loc), finding.message)


def _sentence(details: ErrorDetails) -> str:
    loc: Loc = details["loc"]
    match details["type"]:
        case "value_error":
            return str(details.get("ctx", {}).get("error"))
        case "extra_forbidden":
            return _unknown_key(loc)
        case "missing":
            return "this key is required here"
        case kind if kind in _MUST_BE_A_LIST:
            return f"must be a list; {found_kind(details['input'])}"
        case kind if kind in _MUST_BE_A_MAPPING:
            section = section_at(loc)
            keys = f" with the keys {', '.join(keys_of(section))}" if section else ""
            return f"must be a mapping{keys}; {found_kind(details['input'])}"
        case _:
            return details["msg"]


def _unknown_key(loc: Loc) -> str:
    section = section_at(loc[:-1])
    keys = keys_of(section) if section else ()
    close = difflib.get_close_matches(str(loc[-1]), keys, n=1)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    return f"unknown key; allowed here: {', '.join(keys)}{hint}"
