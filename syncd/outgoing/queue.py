"""The outbox's doors: `enqueue` in, `settle` out, and what a person asks for in between.

Rule 1: an application gets its answer only after the message is committed.
Rule 2: one idempotency key is one message; with another request behind it, it is refused.
Rule 3: a change of state and the event that tells of it are one transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from syncd.errors import NotFound, Refused
from syncd.model.mail import CHUNK_OCTETS, BodyId, OutgoingId
from syncd.model.outgoing import Claimed, Recipient, Settlement
from syncd.observe.edges import reached
from syncd.outgoing.compose import Composed
from syncd.outgoing.conclusion import Command, apply_command
from syncd.store import bodies, events, outbox
from syncd.store.database import Database, Reader, Transaction
from syncd.store.mailboxes import MailboxRecord
from syncd.store.outbox import NewOutgoing, OutgoingRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """The answer to an application: its message is safe here."""

    id: OutgoingId
    message_id: str
    recipients: tuple[Recipient, ...]
    is_new: bool
    """False: this idempotency key had queued the same message before."""


async def enqueue(
    db: Database,
    composed: Composed,
    mailbox: MailboxRecord,
    *,
    now: datetime,
    idempotency_key: str | None = None,
    send_at: datetime | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Enqueued:
    """Commit a message to the queue; raise Refused for a key that means another message.

    `Any` in `metadata`: JSON of the application's own.
    """

    async def look(reader: Reader) -> OutgoingId | None:
        return await _earlier(reader, composed, mailbox, idempotency_key)

    # A repeated request is found before anything of it is written a second time.
    known = None if idempotency_key is None else await db.read(look)
    if known is not None:
        return await _answer(db, known, is_new=False)
    staged = await _stage(db, composed, now)

    async def record(tx: Transaction) -> tuple[OutgoingId, bool]:
        earlier = await _earlier(tx, composed, mailbox, idempotency_key)
        if earlier is not None:
            return earlier, False
        new = NewOutgoing(
            mailbox_id=mailbox.id,
            message_id=composed.message_id,
            sender=composed.sender,
            recipients=composed.recipients,
            subject=composed.subject,
            octets=composed.octets,
            sha256=composed.sha256,
            body_id=await _body(tx, composed, staged),
            eight_bit=composed.eight_bit,
            utf8=composed.utf8,
            request_digest=composed.request_digest,
            idempotency_key=idempotency_key,
            send_at=send_at,
            metadata=metadata,
        )
        return await outbox.insert(tx, new, now), True

    outgoing_id, is_new = await db.write(record)
    reached("outgoing.enqueued")
    return await _answer(db, outgoing_id, is_new=is_new)


async def _answer(db: Database, outgoing_id: OutgoingId, *, is_new: bool) -> Enqueued:
    row = await show(db, outgoing_id)
    return Enqueued(
        id=outgoing_id, message_id=row.message_id, recipients=row.recipients, is_new=is_new
    )


async def settle(
    db: Database,
    mailbox: MailboxRecord,
    claimed: Claimed,
    settlement: Settlement,
    now: datetime,
) -> None:
    """Commit what an attempt has made of a message, with its event."""

    async def record(tx: Transaction) -> None:
        await settle_in(tx, mailbox, claimed, settlement, now)

    await db.write(record, essential=True)


async def settle_in(
    tx: Transaction,
    mailbox: MailboxRecord,
    claimed: Claimed,
    settlement: Settlement,
    now: datetime,
) -> None:
    """Do `settle`'s work inside a transaction of the caller's."""
    await outbox.settle(tx, claimed, settlement, now)
    event = events.NewEvent(settlement.event, _told(claimed, settlement))
    await events.append(tx, mailbox.id, mailbox.address, mailbox.tenant, now, [event])


async def command(
    db: Database, outgoing_id: OutgoingId, wish: Command, now: datetime
) -> OutgoingRow:
    """Do what a person asks of a message; raise Refused where its state forbids it."""

    async def change(tx: Transaction) -> OutgoingRow:
        row = await outbox.get(tx, outgoing_id)
        if row is None:
            raise _unknown(outgoing_id)
        state, recipients, reason = apply_command(wish, row.state, row.recipients)
        await outbox.command(tx, row, state, recipients, now, reason)
        return await outbox.get(tx, outgoing_id) or row

    return await db.write(change, essential=True)


async def show(db: Database, outgoing_id: OutgoingId) -> OutgoingRow:
    """Return one message; raise NotFound when there is none."""
    row = await db.read(lambda reader: outbox.get(reader, outgoing_id))
    if row is None:
        raise _unknown(outgoing_id)
    return row


async def _earlier(
    reader: Reader, composed: Composed, mailbox: MailboxRecord, key: str | None
) -> OutgoingId | None:
    """Return the message that this idempotency key has queued before."""
    if key is None:
        return None
    earlier = await outbox.find_by_key(reader, mailbox.id, key)
    if earlier is None:
        return None
    outgoing_id, digest = earlier
    if digest != composed.request_digest:
        raise Refused("Idempotency-Key", f"was used for another message ({outgoing_id})")
    return outgoing_id


async def _stage(db: Database, composed: Composed, now: datetime) -> BodyId | None:
    """Commit a large body in pieces, so that it never holds the writer; None if it is small.

    If the message is never recorded, the janitor sweeps what was staged.
    """
    if composed.octets <= CHUNK_OCTETS:
        return None

    async def begin(tx: Transaction) -> BodyId:
        body_id = await bodies.new_body_id(tx)
        await bodies.stage(tx, body_id, now)
        return body_id

    body_id = await db.write(begin)
    for n, chunk in enumerate(composed.chunks()):
        await _put(db, body_id, n, chunk)
    return body_id


async def _put(db: Database, body_id: BodyId, n: int, piece: bytes) -> None:
    async def put(tx: Transaction) -> None:
        await bodies.put_chunk(tx, body_id, n, piece)

    await db.write(put)


async def _body(tx: Transaction, composed: Composed, staged: BodyId | None) -> BodyId:
    if staged is not None:
        await bodies.adopt(tx, staged)
        return staged
    body_id = await bodies.new_body_id(tx)
    await bodies.put_chunk(tx, body_id, 0, composed.raw)
    return body_id


def _told(claimed: Claimed, settlement: Settlement) -> Mapping[str, Any]:
    """What the event says; `Any`: JSON."""
    at = settlement.next_attempt_at
    return {
        "id": claimed.id,
        "message_id": claimed.message_id,
        "state": settlement.state.value,
        "reason": settlement.reason,
        "attempt": claimed.attempts + 1,
        "next_attempt_at": None if at is None else at.isoformat(),
        "recipients": [
            {
                "address": recipient.address,
                "state": recipient.state.value,
                "reply_code": recipient.reply_code,
                "enhanced": recipient.enhanced,
                "words": recipient.words,
            }
            for recipient in settlement.recipients
        ],
    }


def _unknown(outgoing_id: OutgoingId) -> NotFound:
    return NotFound(f"there is no outgoing message {outgoing_id}")
