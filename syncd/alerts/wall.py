"""The wall: alerts open and are resolved, each with its event, in the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime

from syncd.model.alert import Alert
from syncd.model.mailbox import MailboxId
from syncd.store import alerts, events
from syncd.store.database import Transaction
from syncd.store.events import NewEvent


@dataclass(frozen=True, slots=True)
class About:
    """The mailbox whose readers hear of an alert; none for a server or the store."""

    mailbox_id: MailboxId | None = None
    address: str | None = None
    tenant: str | None = None


NOBODY = About()


async def open_alert(
    tx: Transaction, alert: Alert, now: datetime, about: About = NOBODY
) -> None:
    """Put an alert on the wall; one that is open already is counted and tells nobody again."""
    alert_id, is_new = await alerts.open_or_count(tx, alert, now)
    if is_new:
        data = {
            "id": alert_id,
            "code": alert.code,
            "object": alert.object,
            "level": alert.level.value,
            "text": alert.text,
            "remedy": alert.remedy,
        }
        await _tell(tx, NewEvent("alert.opened", data), now, about)


async def resolve(
    tx: Transaction,
    obj: str,
    now: datetime,
    about: About = NOBODY,
    *,
    code: str | None = None,
) -> None:
    """Resolve what is open about an object, under one code or under any."""
    for resolved in await alerts.resolve(tx, obj, code, now):
        data = {
            "id": resolved.id,
            "code": resolved.code,
            "object": resolved.object,
            "level": resolved.level.value,
        }
        await _tell(tx, NewEvent("alert.resolved", data), now, about)


async def _tell(tx: Transaction, event: NewEvent, now: datetime, about: About) -> None:
    await events.append(tx, about.mailbox_id, about.address, about.tenant, now, [event])
