"""An outgoing queue of one mailbox on a real store, and the work that sends it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from syncd.connections.seams import MailSender, UnlockedLogin
from syncd.connections.smtp import Patience, open_smtp
from syncd.model.mail import OutgoingId
from syncd.model.mailbox import MailboxType, address_key
from syncd.model.outgoing import Claimed, Settlement
from syncd.model.profile import (
    Endpoint,
    IpVersion,
    MailProtocol,
    OutcomePolicy,
    RetryPolicy,
    Security,
)
from syncd.model.secret import Secret
from syncd.outgoing.compose import SenderRules, compose
from syncd.outgoing.conclusion import SendPolicy
from syncd.outgoing.queue import Enqueued, enqueue, show
from syncd.outgoing.send import SendWork
from syncd.outgoing.session import SessionOutcome, send_due
from syncd.store import events, mailboxes, outbox
from syncd.store.database import Database
from syncd.store.mailboxes import DeclaredMailbox, MailboxRecord
from syncd.store.outbox import AttemptRow, OutgoingRow
from syncd.store.sqlite import open_sqlite

ADDRESS = "ann@example.com"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MESSAGE = b"From: ann@example.com\r\nTo: bob@example.org\r\nSubject: hello\r\n\r\nHello\r\n"


class HandClock:
    """A clock that a test moves by hand."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now

    def now(self) -> datetime:
        """Return the moment set."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds since noon."""
        return (self._now - NOON).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.forward(timedelta(seconds=seconds))

    def forward(self, by: timedelta) -> None:
        """Move on."""
        self._now += by


LOGIN = UnlockedLogin(username="ann", password=Secret("wonderland"))


def plain_endpoint(port: int) -> Endpoint:
    """Return the way to a scripted server without TLS."""
    return Endpoint(
        protocol=MailProtocol.SMTP,
        server="localhost",
        port=port,
        security=Security.NONE,
        allow_plaintext_login=True,
        ip=IpVersion.IPV4,
    )


@dataclass(slots=True)
class Outbox:
    """One mailbox's queue, and what it takes to work on it."""

    db: Database
    mailbox: MailboxRecord
    clock: HandClock
    endpoint: Endpoint
    login: UnlockedLogin = LOGIN
    patience: Patience = field(default_factory=Patience)
    policy: SendPolicy = field(
        default_factory=lambda: SendPolicy(
            retry=RetryPolicy(), outcome_unknown=OutcomePolicy.RETRY
        )
    )
    wrap: Callable[[MailSender], MailSender] = lambda sender: sender
    settled: list[tuple[Claimed, Settlement]] = field(default_factory=list)
    _tokens: int = 0

    @property
    def work(self) -> SendWork:
        """What a session works with."""
        return SendWork(
            db=self.db,
            mailbox=self.mailbox,
            place=self.endpoint.place,
            policy=self.policy,
            open_sender=self._open,
            clock=self.clock,
            dice=lambda: 0.5,
            on_settled=lambda message, settlement: self.settled.append((message, settlement)),
        )

    async def queue(
        self, raw: bytes = MESSAGE, *, to: list[str] | None = None, key: str | None = None
    ) -> Enqueued:
        """Compose and enqueue a message."""
        self._tokens += 1
        rules = SenderRules(address=self.mailbox.address, max_octets=100_000_000)
        now = self.clock.now()
        composed = compose(raw, rules, now=now, token=f"token{self._tokens}", recipients=to)
        return await enqueue(self.db, composed, self.mailbox, now=now, idempotency_key=key)

    async def send(self) -> SessionOutcome:
        """Run one session."""
        return await send_due(self.work)

    async def show(self, outgoing_id: OutgoingId) -> OutgoingRow:
        """Return a message as the lists show it."""
        return await show(self.db, outgoing_id)

    async def states(self, outgoing_id: OutgoingId) -> tuple[str, list[str]]:
        """Return a message's state and its recipients' states."""
        row = await self.show(outgoing_id)
        return row.state.value, [recipient.state.value for recipient in row.recipients]

    async def history(self, outgoing_id: OutgoingId) -> list[AttemptRow]:
        """Return a message's attempts."""
        return await self.db.read(lambda reader: outbox.history(reader, outgoing_id))

    async def event_types(self) -> list[str]:
        """Return the types of all events, in order."""
        found = await self.db.read(lambda reader: events.after(reader, 0, 10_000))
        return [event.type for event in found]

    async def new_owner(self) -> None:
        """Hand the mailbox over: a new term, as after a restart."""
        terms = await self.db.write(lambda tx: mailboxes.claim_all(tx, "another"))
        self.mailbox = replace(self.mailbox, term=terms[self.mailbox.id])

    async def _open(self) -> MailSender:
        return self.wrap(await open_smtp(self.endpoint, self.login, patience=self.patience))


@asynccontextmanager
async def an_outbox(
    folder: Path, endpoint: Endpoint, address: str = ADDRESS
) -> AsyncIterator[Outbox]:
    """Open a store with one owned mailbox."""
    db = await open_sqlite(folder / "syncd.db")
    try:
        yield Outbox(db, await own_mailbox(db, address), HandClock(), endpoint)
    finally:
        await db.close()


async def own_mailbox(db: Database, address: str = ADDRESS) -> MailboxRecord:
    """Declare the mailbox, own it, and return it as it is then."""
    declared = DeclaredMailbox(address=address, type=MailboxType.USER, profile="contoso")
    records = await db.write(lambda tx: mailboxes.declare(tx, [declared]))
    record = records[address_key(address)]
    terms = await db.write(lambda tx: mailboxes.claim_all(tx, "node"))
    return replace(record, node="node", term=terms[record.id])
