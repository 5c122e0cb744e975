"""What a cycle leaves behind: new status fields, alerts opened and resolved, the next time."""

from datetime import datetime, timedelta

import structlog

from syncd.alerts import wall
from syncd.alerts.wall import About
from syncd.errors import StoreBroken, StoreError
from syncd.mailboxes.status import Place, Recorded
from syncd.model.mailbox import Direction
from syncd.scheduler.book import Entry
from syncd.scheduler.tools import Tools
from syncd.store.database import Transaction

PROBE_EVERY = timedelta(hours=1)
PROBE_EVERY_LATER = timedelta(days=1)
"""A stopped mailbox is tried once an hour for a day, then once a day: it heals by itself, and
no provider locks an account for one login an hour (contract 3)."""

PROBE_SLOWER_AFTER = timedelta(days=1)

_log = structlog.get_logger()


def place_of(entry: Entry, direction: Direction) -> Place:
    """Say whose status it is, for `mailboxes.status`."""
    mailbox = entry.mailbox
    endpoint = mailbox.endpoint(direction) if mailbox else None
    return Place(
        address=entry.record.address,
        server=endpoint.place if endpoint else None,
        interval=mailbox.profile.minimum_polling_interval if mailbox else timedelta(0),
    )


async def conclude(tools: Tools, entry: Entry, recorded: Recorded, now: datetime) -> datetime:
    """Take over what a cycle made of the status; return when the next cycle is due."""
    entry.set_direction(recorded.record)
    tools.keeper.note(entry.record.id, recorded.record.direction)
    if recorded.opened or recorded.resolved:
        await _tell_wall(tools, entry, recorded, now)
    return recorded.record.next_at or _next_probe(recorded, now)


def _next_probe(recorded: Recorded, now: datetime) -> datetime:
    stopped_at = recorded.record.status_at or now
    is_fresh = now - stopped_at < PROBE_SLOWER_AFTER
    return now + (PROBE_EVERY if is_fresh else PROBE_EVERY_LATER)


async def _tell_wall(tools: Tools, entry: Entry, recorded: Recorded, now: datetime) -> None:
    about = About(entry.record.id, entry.record.address, entry.record.tenant)

    async def write(tx: Transaction) -> None:
        for alert in recorded.opened:
            await wall.open_alert(tx, alert, now, about)
        for obj in recorded.resolved:
            await wall.resolve(tx, obj, now, about)

    try:
        await tools.db.write(write, essential=True)
    except StoreBroken:
        raise
    except StoreError as error:
        # The status fields say the same; an alert that cannot be stored stops no mail.
        _log.warning("alert not stored", error=str(error), address=entry.record.address)
