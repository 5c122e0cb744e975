"""The status of each mailbox in each direction, as contract 3 names it.

Loaded whole at the start, kept in memory by whoever works, and saved by a writer that
coalesces: a poll that found nothing costs no write of its own.
"""

from collections.abc import Sequence
from datetime import timedelta

import orjson

from syncd.model.direction import DirectionRecord, LastError
from syncd.model.mailbox import Direction, MailboxId, TestStatus
from syncd.store.database import Parameters, Reader, Row, Transaction
from syncd.store.moments import optional_micros, optional_moment

_MICROSECOND = timedelta(microseconds=1)


async def load_all(reader: Reader) -> list[DirectionRecord]:
    """Return the directions of all mailboxes, parked ones included."""
    return [_record(row) for row in await reader.fetch_all("list_directions")]


async def get(
    reader: Reader, mailbox_id: MailboxId, direction: Direction
) -> DirectionRecord | None:
    """Return one direction of one mailbox; None when nothing was ever saved of it."""
    row = await reader.fetch_one(
        "get_direction", {"mailbox_id": mailbox_id, "direction": direction.value}
    )
    return None if row is None else _record(row)


async def save_many(tx: Transaction, records: Sequence[DirectionRecord]) -> None:
    """Write directions, whether they were there or not."""
    await tx.execute_many("save_direction", [_row(record) for record in records])


def _record(row: Row) -> DirectionRecord:
    duration, error = row["last_duration"], row["last_error"]
    return DirectionRecord(
        mailbox_id=MailboxId(row["mailbox_id"]),
        direction=Direction(row["direction"]),
        enabled=bool(row["enabled"]),
        status=TestStatus(row["status"]),
        status_at=optional_moment(row["status_at"]),
        status_text=row["status_text"],
        next_at=optional_moment(row["next_at"]),
        postponed_until=optional_moment(row["postponed_until"]),
        postponed_why=row["postponed_why"],
        last_started_at=optional_moment(row["last_started_at"]),
        last_success_at=optional_moment(row["last_success_at"]),
        last_duration=None if duration is None else timedelta(microseconds=duration),
        last_error=None if error is None else LastError(**orjson.loads(error)),
        consecutive_failures=row["consecutive_failures"],
        refused_logins=row["refused_logins"],
        first_refused_at=optional_moment(row["first_refused_at"]),
        stopped_at=optional_moment(row["stopped_at"]),
        taken_total=row["taken_total"],
        failed_total=row["failed_total"],
    )


def _row(record: DirectionRecord) -> Parameters:
    duration, error = record.last_duration, record.last_error
    return {
        "mailbox_id": record.mailbox_id,
        "direction": record.direction.value,
        "enabled": record.enabled,
        "status": record.status.value,
        "status_at": optional_micros(record.status_at),
        "status_text": record.status_text,
        "next_at": optional_micros(record.next_at),
        "postponed_until": optional_micros(record.postponed_until),
        "postponed_why": record.postponed_why,
        "last_started_at": optional_micros(record.last_started_at),
        "last_success_at": optional_micros(record.last_success_at),
        "last_duration": None if duration is None else duration // _MICROSECOND,
        "last_error": None if error is None else orjson.dumps(error).decode(),
        "consecutive_failures": record.consecutive_failures,
        "refused_logins": record.refused_logins,
        "first_refused_at": optional_micros(record.first_refused_at),
        "stopped_at": optional_micros(record.stopped_at),
        "taken_total": record.taken_total,
        "failed_total": record.failed_total,
    }
