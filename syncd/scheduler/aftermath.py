"""What a cycle leaves behind: new status fields, alerts opened and resolved, the next time."""

from datetime import datetime, timedelta

import structlog

from syncd.alerts import wall
from syncd.alerts.wall import About
from syncd.errors import StoreBroken
from syncd.mailboxes.status import Place, Recorded
from syncd.model.mailbox import Direction
from syncd.scheduler.book import Entry
from syncd.scheduler.tools import Tools
from syncd.store.database import Transaction

_log = structlog.get_logger()


def place_of(entry: Entry, direction: Direction) -> Place:
    """Say whose status it is, for `mailboxes.status`."""
    mailbox = entry.mailbox
    endpoint = mailbox.endpoint(direction) if mailbox else None
    return Place(
        address=entry.record.address,
        server=endpoint.place if endpoint else None,
        profile=mailbox.profile.name if mailbox else None,
        interval=mailbox.profile.minimum_polling_interval if mailbox else timedelta(0),
    )


async def conclude(
    tools: Tools, entry: Entry, recorded: Recorded, now: datetime
) -> datetime | None:
    """Take over what a cycle made of the status; return when the next cycle is due."""
    entry.set_direction(recorded.record)
    tools.keeper.note(entry.record.id, recorded.record.direction)
    if recorded.opened or recorded.resolved:
        await _tell_wall(tools, entry, recorded, now)
    return recorded.record.next_at


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
    except Exception:  # noqa: BLE001 - the top of a loop, logged
        # The status fields say the same; an alert that cannot be stored stops no mail.
        _log.exception("alert not stored", address=entry.record.address)
