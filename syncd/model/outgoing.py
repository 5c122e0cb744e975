"""An outgoing message as the queue, the delivery and the store pass it among them."""

from dataclasses import dataclass
from datetime import datetime

from syncd.model.mail import BodyId, OutgoingId, OutgoingState, RecipientState
from syncd.model.mailbox import MailboxId


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One recipient, and the last answer about it."""

    n: int
    address: str
    state: RecipientState = RecipientState.PENDING
    reply_code: int | None = None
    enhanced: str | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message that this owner sends now; nobody else touches it until it is settled."""

    id: OutgoingId
    mailbox_id: MailboxId
    term: int
    """The lease's term under which it was claimed."""
    message_id: str
    """The Message-ID header."""
    sender: str
    octets: int
    sha256: bytes
    body_id: BodyId
    eight_bit: bool
    utf8: bool
    waiting_since: datetime
    """When it was queued, or `send_at` where that is later: patience is measured from here."""
    attempts: int
    tried_at: datetime | None
    """When the last attempt ended; None before the first."""
    unknown_outcomes: int
    """How often the answer to the final dot was lost."""
    after_dot_at: datetime | None
    """Set when the final dot was allowed to go out and no answer is recorded."""
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One line of a message's delivery history."""

    server: str
    phase: str
    result: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What an attempt has made of a message; written in one transaction."""

    state: OutgoingState
    reason: str | None
    next_attempt_at: datetime | None
    unknown_outcomes: int
    recipients: tuple[Recipient, ...]
    event: str
    """Type of the event that tells of it (contract 5)."""
    attempt: Attempt
