"""Sweeps what a crash or a failed download left: pieces of messages that nobody adopted."""

from datetime import timedelta
from functools import partial

import structlog

from syncd.clock import Clock
from syncd.errors import StoreBroken
from syncd.store import bodies
from syncd.store.database import Database

EVERY = timedelta(hours=1)

ORPHANED_AFTER = timedelta(hours=25)
"""A download may take a whole session, whose longest time is a day (session_timeout); what is
older belongs to nobody."""

_log = structlog.get_logger()


async def sweep(db: Database, clock: Clock, older_than: timedelta) -> int:
    """Delete orphaned pieces, in small transactions; return how many went."""
    swept = 0
    before = clock.now() - older_than
    body = partial(bodies.sweep_staged, older_than=before)
    while went := await db.write(body, essential=True):
        swept += went
    return swept


class Janitor:
    """Sweeps once an hour."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self._clock.sleep(EVERY.total_seconds())
            try:
                swept = await sweep(self._db, self._clock, ORPHANED_AFTER)
            except StoreBroken:
                raise
            except Exception:  # noqa: BLE001 - the top of a loop, logged
                # The top of the loop: what is not swept now is swept in an hour.
                _log.exception("not swept")
            else:
                _log.debug("swept", chunks=swept)
