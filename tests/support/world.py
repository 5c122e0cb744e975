"""A mail server, a configuration and a store: everything a real daemon needs, and the oracle.

    async with world_open(tmp_path) as world:
        world.receive(USER, a_letter(USER))
        await syncd("once", config=world.config)
        world.assert_incoming_balances()

Rule 1: the truth is what the sandbox's journal saw and what stands in the store's file, which
is read here by SQL and hashed octet by octet. Nothing is believed because syncd says so.
Rule 2: every message carries a UUID, so that no two are alike and every copy is known again.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from tests.support.process import CLOCK, Ended, syncd, until
from tests.support.sandbox import JournalledSandbox, sandbox_running

USER, QUEUE = "ann@sandbox.example", "support@sandbox.example"
PASSWORD = "sesame-4711"
ELSEWHERE = "elsewhere.example"
LARGE = 300 * 1024
"""Octets of a message that is staged in chunks on its way in (they are of 256 KiB)."""
CHUNKS_A_BODY = 65536
"""Numbers of the store's chunks that belong to one body."""
MOST_ROUNDS = 8
"""Rounds in which everything comes to rest, or never will."""

FINAL = {"sent", "failed", "held", "canceled"}
"""States of an outgoing message that waiting does not change."""

Configuration = dict[str, Any]  # JSON, which every YAML reader takes


@dataclass(frozen=True, slots=True)
class Letter:
    """A message and the number that it carries."""

    number: UUID
    octets: bytes


def a_letter(to: str, subject: str = "hello", octets: int = 0) -> Letter:
    """Write a message from outside, of at least so many octets."""
    number = uuid4()
    head = (
        f"Received: from {ELSEWHERE} by sandbox.example; Mon, 02 Feb 2026 10:00:00 +0000\r\n"
        f"From: carol@{ELSEWHERE}\r\nTo: {to}\r\nSubject: {subject}\r\n"
        f"Date: Mon, 02 Feb 2026 10:00:00 +0000\r\nMessage-ID: <{number}@{ELSEWHERE}>\r\n"
        f"X-Letter: {number}\r\n\r\n.a line with a dot\r\n"
    )
    line = f"{number} {number}\r\n.\r\n"
    times = max(1, -(-(octets - len(head)) // len(line)))
    return Letter(number, (head + line * times).encode())


def a_reply(sender: str, *recipients: str) -> Letter:
    """Write a message of the application's, to be queued."""
    number = uuid4()
    text = (
        f"From: {sender}\r\nTo: {', '.join(recipients)}\r\nSubject: an answer\r\n"
        f"Message-ID: <{number}@sandbox.example>\r\nX-Letter: {number}\r\n\r\nThank you.\r\n"
    )
    return Letter(number, text.encode())


def number_of(octets: bytes) -> UUID:
    """Read a message's number."""
    for line in octets.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"x-letter":
            return UUID(value.decode().strip())
    raise AssertionError("a message that nobody wrote")


@dataclass(frozen=True, slots=True)
class Queued:
    """What the store says of an outgoing message."""

    id: int
    number: UUID
    state: str
    unknown_outcomes: int
    next_attempt_at: int | None
    """Microseconds since 1970."""


class StoreFile:
    """A store as anybody sees who opens the file; the daemon may run or be dead."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Read rows."""
        with self._open() as connection:
            return connection.execute(statement, values).fetchall()

    def digests(self) -> list[tuple[str, str]]:
        """Return (address, SHA-256 as it was noted) of every message: quick, not a proof."""
        rows = self.ask(
            "SELECT address_key, hex(sha256) FROM message JOIN mailbox ON mailbox.id = mailbox_id"
        )
        return [(address, sha256.lower()) for address, sha256 in rows]

    def messages(self) -> list[tuple[str, str]]:
        """Return (address, SHA-256 of the octets that are there) of every message."""
        if not self.path.exists():
            return []
        found = []
        with self._open() as connection:
            for address, body_id, octets, sha256 in connection.execute(
                "SELECT address_key, body_id, octets, sha256 FROM message "
                "JOIN mailbox ON mailbox.id = mailbox_id ORDER BY message.id"
            ):
                body = _body(connection, body_id)
                assert len(body) == octets
                assert hashlib.sha256(body).digest() == sha256
                found.append((address, sha256.hex()))
        return found

    def queue(self) -> list[Queued]:
        """Return every outgoing message."""
        rows = self.ask(
            "SELECT id, rfc_message_id, state, unknown_outcomes, next_attempt_at FROM outgoing"
        )
        return [
            Queued(n, UUID(name.strip("<>").partition("@")[0]), *rest)
            for n, name, *rest in rows
        ]

    def events(self, of: str = "") -> list[str]:
        """Return the types of events that begin so, in order."""
        rows = self.ask("SELECT type FROM event WHERE type LIKE ? || '%' ORDER BY id", of)
        return [kind for (kind,) in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # Each looks anew: what an earlier connection saw may be old.
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        try:
            yield connection
        finally:
            connection.close()


def _body(connection: sqlite3.Connection, body_id: int) -> bytes:
    """Put a body together."""
    rows = connection.execute(
        "SELECT data FROM body_chunk WHERE id >= ? AND id < ? ORDER BY id",
        (body_id * CHUNKS_A_BODY, (body_id + 1) * CHUNKS_A_BODY),
    )
    return b"".join(data for (data,) in rows)


@dataclass(slots=True)
class World:
    """A folder with a configuration and a store, and the mail server it speaks of."""

    folder: Path
    sandbox: JournalledSandbox
    settings: Configuration
    replies: dict[UUID, tuple[str, ...]] = field(default_factory=dict)
    """Recipients of what the application has queued."""

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "syncd.yaml"

    @property
    def store(self) -> StoreFile:
        """The store's file."""
        return StoreFile(Path(self.settings["store"]["url"].removeprefix("sqlite:///")))

    @property
    def profile(self) -> Configuration:
        """The only profile."""
        profile: Configuration = self.settings["profiles"][0]
        return profile

    def write(self) -> None:
        """Write the configuration down."""
        self.config.touch(mode=0o600)
        self.config.write_text(json.dumps(self.settings, ensure_ascii=False, indent=1))

    def open(self, address: str, password: str = PASSWORD, **wishes: Any) -> None:
        """Make a mailbox, here and there; the configuration is to be written afterwards."""
        self.sandbox.open(address, password)
        login = {"username": address, "password": password}
        self.settings["mailboxes"].append({"address": address, "credentials": login, **wishes})

    def receive(self, address: str, *letters: Letter) -> None:
        """Let mail arrive at the server."""
        for letter in letters:
            self.sandbox.deposit(address, letter.octets)

    # ------------------------------------------------------------ rounds

    async def once(self, *words: str, **wishes: Any) -> Ended:
        """Run `syncd once`; an unknown outcome is tried again after a second."""
        env = {"SYNCD_TEST_UNKNOWN_WAIT": "1", **wishes.pop("env", {})}
        return await syncd("once", *words, config=self.config, env=env, **wishes)

    async def settle(self) -> None:
        """Run rounds until nothing waits in the queue any more."""
        for _ in range(MOST_ROUNDS):
            ended = await self.once()
            assert ended.status == 0, ended.out + ended.err
            waiting = [one for one in self.store.queue() if one.state not in FINAL]
            if not waiting:
                return
            due = min(one.next_attempt_at or 0 for one in waiting)
            await until(lambda due=due: CLOCK.now().timestamp() * 1e6 >= due)  # type: ignore[misc]
        raise AssertionError(f"not settled: {self.store.queue()}")

    # ------------------------------------------------------------ the oracle

    def made(self) -> Counter[tuple[str, str]]:
        """Count what was deposited, by address and SHA-256."""
        journal = self.sandbox.journal
        return Counter((entry.address, digest(entry.mail.body)) for entry in journal.deposits)

    def deleted(self) -> set[tuple[str, str]]:
        """Return what is gone from the server."""
        journal = self.sandbox.journal
        return {(entry.address, digest(entry.mail.body)) for entry in journal.deletions}

    def assert_nothing_is_lost(self) -> Counter[tuple[str, str]]:
        """Require that whatever the server has deleted is in the store, and nothing twice."""
        stored = Counter(self.store.messages())
        assert max(stored.values(), default=1) == 1
        assert self.deleted() <= stored.keys()
        return stored

    def assert_incoming_balances(self) -> None:
        """Require that every message made is in the store exactly once, octet for octet."""
        assert self.assert_nothing_is_lost() == self.made()

    def copies(self) -> dict[UUID, Counter[str]]:
        """Count by message and recipient what the SMTP server took."""
        copies: dict[UUID, Counter[str]] = {number: Counter() for number in self.replies}
        for accepted in self.sandbox.journal.acceptances:
            copies[number_of(accepted.body)].update(accepted.recipients)
        return copies

    def assert_outgoing_balances(self) -> None:
        """Require that each message reached each recipient; again only where the outcome was lost."""
        queue = self.store.queue()
        copies = self.copies()
        assert {one.number for one in queue} == self.replies.keys()
        assert len(queue) == len(self.replies)
        for one in queue:
            reached = copies[one.number]
            assert one.state == "sent"
            assert one.unknown_outcomes <= 1
            assert reached.keys() == set(self.replies[one.number])
            assert max(reached.values()) <= 1 + one.unknown_outcomes


def digest(octets: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(octets).hexdigest()


def configuration(
    folder: Path, sandbox: JournalledSandbox, store: Path | None = None
) -> Configuration:
    """Describe a sandbox on loopback: one profile, no mailbox yet, everything in `folder`."""
    return {
        "instance": "test",
        "store": {"url": f"sqlite:///{store or folder / 'syncd.db'}"},
        "http": {"socket": str(folder / "syncd.sock")},
        "network": {"login_rate_per_server": "1000/1s"},
        "email_settings": {
            "process_only_approved_users": False,
            "process_only_approved_queues": False,
        },
        "profiles": [
            {
                "name": "sandbox",
                "type": "pop3-smtp",
                "default": True,
                "incoming": side(sandbox.pop3_port),
                "outgoing": side(sandbox.smtp_port),
                "process_email_from": "all",
                "minimum_polling_interval": "10s",
                "retry": {"first": "1s", "longest": "2s", "lifetime": "1d"},
            }
        ],
        "mailboxes": [],
    }


def side(port: int) -> Mapping[str, Any]:
    """Describe a server that speaks without TLS, on loopback."""
    return {
        "server": "127.0.0.1",
        "port": port,
        "security": "none",
        "allow_plaintext_login": True,
    }


@asynccontextmanager
async def empty_world(folder: Path, store: Path | None = None) -> AsyncIterator[World]:
    """Run a mail server without mailboxes, and describe it."""
    folder.mkdir(exist_ok=True)
    async with sandbox_running() as sandbox:
        yield World(folder, sandbox, configuration(folder, sandbox, store))


@asynccontextmanager
async def world_open(folder: Path, addresses: Sequence[str] = (USER,)) -> AsyncIterator[World]:
    """Run a mail server with these users' mailboxes, and write the configuration."""
    async with empty_world(folder) as world:
        for address in addresses:
            world.open(address)
        world.write()
        yield world
