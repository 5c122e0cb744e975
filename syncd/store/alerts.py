"""Alerts as the store keeps them: one open row per code and object."""

from dataclasses import dataclass
from datetime import datetime

from syncd.model.alert import Alert, AlertLevel
from syncd.store.database import Reader, Row, Transaction
from syncd.store.moments import from_micros, optional_moment, to_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRecord:
    """One row of the wall."""

    id: int
    alert: Alert
    opened_at: datetime
    last_seen_at: datetime
    count: int
    acknowledged_at: datetime | None
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """An alert that was just resolved."""

    id: int
    code: str
    object: str
    level: AlertLevel


async def open_or_count(tx: Transaction, alert: Alert, now: datetime) -> tuple[int, bool]:
    """Put an alert on the wall, or count it there; return its id and whether it is new."""
    row = await tx.fetch_one(
        "open_alert",
        {
            "code": alert.code,
            "object": alert.object,
            "level": alert.level.value,
            "text": alert.text,
            "remedy": alert.remedy,
            "now": to_micros(now),
        },
    )
    assert row is not None  # noqa: S101 - RETURNING gives the row
    return row["id"], row["count"] == 1


async def resolve(tx: Transaction, obj: str, code: str | None, now: datetime) -> list[Resolved]:
    """Resolve what is open about an object, under one code or under any."""
    parameters = {"object": obj, "code": code, "now": to_micros(now)}
    rows = await tx.fetch_all("resolve_alerts_of", parameters)
    return [
        Resolved(row["id"], row["code"], row["object"], AlertLevel(row["level"]))
        for row in rows
    ]


async def list_alerts(
    reader: Reader, after: int, limit: int, *, resolved: bool = False
) -> list[AlertRecord]:
    """Return alerts in the order they were opened; with `resolved`, those too."""
    parameters = {"after": after, "limit": limit, "all": resolved}
    return [_record(row) for row in await reader.fetch_all("list_alerts", parameters)]


async def acknowledge(tx: Transaction, alert_id: int, now: datetime) -> bool:
    """Note that somebody has seen it."""
    parameters = {"id": alert_id, "now": to_micros(now)}
    return await tx.execute("acknowledge_alert", parameters) == 1


async def delete(tx: Transaction, alert_id: int) -> bool:
    """Take an alert off the wall."""
    return await tx.execute("delete_alert", {"id": alert_id}) == 1


async def count_open(reader: Reader) -> dict[AlertLevel, int]:
    """Count what is open, by level; a level without any is 0."""
    rows = await reader.fetch_all("count_open_alerts")
    found = {AlertLevel(row["level"]): row["alerts"] for row in rows}
    return {level: found.get(level, 0) for level in AlertLevel}


def _record(row: Row) -> AlertRecord:
    return AlertRecord(
        id=row["id"],
        alert=Alert(
            code=row["code"],
            object=row["object"],
            level=AlertLevel(row["level"]),
            text=row["text"],
            remedy=row["remedy"],
        ),
        opened_at=from_micros(row["opened_at"]),
        last_seen_at=from_micros(row["last_seen_at"]),
        count=row["count"],
        acknowledged_at=optional_moment(row["acknowledged_at"]),
        resolved_at=optional_moment(row["resolved_at"]),
    )
