"""The store's own state, seen before and after a cycle.

Rule 1: while the disk is full nobody is polled: what came could not be kept.
Rule 2: a broken store ends the process: a fresh one reads what is truly on the disk.
"""

from syncd.errors import StoreBroken, StoreFull
from syncd.store.database import Database


def refuse_full(db: Database) -> None:
    """Raise StoreFull while there is no room: no login is spent on mail that cannot be kept."""
    health = db.health()
    if health.full:
        raise StoreFull(
            f"the disk is full at {health.path}: {health.free_bytes} bytes are free, "
            f"{health.room_needed} are needed; polling pauses and resumes by itself"
        )


def refuse_broken(db: Database) -> None:
    """Raise StoreBroken after an I/O error that no later write can be trusted after."""
    broken = db.health().broken
    if broken is not None:
        raise StoreBroken(broken)
