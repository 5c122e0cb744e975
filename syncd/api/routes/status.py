"""What runs, what waits, what is wrong."""

from collections import Counter

from fastapi import APIRouter

from syncd.api import views
from syncd.api.desk import Desk
from syncd.api.views import Json
from syncd.model.mailbox import Direction
from syncd.store import alerts, outbox
from syncd.store.alerts import AlertRecord
from syncd.store.database import Reader
from syncd.store.outbox import QueueCount

MOST_ALERTS = 200
"""More open alerts than anybody reads at once."""


def routes(desk: Desk) -> APIRouter:
    """Build the route over one desk."""
    router = APIRouter(tags=["status"])

    @router.get("/status")
    async def status() -> Json:
        """Show mailboxes by state, the queue, the store and every open alert. Scope: state."""

        async def rows(reader: Reader) -> tuple[list[AlertRecord], list[QueueCount]]:
            shown = await alerts.list_alerts(reader, 0, MOST_ALERTS)
            return shown, await outbox.count(reader)

        opened, queued = await desk.db.read(rows)
        return {
            **await desk.facts(),
            "mailboxes": {
                which.value: dict(Counter(e.standing(which).state.value for e in desk.book))
                for which in Direction
            },
            "queue": _queue(queued),
            "alerts": [views.alert(row) for row in opened],
        }

    return router


def _queue(counts: list[QueueCount]) -> dict[str, int]:
    by_state: Counter[str] = Counter()
    for count in counts:
        by_state[count.state] += count.messages
    return dict(by_state)
