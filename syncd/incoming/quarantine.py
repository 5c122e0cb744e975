"""What could not be taken: put aside, retried a few times, listed, replayed, dropped.

Two kinds: messages that the server would not hand out (the ledger knows them, the store holds
nothing), and messages that are stored raw and could not be judged. One list shows both, the
refused ones from their first refusal on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256

from syncd.clock import Clock
from syncd.errors import NotFound
from syncd.incoming.admit import ADMITTED, Filter, Rules, admit
from syncd.incoming.headers import parse_headers
from syncd.incoming.work import MOST_TRIES
from syncd.model.mail import IncomingState, LedgerState, MessageId
from syncd.model.mailbox import MailboxId, address_key
from syncd.store import bodies, events, ledger, listings, messages
from syncd.store.database import Database, Reader, Transaction
from syncd.store.events import NewEvent
from syncd.store.ledger import QuarantinedEntry
from syncd.store.messages import MessageRecord

LONGEST_WAIT = timedelta(days=1)

SHORTEST_WAIT_AFTER_CUT = timedelta(minutes=5)
"""Doubled with each try: over an hour passes before a message is put aside."""

DROPPED = "dropped from quarantine"


@dataclass(frozen=True, slots=True)
class AfterRefusal:
    """What follows a refused RETR."""

    state: LedgerState
    next_try_at: datetime | None


def after_refusal(tries: int, interval: timedelta, now: datetime) -> AfterRefusal:
    """Decide about a message that was refused for the `tries`-th time in a row."""
    if tries >= MOST_TRIES:
        return AfterRefusal(LedgerState.QUARANTINED, None)
    return AfterRefusal(LedgerState.FAILING, next_try(tries, interval, now))


def after_cut(tries: int, interval: timedelta, now: datetime) -> AfterRefusal:
    """Decide about a message at which the session ended for the `tries`-th time in a row.

    One broken connection is nobody's fault: the message is due again at once, after all
    others. From then on it gets time, so that a bad hour of the network puts nothing aside.
    """
    if tries == 1:
        return AfterRefusal(LedgerState.FAILING, now)
    return after_refusal(tries, max(interval, SHORTEST_WAIT_AFTER_CUT), now)


def next_try(tries: int, interval: timedelta, now: datetime) -> datetime:
    """Return when to try again what the server has refused `tries` times in a row."""
    doubled: int = 2 ** min(tries - 1, 20)
    return now + min(interval * doubled, max(LONGEST_WAIT, interval))


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One line of the quarantine; `id` is `m` and a message's number, or `s` and a digest."""

    id: str
    mailbox_id: MailboxId
    address: str
    is_stored: bool
    """True: the bytes are in the store. False: on the server only."""
    reason: str
    attempts: int
    most_attempts: int
    next_try_at: datetime | None
    """Until then it waits on the server; None: it is not tried again by itself."""
    since: datetime


async def list_quarantine(
    reader: Reader, mailbox_id: MailboxId | None = None
) -> list[Quarantined]:
    """Return everything that is put aside or refused, of one mailbox or of all."""
    stored = await messages.list_quarantined(reader, mailbox_id)
    on_servers = await ledger.quarantined(reader, mailbox_id)
    return [*map(_from_message, stored), *map(_from_entry, on_servers)]


async def replay(db: Database, clock: Clock, quarantine_id: str) -> MailboxId:
    """Judge a stored message again, or let the next poll fetch a refused one.

    Returns the mailbox, whose remembered listing must be forgotten and which may be polled.
    Raises NotFound when nothing of this id is quarantined.
    """
    item = await db.read(partial(_find, quarantine_id=quarantine_id))
    now = clock.now()
    if isinstance(item, MessageRecord):
        await db.write(partial(_judge_again, message=item, now=now))
        return item.mailbox_id
    await db.write(partial(_release, entry=item, state=LedgerState.FAILING, reason=item.reason))
    return item.key.mailbox_id


async def drop(db: Database, clock: Clock, quarantine_id: str) -> MailboxId:
    """Give an item up: not tried again; nothing is deleted, neither here nor on the server."""
    item = await db.read(partial(_find, quarantine_id=quarantine_id))
    if isinstance(item, MessageRecord):
        await db.write(partial(_give_up, message=item, now=clock.now()))
        return item.mailbox_id
    await db.write(partial(_release, entry=item, state=LedgerState.SKIPPED, reason=DROPPED))
    return item.key.mailbox_id


async def _find(reader: Reader, *, quarantine_id: str) -> MessageRecord | QuarantinedEntry:
    number = quarantine_id.removeprefix("m")
    if number.isascii() and number.isdigit():
        message = await messages.message_by_id(reader, MessageId(int(number)))
        if message is not None and message.state is IncomingState.QUARANTINED:
            return message
    for entry in await ledger.quarantined(reader):
        if _entry_id(entry) == quarantine_id:
            return entry
    raise NotFound(f"nothing in quarantine is called {quarantine_id}")


async def _judge_again(tx: Transaction, *, message: MessageRecord, now: datetime) -> None:
    """Read the headers of the stored bytes anew; if that fails again, nothing has changed."""
    beginning = await bodies.read_beginning(tx, message.body_id)
    headers = parse_headers(beginning)
    admission = admit(headers, Rules(own_mark=address_key(message.address)))
    reason = admission.reason if isinstance(admission, Filter) else None
    state = IncomingState.RECEIVED if admission == ADMITTED else IncomingState.FILTERED
    ledger_state = LedgerState.TAKEN if admission == ADMITTED else LedgerState.FILTERED
    if await messages.rejudge(tx, message.id, state, reason, headers):
        await ledger.release_message(tx, message.mailbox_id, message.id, ledger_state, reason)
        data = {
            "id": message.id,
            "message_id": headers.message_id,
            "from": headers.sender,
            "subject": headers.subject,
            "octets": message.octets,
        }
        told = NewEvent(
            f"message.{state}", data if reason is None else {**data, "reason": reason}
        )
        await events.append(
            tx, message.mailbox_id, message.address, message.tenant, now, [told]
        )


async def _give_up(tx: Transaction, *, message: MessageRecord, now: datetime) -> None:
    if await messages.give_up(tx, message.id, DROPPED):
        await ledger.release_message(
            tx, message.mailbox_id, message.id, LedgerState.FILTERED, DROPPED
        )
        data = {"id": message.id, "octets": message.octets, "reason": DROPPED}
        told = NewEvent("message.filtered", data)
        await events.append(
            tx, message.mailbox_id, message.address, message.tenant, now, [told]
        )


async def _release(
    tx: Transaction, *, entry: QuarantinedEntry, state: LedgerState, reason: str
) -> None:
    if await ledger.release(tx, entry, state, reason):
        await listings.doubt(tx, entry.key.mailbox_id)


def _from_message(message: MessageRecord) -> Quarantined:
    return Quarantined(
        id=f"m{message.id}",
        mailbox_id=message.mailbox_id,
        address=message.address,
        is_stored=True,
        reason=message.reason or "",
        attempts=1,
        most_attempts=1,
        next_try_at=None,
        since=message.stored_at,
    )


def _from_entry(entry: QuarantinedEntry) -> Quarantined:
    return Quarantined(
        id=_entry_id(entry),
        mailbox_id=entry.key.mailbox_id,
        address=entry.address,
        is_stored=False,
        reason=entry.reason,
        attempts=entry.attempts,
        most_attempts=MOST_TRIES,
        next_try_at=entry.next_try_at,
        since=entry.since,
    )


def _entry_id(entry: QuarantinedEntry) -> str:
    """Name an entry shortly: UIDLs are long, and not fit for a command line."""
    key = f"{entry.key.mailbox_id}/{entry.key.epoch}/{entry.uid}".encode() + entry.digest
    return "s" + sha256(key).hexdigest()[:12]
