"""Incoming messages: list, show, the exact bytes."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from syncd.api import views
from syncd.api.desk import Desk
from syncd.api.routes.mailboxes import find
from syncd.api.views import LARGEST_ID, Json
from syncd.errors import NotFound
from syncd.model.mail import MessageId
from syncd.store import messages
from syncd.store.messages import MessageRecord

MOST_ITEMS = 1000

Id = Annotated[int, Path(ge=0, le=LARGEST_ID)]


def routes(desk: Desk) -> APIRouter:
    """Build the routes over one desk."""
    router = APIRouter(prefix="/messages", tags=["messages"])

    @router.get("")
    async def list_messages(
        after: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 100,
        mailbox: str | None = None,
    ) -> Json:
        """List messages in the order they were stored. Scope: mail:read."""
        mailbox_id = find(desk, mailbox).record.id if mailbox else None
        records = await desk.db.read(
            lambda reader: messages.list_messages(reader, mailbox_id, after, limit)
        )
        following = records[-1].id if len(records) == limit else None
        return views.page([views.message(record) for record in records], following)

    @router.get("/{message_id}")
    async def show(message_id: Id) -> Json:
        """Show what is known of one message. Scope: mail:read."""
        return views.message(await _get(desk, message_id))

    @router.get("/{message_id}/raw", response_class=StreamingResponse)
    async def raw(message_id: Id) -> StreamingResponse:
        """Give the bytes as the server sent them, proved by SHA-256. Scope: mail:read."""
        record = await _get(desk, message_id)
        return StreamingResponse(
            messages.read_raw(desk.db, record),
            media_type="message/rfc822",
            headers={"content-length": str(record.octets)},
        )

    return router


async def _get(desk: Desk, message_id: int) -> MessageRecord:
    record = await desk.db.read(
        lambda reader: messages.message_by_id(reader, MessageId(message_id))
    )
    if record is None:
        raise NotFound(f"there is no message {message_id}")
    return record
