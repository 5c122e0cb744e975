"""The ledger: what became of every server message ever seen (contract 7.0).

Rule 1: an entry is written by the transaction that makes it true: a message taken, a deletion
done, a mail left alone.
Rule 2: nothing is removed because a listing does not show it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from syncd.errors import StoreError
from syncd.model.mail import LedgerEntry, LedgerState, MessageId
from syncd.model.mailbox import MailboxId
from syncd.store.database import Parameters, Reader, Row, Transaction
from syncd.store.moments import from_micros, optional_micros, optional_moment, to_micros


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """Whose ledger, and which epoch of it: every entry's first half."""

    mailbox_id: MailboxId
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxFacts:
    """What a poll must know of its mailbox before it looks at a listing."""

    epoch: int
    identity: str | None
    first_enabled_at: datetime | None
    listed: int
    """How many messages the maildrop held when it was last left with all of them judged."""


@dataclass(slots=True, kw_only=True)
class Judged:
    """The judgement on one fetched message. Not frozen: one is made for every message."""

    uid: str
    digest: bytes
    state: LedgerState
    reason: str | None = None
    message_id: MessageId | None = None
    header_digest: bytes | None = None
    delete_pending: bool = False
    octets: int | None = None
    is_further_copy: bool = False
    """Adds a copy to the entry of the same name and content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """A message that stays on the server unread."""

    uid: str
    reason: str
    digest: bytes = b""
    copies: int = 1
    header_digest: bytes | None = None
    octets: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedEntry:
    """A message that the server would not hand out, or not delete."""

    uid: str
    state: LedgerState
    reason: str
    attempts: int
    next_try_at: datetime | None
    digest: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierEntry:
    """An entry of an earlier epoch that a message under a new name may be."""

    epoch: int
    uid: str
    digest: bytes
    header_digest: bytes
    copies: int
    octets: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedEntry:
    """What a server would not hand out: put aside, or (with `next_try_at`) still tried."""

    key: LedgerKey
    address: str
    uid: str
    digest: bytes
    reason: str
    attempts: int
    next_try_at: datetime | None
    since: datetime


async def facts(reader: Reader, mailbox_id: MailboxId) -> MailboxFacts:
    """Return the mailbox's epoch and what its last listing showed."""
    row = await reader.fetch_one("ledger_facts", {"mailbox_id": mailbox_id})
    if row is None:
        raise StoreError(f"the store has no mailbox {mailbox_id}")
    return MailboxFacts(
        epoch=row["epoch"],
        identity=row["epoch_identity"],
        first_enabled_at=optional_moment(row["first_enabled_at"]),
        listed=row["listed"] or 0,
    )


async def seen(
    reader: Reader, key: LedgerKey, uids: Iterable[str]
) -> dict[str, list[LedgerEntry]]:
    """Return what is known of these names; of a name never seen, nothing."""
    rows = await reader.fetch_all("ledger_seen", {**_key(key), "uids": _json(set(uids))})
    found: dict[str, list[LedgerEntry]] = {}
    for row in rows:
        found.setdefault(row["uid"], []).append(
            LedgerEntry(
                uid=row["uid"],
                digest=row["digest"],
                state=LedgerState(row["state"]),
                copies=row["copies"],
                attempts=row["attempts"],
                next_try_at=optional_moment(row["next_try_at"]),
                delete_pending=row["delete_pending"] == 1,
                deleted=row["deleted"] == 1,
                octets=row["octets"],
                message_id=row["message_id"],
                header_digest=row["header_digest"],
                entered_at=optional_moment(row["seen_at"]),
            )
        )
    return found


async def note_all(
    tx: Transaction,
    key: LedgerKey,
    copies: Mapping[str, int],
    state: LedgerState,
    reason: str | None,
    now: datetime,
) -> None:
    """Enter every name of a first listing in one state; what is entered already stays."""
    shared = {**_key(key), "state": state.value, "reason": reason, "seen_at": to_micros(now)}
    rows = [{**shared, "uid": uid, "copies": count} for uid, count in copies.items()]
    await tx.execute_many("ledger_note", rows)


async def leave_alone(
    tx: Transaction, key: LedgerKey, entries: Sequence[LeftAlone], now: datetime
) -> None:
    """Note messages that stay on the server: skipped, and why."""
    shared = {**_key(key), "seen_at": to_micros(now)}
    rows = [
        {
            **shared,
            "uid": entry.uid,
            "digest": entry.digest,
            "reason": entry.reason,
            "copies": entry.copies,
            "header_digest": entry.header_digest,
            "octets": entry.octets,
        }
        for entry in entries
    ]
    await tx.execute_many("ledger_skip", rows)


async def judge(
    tx: Transaction, key: LedgerKey, entries: Sequence[Judged], now: datetime
) -> None:
    """Note the judgements on fetched messages."""
    mailbox_id, epoch, seen_at = key.mailbox_id, key.epoch, to_micros(now)
    rows: list[Parameters] = [
        {
            "mailbox_id": mailbox_id,
            "epoch": epoch,
            "uid": entry.uid,
            "digest": entry.digest,
            "state": entry.state.value,
            "reason": entry.reason,
            "message_id": entry.message_id,
            "header_digest": entry.header_digest,
            "delete_pending": entry.delete_pending,
            "octets": entry.octets,
            "more_copies": entry.is_further_copy,
            "seen_at": seen_at,
        }
        for entry in entries
    ]
    await tx.execute_many("ledger_judge", rows)


async def forget_names(tx: Transaction, key: LedgerKey, uids: Iterable[str]) -> None:
    """Drop the entries of ambiguous names, before their messages are entered by content."""
    await tx.execute_many("ledger_forget_name", [{**_key(key), "uid": uid} for uid in uids])


async def forget(tx: Transaction, key: LedgerKey, entries: Iterable[tuple[str, bytes]]) -> None:
    """Drop entries by name and digest."""
    rows = [{**_key(key), "uid": uid, "digest": digest} for uid, digest in entries]
    await tx.execute_many("ledger_forget", rows)


async def note_refused(
    tx: Transaction, key: LedgerKey, entries: Sequence[RefusedEntry], now: datetime
) -> None:
    """Note messages that the server would not hand out."""
    shared = {**_key(key), "seen_at": to_micros(now)}
    rows = [
        {
            **shared,
            "uid": entry.uid,
            "digest": entry.digest,
            "state": entry.state.value,
            "reason": entry.reason,
            "attempts": entry.attempts,
            "next_try_at": optional_micros(entry.next_try_at),
        }
        for entry in entries
    ]
    await tx.execute_many("ledger_refuse", rows)


async def note_deleted(tx: Transaction, key: LedgerKey, uids: Iterable[str]) -> None:
    """Note that the server has deleted its copies."""
    await tx.execute("ledger_deleted", {**_key(key), "uids": _json(set(uids))})


async def note_delete_refused(
    tx: Transaction, key: LedgerKey, uid: str, attempts: int, next_try_at: datetime
) -> None:
    """Note that the server would not delete its copy: tried again later."""
    await tx.execute(
        "ledger_delete_refused",
        {
            **_key(key),
            "uid": uid,
            "attempts": attempts,
            "next_try_at": to_micros(next_try_at),
        },
    )


async def earlier_entries(
    reader: Reader, key: LedgerKey, header_digests: Iterable[bytes]
) -> list[EarlierEntry]:
    """Return the judged entries of earlier epochs with these headers, newest epoch first."""
    wanted = _json({digest.hex().upper() for digest in header_digests})
    rows = await reader.fetch_all("ledger_adoptable", {**_key(key), "header_digests": wanted})
    return [
        EarlierEntry(
            epoch=row["epoch"],
            uid=row["uid"],
            digest=row["digest"],
            header_digest=row["header_digest"],
            copies=row["copies"],
            octets=row["octets"],
        )
        for row in rows
    ]


async def adopt(
    tx: Transaction, key: LedgerKey, pairs: Sequence[tuple[EarlierEntry, str]]
) -> None:
    """Carry earlier entries over under new names, one copy for one message."""
    rows: list[Parameters] = [
        {
            "mailbox_id": key.mailbox_id,
            "epoch": entry.epoch,
            "uid": entry.uid,
            "digest": entry.digest,
            "new_epoch": key.epoch,
            "new_uid": new_uid,
        }
        for entry, new_uid in pairs
    ]
    await tx.execute_many("ledger_adopt", rows)
    await tx.execute_many("ledger_take_copy", rows)
    await tx.execute_many("ledger_drop_empty", rows)


async def quarantined(
    reader: Reader, mailbox_id: MailboxId | None = None
) -> list[QuarantinedEntry]:
    """Return what servers would not hand out, of one mailbox or of all."""
    rows = await reader.fetch_all("ledger_quarantined", {"mailbox_id": mailbox_id})
    return [_quarantined(row) for row in rows]


async def release(
    tx: Transaction, entry: QuarantinedEntry, state: LedgerState, reason: str | None
) -> bool:
    """Settle a refused message by a person's word; False when it no longer is one."""
    parameters = {
        **_key(entry.key),
        "uid": entry.uid,
        "digest": entry.digest,
        "state": state.value,
        "reason": reason,
    }
    return await tx.execute("ledger_release", parameters) == 1


async def release_message(
    tx: Transaction,
    mailbox_id: MailboxId,
    message_id: MessageId,
    state: LedgerState,
    reason: str | None,
) -> None:
    """Settle the entries of a quarantined message that the store holds."""
    await tx.execute(
        "ledger_release_message",
        {
            "mailbox_id": mailbox_id,
            "message_id": message_id,
            "state": state.value,
            "reason": reason,
        },
    )


async def counts(reader: Reader, key: LedgerKey) -> dict[LedgerState, int]:
    """Count the entries of an epoch by state."""
    rows = await reader.fetch_all("ledger_counts", _key(key))
    return {LedgerState(row["state"]): row["entries"] for row in rows}


def _key(key: LedgerKey) -> dict[str, int | str | bytes | None]:
    return {"mailbox_id": key.mailbox_id, "epoch": key.epoch}


def _json(values: Iterable[str]) -> str:
    return orjson.dumps(list(values)).decode()


def _quarantined(row: Row) -> QuarantinedEntry:
    return QuarantinedEntry(
        key=LedgerKey(MailboxId(row["mailbox_id"]), row["epoch"]),
        address=row["address"],
        uid=row["uid"],
        digest=row["digest"],
        reason=row["reason"] or "",
        attempts=row["attempts"],
        next_try_at=optional_moment(row["next_try_at"]),
        since=from_micros(row["seen_at"]),
    )
