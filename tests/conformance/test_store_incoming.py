"""What every store engine must do for incoming mail: ledger, listings, messages, alerts."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from syncd.alerts import wall
from syncd.errors import BodyDamaged, StoreError
from syncd.model.alert import Alert, AlertLevel
from syncd.model.mail import BodyId, Headers, IncomingState, LedgerEntry, LedgerState, MessageId
from syncd.model.mailbox import MailboxId
from syncd.model.poll import ListingMemory
from syncd.store import alerts, bodies, counters, events, ledger, listings, mailboxes, messages
from syncd.store.database import Database, Reader, Transaction
from syncd.store.events import Event
from syncd.store.ledger import Judged, LedgerKey, LeftAlone, RefusedEntry
from syncd.store.messages import MessageRecord, NewMessage
from tests.conformance.test_store import ENGINES
from tests.support.store import NOON, declare

HOUR = timedelta(hours=1)
IDENTITY = "pop3|server|ann"


@pytest.fixture(params=sorted(ENGINES))
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An open store of each engine."""
    database = await ENGINES[request.param](tmp_path)
    yield database
    await database.close()


@pytest.fixture
async def key(db: Database) -> LedgerKey:
    """The first epoch of a mailbox."""
    (record,) = await declare(db, "ann@contoso.com")
    return LedgerKey(record.id, await open_epoch(db, record.id))


async def open_epoch(db: Database, mailbox_id: MailboxId) -> int:
    return await db.write(
        partial(mailboxes.open_epoch, mailbox_id=mailbox_id, identity=IDENTITY)
    )


async def seen(db: Database, key: LedgerKey, *uids: str) -> dict[str, list[LedgerEntry]]:
    return await db.read(lambda reader: ledger.seen(reader, key, uids))


async def judge(db: Database, key: LedgerKey, *entries: Judged) -> None:
    await db.write(lambda tx: ledger.judge(tx, key, entries, NOON))


def taken(uid: str, digest: bytes = b"", **more: object) -> Judged:
    return Judged(uid=uid, digest=digest, state=LedgerState.TAKEN, **more)  # type: ignore[arg-type] # test shorthand


# ---------------------------------------------------------------- ledger


async def test_a_mailbox_begins_without_an_epoch_and_unknown_ones_are_an_error(
    db: Database,
) -> None:
    (record,) = await declare(db, "ann@contoso.com")
    facts = await db.read(partial(ledger.facts, mailbox_id=record.id))
    assert (facts.epoch, facts.identity, facts.first_enabled_at, facts.listed) == (
        0,
        None,
        None,
        0,
    )
    with pytest.raises(StoreError, match="no mailbox 99"):
        await db.read(partial(ledger.facts, mailbox_id=MailboxId(99)))


async def test_only_names_asked_for_are_returned_whatever_characters_they_hold(
    db: Database, key: LedgerKey
) -> None:
    odd = ["a", "gr\u00fc\u00df\xff", "'; DROP TABLE ledger; --", '"\\', "../..", "[1]"]
    await judge(db, key, *(taken(uid) for uid in odd), taken("other"))
    found = await seen(db, key, *odd, "never")
    assert set(found) == set(odd)
    assert all(entry.state is LedgerState.TAKEN for (entry,) in found.values())


async def test_entries_of_another_epoch_or_mailbox_are_not_seen(
    db: Database, key: LedgerKey
) -> None:
    await judge(db, key, taken("a"))
    assert await seen(db, replace(key, epoch=2), "a") == {}
    assert await seen(db, replace(key, mailbox_id=MailboxId(99)), "a") == {}


async def test_a_first_listing_leaves_alone_what_is_entered_already(
    db: Database, key: LedgerKey
) -> None:
    await judge(db, key, taken("a"))
    counted = {"a": 1, "b": 2}
    await db.write(
        lambda tx: ledger.note_all(tx, key, counted, LedgerState.PENDING, None, NOON)
    )
    found = await seen(db, key, "a", "b")
    assert found["a"][0].state is LedgerState.TAKEN
    assert (found["b"][0].state, found["b"][0].copies) == (LedgerState.PENDING, 2)


async def test_a_judgement_replaces_waiting_and_failing_entries(
    db: Database, key: LedgerKey
) -> None:
    refused = RefusedEntry(
        uid="b", state=LedgerState.FAILING, reason="no", attempts=3, next_try_at=NOON + HOUR
    )

    async def prepare(tx: Transaction) -> None:
        await ledger.note_all(tx, key, {"a": 1, "c": 1}, LedgerState.PENDING, None, NOON)
        await ledger.note_refused(tx, key, [refused], NOON)

    await db.write(prepare)
    (failing,) = (await seen(db, key, "b"))["b"]
    assert (failing.state, failing.attempts, failing.next_try_at) == (
        LedgerState.FAILING,
        3,
        NOON + HOUR,
    )
    await judge(db, key, taken("a"), taken("b"))
    skipped = LeftAlone(uid="c", reason="before process_email_from")
    await db.write(lambda tx: ledger.leave_alone(tx, key, [skipped], NOON))
    found = await seen(db, key, "a", "b", "c")
    assert [found[uid][0].state for uid in "abc"] == ["taken", "taken", "skipped"]
    assert (found["b"][0].attempts, found["b"][0].next_try_at) == (0, None)


async def test_messages_under_one_name_are_told_apart_and_counted_by_content(
    db: Database, key: LedgerKey
) -> None:
    await judge(db, key, taken("a"))
    await db.write(lambda tx: ledger.forget_names(tx, key, ["a"]))
    twins = [taken("a", digest, is_further_copy=True) for digest in (b"1", b"2", b"1")]
    await judge(db, key, *twins)
    found = {entry.digest: entry.copies for entry in (await seen(db, key, "a"))["a"]}
    assert found == {b"1": 2, b"2": 1}


async def test_a_deletion_is_due_until_it_is_noted(db: Database, key: LedgerKey) -> None:
    await judge(db, key, *(taken(uid, delete_pending=True) for uid in "ab"), taken("c"))
    await db.write(lambda tx: ledger.note_deleted(tx, key, ["a", "c"]))
    await db.write(lambda tx: ledger.note_delete_refused(tx, key, "b", 2, NOON + HOUR))
    found = await seen(db, key, *"abc")
    assert [found[uid][0].delete_pending for uid in "abc"] == [False, True, False]
    assert [found[uid][0].deleted for uid in "abc"] == [True, False, False]
    assert (found["b"][0].attempts, found["b"][0].next_try_at) == (2, NOON + HOUR)


async def test_earlier_entries_are_carried_over_copy_by_copy(
    db: Database, key: LedgerKey
) -> None:
    await judge(
        db,
        key,
        taken("a", header_digest=b"\x01" * 16, octets=7),
        taken("d", header_digest=b"\x01" * 16, delete_pending=True),
        taken("b", b"x", header_digest=b"\x02" * 16, is_further_copy=True),
        taken("b", b"x", header_digest=b"\x02" * 16, is_further_copy=True),
        taken("c", header_digest=b"\x03" * 16),
    )
    later = replace(key, epoch=await open_epoch(db, key.mailbox_id))
    await db.write(
        lambda tx: ledger.note_all(tx, later, {"A": 1, "B": 1}, LedgerState.PENDING, None, NOON)
    )

    async def adopt(tx: Transaction) -> None:
        digests = [b"\x01" * 16, b"\x02" * 16, b"\x09" * 16]
        earlier = await ledger.earlier_entries(tx, later, digests)
        by_uid = {entry.uid: entry for entry in earlier}
        assert {uid: entry.copies for uid, entry in by_uid.items()} == {"a": 1, "b": 2}
        await ledger.adopt(tx, later, [(by_uid["a"], "A"), (by_uid["b"], "B")])

    await db.write(adopt)
    found = await seen(db, later, "A", "B")
    assert [found[uid][0].state for uid in "AB"] == ["taken", "taken"]
    assert not found["A"][0].delete_pending
    assert found["A"][0].octets == 7
    left = await seen(db, key, *"abcd")
    assert {uid: [entry.copies for entry in entries] for uid, entries in left.items()} == {
        "b": [1],
        "c": [1],
        "d": [1],
    }


async def test_refused_messages_are_listed_and_settled_by_a_persons_word(
    db: Database, key: LedgerKey
) -> None:
    entry = RefusedEntry(
        uid="a", state=LedgerState.QUARANTINED, reason="virus", attempts=5, next_try_at=None
    )
    await db.write(lambda tx: ledger.note_refused(tx, key, [entry], NOON))
    (line,) = await db.read(ledger.quarantined)
    assert (line.address, line.uid, line.reason, line.attempts, line.since) == (
        "ann@contoso.com",
        "a",
        "virus",
        5,
        NOON,
    )
    assert await db.read(lambda reader: ledger.quarantined(reader, MailboxId(99))) == []
    settle = partial(ledger.release, entry=line, state=LedgerState.SKIPPED, reason="dropped")
    assert await db.write(settle)
    assert not await db.write(settle)
    assert await db.read(partial(ledger.counts, key=key)) == {LedgerState.SKIPPED: 1}


async def test_a_message_refused_for_the_first_time_is_listed_with_its_next_try(
    db: Database, key: LedgerKey
) -> None:
    entry = RefusedEntry(
        uid="a", state=LedgerState.FAILING, reason="virus", attempts=1, next_try_at=NOON + HOUR
    )
    await db.write(lambda tx: ledger.note_refused(tx, key, [entry], NOON))
    (line,) = await db.read(lambda reader: ledger.quarantined(reader, key.mailbox_id))
    assert (line.attempts, line.next_try_at, line.reason) == (1, NOON + HOUR, "virus")
    settle = partial(ledger.release, entry=line, state=LedgerState.SKIPPED, reason="dropped")
    assert await db.write(settle)
    assert await db.read(ledger.quarantined) == []


# ---------------------------------------------------------------- listings


async def test_a_listing_is_remembered_for_its_epoch_only(db: Database, key: LedgerKey) -> None:
    memory = ListingMemory(
        epoch=1, identity=IDENTITY, count=3, octets=300, last_uid="c", full_at=NOON,
        whole=True, retry_at=NOON + HOUR,
    )  # fmt: skip
    await db.write(partial(listings.save, mailbox_id=key.mailbox_id, memory=memory))
    assert await db.read(listings.load_all) == {key.mailbox_id: memory}
    facts = await db.read(partial(ledger.facts, mailbox_id=key.mailbox_id))
    assert facts.listed == 3
    later = replace(memory, count=0, last_uid=None, retry_at=None)
    await db.write(partial(listings.save, mailbox_id=key.mailbox_id, memory=later))
    assert await db.read(listings.load_all) == {key.mailbox_id: later}
    await open_epoch(db, key.mailbox_id)
    assert await db.read(listings.load_all) == {}


async def test_a_doubted_listing_is_not_whole_and_says_nothing_of_what_is_known(
    db: Database, key: LedgerKey
) -> None:
    memory = ListingMemory(
        epoch=1, identity=IDENTITY, count=3, octets=300, last_uid="c", full_at=NOON, whole=True
    )
    await db.write(partial(listings.save, mailbox_id=key.mailbox_id, memory=memory))
    await db.write(partial(listings.doubt, mailbox_id=key.mailbox_id))
    assert (await db.read(listings.load_all))[key.mailbox_id] == replace(memory, whole=False)
    facts = await db.read(partial(ledger.facts, mailbox_id=key.mailbox_id))
    assert facts.listed == 0


# ---------------------------------------------------------------- messages

HEADERS = Headers(
    message_id="<1@x>", subject="grün", sender="Ann <ann@x>", to=("bob@x",), date=NOON, hops=2
)


async def store(
    db: Database,
    key: LedgerKey,
    *contents: bytes,
    state: IncomingState = IncomingState.RECEIVED,
) -> list[int]:
    """Store messages with these bytes; return their numbers."""

    async def body(tx: Transaction) -> list[int]:
        first = await counters.take(tx, "message", len(contents))
        body_ids = await bodies.new_body_ids(tx, len(contents))
        await bodies.put_whole(tx, list(zip(body_ids, contents, strict=True)))
        new = [
            NewMessage(
                id=MessageId(first + n), state=state, reason=None, octets=len(content),
                sha256=sha256(content).digest(), body_id=BodyId(body_ids[n]), headers=HEADERS,
            )
            for n, content in enumerate(contents)
        ]  # fmt: skip
        await messages.insert(tx, key.mailbox_id, new, NOON)
        return [first + n for n in range(len(contents))]

    return await db.write(body)


async def read_all(db: Database, message: MessageRecord) -> bytes:
    return b"".join([chunk async for chunk in messages.read_raw(db, message)])


async def test_a_message_comes_back_as_it_was_stored(db: Database, key: LedgerKey) -> None:
    (number,) = await store(db, key, b"Subject: a\r\n\r\n")
    message = await db.read(partial(messages.message_by_id, message_id=MessageId(number)))
    assert message is not None
    assert (message.address, message.state, message.octets) == (
        "ann@contoso.com",
        "received",
        14,
    )
    assert (message.rfc_message_id, message.subject, message.sender) == (
        "<1@x>",
        "grün",
        "Ann <ann@x>",
    )
    assert message.headers == {
        "to": ["bob@x"],
        "date": "2026-11-23T12:00:00+00:00",
        "hops": 2,
    }
    assert await read_all(db, message) == b"Subject: a\r\n\r\n"
    absent = await db.read(partial(messages.message_by_id, message_id=MessageId(99)))
    assert absent is None


async def test_known_contents_are_found_by_their_hash(db: Database, key: LedgerKey) -> None:
    numbers = await store(db, key, b"a", b"b")
    hashes = [sha256(content).digest() for content in (b"b", b"c", b"a")]
    find = partial(messages.with_content, mailbox_id=key.mailbox_id, hashes=hashes)
    found = await db.read(find)
    assert {h: known.message_id for h, known in found.items()} == {
        hashes[2]: numbers[0],
        hashes[0]: numbers[1],
    }
    other = partial(messages.with_content, mailbox_id=MailboxId(99), hashes=hashes)
    assert await db.read(other) == {}
    nothing = partial(messages.with_content, mailbox_id=key.mailbox_id, hashes=[])
    assert await db.read(nothing) == {}


async def test_the_same_bytes_are_not_stored_twice_in_one_mailbox(
    db: Database, key: LedgerKey
) -> None:
    await store(db, key, b"a")
    with pytest.raises(StoreError):
        await store(db, key, b"a")
    (other,) = await declare(db, "bob@contoso.com")
    await store(db, LedgerKey(other.id, 1), b"a")


async def test_messages_are_listed_in_the_order_they_were_stored(
    db: Database, key: LedgerKey
) -> None:
    numbers = await store(db, key, b"a", b"b", b"c")
    (other,) = await declare(db, "bob@contoso.com")
    numbers += await store(db, LedgerKey(other.id, 1), b"d")

    async def listed(mailbox_id: MailboxId | None, after: int, limit: int) -> list[int]:
        rows = await db.read(
            lambda reader: messages.list_messages(reader, mailbox_id, after, limit)
        )
        return [row.id for row in rows]

    assert await listed(None, 0, 99) == numbers
    assert await listed(None, numbers[0], 2) == numbers[1:3]
    assert await listed(other.id, 0, 99) == numbers[3:]


async def test_damaged_bytes_are_noticed(db: Database, key: LedgerKey) -> None:
    (number,) = await store(db, key, b"a")
    message = await db.read(partial(messages.message_by_id, message_id=MessageId(number)))
    assert message is not None
    with pytest.raises(BodyDamaged, match="not the one stored"):
        await read_all(db, replace(message, sha256=sha256(b"b").digest()))


async def test_only_a_quarantined_message_is_judged_again(db: Database, key: LedgerKey) -> None:
    received, *_ = await store(db, key, b"a")
    aside, given_up = await store(db, key, b"b", b"c", state=IncomingState.QUARANTINED)

    async def body(tx: Transaction) -> list[bool]:
        args = (IncomingState.RECEIVED, None, HEADERS)
        return [
            await messages.rejudge(tx, MessageId(received), *args),
            await messages.rejudge(tx, MessageId(aside), *args),
            await messages.rejudge(tx, MessageId(aside), *args),
            await messages.give_up(tx, MessageId(given_up), "dropped"),
            await messages.give_up(tx, MessageId(given_up), "dropped"),
        ]

    assert len(await db.read(messages.list_quarantined)) == 2
    assert await db.write(body) == [False, True, False, True, False]
    assert await db.read(messages.list_quarantined) == []


# ---------------------------------------------------------------- the wall

ALERT = Alert(
    code="login_refused",
    object="mailbox:1:incoming",
    level=AlertLevel.ERROR,
    text="It was refused.",
    remedy="Set it anew.",
)


async def told(db: Database) -> list[Event]:
    return await db.read(partial(events.after, cursor=0, limit=100))


async def on_the_wall(db: Database, *, resolved: bool = False) -> list[tuple[str, int]]:
    rows = await db.read(lambda reader: alerts.list_alerts(reader, 0, 100, resolved=resolved))
    return [(row.alert.code, row.count) for row in rows]


async def test_an_alert_is_open_once_counted_and_told_once(
    db: Database, key: LedgerKey
) -> None:
    about = wall.About(key.mailbox_id, "ann@contoso.com")
    for n in range(3):
        again = replace(ALERT, text=f"It was refused {n}.")
        await db.write(partial(wall.open_alert, alert=again, now=NOON + n * HOUR, about=about))
    assert await on_the_wall(db) == [("login_refused", 3)]
    (event,) = await told(db)
    assert (event.type, event.mailbox_id, event.data["text"]) == (
        "alert.opened",
        key.mailbox_id,
        "It was refused 0.",
    )

    async def first(reader: Reader) -> alerts.AlertRecord:
        return (await alerts.list_alerts(reader, 0, 1))[0]

    record = await db.read(first)
    assert (record.opened_at, record.last_seen_at) == (NOON, NOON + 2 * HOUR)
    assert record.alert.text == "It was refused 2."


async def test_what_is_resolved_is_told_and_may_open_again(db: Database) -> None:
    await db.write(partial(wall.open_alert, alert=ALERT, now=NOON))
    other = replace(ALERT, code="tls_expired")
    await db.write(partial(wall.open_alert, alert=other, now=NOON))
    resolve = partial(wall.resolve, obj=ALERT.object, now=NOON + HOUR)
    await db.write(partial(resolve, code="login_refused"))
    assert await on_the_wall(db) == [("tls_expired", 1)]
    await db.write(partial(wall.open_alert, alert=ALERT, now=NOON))
    await db.write(resolve)
    await db.write(resolve)
    assert await on_the_wall(db) == []
    assert len(await on_the_wall(db, resolved=True)) == 3
    kinds = [event.type for event in await told(db)]
    assert kinds.count("alert.opened") == kinds.count("alert.resolved") == 3


async def test_alerts_are_counted_by_level_acknowledged_and_deleted(db: Database) -> None:
    alert_id, is_new = await db.write(partial(alerts.open_or_count, alert=ALERT, now=NOON))
    assert is_new
    assert await db.read(alerts.count_open) == {
        AlertLevel.ERROR: 1,
        AlertLevel.WARNING: 0,
        AlertLevel.INFORMATION: 0,
    }
    acknowledge = partial(alerts.acknowledge, alert_id=alert_id, now=NOON)
    assert [await db.write(acknowledge), await db.write(acknowledge)] == [True, False]
    delete = partial(alerts.delete, alert_id=alert_id)
    assert [await db.write(delete), await db.write(delete)] == [True, False]
