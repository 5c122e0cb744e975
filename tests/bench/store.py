"""G9: durable messages a second into SQLite, from a hundred mailboxes at once.

    python -m tests.bench.store [--count N] [--rounds N]

What is written is what a poll writes, by the same functions: message, body, ledger entry, event,
counters, the term's check and the look-up for doubles. Headers and hashes are made beforehand:
this measures the store, not the parser. `each` is how many messages of one mailbox share a
write, as they arrive from a pipelining server; G6's mailboxes have five new ones. `bare sqlite3`
is the machine's own measure in the same alternation: two rows a message instead of four and the
counters, a hundred messages a commit, one thread, nobody waiting for a result.
"""

import argparse
import asyncio
import hashlib
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from syncd.model.mail import BodyId, Headers, IncomingState, LedgerState, MessageId
from syncd.store import bodies, counters, events, ledger, mailboxes, messages
from syncd.store.database import Database, Reader, Transaction
from syncd.store.events import NewEvent
from syncd.store.ledger import Judged, LedgerKey
from syncd.store.mailboxes import MailboxRecord
from syncd.store.messages import NewMessage
from syncd.store.sqlite import open_sqlite
from tests.bench import measure
from tests.bench.corpus import letters
from tests.bench.measure import Usage
from tests.bench.results import FOLDER, Contest, Figure, Goal, Level, Series, show
from tests.support.store import declare

MAILBOXES = 100
EACH = (1, 5, 20)
BARE = "bare sqlite3"
_NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Plan(Protocol):
    """What `tests.bench` was asked for."""

    @property
    def rounds(self) -> int:
        """How often."""
        ...

    def some(self, full: int, small: int) -> int:
        """Return how many."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """One message as it is before the store sees it."""

    uid: str
    raw: bytes
    sha256: bytes
    headers: Headers


def contest(plan: Plan) -> Contest:
    """Store the same messages in writes of several sizes, in alternation."""
    count = plan.some(50_000, 5_000)
    found = Contest(
        "G9",
        f"store {count} messages (median 8 KB) from {MAILBOXES} mailboxes at once",
        [
            Goal(Level.MUST, Figure.WALL, _name(5), count / 10_000),
            Goal(Level.AIM, Figure.WALL, _name(5), count / 15_000),
            Goal(Level.AIM, Figure.WALL, _name(20), count / 15_000),
            Goal(Level.AIM, Figure.WALL, _name(1), count / 10_000),
            Goal(Level.AIM, Figure.WALL, _name(5), 1.5, BARE),
        ],
    )
    mail = _mail(count)
    for _ in range(plan.rounds):
        measure.settle()
        found.series.setdefault(BARE, Series()).usages.append(_store_barely(mail))
        for each in EACH:
            measure.settle()
            usage = asyncio.run(_store(mail, each))
            found.series.setdefault(_name(each), Series()).usages.append(usage)
    for name, series in found.series.items():
        rates = " ".join(f"{count / usage.wall:,.0f}" for usage in series.usages)
        found.remarks.append(f"{name}: {rates} messages a second")
    return found


def _name(each: int) -> str:
    return f"{each} a write"


def _mail(count: int) -> list[list[Letter]]:
    """Make the messages of every mailbox; the same bytes never twice in one."""
    pool = list(letters(1_000))
    mail: list[list[Letter]] = [[] for _ in range(MAILBOXES)]
    for n in range(count):
        raw = pool[n % len(pool)] + b"%d\r\n" % n
        digest = hashlib.sha256(raw).digest()
        headers = Headers(
            message_id=f"<{n}.{digest[:4].hex()}@example.com>",
            subject="Re: the delivery of last week",
            sender="Somebody Else <somebody@example.com>",
            to=("ann@example.com",),
            date=_NOW,
            received_at=_NOW,
            digest=digest[:16],
        )
        mail[n % MAILBOXES].append(Letter(f"{n:08x}5f3a1c77", raw, digest, headers))
    return mail


async def _store(mail: Sequence[Sequence[Letter]], each: int) -> Usage:
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=FOLDER))
    try:
        db = await open_sqlite(folder / "syncd.db")
        owners = await declare(db, *(f"user{n}@example.com" for n in range(MAILBOXES)))
        wall, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for owner, own_mail in zip(owners, mail, strict=True):
                group.create_task(_poll(db, owner, own_mail, each))
        usage = Usage(time.perf_counter() - wall, time.process_time() - cpu)
        await _require_all_stored(db, mail)
        await db.close()
    finally:
        shutil.rmtree(folder)
    return usage


def _store_barely(mail: Sequence[Sequence[Letter]]) -> Usage:
    """Write a message row and a body row, and nothing else, with nothing around them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=FOLDER))
    raws = [letter.raw for own in mail for letter in own]
    try:
        connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE message (id INTEGER PRIMARY KEY, subject TEXT)",
            "CREATE TABLE body (id INTEGER PRIMARY KEY, raw BLOB)",
        ):
            connection.execute(statement)
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(raws), 100):
            connection.execute("BEGIN IMMEDIATE")
            for n, raw in enumerate(raws[start : start + 100], start=start):
                connection.execute("INSERT INTO message VALUES (?, ?)", (n, "a subject"))
                connection.execute("INSERT INTO body VALUES (?, ?)", (n, raw))
            connection.execute("COMMIT")
        usage = Usage(time.perf_counter() - wall, time.process_time() - cpu)
        connection.close()
    finally:
        shutil.rmtree(folder)
    return usage


async def _poll(db: Database, owner: MailboxRecord, mail: Sequence[Letter], each: int) -> None:
    for start in range(0, len(mail), each):
        await db.write(partial(_record, owner=owner, batch=mail[start : start + each]))


async def _record(tx: Transaction, owner: MailboxRecord, batch: Sequence[Letter]) -> None:
    """Write a batch as `incoming.record` does."""
    await mailboxes.require_term(tx, owner.id, owner.term)
    await messages.with_content(tx, owner.id, [letter.sha256 for letter in batch])
    first = await counters.take(tx, "message", len(batch))
    body_ids = await bodies.new_body_ids(tx, len(batch))
    new = [
        NewMessage(
            id=MessageId(first + n),
            state=IncomingState.RECEIVED,
            reason=None,
            octets=len(letter.raw),
            sha256=letter.sha256,
            body_id=BodyId(body_ids[n]),
            headers=letter.headers,
        )
        for n, letter in enumerate(batch)
    ]
    await bodies.put_whole(tx, [(body_ids[n], one.raw) for n, one in enumerate(batch)])
    await messages.insert(tx, owner.id, new, _NOW)
    told = [NewEvent("message.received", {"id": one.id, "octets": one.octets}) for one in new]
    await events.append(tx, owner.id, owner.address, owner.tenant, _NOW, told)
    judged = [
        Judged(
            uid=letter.uid,
            digest=b"",
            state=LedgerState.TAKEN,
            message_id=MessageId(first + n),
            header_digest=letter.headers.digest,
        )
        for n, letter in enumerate(batch)
    ]
    await ledger.judge(tx, LedgerKey(owner.id, 1), judged, _NOW)


async def _require_all_stored(db: Database, mail: Sequence[Sequence[Letter]]) -> None:
    """Compare what the store holds with what was written, a message of each mailbox to the byte."""
    wanted = {letter.sha256 for own in mail for letter in own}

    async def body(reader: Reader) -> list[messages.MessageRecord]:
        return await messages.list_messages(reader, None, 0, len(wanted) + 1)

    stored = await db.read(body)
    if len(stored) != len(wanted) or {record.sha256 for record in stored} != wanted:
        raise AssertionError(
            f"{len(wanted)} messages were written, the store holds {len(stored)}"
        )
    for record in stored[:: max(1, len(stored) // MAILBOXES)]:
        async for _ in messages.read_raw(db, record):
            pass  # it proves the SHA-256 itself


@dataclass(frozen=True, slots=True)
class _Alone:
    """The plan of a run by itself."""

    rounds: int
    count: int

    def some(self, full: int, small: int) -> int:
        return self.count


def main(arguments: Sequence[str]) -> int:
    """Run G9 by itself; 1 when the "must" was missed."""
    wishes = argparse.ArgumentParser(prog="python -m tests.bench.store")
    wishes.add_argument("--count", type=int, default=50_000)
    wishes.add_argument("--rounds", type=int, default=3)
    wish = wishes.parse_args(arguments)
    found = contest(_Alone(wish.rounds, wish.count))
    show(found)
    musts = [v for v in found.verdicts() if v.goal.level is Level.MUST]
    return 0 if all(verdict.reached for verdict in musts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
