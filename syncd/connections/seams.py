"""What the stories need of a mail server, whatever is spoken to it.

A source is one authenticated session on one maildrop, a sender one authenticated SMTP
session. Both are poisoned by cancellation, time-out and protocol errors: whoever sees one
calls `abort()` and never uses the object again (libraries.md 0.3).
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from syncd.errors import CommandRefused
from syncd.model.mail import Listed, MaildropStatus
from syncd.model.secret import Secret
from syncd.protocols.smtp_replies import SmtpReply


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockedLogin:
    """A login ready for the wire."""

    username: str
    password: Secret
    authorize_as: str | None = None


@dataclass(frozen=True, slots=True)
class Glance:
    """STAT and one UIDL, asked in one flight: has anything changed?"""

    status: MaildropStatus
    uid: str | None
    """UIDL of the number asked for; None when the server refused (no such message)."""


@dataclass(slots=True)
class Fetched:
    """One message handed over by a source.

    Exactly one of three: `body` (whole, up to CHUNK_OCTETS), `chunks` (a larger message, to
    be read to its end before the next batch is asked for; raises what the connection
    raises), or `refusal` (the server would not hand it out).
    Bytes are what the server sent after dot-unstuffing, the final CRLF included.
    """

    listed: Listed
    body: bytes | None = None
    chunks: AsyncIterator[bytes] | None = None
    refusal: CommandRefused | None = None


@dataclass(slots=True)
class Head:
    """The header section of one message (TOP n 0), or why it was refused."""

    listed: Listed
    header: bytes | None
    refusal: CommandRefused | None = None


class MailSource(Protocol):
    """One session on one maildrop, from login to quit."""

    @property
    def place(self) -> str:
        """host:port, for errors."""
        ...

    @property
    def can_list_uids(self) -> bool:
        """False when the server knows no UIDL: identities then come from the content."""
        ...

    async def glance(self, number: int | None) -> Glance:
        """Ask STAT, and with a number its UIDL, in one flight."""
        ...

    async def list_all(self) -> list[Listed]:
        """Ask UIDL and LIST; messages that only one of them names are left for next time."""
        ...

    async def list_range(self, first: int, last: int) -> list[Listed]:
        """Ask UIDL n and LIST n for a tail of the maildrop."""
        ...

    def heads(self, wanted: Sequence[Listed]) -> AsyncIterator[list[Head]]:
        """Read header sections (TOP n 0), pipelined, in batches, in the order given."""
        ...

    def fetch(self, wanted: Sequence[Listed]) -> AsyncIterator[list[Fetched]]:
        """Retrieve messages, pipelined, in batches, in the order given.

        A batch holds what has arrived since the last one; a message with `chunks` is always
        the last of its batch.
        """
        ...

    async def delete(self, wanted: Sequence[Listed]) -> list[Listed]:
        """Mark for deletion; return those the server refused. Takes effect with `quit`."""
        ...

    async def quit(self) -> bool:
        """End the session and let the server delete what was marked.

        Returns whether the server said that it did (RFC 1939, UPDATE state).
        """
        ...

    def abort(self) -> None:
        """Drop the connection at once, without QUIT: the server deletes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class EnvelopeReplies:
    """What the server said to MAIL and to each RCPT, in the order of the recipients."""

    mail: SmtpReply
    recipients: tuple[SmtpReply, ...]


class MailSender(Protocol):
    """One authenticated SMTP session: any number of messages, phase by phase."""

    @property
    def place(self) -> str:
        """host:port, for errors."""
        ...

    async def envelope(
        self,
        sender: str,
        recipients: Sequence[str],
        octets: int,
        *,
        eight_bit: bool = False,
        utf8: bool = False,
    ) -> EnvelopeReplies:
        """MAIL FROM and RCPT TO; a refusal is in the replies, not raised.

        `eight_bit`: the body holds octets above 127; `utf8`: the headers do (RFC 6532).
        When MAIL is refused no RCPT is asked and `recipients` is empty.
        """
        ...

    async def body(self, chunks: AsyncIterable[bytes]) -> SmtpReply | None:
        """DATA and the message, all but the final dot; the reply if DATA was refused."""
        ...

    async def dot(self) -> SmtpReply:
        """Send the final dot and wait for the answer, up to 10 minutes.

        What is raised here with phase AFTER_DOT leaves the outcome unknown (RFC 5321 4.5.3.2,
        6.1); with phase BODY the connection was gone before the dot could leave.
        """
        ...

    async def reset(self) -> None:
        """RSET: forget the envelope, keep the session."""
        ...

    async def quit(self) -> None:
        """Say goodbye; what the server answers does not matter."""
        ...

    def abort(self) -> None:
        """Drop the connection at once."""
        ...
