"""One mailbox on a sandbox server, its real store, and polls of it as the scheduler makes them.

async with inbox_open(tmp_path / "syncd.db") as inbox:
    inbox.receive(letter("hello"))
    outcome = await inbox.poll()
    assert inbox.stored() == [letter("hello")]

What the store holds is looked at from outside, through a connection of the test's own.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from syncd.connections.budget import ByteBudget
from syncd.connections.pop3 import CapabilityMemory, SourceLimits, open_pop3
from syncd.connections.seams import MailSource, UnlockedLogin
from syncd.incoming.poll import poll_mailbox
from syncd.incoming.work import PollWork
from syncd.mailboxes.health import classify
from syncd.model.mailbox import Login, Mailbox, MailboxType
from syncd.model.poll import ListingMemory, PollOutcome
from syncd.model.profile import BEGINNING, Endpoint, IpVersion, MailProtocol, Profile, Security
from syncd.model.secret import Secret
from syncd.sandbox.maildrops import Maildrop
from syncd.store.database import Database
from syncd.store.mailboxes import MailboxRecord
from tests.support.outgoing import NOON, HandClock
from tests.support.sandbox import JournalledSandbox, sandbox_running
from tests.support.store import declare, opened

ADDRESS = "bob@sandbox.example"
BUDGET = 64 * 2**20


def plain_profile(host: str, port: int, **more: Any) -> Profile:
    """Describe a POP3 server that speaks without TLS, as a provider's profile."""
    endpoint = Endpoint(
        protocol=MailProtocol.POP3,
        server=host,
        port=port,
        security=Security.NONE,
        allow_plaintext_login=True,
        ip=IpVersion.IPV4,
    )
    wanted = {"process_email_from": BEGINNING, **more}
    return Profile(name="contoso", incoming=endpoint, outgoing=None, **wanted)


@dataclass(slots=True)
class Inbox:
    """A mailbox, its server, its store; `poll` remembers the listing as the scheduler does."""

    path: Path
    db: Database
    mailbox: Mailbox
    record: MailboxRecord
    clock: HandClock
    sandbox: JournalledSandbox | None = None
    memory: ListingMemory | None = None
    budget: ByteBudget = field(default_factory=lambda: ByteBudget(BUDGET))
    max_message_size: int = 150 * 2**20
    wrap: Callable[[MailSource], MailSource] = lambda source: source
    limits: SourceLimits = field(default_factory=SourceLimits)
    capabilities: CapabilityMemory = field(init=False)

    def __post_init__(self) -> None:
        self.capabilities = CapabilityMemory(self.clock)

    @property
    def drop(self) -> Maildrop:
        """The maildrop on the sandbox."""
        assert self.sandbox is not None
        return self.sandbox.drop(ADDRESS)

    def receive(self, *bodies: bytes, uid: str | None = None) -> None:
        """Let mail arrive at the server."""
        assert self.sandbox is not None
        for body in bodies:
            self.sandbox.deposit(ADDRESS, body, uid)

    async def poll(self, after: timedelta = timedelta(minutes=5)) -> PollOutcome:
        """Poll once, some time after the last."""
        self.clock.forward(after)
        held_before = self.budget.used
        outcome = await poll_mailbox(self.work)
        self.memory = outcome.memory
        assert self.budget.used == held_before
        return outcome

    @property
    def work(self) -> PollWork:
        """What a poll works with."""
        return PollWork(
            mailbox=self.mailbox,
            record=self.record,
            db=self.db,
            open_source=self.open_source,
            memory=self.memory,
            classify=classify,
            budget=self.budget,
            clock=self.clock,
            max_message_size=self.max_message_size,
        )

    async def open_source(self) -> MailSource:
        """Connect and log in."""
        endpoint, login = self.mailbox.profile.incoming, self.mailbox.incoming_login
        assert endpoint is not None
        assert login is not None
        assert isinstance(login.password, Secret)
        unlocked = UnlockedLogin(username=login.username, password=login.password)
        source = await open_pop3(
            endpoint,
            unlocked,
            limits=self.limits,
            budget=self.budget,
            memory=self.capabilities,
        )
        return self.wrap(source)

    def wish(self, **changes: Any) -> None:
        """Change what the configuration says of the mailbox."""
        self.mailbox = replace(self.mailbox, **changes)

    def wish_of_profile(self, **changes: Any) -> None:
        """Change what the configuration says of its profile."""
        self.wish(profile=replace(self.mailbox.profile, **changes))

    def become_queue(self, *, deletes: bool = True) -> None:
        """Make it a queue, whose mail may be deleted after processing."""
        self.wish(type=MailboxType.QUEUE, delete_after_processing=deletes)

    # ------------------------------------------------------------ the store, from outside

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Read from the store's file."""
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def stored(self, *states: str) -> list[bytes]:
        """Return the bytes of the messages in these states (received), oldest first."""
        marks = ",".join("?" * len(states or ("received",)))
        found = self.ask(
            f"SELECT body_id FROM message WHERE state IN ({marks}) ORDER BY id",
            *(states or ("received",)),
        )
        return [self._body(body_id) for (body_id,) in found]

    def ledger(self) -> list[tuple[str, str, str | None]]:
        """Return (uid, state, reason) of the present epoch, by uid."""
        return self.ask(
            "SELECT uid, l.state, reason FROM ledger l JOIN mailbox m ON m.id = l.mailbox_id "
            "AND m.epoch = l.epoch ORDER BY uid, digest"
        )

    def events(self, of: str = "message.") -> list[str]:
        """Return the types of events that begin so, in order."""
        rows = self.ask("SELECT type FROM event WHERE type LIKE ? || '%' ORDER BY id", of)
        return [kind for (kind,) in rows]

    def alerts(self) -> list[tuple[str, str, int]]:
        """Return (code, text, count) of what is open."""
        return self.ask("SELECT code, text, count FROM alert WHERE resolved_at IS NULL")

    def _body(self, body_id: int) -> bytes:
        rows = self.ask(
            "SELECT data FROM body_chunk WHERE id >= ? AND id < ? ORDER BY id",
            body_id * 65536,
            (body_id + 1) * 65536,
        )
        return b"".join(data for (data,) in rows)


def inbox_of(profile: Profile, username: str = ADDRESS, password: str = "secret") -> Mailbox:
    """Describe a user's mailbox that is only read."""
    return Mailbox(
        address=ADDRESS,
        name="Bob",
        type=MailboxType.USER,
        profile=profile,
        incoming=True,
        outgoing=False,
        incoming_login=Login(username=username, password=Secret(password)),
        outgoing_login=None,
    )


@asynccontextmanager
async def inbox_open(path: Path) -> AsyncIterator[Inbox]:
    """Run a sandbox with one maildrop beside a store that knows its mailbox."""
    async with sandbox_running() as sandbox, opened(path) as db:
        sandbox.open(ADDRESS, "secret")
        (record,) = await declare(db, ADDRESS)
        profile = plain_profile(sandbox.host, sandbox.pop3_port)
        yield Inbox(path, db, inbox_of(profile), record, HandClock(), sandbox)


def dated(subject: str, moment: datetime, *, received: bool = True) -> bytes:
    """Write a message that arrived at a moment, by its Received header or only by its Date."""
    stamp = moment.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
    head = f"Received: from a by b; {stamp}\r\n" if received else f"Date: {stamp}\r\n"
    return (
        f"{head}From: ann@example.com\r\nSubject: {subject}\r\n"
        f"Message-ID: <{subject.replace(' ', '.')}@example.com>\r\n\r\nHello.\r\n"
    ).encode()


__all__ = [
    "ADDRESS",
    "NOON",
    "HandClock",
    "Inbox",
    "dated",
    "inbox_of",
    "inbox_open",
    "plain_profile",
]
