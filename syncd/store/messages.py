"""Incoming messages as stored: who, when, what of the headers; the bytes are a body."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from operator import attrgetter
from typing import Any

import orjson

from syncd.errors import BodyDamaged
from syncd.model.mail import BodyId, Headers, IncomingState, MessageId
from syncd.model.mailbox import MailboxId
from syncd.store import bodies
from syncd.store.database import Database, Parameters, Reader, Row, Transaction
from syncd.store.moments import from_micros, to_micros


@dataclass(slots=True, kw_only=True)
class NewMessage:
    """A message about to be stored; its body stands, or is adopted, in the same transaction.

    Not frozen, as every object made once a message: that costs a microsecond each.
    """

    id: MessageId
    state: IncomingState
    reason: str | None
    octets: int
    sha256: bytes
    body_id: BodyId
    headers: Headers


@dataclass(frozen=True, slots=True)
class KnownContent:
    """A message of this mailbox with the same bytes."""

    message_id: MessageId
    state: IncomingState


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecord:
    """One stored message."""

    id: MessageId
    mailbox_id: MailboxId
    address: str
    tenant: str | None
    state: IncomingState
    reason: str | None
    octets: int
    sha256: bytes
    body_id: BodyId
    stored_at: datetime
    rfc_message_id: str | None
    subject: str
    sender: str
    headers: dict[str, Any]
    """The rest of `model.mail.Headers` as JSON values."""


async def with_content(
    reader: Reader, mailbox_id: MailboxId, hashes: Sequence[bytes]
) -> dict[bytes, KnownContent]:
    """Return which of these contents (SHA-256) the mailbox already holds."""
    if not hashes:
        return {}
    rows = await reader.fetch_all(
        "messages_with_content",
        {"mailbox_id": mailbox_id, "hashes": b"".join(hashes), "count": len(hashes)},
    )
    return {
        row["sha256"]: KnownContent(MessageId(row["id"]), IncomingState(row["state"]))
        for row in rows
    }


async def insert(
    tx: Transaction, mailbox_id: MailboxId, messages: Sequence[NewMessage], now: datetime
) -> None:
    """Write the rows of new messages."""
    stored_at = to_micros(now)
    rows: list[Parameters] = [
        {
            "id": message.id,
            "mailbox_id": mailbox_id,
            "state": message.state.value,
            "reason": message.reason,
            "octets": message.octets,
            "sha256": message.sha256,
            "body_id": message.body_id,
            "stored_at": stored_at,
            "rfc_message_id": message.headers.message_id,
            "subject": message.headers.subject,
            "sender": message.headers.sender,
            "headers": _rest(message.headers),
        }
        for message in messages
    ]
    await tx.execute_many("insert_message", rows)


async def list_messages(
    reader: Reader, mailbox_id: MailboxId | None, after: int, limit: int
) -> list[MessageRecord]:
    """Return messages in the order they were stored, of one mailbox or of all."""
    if mailbox_id is None:
        rows = await reader.fetch_all("list_messages", {"after": after, "limit": limit})
    else:
        parameters = {"mailbox_id": mailbox_id, "after": after, "limit": limit}
        rows = await reader.fetch_all("list_messages_of", parameters)
    return [_record(row) for row in rows]


async def list_quarantined(
    reader: Reader, mailbox_id: MailboxId | None = None
) -> list[MessageRecord]:
    """Return messages that are stored and could not be judged."""
    rows = await reader.fetch_all("list_quarantined_messages", {"mailbox_id": mailbox_id})
    return [_record(row) for row in rows]


async def message_by_id(reader: Reader, message_id: MessageId) -> MessageRecord | None:
    """Return one message."""
    row = await reader.fetch_one("get_message", {"id": message_id})
    return None if row is None else _record(row)


async def read_raw(db: Database, message: MessageRecord) -> AsyncIterator[bytes]:
    """Read the exact bytes, chunk by chunk; raises BodyDamaged if they are not the ones stored."""
    proof = sha256()
    octets = 0
    async for chunk in bodies.read_chunks(db, message.body_id):
        proof.update(chunk)
        octets += len(chunk)
        yield chunk
    if proof.digest() != message.sha256:
        raise BodyDamaged(
            f"message {message.id} is damaged: {octets} of {message.octets} octets, "
            "and their SHA-256 is not the one stored"
        )


async def rejudge(
    tx: Transaction,
    message_id: MessageId,
    state: IncomingState,
    reason: str | None,
    headers: Headers,
) -> bool:
    """Replace the judgement on a quarantined message; False when it no longer is one."""
    parameters: Parameters = {
        "id": message_id,
        "state": state.value,
        "reason": reason,
        "rfc_message_id": headers.message_id,
        "subject": headers.subject,
        "sender": headers.sender,
        "headers": _rest(headers),
    }
    return await tx.execute("rejudge_message", parameters) == 1


async def give_up(tx: Transaction, message_id: MessageId, reason: str) -> bool:
    """Take a message out of quarantine without taking it in; its bytes stay."""
    return await tx.execute("give_up_message", {"id": message_id, "reason": reason}) == 1


_REST = (
    "in_reply_to",
    "references",
    "to",
    "cc",
    "date",
    "received_at",
    "auto_submitted",
    "delivered_to",
    "hops",
)
_rest_of = attrgetter(*_REST)


def _rest(headers: Headers) -> str:
    """Write the headers without a column of their own; absent ones are left out."""
    pairs = zip(_REST, _rest_of(headers), strict=True)
    return orjson.dumps({name: value for name, value in pairs if value}).decode()


def _record(row: Row) -> MessageRecord:
    return MessageRecord(
        id=MessageId(row["id"]),
        mailbox_id=MailboxId(row["mailbox_id"]),
        address=row["address"],
        tenant=row["tenant"],
        state=IncomingState(row["state"]),
        reason=row["reason"],
        octets=row["octets"],
        sha256=row["sha256"],
        body_id=BodyId(row["body_id"]),
        stored_at=from_micros(row["stored_at"]),
        rfc_message_id=row["rfc_message_id"],
        subject=row["subject"],
        sender=row["sender"],
        headers=orjson.loads(row["headers"]),
    )
