"""Settings from the environment: `SYNCD_LOG__LEVEL=debug` stands above `log: {level: …}`.

A variable's text is read as the same words in the file would be:
`SYNCD_NETWORK__ALLOWED_PORTS='[465, 995]'`.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from syncd.config.anatomy import keys_of
from syncd.config.problems import ENVIRONMENT, Place, Problem
from syncd.config.schema import Settings
from syncd.config.strict_yaml import Value, YamlMap, read_yaml

PREFIX: Final = "SYNCD_"
NESTED: Final = "__"

NOT_SETTINGS: Final = ("SYNCD_CONFIG", "SYNCD_KILL_AT")
NOT_SETTINGS_EITHER: Final = "SYNCD_TEST_"

IN_FILES_ONLY: Final = ("include", "profiles", "mailboxes")


class _Shape(Settings, BaseSettings):
    """Tells pydantic-settings which variables there may be."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=NESTED, enable_decoding=False
    )


def lay_over(tree: YamlMap, environ: Mapping[str, str]) -> list[Problem]:
    """Put what the environment says over what the files say; return what is wrong with it."""
    variables = {
        name: text
        for name, text in environ.items()
        if name.startswith(PREFIX)
        and name not in NOT_SETTINGS
        and not name.startswith(NOT_SETTINGS_EITHER)
    }
    problems = [
        Problem.at(_place(name), "", why)
        for name in variables
        if (why := _why_not(name, variables))
    ]
    wrong = {problem.file for problem in problems}
    for name, path in _settings(variables):
        if _place(name).file in wrong:
            continue
        document = read_yaml(variables[name], _place(name).file)
        problems += (_below(path, problem) for problem in document.problems)
        if not document.problems:
            _put(tree, path, document.value, _place(name))
    return problems


def _settings(variables: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each variable with the keys that lead to its setting."""
    source = EnvSettingsSource(_Shape)
    source.env_vars = {name.lower(): name for name in variables}
    known = dict(_leaves(source(), ()))
    for name in variables:
        # What pydantic-settings does not claim is a key below something that has none:
        # validation finds the words for it.
        yield name, known.get(name) or tuple(name[len(PREFIX) :].lower().split(NESTED))


def _leaves(node: object, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, (*path, key))
    else:
        yield str(node), path


def _why_not(name: str, variables: Mapping[str, str]) -> str | None:
    first, *below = name[len(PREFIX) :].lower().split(NESTED)
    if first in IN_FILES_ONLY:
        return f"{first} is written in files, not in the environment"
    if first not in Settings.model_fields:
        keys = [key for key in keys_of(Settings) if key not in IN_FILES_ONLY]
        close = difflib.get_close_matches(first, keys, n=1)
        hint = (
            f"; did you mean {NESTED.join([f'{PREFIX}{close[0]}', *below]).upper()}?"
            if close
            else ""
        )
        return f"unknown setting; there are {', '.join(keys)}{hint}"
    whole = f"{PREFIX}{first.upper()}"
    if below and whole in variables:
        return f"{whole} says it all already; keep one of the two"
    return None


def _put(tree: YamlMap, path: tuple[str, ...], value: Value, place: Place) -> None:
    *sections, last = path
    node = tree
    for key in sections:
        below = node.get(key)
        if not isinstance(below, YamlMap):
            below = YamlMap(place)
            node.put(key, below, place, place)
        node = below
    node.put(last, value, place, place)


def _below(path: tuple[str, ...], problem: Problem) -> Problem:
    key = ".".join(path)
    return replace(problem, key=f"{key}{problem.key}" if problem.key[:1] == "[" else key)


def _place(name: str) -> Place:
    return Place(f"{ENVIRONMENT}{name}")
