"""What every store engine must do, whatever is below the seam.

An engine joins by giving `ENGINES` a function that opens a store in a folder: opened twice on
the same folder, one after the other, it shows the same store.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncd.errors import StoreError, StoreRefused, TermLost
from syncd.model.direction import DirectionRecord, LastError
from syncd.model.mail import CHUNK_OCTETS, BodyId
from syncd.model.mailbox import Approval, Direction, MailboxId, MailboxType, TestStatus
from syncd.store import bodies, counters, directions, events, facts, mailboxes
from syncd.store.database import Database, Reader, Transaction
from syncd.store.events import Event, NewEvent
from syncd.store.mailboxes import DeclaredMailbox
from syncd.store.queries import UnknownQuery
from syncd.store.sqlite import open_sqlite
from tests.support.store import NOON, declare, declared

Opener = Callable[[Path], Awaitable[Database]]


async def _open_sqlite(folder: Path) -> Database:
    return await open_sqlite(folder / "syncd.db")


ENGINES: dict[str, Opener] = {"sqlite": _open_sqlite}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test's store lies, and how to open it (again)."""

    folder: Path
    opener: Opener

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Database]:
        db = await self.opener(self.folder)
        try:
            yield db
        finally:
            await db.close()


@pytest.fixture(params=sorted(ENGINES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path, ENGINES[request.param])


@pytest.fixture
async def db(place: Place) -> AsyncIterator[Database]:
    async with place.opened() as database:
        yield database


# ---------------------------------------------------------------- transactions


def remembers(name: str, value: str) -> Callable[[Transaction], Awaitable[None]]:
    async def body(tx: Transaction) -> None:
        await facts.write_fact(tx, name, value)

    return body


def recalls(name: str) -> Callable[[Reader], Awaitable[str | None]]:
    async def body(reader: Reader) -> str | None:
        return await facts.read_fact(reader, name)

    return body


async def test_what_was_committed_is_read_at_once_and_after_reopening(place: Place) -> None:
    async with place.opened() as db:
        await db.write(remembers("colour", "green"))
        assert await db.read(recalls("colour")) == "green"
    async with place.opened() as db:
        assert await db.read(recalls("colour")) == "green"


async def test_a_body_that_raises_keeps_nothing_and_hands_its_error_on(db: Database) -> None:
    async def body(tx: Transaction) -> None:
        await facts.write_fact(tx, "colour", "green")
        raise LookupError("changed my mind")

    with pytest.raises(LookupError, match="changed my mind"):
        await db.write(body)
    assert await db.read(recalls("colour")) is None


async def test_a_body_sees_what_it_wrote_itself(db: Database) -> None:
    async def body(tx: Transaction) -> str | None:
        await facts.write_fact(tx, "colour", "green")
        return await facts.read_fact(tx, "colour")

    assert await db.write(body) == "green"


async def test_of_many_at_once_only_those_that_fail_are_lost(db: Database) -> None:
    def body_of(n: int) -> Callable[[Transaction], Awaitable[int]]:
        async def body(tx: Transaction) -> int:
            await facts.write_fact(tx, f"fact {n}", str(n))
            if n % 5 == 0:
                raise LookupError(n)
            return n

        return body

    async def attempt(n: int) -> int | None:
        with contextlib.suppress(LookupError):
            return await db.write(body_of(n))
        return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt(n)) for n in range(100)]
    kept = [n for n in range(100) if await db.read(recalls(f"fact {n}")) == str(n)]
    assert kept == [n for n in range(100) if n % 5]
    assert [task.result() for task in tasks if task.result() is not None] == kept


async def test_callers_cancelled_at_any_moment_lose_nobody_elses_work(db: Database) -> None:
    """A cancelled write may or may not be there, whole; every other one is."""

    async def write(n: int) -> None:
        async def body(tx: Transaction) -> None:
            await facts.write_fact(tx, f"first half {n}", "x" * 5000)
            await facts.write_fact(tx, f"second half {n}", "x" * 5000)

        await db.write(body)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(write(n)) for n in range(300)]
        for n in range(0, 300, 3):
            await db.read(recalls("nothing"))  # meanwhile some are written
            tasks[-n].cancel()
    for n in range(300):
        halves = [await db.read(recalls(f"{half} half {n}")) for half in ("first", "second")]
        assert halves in ([None, None], ["x" * 5000] * 2)
        if not tasks[n].cancelled():
            assert halves[0] is not None


async def test_a_query_that_does_not_exist_is_a_mistake_that_says_so(db: Database) -> None:
    async def body(reader: Reader) -> None:
        await reader.fetch_all("no_such_query")

    with pytest.raises(UnknownQuery, match="no_such_query"):
        await db.read(body)


@pytest.mark.parametrize(
    "value",
    ["", "ä€😀", "".join(map(chr, range(1, 256))), "x" * 300_000, "'; DROP TABLE mailbox; --"],
    ids=["empty", "unicode", "all of latin-1", "long", "sql"],
)
async def test_texts_come_back_as_they_went(db: Database, value: str) -> None:
    await db.write(remembers("text", value))
    assert await db.read(recalls("text")) == value


# ---------------------------------------------------------------- counters, facts


async def test_numbers_are_handed_out_once_in_blocks(db: Database) -> None:
    async def body(tx: Transaction) -> int:
        return await counters.take(tx, "message", 7)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(db.write(body)) for _ in range(30)]
    firsts = sorted(task.result() for task in tasks)
    assert firsts == [1 + 7 * n for n in range(30)]


async def test_a_counter_that_nobody_made_is_an_error(db: Database) -> None:
    async def body(tx: Transaction) -> int:
        return await counters.take(tx, "stars")

    with pytest.raises(StoreError, match="stars"):
        await db.write(body)


async def test_a_store_belongs_to_the_instance_that_used_it_first(db: Database) -> None:
    def claims(instance: str) -> Callable[[Transaction], Awaitable[None]]:
        async def body(tx: Transaction) -> None:
            await facts.claim_for_instance(tx, instance)

        return body

    await db.write(claims("production"))
    await db.write(claims("production"))
    with pytest.raises(StoreRefused, match=r"'production'.*'staging'.*syncd adopt"):
        await db.write(claims("staging"))
    assert await db.read(recalls(facts.INSTANCE)) == "production"


# ---------------------------------------------------------------- mailboxes


async def test_a_new_mailbox_waits_for_approval_and_keeps_its_id(db: Database) -> None:
    (ann,) = await declare(db, "Ann@Example.com")
    (again,) = await declare(db, "ann@example.com")
    assert (ann.approval, ann.address_key) == (Approval.PENDING, "ann@example.com")
    assert (again.id, again.address) == (ann.id, "ann@example.com")


async def test_who_needs_no_approval_gets_none_until_somebody_must_give_it(
    db: Database,
) -> None:
    def declares(*, needs_approval: bool) -> Callable[[Transaction], Awaitable[Approval]]:
        async def body(tx: Transaction) -> Approval:
            mailbox = DeclaredMailbox(
                address="help@example.com",
                type=MailboxType.QUEUE,
                profile="contoso",
                needs_approval=needs_approval,
            )
            return (await mailboxes.declare(tx, [mailbox]))["help@example.com"].approval

        return body

    assert await db.write(declares(needs_approval=False)) is Approval.EMPTY
    assert await db.write(declares(needs_approval=True)) is Approval.PENDING
    assert await db.write(declares(needs_approval=False)) is Approval.PENDING


async def test_what_is_not_declared_any_more_is_parked_and_comes_back_as_it_was(
    db: Database,
) -> None:
    ann, bob = await declare(db, "ann@example.com", "bob@example.com")

    async def approve(tx: Transaction) -> None:
        await mailboxes.approve(tx, bob.id, "root", NOON)

    await db.write(approve)
    await declare(db, "ann@example.com")
    records = {record.address: record for record in await db.read(mailboxes.load_all)}
    assert {address: record.declared for address, record in records.items()} == {
        "ann@example.com": True,
        "bob@example.com": False,
    }
    _, back = await declare(db, "ann@example.com", "bob@example.com")
    assert (back.id, back.declared, back.approval) == (bob.id, True, Approval.APPROVED)
    assert (back.approval_by, back.approval_at) == ("root", NOON)
    assert ann.id != bob.id


async def test_a_changed_profile_reaches_the_record(db: Database) -> None:
    await declare(db, "ann@example.com")
    (moved,) = (
        replace(mailbox, profile="fabrikam") for mailbox in declared(["ann@example.com"])
    )

    async def body(tx: Transaction) -> str:
        return (await mailboxes.declare(tx, [moved]))["ann@example.com"].profile

    assert await db.write(body) == "fabrikam"


async def test_a_lost_term_fails_alone(db: Database) -> None:
    ann, bob = await declare(db, "ann@example.com", "bob@example.com")

    def works(mailbox_id: MailboxId, term: int) -> Callable[[Transaction], Awaitable[None]]:
        async def body(tx: Transaction) -> None:
            await facts.write_fact(tx, f"worked {mailbox_id}", "yes")
            await mailboxes.require_term(tx, mailbox_id, term)

        return body

    async def try_old_term() -> None:
        with pytest.raises(TermLost):
            await db.write(works(ann.id, ann.term - 1))

    async with asyncio.TaskGroup() as group:
        group.create_task(try_old_term())
        group.create_task(db.write(works(bob.id, bob.term)))
    assert await db.read(recalls(f"worked {ann.id}")) is None
    assert await db.read(recalls(f"worked {bob.id}")) == "yes"


async def test_each_claim_is_a_new_term_and_parked_mailboxes_are_not_claimed(
    db: Database,
) -> None:
    ann, bob = await declare(db, "ann@example.com", "bob@example.com")
    (ann,) = await declare(db, "ann@example.com")

    async def body(tx: Transaction) -> dict[MailboxId, int]:
        return await mailboxes.claim_all(tx, "node-b")

    assert await db.write(body) == {ann.id: ann.term + 1}

    async def claim_both(tx: Transaction) -> dict[MailboxId, int]:
        return await mailboxes.claim(tx, "node-b", [ann.id, bob.id])

    assert await db.write(claim_both) == {ann.id: ann.term + 2}


async def test_epochs_count_up_and_the_first_enabling_stays(db: Database) -> None:
    (ann,) = await declare(db, "ann@example.com")

    async def body(tx: Transaction) -> tuple[int, int, bool, bool]:
        return (
            await mailboxes.open_epoch(tx, ann.id, "pop3|pop.example.com|ann"),
            await mailboxes.open_epoch(tx, ann.id, "pop3|pop.example.com|ann2"),
            await mailboxes.set_first_enabled(tx, ann.id, NOON),
            await mailboxes.set_first_enabled(tx, ann.id, NOON + timedelta(days=1)),
        )

    assert await db.write(body) == (1, 2, True, False)

    async def look(reader: Reader) -> mailboxes.MailboxRecord | None:
        return await mailboxes.get(reader, ann.id)

    record = await db.read(look)
    assert record is not None
    assert (record.epoch, record.epoch_identity) == (2, "pop3|pop.example.com|ann2")
    assert record.first_enabled_at == NOON


# ---------------------------------------------------------------- directions


async def test_a_direction_comes_back_as_it_was_saved(db: Database) -> None:
    (ann,) = await declare(db, "ann@example.com")
    fresh = DirectionRecord(mailbox_id=ann.id, direction=Direction.OUTGOING)
    full = DirectionRecord(
        mailbox_id=ann.id,
        direction=Direction.INCOMING,
        enabled=True,
        status=TestStatus.FAILURE,
        status_at=NOON,
        status_text="refused",
        next_at=NOON + timedelta(microseconds=1),
        postponed_until=datetime(2027, 1, 1, tzinfo=UTC),
        postponed_why="the server is down",
        last_started_at=NOON,
        last_success_at=NOON,
        last_duration=timedelta(milliseconds=1500),
        last_error=LastError(
            code="login_refused", level="error", words="-ERR no", remedy="Enter a new password."
        ),
        consecutive_failures=3,
        refused_logins=2,
        first_refused_at=NOON,
        taken_total=41,
        failed_total=7,
    )

    async def save(tx: Transaction) -> None:
        await directions.save_many(tx, [fresh, replace(full, enabled=False)])
        await directions.save_many(tx, [full])

    await db.write(save)
    assert await db.read(directions.load_all) == [full, fresh]

    async def look(reader: Reader) -> DirectionRecord | None:
        return await directions.get(reader, ann.id, Direction.INCOMING)

    assert await db.read(look) == full


# ---------------------------------------------------------------- events


async def test_events_are_numbered_by_mailbox_and_read_from_a_cursor(db: Database) -> None:
    ann, bob = await declare(db, "ann@example.com", "bob@example.com")

    async def body(tx: Transaction) -> None:
        await events.append(
            tx,
            ann.id,
            ann.address,
            "t1",
            NOON,
            [NewEvent("message.received", {"id": n}) for n in (1, 2)],
        )
        await events.append(tx, bob.id, bob.address, None, NOON, [NewEvent("mailbox.enabled")])
        await events.append(tx, ann.id, ann.address, "t1", NOON, [NewEvent("mailbox.tested")])
        await events.append(tx, None, None, None, NOON, [NewEvent("config.reloaded")])
        await events.append(tx, ann.id, ann.address, None, NOON, [])

    await db.write(body)
    found = await _events_after(db, 0)
    assert [(event.type, event.address, event.sequence) for event in found] == [
        ("message.received", "ann@example.com", 1),
        ("message.received", "ann@example.com", 2),
        ("mailbox.enabled", "bob@example.com", 1),
        ("mailbox.tested", "ann@example.com", 3),
        ("config.reloaded", None, None),
    ]
    assert found[0] == Event(
        id=found[0].id,
        type="message.received",
        version=1,
        time=NOON,
        tenant="t1",
        mailbox_id=ann.id,
        address="ann@example.com",
        sequence=1,
        data={"id": 1},
    )
    assert await _events_after(db, found[2].id) == found[3:]
    assert await db.read(events.last_cursor) == found[-1].id


async def test_a_cursor_never_passes_an_event_that_commits_later(db: Database) -> None:
    """Readers that look on while many write: each sees every event, in order, once."""
    people = await declare(db, *(f"user{n}@example.com" for n in range(10)))
    seen: list[int] = []

    async def write(n: int) -> None:
        person = people[n % len(people)]

        async def body(tx: Transaction) -> None:
            event = NewEvent("message.received", {"n": n})
            await events.append(tx, person.id, person.address, None, NOON, [event])

        await db.write(body)

    async def follow() -> None:
        cursor = 0
        while len(seen) < 200:
            for event in await _events_after(db, cursor):
                seen.append(event.data["n"])
                cursor = event.id

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        for n in range(200):
            group.create_task(write(n))
    assert sorted(seen) == list(range(200))
    sequences = [
        event.sequence
        for event in await _events_after(db, 0)
        if event.mailbox_id == people[0].id
    ]
    assert sequences == list(range(1, 21))


async def test_an_event_of_a_mailbox_that_is_not_there_is_an_error(db: Database) -> None:
    async def body(tx: Transaction) -> None:
        await events.append(
            tx, MailboxId(999), "a@b", None, NOON, [NewEvent("mailbox.enabled")]
        )

    with pytest.raises(StoreError, match="no mailbox 999"):
        await db.write(body)


async def _events_after(db: Database, cursor: int) -> list[Event]:
    async def body(reader: Reader) -> list[Event]:
        return await events.after(reader, cursor, 1000)

    return await db.read(body)


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize("octets", [0, 1, CHUNK_OCTETS, CHUNK_OCTETS + 1, 6 * CHUNK_OCTETS + 7])
async def test_a_body_comes_back_octet_for_octet(db: Database, octets: int) -> None:
    raw = bytes(n * 7 % 256 for n in range(1021)) * (octets // 1021 + 1)
    raw = raw[:octets]
    body_id = await _stage_body(db, raw)
    await db.write(adopts(body_id))
    assert b"".join([chunk async for chunk in bodies.read_chunks(db, body_id)]) == raw

    async def read_whole(reader: Reader) -> bytes:
        return await bodies.read_body(reader, body_id)

    assert await db.read(read_whole) == raw


async def test_small_bodies_are_written_together_and_lie_apart(db: Database) -> None:
    texts = [b"", b"one\r\n", bytes(range(256)), b"x" * 9000]

    async def body(tx: Transaction) -> list[BodyId]:
        ids = [BodyId(number) for number in await bodies.new_body_ids(tx, len(texts))]
        await bodies.put_whole(tx, list(zip(ids, texts, strict=True)))
        return ids

    ids = await db.write(body)
    for body_id, text in zip(ids, texts, strict=True):
        assert [chunk async for chunk in bodies.read_chunks(db, body_id)] == [text]


async def test_what_nobody_adopted_is_swept_in_portions_and_adopted_stays(db: Database) -> None:
    kept = await _stage_body(db, b"k" * (CHUNK_OCTETS * 2))
    orphan = await _stage_body(db, b"o" * (CHUNK_OCTETS * 3 + 1))
    young = await _stage_body(db, b"y", at=NOON + timedelta(hours=1))
    await db.write(adopts(kept))

    async def sweep(tx: Transaction) -> int:
        return await bodies.sweep_staged(tx, NOON + timedelta(minutes=1), most_chunks=3)

    assert [await db.write(sweep) for _ in range(3)] == [3, 1, 0]
    assert [chunk async for chunk in bodies.read_chunks(db, orphan)] == []
    assert len([chunk async for chunk in bodies.read_chunks(db, kept)]) == 2
    await db.write(adopts(young))
    with pytest.raises(StoreError, match="swept"):
        await db.write(adopts(orphan))


async def test_a_discarded_body_is_gone(db: Database) -> None:
    body_id = await _stage_body(db, b"d" * (CHUNK_OCTETS + 1))

    async def discard(tx: Transaction) -> None:
        await bodies.discard(tx, body_id)

    await db.write(discard)
    assert [chunk async for chunk in bodies.read_chunks(db, body_id)] == []
    with pytest.raises(StoreError, match="swept"):
        await db.write(adopts(body_id))


async def test_a_body_that_lacks_a_chunk_is_not_handed_out_short(db: Database) -> None:
    async def body(tx: Transaction) -> BodyId:
        body_id = await bodies.new_body_id(tx)
        await bodies.put_chunk(tx, body_id, 0, b"first")
        await bodies.put_chunk(tx, body_id, 2, b"third")
        return body_id

    body_id = await db.write(body)
    with pytest.raises(StoreError, match="lacks a chunk"):
        async for _ in bodies.read_chunks(db, body_id):
            pass


def adopts(body_id: BodyId) -> Callable[[Transaction], Awaitable[None]]:
    async def body(tx: Transaction) -> None:
        await bodies.adopt(tx, body_id)

    return body


async def _stage_body(db: Database, raw: bytes, at: datetime = NOON) -> BodyId:
    """Write a body as a download does: chunk by chunk, each in a transaction of its own."""

    async def begin(tx: Transaction) -> BodyId:
        body_id = await bodies.new_body_id(tx)
        await bodies.stage(tx, body_id, at)
        return body_id

    body_id = await db.write(begin)
    for n, start in enumerate(range(0, len(raw), CHUNK_OCTETS)):

        async def put(
            tx: Transaction, n: int = n, data: bytes = raw[start : start + CHUNK_OCTETS]
        ) -> None:
            await bodies.put_chunk(tx, body_id, n, data)

        await db.write(put)
    return body_id
