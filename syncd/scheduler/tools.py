"""What both kinds of rounds work with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from syncd.clock import Clock
from syncd.connections.dial import Dialer
from syncd.scheduler.book import Book
from syncd.scheduler.keeper import Keeper
from syncd.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """One process's store, book, roads and clock."""

    db: Database
    book: Book
    keeper: Keeper
    dialer: Dialer
    clock: Clock
    dice: Callable[[], float]
    """Returns a number in [0, 1)."""
    max_message_size: int
    unknown_wait: timedelta
    """Between a lost answer to the final dot and the next attempt."""
