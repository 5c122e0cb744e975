"""Events: what happened, durable and replayable, numbered in the order of the commits.

An event is written by the transaction that it tells of. Because one transaction commits at a
time, a reader's cursor can never pass an event that commits later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from syncd.errors import StoreError
from syncd.model.mailbox import MailboxId
from syncd.store.database import Reader, Transaction
from syncd.store.moments import from_micros, to_micros

_VERSION = 1
"""Of the shape of `data`, for every type so far."""

_NO_DATA: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event about to be written; `type` is one of contract 5's."""

    type: str
    data: Mapping[str, Any] = field(default_factory=lambda: _NO_DATA)
    """JSON values; `Any` because each type has fields of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as readers get it (contract 5)."""

    id: int
    type: str
    version: int
    time: datetime
    tenant: str | None
    mailbox_id: MailboxId | None
    address: str | None
    sequence: int | None
    data: Mapping[str, Any]


async def append(
    tx: Transaction,
    mailbox_id: MailboxId | None,
    address: str | None,
    tenant: str | None,
    now: datetime,
    events: Sequence[NewEvent],
) -> None:
    """Write events of one mailbox (or of none) in their order."""
    if not events:
        return
    first = None if mailbox_id is None else await _take_sequence(tx, mailbox_id, len(events))
    at = to_micros(now)
    await tx.execute_many(
        "append_event",
        [
            {
                "type": event.type,
                "version": _VERSION,
                "at": at,
                "tenant": tenant,
                "mailbox_id": mailbox_id,
                "address": address,
                "sequence": None if first is None else first + n,
                "data": orjson.dumps(event.data).decode(),
            }
            for n, event in enumerate(events)
        ],
    )


async def after(reader: Reader, cursor: int, limit: int) -> list[Event]:
    """Return up to `limit` events behind a cursor; an event's id is the cursor behind it."""
    rows = await reader.fetch_all("events_after", {"cursor": cursor, "limit": limit})
    return [
        Event(
            id=row["id"],
            type=row["type"],
            version=row["version"],
            time=from_micros(row["at"]),
            tenant=row["tenant"],
            mailbox_id=row["mailbox_id"],
            address=row["address"],
            sequence=row["sequence"],
            data=orjson.loads(row["data"]),
        )
        for row in rows
    ]


async def last_cursor(reader: Reader) -> int:
    """Return the cursor behind the newest event, 0 when there is none."""
    row = await reader.fetch_one("last_event")
    return 0 if row is None or row["id"] is None else int(row["id"])


async def _take_sequence(tx: Transaction, mailbox_id: MailboxId, count: int) -> int:
    row = await tx.fetch_one("take_event_sequence", {"mailbox_id": mailbox_id, "count": count})
    if row is None:
        raise StoreError(f"the store has no mailbox {mailbox_id}")
    first: int = row["first"]
    return first
