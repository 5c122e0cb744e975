"""What can go wrong, as facts: who said what, where, in which phase.

Rule 1: an exception states a fact and carries its fields; whether to try again is
decided in `mailboxes.health` and `outgoing.verdict`, nowhere else.
Rule 2: no secret ever enters an exception: words come from the server, never from us.
"""

from collections.abc import Iterator
from enum import StrEnum

LONGEST_WORDS = 512
"""Characters of a server's text that are kept: enough for every real reply, and a server
that answers a megabyte cannot flood logs or alerts (faults 66)."""


class Phase(StrEnum):
    """How far a conversation with a mail server had come."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    GREETING = "greeting"
    CAPABILITIES = "capabilities"
    STARTTLS = "starttls"
    LOGIN = "login"
    LIST = "list"
    TOP = "top"
    FETCH = "fetch"
    DELETE = "delete"
    QUIT = "quit"
    HELLO = "hello"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    AFTER_DOT = "after_dot"


class SyncdError(Exception):
    """The root of every error that syncd raises knowingly."""


class ServerError(SyncdError):
    """Something failed between us and one mail server.

    `server` is host:port as configured, `words` the server's (or the system's) own text,
    cut to `LONGEST_WORDS`, one line, without control characters.
    """

    def __init__(self, server: str, phase: Phase, words: str) -> None:
        super().__init__()
        self.server = server
        self.phase = phase
        self.reword(words)

    def reword(self, words: str) -> None:
        """Say it in other words."""
        self.words = one_line(words)
        self.args = (f"{self.server}: {self.phase}: {self.words}",)


class NameNotFound(ServerError):
    """DNS has no address for the server (NXDOMAIN), or could not be asked (SERVFAIL)."""


class Unreachable(ServerError):
    """No connection came about: refused, no route, or not in time."""


class ConnectionLost(ServerError):
    """The connection ended in the middle of a conversation."""


class TimedOut(ServerError):
    """The server did not answer, or did not finish, within the time allowed."""


class NoGreeting(TimedOut):
    """Not one octet came on a new connection in clear: so does a port that waits for TLS."""


class TlsFailure(StrEnum):
    """Why TLS could not be had; each has its own remedy."""

    EXPIRED = "expired"
    WRONG_NAME = "wrong_name"
    SELF_SIGNED = "self_signed"
    UNKNOWN_AUTHORITY = "unknown_authority"
    PIN_MISMATCH = "pin_mismatch"
    NOT_TLS = "not_tls"
    OTHER = "other"


class TlsFailed(ServerError):
    """The TLS handshake failed; no byte of a login was sent."""

    def __init__(self, server: str, phase: Phase, words: str, kind: TlsFailure) -> None:
        super().__init__(server, phase, words)
        self.kind = kind


class TlsNotOffered(ServerError):
    """STLS or STARTTLS is wanted and the server does not offer it: stripped, or never there."""


class BytesBeforeTls(ServerError):
    """Bytes arrived between the answer to STLS/STARTTLS and the handshake: an injection."""


class PlaintextLoginForbidden(ServerError):
    """The login would cross the network readable, and the profile does not allow that."""


class MechanismNotOffered(ServerError):
    """The server does not offer the authentication that the profile asks for."""


class LoginRefused(ServerError):
    """The server refused the login itself (not the connection)."""

    def __init__(
        self,
        server: str,
        words: str,
        *,
        response_code: str | None = None,
        reply_code: int | None = None,
        enhanced: str | None = None,
    ) -> None:
        super().__init__(server, Phase.LOGIN, words)
        self.response_code = response_code
        self.reply_code = reply_code
        self.enhanced = enhanced


class CommandRefused(ServerError):
    """The server answered -ERR, or 4yz/5yz, to a command other than the login.

    `response_code` is POP3's bracketed code without brackets (RFC 2449, 3206), upper case;
    `reply_code` SMTP's three digits; `enhanced` RFC 3463's x.y.z.
    """

    def __init__(
        self,
        server: str,
        phase: Phase,
        words: str,
        *,
        response_code: str | None = None,
        reply_code: int | None = None,
        enhanced: str | None = None,
    ) -> None:
        super().__init__(server, phase, words)
        self.response_code = response_code
        self.reply_code = reply_code
        self.enhanced = enhanced


class ProtocolViolated(ServerError):
    """The server said something that its protocol does not allow."""


class WrongProtocol(ProtocolViolated):
    """Another protocol's greeting came; `who` says whose it is, as `an SMTP server`."""

    def __init__(self, server: str, greeting: str, who: str) -> None:
        super().__init__(server, Phase.GREETING, greeting)
        self.who = who


class LimitExceeded(ServerError):
    """The server sent more than a limit allows: line, listing, message or session."""


class StoreError(SyncdError):
    """The store could not do what was asked; nothing of it was kept."""


class StoreFull(StoreError):
    """The disk (or the quota) under the store is full."""


class StoreBusy(StoreError):
    """Another program holds the store's lock for longer than we wait."""


class StoreBroken(StoreError):
    """The store failed in a way that forbids further writes through this handle."""


class StoreRefused(StoreError):
    """The store may not be used: newer schema, other instance, held by another daemon."""


class BodyDamaged(StoreError):
    """A message's stored bytes are not those that were written; other messages are."""


class StoreHeld(StoreRefused):
    """Another process holds the store; it will be free again."""


class TermLost(StoreError):
    """The mailbox's lease has moved on: this owner may not write for it any more."""


class SecretUnreadable(SyncdError):
    """A sealed secret cannot be opened: missing key, other object, or tampered with."""


class Refused(SyncdError):
    """What was asked for is not acceptable; `field` names the culprit, `why` the rule."""

    def __init__(self, field: str, why: str) -> None:
        self.field = field
        self.why = why
        super().__init__(f"{field}: {why}")


class NotFound(SyncdError):
    """There is no object of that name."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Walk the errors in an exception group, and in the groups within it; else the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def one_line(words: str) -> str:
    """Flatten foreign text: control characters become spaces, the rest is cut."""
    printable = "".join(c if c.isprintable() else " " for c in words[: LONGEST_WORDS * 2])
    return " ".join(printable.split())[:LONGEST_WORDS]
