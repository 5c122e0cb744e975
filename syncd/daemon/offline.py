"""The routes without a daemon: the same application over the store, in the command's process."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.metadata import version
from typing import Any, NoReturn

from syncd.api.app import Application, build_app
from syncd.api.problems import NeedsDaemon
from syncd.clock import SystemClock
from syncd.config.resolve import Plan, resolve
from syncd.config.schema import Settings
from syncd.scheduler.book import Book, Entry, read_book
from syncd.store.database import Database
from syncd.store.sqlite import open_sqlite


@asynccontextmanager
async def offline_app(
    settings: Settings, environ: Mapping[str, str], *, writes: bool
) -> AsyncIterator[Application]:
    """Open the store and build the application over it.

    With `writes` everything is opened as the daemon does (the store's lock included), so that
    a message may be queued; without, read-only.
    """
    if writes:
        from syncd.daemon.wire import open_parts

        async with open_parts(settings, environ) as parts:
            yield build_app(OfflineDesk(parts.plan, parts.db, parts.book), version("syncd"))
        return
    plan = resolve(settings)
    db = await open_sqlite(plan.store, read_only=True)
    try:
        book = await read_book(db, plan.mailboxes)
        yield build_app(OfflineDesk(plan, db, book), version("syncd"))
    finally:
        await db.close()


class OfflineDesk:
    """What the routes need, where nothing polls and nothing sends (api.desk.Desk)."""

    def __init__(self, plan: Plan, db: Database, book: Book) -> None:
        self._plan = plan
        self._clock = SystemClock()
        self.db = db
        self.book = book

    @property
    def largest_message(self) -> int:
        """Octets of the largest message that may be queued."""
        return self._plan.max_message_size

    def now(self) -> datetime:
        """Return the present moment."""
        return self._clock.now()

    async def facts(self) -> Mapping[str, Any]:
        """Show the store; there is no process."""
        health = self.db.health()
        return {
            "version": version("syncd"),
            "instance": self._plan.instance,
            "daemon": False,
            "store": {
                "path": str(health.path),
                "bytes": health.store_bytes,
                "free_bytes": health.free_bytes,
                "full": health.full,
            },
        }

    async def poll(self, entry: Entry) -> NoReturn:
        """Refuse: nothing polls here."""
        raise NeedsDaemon(f"polling {entry.record.address} needs a running daemon")

    async def approval_changed(self, _entry: Entry) -> None:
        """Do nothing: the daemon will read it when it starts."""

    def outgoing_changed(self, _entry: Entry) -> None:
        """Do nothing: the daemon will find it when it starts."""

    def listing_doubted(self, _entry: Entry) -> None:
        """Do nothing: nobody here remembers a listing."""
