"""Mail as syncd sees it: what a listing says, what the headers say, what became of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

MessageId = NewType("MessageId", int)
"""The store's number of an incoming message (not the Message-ID header)."""
BodyId = NewType("BodyId", int)
OutgoingId = NewType("OutgoingId", int)

CHUNK_OCTETS = 256 * 1024
"""Message bodies are stored and moved in pieces of this size (libraries.md: 256 KiB)."""


class IncomingState(StrEnum):
    """What became of an incoming message that has a row of its own."""

    RECEIVED = "received"
    FILTERED = "filtered"
    QUARANTINED = "quarantined"


class LedgerState(StrEnum):
    """What became of one server message; each is judged once."""

    PENDING = "pending"
    """In the first listing, its date not read yet (contract 7.1: earlier messages)."""
    TAKEN = "taken"
    DUPLICATE = "duplicate"
    FILTERED = "filtered"
    SKIPPED = "skipped"
    FAILING = "failing"
    """The server refuses to hand it out; tried again a few times."""
    QUARANTINED = "quarantined"


class OutgoingState(StrEnum):
    """The states of an outgoing message (contract 3)."""

    DRAFT = "draft"
    PENDING_SEND = "pending_send"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    CANCELED = "canceled"
    HELD = "held"
    OUTCOME_UNKNOWN = "outcome_unknown"


class RecipientState(StrEnum):
    """The states of one recipient of an outgoing message (contract 3)."""

    PENDING = "pending"
    SENT = "sent"
    DEFERRED = "deferred"
    REFUSED = "refused"
    BOUNCED = "bounced"
    CANCELED = "canceled"
    OUTCOME_UNKNOWN = "outcome_unknown"


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a maildrop's listing: valid in this session only.

    `uid` is the UIDL, bytes 0x00–0xFF mapped to the code points of the same number;
    `octets` is the server's claim, a hint that may lie (faults 54).
    """

    number: int
    uid: str
    octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """What the ledger remembers of one server message."""

    uid: str
    digest: bytes = b""
    """Empty, or the content's SHA-256 where a server gives one UIDL to several messages, or
    `by_size` where one of these has not come in yet."""
    state: LedgerState
    copies: int = 1
    """How many messages of the listing it stands for."""
    attempts: int = 0
    """Refused RETRs or DELEs since the last that went well."""
    next_try_at: datetime | None = None
    delete_pending: bool = False
    """It is in the store, and its copy on the server may go."""
    deleted: bool = False
    """We have deleted its copy on the server, and the server has confirmed it."""
    octets: int | None = None
    """What LIST said of its size when it was judged."""
    message_id: MessageId | None = None
    header_digest: bytes | None = None
    """Looked up only where a deletion is due."""
    entered_at: datetime | None = None
    """Looked up only where there is a `digest`."""

    @property
    def is_by_size(self) -> bool:
        """Tell whether it stands for a message of which only the size is known."""
        return self.digest.startswith(BY_SIZE)


BY_SIZE = b"size:"


def by_size(octets: int) -> bytes:
    """Make a ledger digest for a message without a clear name that has not come in."""
    return BY_SIZE + b"%x" % (octets % 2**64)


@dataclass(frozen=True, slots=True)
class MaildropStatus:
    """STAT's answer: a hint, never the truth."""

    count: int
    octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """The headers syncd itself reads: decoded, bounded, never trusted."""

    message_id: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    subject: str = ""
    sender: str = ""
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    date: datetime | None = None
    received_at: datetime | None = None
    """The topmost Received header's date: when the last server took it."""
    auto_submitted: str | None = None
    delivered_to: tuple[str, ...] = ()
    hops: int = 0
    """How many Received headers it carries: a mail in circles collects them."""
    loop_marks: tuple[str, ...] = ()
    """Values of X-Syncd-Loop."""
    digest: bytes | None = None
    """16 bytes of SHA-256 over Message-ID, Date, From and Subject as they stand there: by it
    a message is known again under another UIDL (contract 7.0). None where there is neither
    Message-ID nor Date to tell two messages apart."""
