"""What can be wrong with a configuration, and where it stands.

A problem reads `syncd.yaml:7:38: profiles[contoso].outgoing.prot: unknown key; …`.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

from syncd.errors import SyncdError

ENVIRONMENT: Final = "environment "
"""How a place begins that is a variable of the environment, not a file."""

Loc = tuple[str | int, ...]
"""The way to a value from the document's root: keys and positions in lists."""


class Place(NamedTuple):
    """Where something was written. Line 0: the file as a whole, or no file at all."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to mend: place, key, and a sentence that says what would be right."""

    file: str
    line: int
    column: int
    key: str
    message: str

    @classmethod
    def at(cls, place: Place, key: str, message: str) -> "Problem":
        """Make a problem of a place; what it quotes is kept from breaking the line."""
        return cls(place.file, place.line, place.column, _printable(key), _printable(message))

    def as_json(self) -> dict[str, object]:
        """Return what `--json` prints."""
        return asdict(self)

    def __str__(self) -> str:
        place = Place(self.file, self.line, self.column)
        return ": ".join(filter(None, (str(place), self.key, self.message)))


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem whose place is still to be looked up: which value, and the sentence."""

    loc: Loc
    message: str
    at_key: bool = False
    """Whether the key itself is wrong, not its value."""


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sort by file, line and column, each problem once."""
    return tuple(sorted(set(problems)))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "�" for character in text)


class ConfigError(SyncdError):
    """The configuration cannot be used; `problems` are all of its problems, in order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(map(str, self.problems)))
