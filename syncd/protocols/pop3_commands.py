"""What a POP3 client may say, when, and what kind of answer follows.

RFC 1939 (POP3), 2449 (CAPA), 2595 (STLS), 5034 (AUTH), 6856 (UTF8).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum

_USUAL_HEADER = 4096  # octets of an ordinary header section, for the window


class State(StrEnum):
    """RFC 1939's states, and the moments before and after them."""

    GREETING = "greeting"
    AUTHORIZATION = "authorization"
    TLS = "tls"
    """STLS was accepted, the handshake is due: not a byte may come before it."""
    TRANSACTION = "transaction"
    UPDATE = "update"


class Verb(StrEnum):
    """The commands this client knows."""

    CAPA = "CAPA"
    STLS = "STLS"
    UTF8 = "UTF8"
    USER = "USER"
    PASS = "PASS"  # noqa: S105 - a command
    APOP = "APOP"
    AUTH = "AUTH"
    STAT = "STAT"
    LIST = "LIST"
    UIDL = "UIDL"
    TOP = "TOP"
    RETR = "RETR"
    DELE = "DELE"
    NOOP = "NOOP"
    QUIT = "QUIT"


TRANSITIONS: Mapping[tuple[State, Verb], State] = {
    (State.AUTHORIZATION, Verb.CAPA): State.AUTHORIZATION,
    (State.AUTHORIZATION, Verb.STLS): State.TLS,
    (State.AUTHORIZATION, Verb.UTF8): State.AUTHORIZATION,
    (State.AUTHORIZATION, Verb.USER): State.AUTHORIZATION,
    (State.AUTHORIZATION, Verb.PASS): State.TRANSACTION,
    (State.AUTHORIZATION, Verb.APOP): State.TRANSACTION,
    (State.AUTHORIZATION, Verb.AUTH): State.TRANSACTION,
    (State.AUTHORIZATION, Verb.QUIT): State.UPDATE,
    (State.TRANSACTION, Verb.CAPA): State.TRANSACTION,
    (State.TRANSACTION, Verb.STAT): State.TRANSACTION,
    (State.TRANSACTION, Verb.LIST): State.TRANSACTION,
    (State.TRANSACTION, Verb.UIDL): State.TRANSACTION,
    (State.TRANSACTION, Verb.TOP): State.TRANSACTION,
    (State.TRANSACTION, Verb.RETR): State.TRANSACTION,
    (State.TRANSACTION, Verb.DELE): State.TRANSACTION,
    (State.TRANSACTION, Verb.NOOP): State.TRANSACTION,
    (State.TRANSACTION, Verb.QUIT): State.UPDATE,
}
"""State and command -> the state after +OK. After -ERR it stays as it was."""


class Reply(Enum):
    """What follows +OK."""

    LINE = "line"
    LISTING = "listing"
    HEADER = "header"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Command:
    """One command; its line may hold a password and is not printed."""

    verb: Verb
    line: bytes = field(repr=False)
    reply: Reply = Reply.LINE
    number: int = 0
    octets: int = 0
    """How much the answer is expected to be: what LIST said."""
    prelude: bool = False
    """It only leads to the next command: +OK is no news, -ERR calls that one off."""


def single(verb: Verb, *arguments: str) -> Command:
    """Make a command that is answered by one line."""
    return Command(verb, " ".join((verb, *arguments)).encode() + b"\r\n")


def prelude(verb: Verb, *arguments: str) -> Command:
    """Make a command that only leads to the next one."""
    return replace(single(verb, *arguments), prelude=True)


def everything(verb: Verb) -> Command:
    """Make CAPA, or LIST or UIDL of everything."""
    return Command(verb, b"%b\r\n" % verb.encode(), Reply.LISTING)


def about(verb: Verb, number: int) -> Command:
    """Make LIST, UIDL or DELE of one message."""
    return Command(verb, b"%b %d\r\n" % (verb.encode(), number), Reply.LINE, number)


def retrieve(number: int, octets: int) -> Command:
    """Make RETR."""
    return Command(Verb.RETR, b"RETR %d\r\n" % number, Reply.MESSAGE, number, octets)


def top(number: int) -> Command:
    """Make TOP n 0: the header section alone."""
    return Command(Verb.TOP, b"TOP %d 0\r\n" % number, Reply.HEADER, number, _USUAL_HEADER)
