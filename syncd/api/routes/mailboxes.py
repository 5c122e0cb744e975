"""Mailboxes: list, show, poll, approve, reject."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from syncd.api import views
from syncd.api.desk import Desk
from syncd.api.views import Json
from syncd.errors import NotFound
from syncd.mailboxes.lifecycle import State
from syncd.scheduler.book import Entry
from syncd.store import events, mailboxes
from syncd.store.database import Transaction

MOST_ITEMS = 1000


def routes(desk: Desk) -> APIRouter:
    """Build the routes over one desk."""
    router = APIRouter(prefix="/mailboxes", tags=["mailboxes"])

    @router.get("")
    async def list_mailboxes(
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 200,
        profile: str | None = None,
        state: State | None = None,
    ) -> Json:
        """List mailboxes by address. Scope: state."""
        chosen = sorted(
            (
                entry
                for entry in desk.book
                if entry.record.address_key > after
                and profile in (None, entry.record.profile)
                and (state is None or state in _states(entry))
            ),
            key=lambda entry: entry.record.address_key,
        )
        shown = chosen[:limit]
        following = shown[-1].record.address_key if len(chosen) > limit else None
        return views.page([views.mailbox(entry) for entry in shown], following)

    @router.post("/{address:path}/poll")
    async def poll(address: str) -> Mapping[str, Any]:
        """Poll now, or join the poll under way; answers when it has ended. Scope: operate."""
        return await desk.poll(find(desk, address))

    @router.post("/{address:path}/approve")
    async def approve(address: str, request: Request) -> Json:
        """Let syncd connect to this mailbox. Scope: approve."""
        return await _judge(desk, find(desk, address), _who(request), is_approved=True)

    @router.post("/{address:path}/reject")
    async def reject(address: str, request: Request) -> Json:
        """Forbid syncd to connect to this mailbox. Scope: approve."""
        return await _judge(desk, find(desk, address), _who(request), is_approved=False)

    # Last: a local part may hold a slash (RFC 5322), so this one takes whatever is left.
    @router.get("/{address:path}")
    async def show(address: str) -> Json:
        """Show one mailbox by address or id. Scope: state."""
        return views.mailbox(find(desk, address))

    return router


def find(desk: Desk, address: str) -> Entry:
    """Return the mailbox of an address or an id; raise NotFound."""
    entry = desk.book.find(address)
    if entry is None and address.isdecimal():
        entry = desk.book.by_id(int(address))
    if entry is None:
        raise NotFound(f"there is no mailbox {address}; `syncd mailbox list` names them all")
    return entry


async def _judge(desk: Desk, entry: Entry, who: str, *, is_approved: bool) -> Json:
    record, now = entry.record, desk.now()
    event = "mailbox.approved" if is_approved else "mailbox.rejected"

    async def change(tx: Transaction) -> mailboxes.MailboxRecord | None:
        await (mailboxes.approve if is_approved else mailboxes.reject)(tx, record.id, who, now)
        await events.append(
            tx,
            record.id,
            record.address,
            record.tenant,
            now,
            [events.NewEvent(event, {"by": who})],
        )
        return await mailboxes.get(tx, record.id)

    changed = await desk.db.write(change)
    if changed is not None:
        entry.record = changed
    await desk.approval_changed(entry)
    return views.mailbox(entry)


def _states(entry: Entry) -> set[State]:
    return {entry.standing(which).state for which in views.DIRECTIONS}


def _who(request: Request) -> str:
    """Name the Unix user at the other end of the socket (see `server.peer_user`)."""
    return request.client.host if request.client else "this process"
