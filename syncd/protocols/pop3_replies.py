"""What POP3 servers say, read without trust: every function takes any bytes and never raises.

RFC 1939 (STAT, LIST, UIDL), 2449 (CAPA, response codes), 3206 (SYS/TEMP, SYS/PERM, AUTH).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from syncd.model.mail import Listed

LONGEST_UID = 255
"""Octets of a UIDL that are believed. RFC 1939 allows 70; a few servers send more. Beyond
this it is no identity but an attack, and the message is known by its content instead."""
MOST_OCTETS = 2**63 - 1
"""No size above this: it is a hint, and every store can hold it."""

_LONGEST_HINT = 20  # digits that are worth converting
_NUMBER = re.compile(rb"-?[0-9]+\Z")
_NUMBERED = re.compile(rb"^[ \t]*([0-9]{1,10})(?=[ \t\r\n]|\Z)([^\n]*)", re.MULTILINE)
_CODE = re.compile(rb"[ \t]*\[([!-Z\\^-~]{1,64})\]")  # RFC 2449, 8: resp-code
_TIMESTAMP = re.compile(rb"<[!-;=?-~]{1,500}@[!-;=?-~]{1,500}>")  # RFC 1939, 7: a msg-id


class Indicator(Enum):
    """How a status line begins."""

    OK = "+OK"
    ERR = "-ERR"
    CHALLENGE = "+"


@dataclass(frozen=True, slots=True)
class Status:
    """A status line: the indicator and the words after it, as they came."""

    indicator: Indicator
    words: bytes

    @property
    def code(self) -> str | None:
        """Return the response code without its brackets, in upper case (RFC 2449, 8)."""
        found = _CODE.match(self.words)
        return found[1].decode("ascii").upper() if found else None


def read_status(line: bytes) -> Status | None:
    """Read a status line (without its line end); None when it is none."""
    head, _, words = line.partition(b" ")
    match head.rstrip().upper():
        case b"+OK":
            return Status(Indicator.OK, words)
        case b"-ERR":
            return Status(Indicator.ERR, words)
        case b"+":
            return Status(Indicator.CHALLENGE, words)
        case _:
            return None


def as_text(words: bytes) -> str:
    """Decode words for people: UTF-8 where it is that (RFC 6856), else octet by octet."""
    try:
        return words.decode("utf-8").strip()
    except UnicodeDecodeError:
        return words.decode("latin-1").strip()


def find_timestamp(greeting: bytes) -> str | None:
    """Return the banner's timestamp, angle brackets included: APOP's challenge."""
    found = _TIMESTAMP.search(greeting)
    return found[0].decode("ascii") if found else None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What CAPA listed: tag in upper case -> its arguments."""

    tags: Mapping[str, tuple[str, ...]]

    def __contains__(self, tag: str) -> bool:
        return tag in self.tags

    @property
    def mechanisms(self) -> frozenset[str]:
        """Return the SASL mechanisms, in upper case (RFC 5034)."""
        return frozenset(name.upper() for name in self.tags.get("SASL", ()))


def read_capabilities(block: bytes) -> Capabilities:
    """Read CAPA's block; a tag that comes twice counts as it came first."""
    tags: dict[str, tuple[str, ...]] = {}
    for line in as_text(block).splitlines():
        tag, *arguments = line.split() or [""]
        tags.setdefault(tag.upper(), tuple(arguments))
    tags.pop("", None)
    return Capabilities(tags)


def read_stat(words: bytes) -> tuple[int, int] | None:
    """Read STAT's count and octets; None when there is no count to be read."""
    count, *rest = words.split(maxsplit=1) or [b""]
    return (_hint(count), _first_hint(b"".join(rest))) if count.isdigit() else None


def read_uid(words: bytes) -> tuple[int, str] | None:
    """Read UIDL's answer for one message: `1 QhdPYR:00WBw1Ph7x7`."""
    return next(iter(read_uids(words).items()), None)


def read_size(words: bytes) -> tuple[int, int] | None:
    """Read LIST's answer for one message: `1 120`."""
    return next(iter(read_sizes(words).items()), None)


def read_uids(block: bytes) -> dict[int, str]:
    """Read UIDL's block: number -> UIDL, "" where there is none that could be believed.

    Octets become the code points of the same number, so that no UIDL is refused for its
    characters. A number that comes twice with different UIDLs has none.
    """
    uids: dict[int, str] = {}
    for found in _NUMBERED.finditer(block):
        digits, rest = found.groups()
        number, uid = int(digits), rest.strip().decode("latin-1")
        if len(uid) > LONGEST_UID or uids.get(number, uid) != uid:
            uid = ""
        uids[number] = uid
    uids.pop(0, None)
    return uids


def read_sizes(block: bytes) -> dict[int, int]:
    """Read LIST's block: number -> octets, 0 where no size can be read."""
    sizes: dict[int, int] = {}
    for found in _NUMBERED.finditer(block):
        digits, rest = found.groups()
        sizes[int(digits)] = _first_hint(rest)
    sizes.pop(0, None)
    return sizes


def pair(uids: Mapping[int, str], sizes: Mapping[int, int]) -> list[Listed]:
    """Bring UIDL and LIST together by number, in the order of the numbers.

    A message that only UIDL names has vanished. One that only LIST names came in between
    and waits for the next listing; but below UIDL's last number it cannot have come later:
    then the server has no UIDL for it, and it must not be passed over for ever.
    """
    last = max(uids, default=0)
    return [
        Listed(number, uids.get(number, ""), sizes[number])
        for number in sorted(sizes)
        if number in uids or number < last
    ]


def _first_hint(rest: bytes) -> int:
    words = rest.split(maxsplit=1)
    return _hint(words[0]) if words and _NUMBER.match(words[0]) else 0


def _hint(word: bytes) -> int:
    """Read a number that may lie (faults 54): negative is nothing, huge is the most."""
    if word.startswith(b"-"):
        return 0
    return min(int(word), MOST_OCTETS) if len(word) <= _LONGEST_HINT else MOST_OCTETS
