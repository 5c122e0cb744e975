"""Writes status fields back in bulk: many unchanged polls cost one transaction together.

What is lost in a crash is at most a second of status: never a message, and never a due time
by which a provider could be asked too early (`due.first_start` errs to the later side).
"""

import asyncio
from functools import partial

import structlog

from syncd.clock import Clock
from syncd.errors import StoreBroken, StoreError
from syncd.model.mailbox import Direction, MailboxId
from syncd.scheduler.book import Book
from syncd.store import directions
from syncd.store.database import Database

GATHER_SECONDS = 1.0
"""How long changes are gathered before they are written."""

RETRY_SECONDS = 10.0

MOST_AT_ONCE = 2000
"""Rows in one transaction: the writer must stay free for messages."""

_log = structlog.get_logger()


class Keeper:
    """Remembers which status rows changed and writes them soon."""

    def __init__(self, db: Database, book: Book, clock: Clock) -> None:
        self._db = db
        self._book = book
        self._clock = clock
        self._changed: dict[tuple[MailboxId, Direction], None] = {}
        self._wake = asyncio.Event()

    def note(self, mailbox_id: MailboxId, direction: Direction) -> None:
        """Remember that a status changed."""
        self._changed[mailbox_id, direction] = None
        self._wake.set()

    async def run(self) -> None:
        """Write changes as they gather, until cancelled."""
        while True:
            await self._wake.wait()
            await self._clock.sleep(GATHER_SECONDS)
            try:
                await self.flush()
            except StoreBroken:
                raise
            except StoreError as error:
                _log.warning("status not written", error=str(error), again_in=RETRY_SECONDS)
                await self._clock.sleep(RETRY_SECONDS)
            except Exception:  # noqa: BLE001 - the top of a loop, logged
                # The top of the loop: status that cannot be written stops no mail.
                _log.exception("status not written", again_in=RETRY_SECONDS)
                await self._clock.sleep(RETRY_SECONDS)

    async def flush(self) -> None:
        """Write everything that changed; what fails stays noted."""
        self._wake.clear()
        while self._changed:
            batch = list(self._changed)[:MOST_AT_ONCE]
            records = [
                self._book[mailbox_id].direction(direction) for mailbox_id, direction in batch
            ]
            try:
                body = partial(directions.save_many, records=records)
                await self._db.write(body, essential=True)
            except BaseException:
                self._wake.set()
                raise
            for key, record in zip(batch, records, strict=True):
                if self._book[key[0]].direction(key[1]) is record:
                    del self._changed[key]
