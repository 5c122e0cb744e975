"""What could not be taken: list, replay, drop."""

from fastapi import APIRouter

from syncd.api import views
from syncd.api.desk import Desk
from syncd.api.views import Json
from syncd.clock import SystemClock
from syncd.incoming import quarantine


def routes(desk: Desk) -> APIRouter:
    """Build the routes over one desk."""
    router = APIRouter(prefix="/quarantine", tags=["quarantine"])

    @router.get("")
    async def list_quarantine() -> Json:
        """List what is put aside or refused by its server, and why. Scope: mail:read."""
        items = await desk.db.read(quarantine.list_quarantine)
        return views.page([views.quarantined(item) for item in items], None)

    @router.post("/{quarantine_id}/replay")
    async def replay(quarantine_id: str) -> Json:
        """Judge it again, or let the next poll fetch it again. Scope: operate."""
        mailbox_id = await quarantine.replay(desk.db, SystemClock(), quarantine_id)
        desk.listing_doubted(desk.book[mailbox_id])
        return {"id": quarantine_id, "result": "replayed"}

    @router.post("/{quarantine_id}/drop")
    async def drop(quarantine_id: str) -> Json:
        """Give it up; nothing is deleted on the server. Scope: operate."""
        mailbox_id = await quarantine.drop(desk.db, SystemClock(), quarantine_id)
        desk.listing_doubted(desk.book[mailbox_id])
        return {"id": quarantine_id, "result": "dropped"}

    return router
