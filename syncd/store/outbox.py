"""The outgoing queue's tables: messages, recipients, attempts.

Rule 1: a message is `sending` for exactly one owner and term; whoever settles it names both.
Rule 2: `after_dot_at` is committed before the final dot may leave, and is empty again with
the settlement: a row that still has it after a crash was possibly sent.
What the states mean is decided in `outgoing.conclusion`; here they are only kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from syncd.errors import TermLost
from syncd.model.mail import BodyId, OutgoingId, OutgoingState, RecipientState
from syncd.model.mailbox import MailboxId
from syncd.model.outgoing import Claimed, Recipient, Settlement
from syncd.store import counters
from syncd.store.database import Reader, Row, Transaction
from syncd.store.moments import from_micros, optional_micros, optional_moment, to_micros

_FINAL = frozenset({OutgoingState.SENT, OutgoingState.FAILED, OutgoingState.CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOutgoing:
    """A message about to be queued; its body is written already, or in this transaction."""

    mailbox_id: MailboxId
    message_id: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    octets: int
    sha256: bytes
    body_id: BodyId
    eight_bit: bool
    utf8: bool
    request_digest: bytes
    idempotency_key: str | None = None
    send_at: datetime | None = None
    metadata: Mapping[str, Any] | None = None
    """The application's own JSON; `Any` because only the application knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRow:
    """A queued message as lists show it."""

    id: OutgoingId
    mailbox_id: MailboxId
    address: str
    state: OutgoingState
    reason: str | None
    message_id: str
    sender: str
    subject: str
    octets: int
    body_id: BodyId
    created_at: datetime
    send_at: datetime | None
    next_attempt_at: datetime | None
    attempts: int
    unknown_outcomes: int
    final_at: datetime | None
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One line of the delivery history."""

    n: int
    at: datetime
    server: str
    phase: str
    result: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCount:
    """How many messages of a profile are in one state, and since when the oldest."""

    profile: str
    state: OutgoingState
    messages: int
    oldest: datetime


async def insert(tx: Transaction, new: NewOutgoing, now: datetime) -> OutgoingId:
    """Queue a message, due at once or at `send_at`."""
    outgoing_id = OutgoingId(await counters.take(tx, "outgoing"))
    send_at = optional_micros(new.send_at)
    at = to_micros(now)
    await tx.execute(
        "insert_outgoing",
        {
            "id": outgoing_id,
            "mailbox_id": new.mailbox_id,
            "idempotency_key": new.idempotency_key,
            "request_digest": new.request_digest,
            "rfc_message_id": new.message_id,
            "sender": new.sender,
            "subject": new.subject,
            "octets": new.octets,
            "sha256": new.sha256,
            "body_id": new.body_id,
            "eight_bit": new.eight_bit,
            "utf8": new.utf8,
            "metadata": None if new.metadata is None else orjson.dumps(new.metadata).decode(),
            "now": at,
            "send_at": send_at,
            "next_attempt_at": at if send_at is None else send_at,
        },
    )
    await tx.execute_many(
        "insert_recipient",
        [
            {
                "outgoing_id": outgoing_id,
                "n": n,
                "address": address,
                "state": RecipientState.PENDING.value,
                "now": at,
            }
            for n, address in enumerate(new.recipients)
        ],
    )
    return outgoing_id


async def find_by_key(
    reader: Reader, mailbox_id: MailboxId, idempotency_key: str
) -> tuple[OutgoingId, bytes] | None:
    """Return the message that this key has queued already, and its request's digest."""
    row = await reader.fetch_one(
        "find_outgoing_by_key", {"mailbox_id": mailbox_id, "idempotency_key": idempotency_key}
    )
    return None if row is None else (OutgoingId(row["id"]), row["request_digest"])


async def claim_due(
    tx: Transaction, mailbox_id: MailboxId, term: int, now: datetime, limit: int
) -> list[Claimed]:
    """Claim what is due, the longest due first; nothing when the term is over."""
    rows = await tx.fetch_all(
        "claim_due_outgoing",
        {"mailbox_id": mailbox_id, "term": term, "now": to_micros(now), "limit": limit},
    )
    return await _claimed(tx, mailbox_id, rows)


async def claim_expired(
    tx: Transaction,
    mailbox_id: MailboxId,
    term: int,
    *,
    since: datetime,
    now: datetime,
    limit: int,
) -> list[Claimed]:
    """Claim what is due and has waited since `since` or longer."""
    rows = await tx.fetch_all(
        "claim_expired_outgoing",
        {
            "mailbox_id": mailbox_id,
            "term": term,
            "since": to_micros(since),
            "now": to_micros(now),
            "limit": limit,
        },
    )
    return await _claimed(tx, mailbox_id, rows)


async def list_sending(reader: Reader, mailbox_id: MailboxId) -> list[Claimed]:
    """Return what is claimed, whoever claimed it."""
    rows = await reader.fetch_all("list_sending_outgoing", {"mailbox_id": mailbox_id})
    return await _claimed(reader, mailbox_id, rows)


async def mark_after_dot(tx: Transaction, claimed: Claimed, now: datetime) -> None:
    """Note that the final dot may leave from now on; raise TermLost if it may not."""
    parameters = {"id": claimed.id, "term": claimed.term, "now": to_micros(now)}
    if not await tx.execute("mark_after_dot", parameters):
        raise TermLost(f"outgoing message {claimed.id} is not ours to send any more")


async def settle(
    tx: Transaction, claimed: Claimed, settlement: Settlement, now: datetime
) -> None:
    """Write what an attempt has made of a message; raise TermLost if it is not ours."""
    at = to_micros(now)
    is_final = settlement.state in _FINAL
    touched = await tx.execute(
        "settle_outgoing",
        {
            "id": claimed.id,
            "term": claimed.term,
            "state": settlement.state.value,
            "reason": settlement.reason,
            "next_attempt_at": optional_micros(settlement.next_attempt_at),
            "unknown_outcomes": settlement.unknown_outcomes,
            "final_at": at if is_final else None,
        },
    )
    if not touched:
        raise TermLost(f"outgoing message {claimed.id} was settled by another owner")
    await _update_recipients(tx, claimed.id, claimed.recipients, settlement.recipients, at)
    attempt = settlement.attempt
    await tx.execute(
        "insert_attempt",
        {
            "outgoing_id": claimed.id,
            "n": claimed.attempts + 1,
            "at": at,
            "server": attempt.server,
            "phase": attempt.phase,
            "result": attempt.result,
            "words": attempt.words,
        },
    )


async def release(tx: Transaction, claimed: Sequence[Claimed]) -> None:
    """Give back what was claimed and never begun; what is not ours any more stays as it is."""
    for message in claimed:
        await tx.execute("release_outgoing", {"id": message.id, "term": message.term})


async def command(
    tx: Transaction,
    row: OutgoingRow,
    state: OutgoingState,
    recipients: Sequence[Recipient],
    now: datetime,
    reason: str | None = None,
) -> bool:
    """Bring a message into another state for a person; False if it has moved on meanwhile.

    One that becomes pending is due at once, and its patience begins anew.
    """
    at = to_micros(now)
    is_due = state is OutgoingState.PENDING_SEND
    touched = await tx.execute(
        "command_outgoing",
        {
            "id": row.id,
            "from_state": row.state.value,
            "state": state.value,
            "reason": reason,
            "send_at": at if is_due else None,
            "next_attempt_at": at if is_due else None,
            "final_at": at if state in _FINAL else None,
        },
    )
    if touched:
        await _update_recipients(tx, row.id, row.recipients, recipients, at)
    return bool(touched)


async def due_times(reader: Reader) -> dict[MailboxId, datetime]:
    """Return, for every mailbox with mail to send or to recover, when it is due."""
    rows = await reader.fetch_all("due_outgoing")
    return {MailboxId(r["mailbox_id"]): from_micros(r["next_attempt_at"]) for r in rows}


async def next_due(reader: Reader, mailbox_id: MailboxId) -> datetime | None:
    """Return when a mailbox's first waiting message is due; None when nothing waits."""
    row = await reader.fetch_one("next_due_outgoing", {"mailbox_id": mailbox_id})
    return optional_moment(None if row is None else row["next_attempt_at"])


async def list_rows(
    reader: Reader,
    *,
    mailbox_id: MailboxId | None = None,
    state: OutgoingState | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[OutgoingRow]:
    """List messages in the order they were queued; `after` is the last id already seen."""
    rows = await reader.fetch_all(
        "list_outgoing",
        {"mailbox_id": mailbox_id, "state": state, "after": after, "limit": limit},
    )
    return [await _row(reader, row) for row in rows]


async def get(reader: Reader, outgoing_id: OutgoingId) -> OutgoingRow | None:
    """Return one message with its recipients."""
    row = await reader.fetch_one("get_outgoing", {"id": outgoing_id})
    return None if row is None else await _row(reader, row)


async def history(reader: Reader, outgoing_id: OutgoingId) -> list[AttemptRow]:
    """Return a message's attempts, the first one first."""
    rows = await reader.fetch_all("list_attempts", {"outgoing_id": outgoing_id})
    return [AttemptRow(**{**row, "at": from_micros(row["at"])}) for row in rows]


async def count(reader: Reader) -> list[QueueCount]:
    """Count messages by profile and state."""
    return [
        QueueCount(
            profile=row["profile"],
            state=OutgoingState(row["state"]),
            messages=row["messages"],
            oldest=from_micros(row["oldest"]),
        )
        for row in await reader.fetch_all("count_outgoing")
    ]


async def _update_recipients(
    tx: Transaction,
    outgoing_id: OutgoingId,
    before: Sequence[Recipient],
    after: Sequence[Recipient],
    at: int,
) -> None:
    known = set(before)
    await tx.execute_many(
        "update_recipient",
        [
            {
                "outgoing_id": outgoing_id,
                "n": recipient.n,
                "state": recipient.state.value,
                "reply_code": recipient.reply_code,
                "enhanced": recipient.enhanced,
                "words": recipient.words,
                "now": at,
            }
            for recipient in after
            if recipient not in known
        ],
    )


async def _claimed(reader: Reader, mailbox_id: MailboxId, rows: Sequence[Row]) -> list[Claimed]:
    if not rows:
        return []
    recipients: dict[int, list[Recipient]] = {}
    for row in await reader.fetch_all("list_sending_recipients", {"mailbox_id": mailbox_id}):
        recipients.setdefault(row["outgoing_id"], []).append(_recipient(row))
    claimed = [_claimed_row(row, tuple(recipients.get(row["id"], ()))) for row in rows]
    return sorted(claimed, key=lambda message: message.id)


def _claimed_row(row: Row, recipients: tuple[Recipient, ...]) -> Claimed:
    return Claimed(
        id=OutgoingId(row["id"]),
        mailbox_id=MailboxId(row["mailbox_id"]),
        term=row["claimed_term"],
        message_id=row["rfc_message_id"],
        sender=row["sender"],
        octets=row["octets"],
        sha256=row["sha256"],
        body_id=BodyId(row["body_id"]),
        eight_bit=bool(row["eight_bit"]),
        utf8=bool(row["utf8"]),
        waiting_since=from_micros(max(row["created_at"], row["send_at"] or 0)),
        attempts=row["attempts"],
        tried_at=optional_moment(row["tried_at"]),
        unknown_outcomes=row["unknown_outcomes"],
        after_dot_at=optional_moment(row["after_dot_at"]),
        recipients=recipients,
    )


def _recipient(row: Row) -> Recipient:
    return Recipient(
        n=row["n"],
        address=row["address"],
        state=RecipientState(row["state"]),
        reply_code=row["reply_code"],
        enhanced=row["enhanced"],
        words=row["words"],
    )


async def _row(reader: Reader, row: Row) -> OutgoingRow:
    recipients = await reader.fetch_all("list_recipients", {"outgoing_id": row["id"]})
    return OutgoingRow(
        id=OutgoingId(row["id"]),
        mailbox_id=MailboxId(row["mailbox_id"]),
        address=row["address"],
        state=OutgoingState(row["state"]),
        reason=row["reason"],
        message_id=row["rfc_message_id"],
        sender=row["sender"],
        subject=row["subject"],
        octets=row["octets"],
        body_id=BodyId(row["body_id"]),
        created_at=from_micros(row["created_at"]),
        send_at=optional_moment(row["send_at"]),
        next_attempt_at=optional_moment(row["next_attempt_at"]),
        attempts=row["attempts"],
        unknown_outcomes=row["unknown_outcomes"],
        final_at=optional_moment(row["final_at"]),
        recipients=tuple(_recipient(recipient) for recipient in recipients),
    )
