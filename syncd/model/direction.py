"""The status of a mailbox in one direction, as contract 3 names it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.model.mailbox import Direction, MailboxId, TestStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError:
    """What went wrong last, for people: contract 3's `last_error`."""

    code: str
    level: str
    words: str
    """The server's own."""
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionRecord:
    """What is remembered of one direction; `DirectionRecord(mailbox_id=…, direction=…)` is one
    that was never tried."""

    mailbox_id: MailboxId
    direction: Direction
    enabled: bool = False
    status: TestStatus = TestStatus.NOT_RUN
    status_at: datetime | None = None
    status_text: str | None = None
    next_at: datetime | None = None
    postponed_until: datetime | None = None
    postponed_why: str | None = None
    last_started_at: datetime | None = None
    last_success_at: datetime | None = None
    last_duration: timedelta | None = None
    last_error: LastError | None = None
    consecutive_failures: int = 0
    refused_logins: int = 0
    first_refused_at: datetime | None = None
    stopped_at: datetime | None = None
    """Since when a permanent failure keeps it from working; only slow probes go on."""
    taken_total: int = 0
    failed_total: int = 0
