"""The outgoing queue: submit, list, show, retry, cancel."""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request

from syncd.api import views
from syncd.api.desk import Desk
from syncd.api.routes.mailboxes import find
from syncd.api.views import LARGEST_ID, Json
from syncd.errors import NotFound, Refused
from syncd.model.mail import OutgoingId, OutgoingState
from syncd.outgoing import queue
from syncd.outgoing.addresses import parse_address_list
from syncd.outgoing.compose import SenderRules, compose
from syncd.outgoing.conclusion import Command
from syncd.store import outbox
from syncd.store.database import Reader
from syncd.store.outbox import AttemptRow, OutgoingRow

MOST_ITEMS = 500

LARGE_OCTETS = 1024 * 1024
"""A message above this waits for a place, and is looked through beside the event loop."""

MOST_LARGE = 2
"""Large messages that are being taken at once: each one is in memory once."""

Id = Annotated[int, Path(ge=0, le=LARGEST_ID)]


def routes(desk: Desk) -> APIRouter:
    """Build the routes over one desk."""
    router = APIRouter(tags=["outgoing"])
    places = asyncio.Semaphore(MOST_LARGE)

    @router.post("/mailboxes/{address:path}/outgoing", status_code=202)
    async def submit(
        address: str,
        request: Request,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
        recipient: Annotated[list[str] | None, Query()] = None,
    ) -> Json:
        """Queue a message/rfc822; committed before the answer. Scope: mail:send."""
        entry = find(desk, address)
        if entry.mailbox is None:
            raise Refused("mailbox", f"{address} is parked: it is not in the configuration")
        complete = partial(
            compose,
            rules=SenderRules(
                address=entry.mailbox.address,
                send_as=entry.mailbox.send_as,
                max_octets=desk.largest_message,
            ),
            now=desk.now(),
            token=secrets.token_hex(16),
            recipients=_envelope(recipient),
        )
        async with AsyncExitStack() as place:
            raw = await _body(request, desk.largest_message, places, place)
            if len(raw) > LARGE_OCTETS:
                composed = await asyncio.to_thread(complete, raw)
            else:
                composed = complete(raw)
            accepted = await queue.enqueue(
                desk.db, composed, entry.record, now=desk.now(), idempotency_key=idempotency_key
            )
        desk.outgoing_changed(entry)
        return {
            "id": accepted.id,
            "message_id": accepted.message_id,
            "recipients": [views.recipient(one) for one in accepted.recipients],
            "is_new": accepted.is_new,
        }

    @router.get("/outgoing")
    async def list_outgoing(
        after: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 100,
        state: OutgoingState | None = None,
        mailbox: str | None = None,
    ) -> Json:
        """List the queue, oldest first. Scope: mail:read."""
        mailbox_id = find(desk, mailbox).record.id if mailbox else None
        rows = await desk.db.read(
            lambda reader: outbox.list_rows(
                reader, mailbox_id=mailbox_id, state=state, after=OutgoingId(after), limit=limit
            )
        )
        following = rows[-1].id if len(rows) == limit else None
        return views.page(
            [views.outgoing(row, desk.book[row.mailbox_id]) for row in rows], following
        )

    @router.get("/outgoing/{outgoing_id}")
    async def show(outgoing_id: Id) -> Json:
        """Show one message with its delivery history. Scope: mail:read."""

        async def rows(reader: Reader) -> tuple[OutgoingRow | None, Sequence[AttemptRow]]:
            return (
                await outbox.get(reader, OutgoingId(outgoing_id)),
                await outbox.history(reader, OutgoingId(outgoing_id)),
            )

        row, history = await desk.db.read(rows)
        if row is None:
            raise NotFound(f"there is no outgoing message {outgoing_id}")
        return {
            **views.outgoing(row, desk.book[row.mailbox_id]),
            "history": [views.attempt(one) for one in history],
        }

    @router.post("/outgoing/{outgoing_id}/retry")
    async def retry(outgoing_id: Id) -> Json:
        """Try a message again now. Scope: operate."""
        return await _command(desk, outgoing_id, Command.RETRY)

    @router.post("/outgoing/{outgoing_id}/cancel")
    async def cancel(outgoing_id: Id) -> Json:
        """Cancel what is not answered yet. Scope: operate."""
        return await _command(desk, outgoing_id, Command.CANCEL)

    return router


async def _command(desk: Desk, outgoing_id: Id, wish: Command) -> Json:
    row = await queue.command(desk.db, OutgoingId(outgoing_id), wish, desk.now())
    desk.outgoing_changed(desk.book[row.mailbox_id])
    return views.outgoing(row, desk.book[row.mailbox_id])


async def _body(
    request: Request, largest: int, places: asyncio.Semaphore, place: AsyncExitStack
) -> bytearray:
    """Read the message; stop as soon as it is larger than may be.

    One that turns out large takes its place before more of it is read; it keeps it until
    `place` is closed.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "message/rfc822":
        raise Refused("Content-Type", f"must be message/rfc822; found {kind or 'nothing'}")
    raw, is_large = bytearray(), False
    async for piece in request.stream():
        raw += piece
        if len(raw) > largest:
            raise Refused("message", f"has more than {largest} octets")
        if len(raw) > LARGE_OCTETS and not is_large:
            is_large = True
            await place.enter_async_context(places)
    return raw


def _envelope(recipients: list[str] | None) -> list[str] | None:
    """Return the recipients that were named apart from the headers, if any were."""
    if recipients is None:
        return None
    return [one for text in recipients for one in parse_address_list(text, "recipient")]
