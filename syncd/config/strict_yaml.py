"""The one door to PyYAML: a strict reading of YAML in which every value knows its place.

What PyYAML would let pass is refused here: a key twice (it silently takes the last), anchors
and aliases (400 bytes of them unfold to gigabytes), tags, deep nesting, `010` as 8, `no` as
False, `12:30:45` as a number. Plain words mean what YAML 1.2 says, and less: `true` and
`false`, decimal numbers, `null`, `~` or nothing; everything else is text.

Rule 1: values are built from parser events, not from PyYAML's nodes: one pass, no recursion
inside the library, and limits that hold before memory is spent.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import yaml

from syncd.config.problems import Loc, Place, Problem

LONGEST_FILE: Final = 64 * 1024 * 1024
"""Octets of one file. 10,000 mailboxes take 1 to 2 MiB; a hundred thousand, with owners and
descriptions, still fit. It only has to stop what is not a configuration at all."""

MOST_VALUES: Final = 3_000_000
"""Values of one file: 100,000 mailboxes with 25 values each, at about 200 octets of memory a
value. `[,,,,` reaches this long before the file's own limit."""

DEEPEST: Final = 20
"""Levels of nesting; the schema itself needs 6."""

Value = None | bool | int | float | str | dict[str, "Value"] | list["Value"]

_WORDS: Final[Mapping[str, Value]] = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
}
# 18 digits: more is no number of ours, and Python refuses to convert thousands of them.
_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}", re.ASCII)


class YamlMap(dict[str, Value]):
    """A mapping that knows where it, each of its keys and each of its values stand."""

    __slots__ = ("key_places", "place", "value_places")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.key_places: dict[str, Place] = {}
        self.value_places: dict[str, Place] = {}

    def put(self, key: str, value: Value, key_place: Place, value_place: Place) -> None:
        """Set a key and say where it came from."""
        self[key] = value
        self.key_places[key] = key_place
        self.value_places[key] = value_place


class YamlList(list[Value]):
    """A list that knows where it and each of its items stand."""

    __slots__ = ("place", "places")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: list[Place] = []

    def add(self, value: Value, place: Place) -> None:
        """Append an item and say where it came from."""
        self.append(value)
        self.places.append(place)


@dataclass(frozen=True, slots=True)
class Document:
    """One file as read: its value (None when it could not be read) and what was wrong."""

    value: Value
    place: Place
    """Where the value begins."""
    problems: tuple[Problem, ...]


def read_yaml(content: bytes | str, file: str) -> Document:
    """Read one document; `file` is how problems name it."""
    if len(content) > LONGEST_FILE:
        return _unreadable(
            Place(file), f"larger than {LONGEST_FILE >> 20} MiB: no configuration is"
        )
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        text.encode()
    except UnicodeEncodeError:
        # Octets of the environment that are not UTF-8 arrive as lone surrogates.
        return _unreadable(Place(file), "not UTF-8")
    except UnicodeDecodeError as exc:
        return _unreadable(
            _place_of_byte(exc.object, exc.start, file),
            f"not UTF-8: the byte 0x{exc.object[exc.start]:02x} belongs to another encoding;"
            " save the file as UTF-8",
        )
    composer = _Composer(file)
    try:
        value = composer.compose(text)
    except _Refused as exc:
        return Document(None, Place(file), (*composer.duplicates(None), exc.problem))
    except yaml.MarkedYAMLError as exc:
        return Document(
            None, Place(file), (*composer.duplicates(None), _explain(exc, text, file))
        )
    except yaml.reader.ReaderError as exc:
        return _unreadable(
            _place_of_byte(text.encode(), exc.position, file),
            f"the character U+{exc.character:04X} is not allowed in YAML; remove it",
        )
    return Document(value, composer.place, tuple(composer.duplicates(value)))


def plain_value(text: str) -> Value:
    """Return what an unquoted word means: true, false, a decimal number, nothing, or text."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "-0123456789":
        if _WHOLE.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text):
            return float(text)
    return text


def key_path(root: Value, loc: Loc) -> str:
    """Name a value as a person would: `profiles[contoso].outgoing.port`."""
    path = ""
    node: Value = root
    for step in loc:
        if isinstance(step, int):
            node = node[step] if isinstance(node, list) and step < len(node) else None
            path += f"[{_label(node, step)}]"
        else:
            node = node.get(step) if isinstance(node, dict) else None
            path += f".{step}" if path else step
    return path


def place_of(root: Value, loc: Loc) -> Place | None:
    """Return where a value stands; None when it was not written anywhere."""
    node: Value = root
    place = root.place if isinstance(root, YamlMap | YamlList) else None
    for step in loc:
        if isinstance(node, YamlMap) and isinstance(step, str) and step in node:
            place = node.value_places[step]
            node = node[step]
        elif isinstance(node, YamlList) and isinstance(step, int) and step < len(node):
            place = node.places[step]
            node = node[step]
        else:
            return None
    return place


def place_near(root: Value, loc: Loc) -> Place:
    """Return where a value stands, or else the nearest thing around it that was written."""
    for length in range(len(loc), -1, -1):
        place = place_of(root, loc[:length])
        if place is not None:
            return place
    return Place("")


def value_at(root: Value, loc: Loc) -> Value:
    """Return what was written at a location; None where nothing was."""
    node: Value = root
    for step in loc:
        if isinstance(node, dict) and isinstance(step, str):
            node = node.get(step)
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            return None
    return node


class _Refused(Exception):
    """The document breaks a rule after which reading on makes no sense."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


class _Composer:
    """Builds values from parser events and remembers where it is."""

    def __init__(self, file: str) -> None:
        self.place = Place(file)
        self._file = file
        self._values = 0
        self._loc: list[str | int] = []
        self._twice: list[tuple[Loc, Place, Place]] = []

    def duplicates(self, root: Value) -> Iterator[Problem]:
        """Yield the keys that stood twice, named by what the document says of itself."""
        for loc, place, first in self._twice:
            message = f"this key stands already in line {first.line}; keep one of the two"
            yield Problem.at(place, key_path(root, loc), message)

    def compose(self, text: str) -> Value:
        """Return the only document in the text."""
        events = yaml.parse(text, Loader=yaml.CSafeLoader)
        value: Value = None
        documents = 0
        for event in events:
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise self._refuse(event, "a second document begins here; only one")
                    root = next(events)
                    self.place = self._place(root)
                    value = self._value(root, events)
                case _:
                    pass
        return value

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event]) -> Value:
        self._values += 1
        if self._values > MOST_VALUES:
            raise self._refuse(event, f"more than {MOST_VALUES:,} values in one file")
        if len(self._loc) > DEEPEST:
            raise self._refuse(event, f"nested deeper than {DEEPEST} levels")
        match event:
            case yaml.AliasEvent(anchor=name):
                raise self._refuse(event, f"the alias *{name} is refused; write it out")
            case yaml.NodeEvent(anchor=str(name)):
                raise self._refuse(event, f"the anchor &{name} is refused; write it out")
            case yaml.ScalarEvent(tag=str(tag)) | yaml.CollectionStartEvent(tag=str(tag)):
                raise self._refuse(event, f"the tag {_shown_tag(tag)} is refused; remove it")
            case yaml.ScalarEvent():
                return plain_value(event.value) if event.implicit[0] else event.value
            case yaml.SequenceStartEvent():
                return self._list(event, events)
            case yaml.MappingStartEvent():
                return self._map(event, events)
            case _:
                raise self._refuse(event, "not understood")

    def _list(self, start: yaml.Event, events: Iterator[yaml.Event]) -> YamlList:
        result = YamlList(self._place(start))
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            self._loc.append(len(result))
            result.add(self._value(event, events), self._place(event))
            self._loc.pop()
        return result

    def _map(self, start: yaml.Event, events: Iterator[yaml.Event]) -> YamlMap:
        result = YamlMap(self._place(start))
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._value(event, events)
            if not isinstance(key, str):
                raise self._refuse(event, "a key must be text; put it in quotes")
            self._loc.append(key)
            key_place = self._place(event)
            if key in result:
                self._twice.append((tuple(self._loc), key_place, result.key_places[key]))
            event_of_value = next(events)
            value = self._value(event_of_value, events)
            if key not in result:
                result.put(key, value, key_place, self._place(event_of_value))
            self._loc.pop()
        return result

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file)

    def _refuse(self, event: yaml.Event, message: str) -> _Refused:
        # The way through thousands of brackets is of no use to anybody.
        loc = tuple(self._loc) if len(self._loc) <= DEEPEST else ()
        return _Refused(Problem.at(self._place(event), key_path(None, loc), message))


def _unreadable(place: Place, message: str) -> Document:
    return Document(None, place, (Problem.at(place, "", message),))


def _label(node: Value, position: int) -> str:
    if isinstance(node, dict):
        for key in ("address", "name"):
            label = node.get(key)
            if isinstance(label, str) and label:
                return label
    return f"#{position + 1}"


def _shown_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _explain(exc: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """Put libyaml's words into ones that say what to do."""
    mark, began = exc.problem_mark or exc.context_mark, exc.context_mark
    if mark is None:
        return Problem.at(Place(file), "", f"not YAML: {exc.problem}")
    place = Place(file, mark.line + 1, mark.column + 1)
    words = exc.problem or "not understood"
    line = next(iter(text.splitlines()[mark.line :]), "")
    character = line[mark.column : mark.column + 1]
    if "\t" in (character, line[:1]) or "tab character" in words:
        return Problem.at(place, "", "a tab stands here; YAML is indented with spaces only")
    if character and character in "@`%&*!|>" and "cannot start any token" in words:
        message = f"a value cannot begin with {character}; put it in quotes"
        return Problem.at(place, "", message)
    since = ""
    if began and exc.context and began.line != mark.line:
        since = f" ({exc.context} that began in line {began.line + 1})"
    return Problem.at(place, "", f"not YAML: {words}{since}")


def _place_of_byte(content: bytes, position: int, file: str) -> Place:
    before = content[:position]
    start = before.rfind(b"\n") + 1
    column = len(before[start:].decode("utf-8", "replace")) + 1
    return Place(file, before.count(b"\n") + 1, column)
