"""What the routes need of the process behind them: the daemon, or a command over the store."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from syncd.scheduler.book import Book, Entry
from syncd.store.database import Database

Json = Any  # JSON as orjson takes it


class Desk(Protocol):
    """The process behind the routes."""

    @property
    def db(self) -> Database:
        """The store."""
        ...

    @property
    def book(self) -> Book:
        """Every mailbox this process knows."""
        ...

    def now(self) -> datetime:
        """Return the present moment."""
        ...

    async def facts(self) -> Mapping[str, Json]:
        """What `status` shows besides mailboxes, queue and alerts: the process itself."""
        ...

    async def poll(self, entry: Entry) -> Mapping[str, Json]:
        """Poll one mailbox now and report; raises NeedsDaemon where nothing polls."""
        ...

    async def approval_changed(self, entry: Entry) -> None:
        """An administrator has judged: let the mailbox start or stop."""
        ...

    def outgoing_changed(self, entry: Entry) -> None:
        """Something of this mailbox may be due for sending."""
        ...

    def listing_doubted(self, entry: Entry) -> None:
        """What the last listing of this mailbox said does not count any more: look again."""
        ...

    @property
    def largest_message(self) -> int:
        """Octets of the largest message that may be queued (limits.max_message_size)."""
        ...
