"""load_settings(path) -> Settings, or ConfigError with every problem at once."""

import gc
import glob
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from syncd.config import rules
from syncd.config.anatomy import secrets_written
from syncd.config.draft import LISTS, Draft, well_formed_part
from syncd.config.environment import lay_over
from syncd.config.files import (
    FileContent,
    FileUnreadable,
    Identity,
    read_regular,
    why_exposed,
)
from syncd.config.problems import ConfigError, Place, Problem, in_order
from syncd.config.schema import Http, Settings
from syncd.config.secrets import SecretReading
from syncd.config.sentences import located, problems_of
from syncd.config.strict_yaml import (
    LONGEST_FILE,
    YamlList,
    YamlMap,
    key_path,
    place_near,
    read_yaml,
    value_at,
)
from syncd.config.values import Include, Unfit, found_kind, parse_include

__all__ = ["ConfigError", "find_socket", "json_schema", "load_draft", "load_settings"]

USUAL_PLACE: Final = Path("/etc/syncd/syncd.yaml")


def load_settings(
    path: Path | None, *, environ: Mapping[str, str], merely_looking: bool = False
) -> Settings:
    """Read, check and return the configuration whole, or raise ConfigError with all problems.

    Without a path: the one that SYNCD_CONFIG names, else /etc/syncd/syncd.yaml.
    `merely_looking` is for commands that use no secret: those that only the daemon can read
    (systemd credentials, its environment, files of its user) are then no problem.
    """
    with _no_garbage_collection():
        return _load(_chosen(path, environ), environ, merely_looking=merely_looking)


def load_draft(
    path: Path | None, *, environ: Mapping[str, str]
) -> tuple[Draft, tuple[Problem, ...]]:
    """Return what is well-formed in a configuration, and all of its problems.

    For commands that use a small part of it. Secrets that only the daemon can read are not
    read. Raises ConfigError where nothing is left to look at.
    """
    with _no_garbage_collection():
        _, draft, sheaf = _read(_chosen(path, environ), environ, merely_looking=True)
    if draft is None:
        raise ConfigError(sheaf.problems)
    return draft, in_order(sheaf.problems)


def _load(main: Path, environ: Mapping[str, str], *, merely_looking: bool) -> Settings:
    settings, draft, sheaf = _read(main, environ, merely_looking=merely_looking)
    if sheaf.problems or settings is None or draft is None:
        raise ConfigError(sheaf.problems)
    return settings.written_as(draft.tree)


def _read(
    main: Path, environ: Mapping[str, str], *, merely_looking: bool
) -> tuple[Settings | None, Draft | None, "_Sheaf"]:
    sheaf = _Sheaf()
    tree = _main_file(main, sheaf)
    _include(tree, main, sheaf)
    sheaf.problems += lay_over(tree, environ)

    reading = SecretReading(environ, Identity.of_this_process(), merely_looking)
    settings, draft = _validate(tree, reading, sheaf)
    if draft is not None:
        sheaf.problems += [located(found, draft.tree) for found in rules.check(draft)]
    sheaf.problems += _exposed(tree, sheaf.files, reading.identity)
    return settings, draft, sheaf


def find_socket(path: Path | None, *, environ: Mapping[str, str]) -> Path:
    """Return where the running daemon's socket is, whatever else is wrong with the file.

    A mistake made after the daemon had started must not cut the command line off from it.
    """
    try:
        tree = _main_file(_chosen(path, environ), _Sheaf())
    except ConfigError:
        tree = YamlMap(Place(""))
    lay_over(tree, environ)
    try:
        return Http.model_validate(tree.get("http") or {}).socket
    except ValidationError:
        return Http().socket


def json_schema() -> dict[str, Any]:  # Any: what JSON holds
    """Return the JSON Schema of the configuration, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The configuration of syncd",
        **_untitled(Settings.model_json_schema()),
    }


def _untitled(node: Any) -> Any:  # Any: JSON
    """Leave out the titles that pydantic makes of names ("Tls Ca")."""
    match node:
        case dict():
            return {key: _untitled(value) for key, value in node.items() if key != "title"}
        case list():
            return [_untitled(value) for value in node]
        case _:
            return node


class _Sheaf:
    """What was read on the way, and what was wrong with it."""

    def __init__(self) -> None:
        self.files: dict[str, FileContent] = {}
        self.problems: list[Problem] = []

    def read(self, path: Path, named_at: Place | None = None) -> YamlMap | None:
        """Read one YAML file, a mapping; None, and a problem, when that is impossible."""
        try:
            file = read_regular(path, longest=LONGEST_FILE)
        except FileUnreadable as exc:
            place = named_at or Place(str(path))
            subject = f"{path} " if named_at else ""
            self.problems.append(Problem.at(place, "", f"{subject}{exc}"))
            return None
        self.files[str(path)] = file
        document = read_yaml(file.content, str(path))
        self.problems += document.problems
        match document.value:
            case YamlMap():
                return document.value
            case None:
                return None if document.problems else YamlMap(document.place)
            case other:
                message = f"must be a mapping of keys; {found_kind(other)}"
                self.problems.append(Problem.at(document.place, "", message))
                return None


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    # Loading makes hundreds of thousands of objects and next to no garbage; looking for it
    # all the while took two thirds of the time of 100,000 mailboxes.
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _chosen(path: Path | None, environ: Mapping[str, str]) -> Path:
    return path or Path(environ.get("SYNCD_CONFIG") or USUAL_PLACE)


def _main_file(path: Path, sheaf: _Sheaf) -> YamlMap:
    try:
        exists = path.exists()
    except OSError:
        exists = True  # reading it will say what is the matter
    if not exists:
        message = (
            "there is no such file; the configuration is what --config names, else"
            f" SYNCD_CONFIG, else {USUAL_PLACE}"
        )
        raise ConfigError([Problem.at(Place(str(path)), "", message)])
    tree = sheaf.read(path)
    if tree is None:
        raise ConfigError(sheaf.problems)
    return tree


def _include(tree: YamlMap, main: Path, sheaf: _Sheaf) -> None:
    """Read the included files and join their profiles and mailboxes to the main file's."""
    read = {main.absolute()}
    for path, named_at in _included_files(tree, main, sheaf):
        if path.absolute() in read:
            continue
        read.add(path.absolute())
        included = sheaf.read(path, named_at)
        if included is None:
            continue
        for key in included:
            if key not in LISTS:
                message = "an included file holds profiles: and mailboxes: only"
                place = included.key_places[key]
                sheaf.problems.append(Problem.at(place, key, message))
        for key in LISTS:
            _join(tree, included, key, sheaf)


def _included_files(tree: YamlMap, main: Path, sheaf: _Sheaf) -> Iterator[tuple[Path, Place]]:
    patterns = tree.get("include")
    if not isinstance(patterns, YamlList):
        return
    for value, place in zip(patterns, patterns.places, strict=True):
        try:
            include = parse_include(value)
        except Unfit:
            continue  # validation will say so
        paths = _matches(include, main.parent)
        if not paths and not include.optional:
            message = (
                f"{include.pattern} matches no file in {main.parent}; if that may be, write"
                f" {{path: {include.pattern}, optional: true}}"
            )
            sheaf.problems.append(Problem.at(place, "include", message))
        yield from ((path, place) for path in paths)


def _matches(include: Include, folder: Path) -> list[Path]:
    # Path.glob takes no absolute patterns; glob.glob does, and skips editors' dot files.
    pattern = str(Path(glob.escape(str(folder))) / include.pattern)
    return sorted(Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207


def _join(tree: YamlMap, included: YamlMap, key: str, sheaf: _Sheaf) -> None:
    more = included.get(key)
    if more is None:
        return
    if not isinstance(more, YamlList):
        message = f"must be a list; {found_kind(more)}"
        sheaf.problems.append(Problem.at(included.value_places[key], key, message))
        return
    there = tree.get(key)
    if there is None:
        tree.put(key, more, included.key_places[key], included.value_places[key])
    elif isinstance(there, YamlList):
        for item, place in zip(more, more.places, strict=True):
            there.add(item, place)


def _validate(
    tree: YamlMap, reading: SecretReading, sheaf: _Sheaf
) -> tuple[Settings | None, Draft | None]:
    """Return the settings, and a draft of them for the rules to look at."""
    try:
        settings = Settings.model_validate(tree, context=reading)
    except ValidationError as error:
        sheaf.problems += problems_of(error, tree)
        return None, well_formed_part(tree, error, reading)
    return settings, Draft.of(settings, tree)


def _exposed(
    tree: YamlMap, files: Mapping[str, FileContent], identity: Identity
) -> Iterator[Problem]:
    """Yield, once for each file, that others can read the secrets in it."""
    seen: set[str] = set()
    for loc in secrets_written(tree):
        place = place_near(tree, loc)
        file = files.get(place.file)
        if file is None or place.file in seen or not isinstance(value_at(tree, loc), str):
            continue
        seen.add(place.file)
        exposed = why_exposed(file.status, file.path, identity)
        if exposed:
            message = (
                "a secret stands here in plain text, in a file that others can read:"
                f" {exposed}; or write it as {{encrypted: …}}, {{file: …}}, {{env: …}} or"
                " {credential: …}"
            )
            yield Problem.at(place, key_path(tree, loc), message)
