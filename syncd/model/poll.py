"""What one poll of a mailbox brought, and what it leaves for the next one to remember."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from syncd.model.failure import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingMemory:
    """How the maildrop was left: what a short poll compares with (architecture 4)."""

    epoch: int
    identity: str
    """Protocol, server and login of that listing: with another one it says nothing."""
    count: int
    octets: int
    last_uid: str | None
    """UIDL of message `count`; None where there is none that could be trusted."""
    full_at: datetime
    """When UIDL was last read whole."""
    whole: bool
    """Whether every message of it was judged."""
    retry_at: datetime | None = None
    """When the first refused RETR or DELE is due again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollOutcome:
    """One poll in numbers; `failure` is set when it did not come to its end."""

    started_at: datetime
    duration: timedelta
    taken: int = 0
    filtered: int = 0
    duplicates: int = 0
    skipped: int = 0
    quarantined: int = 0
    adopted: int = 0
    """Known messages that came under a new name and were recognised (contract 7.0)."""
    refused: int = 0
    """Messages that the server would not hand out this time."""
    deleted: int = 0
    octets: int = 0
    more: bool = False
    """Whether messages of the first listing still wait to be judged."""
    remark: str | None = None
    """What the operator should know of this poll although nothing failed."""
    memory: ListingMemory | None = None
    """What the next poll should be given; None after a failure: it asks for everything."""
    failure: Failure | None = None
    latencies: tuple[timedelta, ...] = field(default=(), repr=False)
    """From the topmost Received header to the commit, of live mail only."""
