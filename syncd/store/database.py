"""The seam between meaning and engine: named queries, transactions, nothing else.

A transaction's body is a coroutine function that takes the transaction. On SQLite it runs
in the one writer thread and never suspends; on PostgreSQL it runs in the event loop. So a
body may await only the transaction's own methods, must be safe to run again from its start
(PostgreSQL repeats serialisation failures), and keeps no result outside until it returns.
A StoreError ends it: catching one and going on works on SQLite only (use ON CONFLICT).

Rule 1: `write` returns only after the commit is durable. If it raises, nothing was kept.
Rule 2: bodies of many callers share one commit (group commit), each inside a savepoint of
its own: one that fails takes nobody along.
Rule 3: queries have names and live in `sql/<dialect>/*.sql`; both dialects know the same
names. Parameters are named (`:mailbox_id`), values are int, float, str, bytes, bool or None.
Moments are integers: microseconds since 1970 UTC (`store.moments`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

Value = int | float | str | bytes | bool | None
Parameters = Mapping[str, Value]
Row = Mapping[str, Any]
"""One result row by column name; `Any` because the column's type is the query's business."""

T = TypeVar("T")


class Reader(Protocol):
    """Reads one consistent snapshot."""

    async def fetch_all(self, query: str, parameters: Parameters = ...) -> list[Row]:
        """Run a named query and return every row."""
        ...

    async def fetch_one(self, query: str, parameters: Parameters = ...) -> Row | None:
        """Run a named query and return its first row, if any."""
        ...


class Transaction(Reader, Protocol):
    """Reads and writes; everything or nothing."""

    async def execute(self, query: str, parameters: Parameters = ...) -> int:
        """Run a named statement and return how many rows it touched."""
        ...

    async def execute_many(self, query: str, rows: Sequence[Parameters]) -> None:
        """Run a named statement once for each set of parameters, as fast as the engine can."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """What is known of the store's own state, for status, metrics and alerts."""

    path: Path
    store_bytes: int
    """Database and write-ahead log together."""
    free_bytes: int
    full: bool
    """True from a full disk until there is room again; only essential writes are tried."""
    room_needed: int
    """Free bytes with which a full disk counts as mended."""
    broken: str | None
    """The I/O error after which nothing is written any more: restart syncd when it is mended."""
    has_ballast: bool
    is_private: bool
    """False when others than its owner may read the file."""


class Database(Protocol):
    """One open store."""

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        """Run `body` on a snapshot; never waits for writers."""
        ...

    async def write(
        self, body: Callable[[Transaction], Awaitable[T]], *, essential: bool = False
    ) -> T:
        """Run `body`, commit durably, return its result.

        Raises StoreFull, StoreBusy, StoreBroken; or what `body` raised, its work undone.
        While the disk is full only `essential` writes are tried, on the room of the ballast:
        states, alerts, deletions, the outcome of what was already sent. Never new mail.
        A caller cancelled before its body begins leaves no trace; later, it may be committed.
        """
        ...

    def health(self) -> StoreHealth:
        """Look at the store from outside; cheap, never waits for a transaction."""
        ...

    async def close(self) -> None:
        """Finish what was begun and close."""
        ...
