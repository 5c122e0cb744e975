"""What one poll works with, and what it counts on the way."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from syncd.alerts.wall import About
from syncd.clock import Clock
from syncd.connections.budget import ByteBudget
from syncd.connections.seams import MailSource
from syncd.model.failure import Failure
from syncd.model.mail import LedgerState, Listed
from syncd.model.mailbox import Direction, Mailbox, MailboxType, address_key
from syncd.model.poll import ListingMemory, PollOutcome
from syncd.providers.quirks import shows_pages
from syncd.store.database import Database
from syncd.store.ledger import MailboxFacts
from syncd.store.mailboxes import MailboxRecord

SHORTEST_INTERVAL = timedelta(seconds=10)
"""What an interval of 0 means (contract 7.9)."""

MOST_TRIES = 5
"""Refused RETRs after which a message is put aside (faults 56)."""

MOST_LATENCIES = 1000
"""Of one poll; more say nothing new to a histogram."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollWork:
    """One mailbox to poll, and everything that a poll needs from outside."""

    mailbox: Mailbox
    record: MailboxRecord
    db: Database
    open_source: Callable[[], Awaitable[MailSource]]
    """Takes the slots, unlocks, connects, logs in; raises the errors of `syncd.errors`."""
    memory: ListingMemory | None
    """What the last poll left; None asks for everything."""
    classify: Callable[[Exception], Failure]
    budget: ByteBudget
    clock: Clock
    max_message_size: int

    @property
    def identity(self) -> str:
        """Whose maildrop it is: another one is another epoch (contract 7.0); ports are not asked."""
        endpoint = self.mailbox.endpoint(Direction.INCOMING)
        login = self.mailbox.login(Direction.INCOMING)
        if endpoint is None or login is None:
            return ""
        whom = f"{login.username}|{login.authorize_as or ''}"
        return f"{endpoint.protocol}|{endpoint.server.casefold()}|{whom}"

    @property
    def server(self) -> str:
        """host:port, for alerts."""
        endpoint = self.mailbox.endpoint(Direction.INCOMING)
        return endpoint.place if endpoint else ""

    @property
    def shows_pages(self) -> bool:
        """Whether the server's listing is a page of the mailbox only (Gmail)."""
        endpoint = self.mailbox.endpoint(Direction.INCOMING)
        return endpoint is not None and shows_pages(endpoint.server)

    @property
    def interval(self) -> timedelta:
        """How long a session may work through earlier mail before live mail is due again."""
        return max(self.mailbox.profile.minimum_polling_interval, SHORTEST_INTERVAL)

    @property
    def deletes(self) -> bool:
        """Whether the server's copy goes when a message is in the store (queues only)."""
        return self.mailbox.type is MailboxType.QUEUE and self.mailbox.delete_after_processing

    @property
    def own_mark(self) -> str:
        """What this mailbox's own mail carries in X-Syncd-Loop."""
        return address_key(self.mailbox.address)

    @property
    def about(self) -> About:
        """Who hears of this mailbox's alerts and events."""
        return About(self.record.id, self.record.address, self.record.tenant)

    @property
    def process_email_from(self) -> datetime | None:
        """The later of the profile's and the mailbox's; None where neither says anything."""
        wishes = (self.mailbox.process_email_from, self.mailbox.profile.process_email_from)
        return max((wish for wish in wishes if wish is not None), default=None)

    def not_before(self, facts: MailboxFacts) -> datetime:
        """Return the moment from which mail counts (contract 7.1)."""
        return self.process_email_from or facts.first_enabled_at or self.clock.now()


@dataclass(frozen=True, slots=True)
class PutOff:
    """A message that the server would not hand out: which try it was, when the next comes."""

    tries: int
    next_try_at: datetime
    words: str


@dataclass(slots=True)
class Tally:
    """What a poll has done so far; counts only what is committed."""

    clock: Clock
    started_at: datetime
    started: float
    results: dict[LedgerState, int] = field(
        default_factory=lambda: dict.fromkeys(LedgerState, 0)
    )
    adopted: int = 0
    deleted: int = 0
    octets: int = 0
    more: bool = False
    remark: str | None = None
    deletable: list[Listed] = field(default_factory=list)
    """Stored in this session, and their copies on the server may go."""
    latencies: list[timedelta] = field(default_factory=list)
    live_since: datetime | None = None
    """What arrived at the server before was there already, and says nothing of our speed."""
    retry_at: datetime | None = None
    """When the first of what was refused in this session is due again."""
    first_put_off: PutOff | None = None

    def due_again(self, at: datetime | None) -> None:
        """Note that something waits for another try."""
        if at is not None:
            self.retry_at = at if self.retry_at is None else min(at, self.retry_at)

    def put_off(self, refused: PutOff) -> None:
        """Note a message that the server would not hand out this time."""
        self.due_again(refused.next_try_at)
        self.first_put_off = self.first_put_off or refused

    def note_latency(self, received_at: datetime | None, now: datetime) -> None:
        """Note how long a message took from its last server to the commit, if it is live mail."""
        if received_at is None or self.live_since is None or received_at < self.live_since:
            return
        if len(self.latencies) < MOST_LATENCIES:
            self.latencies.append(now - received_at)

    def elapsed(self) -> timedelta:
        """Return how long the poll has taken so far."""
        return timedelta(seconds=self.clock.monotonic() - self.started)

    def outcome(
        self, *, memory: ListingMemory | None = None, failure: Failure | None = None
    ) -> PollOutcome:
        """Sum up."""
        results = self.results
        return PollOutcome(
            started_at=self.started_at,
            duration=self.elapsed(),
            taken=results[LedgerState.TAKEN],
            filtered=results[LedgerState.FILTERED],
            duplicates=results[LedgerState.DUPLICATE],
            skipped=results[LedgerState.SKIPPED],
            quarantined=results[LedgerState.QUARANTINED],
            refused=results[LedgerState.FAILING],
            adopted=self.adopted,
            deleted=self.deleted,
            octets=self.octets,
            more=self.more,
            remark="; ".join(filter(None, (self.remark, self._refusals()))) or None,
            memory=memory,
            failure=failure,
            latencies=tuple(self.latencies),
        )

    def _refusals(self) -> str | None:
        first, count = self.first_put_off, self.results[LedgerState.FAILING]
        if first is None:
            return None
        which = (
            f"try {first.tries} of {MOST_TRIES}, next at {first.next_try_at:%Y-%m-%d %H:%M} UTC"
        )
        return f"{count} refused by the server ({which}): {first.words}"


def begin_tally(clock: Clock) -> Tally:
    """Start counting."""
    return Tally(clock, clock.now(), clock.monotonic())
