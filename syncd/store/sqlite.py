"""SQLite behind the seam: statements, rows, errors and threads, no meaning.

Rule 1: one thread writes (`group_commit`), a few read; the event loop never touches a
connection. One process writes a file, held by a lock beside it.
Rule 2: after an I/O error this handle writes nothing more: the kernel may have dropped the
pages whose sync failed, and a second sync would claim success (fsyncgate).
How a file is made, checked and opened is in `sqlite_file`.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from syncd.clock import Clock, SystemClock
from syncd.errors import StoreBroken, StoreError, StoreFull, StoreRefused, one_line
from syncd.store.database import Parameters, Reader, Row, StoreHealth, Transaction
from syncd.store.files import Ballast, FileLock, full_words, is_private, require_folder
from syncd.store.group_commit import Commit, GroupCommit, drive
from syncd.store.migrate import load_migrations
from syncd.store.queries import Statements, load_statements
from syncd.store.sqlite_file import (
    DIALECT,
    LOG_PAGES,
    beside,
    open_connections,
    open_readers,
    size_of,
    translate,
)

T = TypeVar("T")

_NOTHING: Parameters = {}


async def open_sqlite(
    path: Path,
    *,
    migrate: bool = True,
    read_only: bool = False,
    clock: Clock | None = None,
    on_commit: Callable[[Commit], None] | None = None,
) -> "SqliteDatabase":
    """Open a store, made or brought up to date first; raises StoreError.

    `read_only` takes no lock and works beside a running daemon. `on_commit` is called in the
    event loop after every commit.
    """
    require_folder(path)
    statements = load_statements(DIALECT)
    try:
        if read_only:
            connections = await asyncio.to_thread(open_readers, path)
            return SqliteDatabase(path, None, _Readers(connections, statements, path))
        lock = FileLock(beside(path, "lock"))
        try:
            known = load_migrations(DIALECT)
            connection, connections = await asyncio.to_thread(
                open_connections, path, known, may_migrate=migrate
            )
        except BaseException:
            lock.release()
            raise
    except OSError as exc:
        raise StoreRefused(f"the store {path} cannot be opened: {exc}") from exc
    ballast = Ballast(beside(path, "ballast"))
    engine = _Engine(connection, statements, path, ballast, lock)
    writer = GroupCommit(engine, clock or SystemClock(), on_commit)
    return SqliteDatabase(path, (writer, engine), _Readers(connections, statements, path))


class SqliteDatabase:
    """One open SQLite store; `database.Database` for everybody but the composition root."""

    def __init__(
        self, path: Path, writing: "tuple[GroupCommit, _Engine] | None", readers: "_Readers"
    ) -> None:
        self._path = path
        self._writing = writing
        self._readers = readers

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        """Run `body` on a snapshot; never waits for writers."""
        return await self._readers.read(body)

    async def write(
        self, body: Callable[[Transaction], Awaitable[T]], *, essential: bool = False
    ) -> T:
        """Run `body`, commit durably, return its result."""
        if self._writing is None:
            raise StoreRefused(f"the store {self._path} was opened for reading only")
        writer, _ = self._writing
        return await writer.write(body, essential=essential)

    async def close(self) -> None:
        """Finish what was begun and close; the lock goes last."""
        await self._readers.close()
        if self._writing is not None:
            writer, _ = self._writing
            await writer.close()

    def health(self) -> StoreHealth:
        """Look at the files; cheap, blocks for no longer than a stat."""
        ballast = Ballast(beside(self._path, "ballast"))
        engine = self._writing[1] if self._writing else None
        return StoreHealth(
            path=self._path,
            store_bytes=size_of(self._path) + size_of(beside(self._path, "wal", "-")),
            free_bytes=ballast.free_bytes,
            full=engine is not None and engine.is_full(),
            room_needed=ballast.room_needed,
            broken=engine.broken if engine else None,
            has_ballast=ballast.is_laid(),
            is_private=is_private(self._path),
        )


class _Session:
    """A connection as bodies see it: named queries, rows as mappings, our errors."""

    __slots__ = ("_columns", "_cursor", "_path", "_statements")

    def __init__(
        self, connection: sqlite3.Connection, statements: Statements, path: Path
    ) -> None:
        self._cursor = connection.cursor()
        self._statements = statements
        self._path = path
        self._columns: dict[str, tuple[str, ...]] = {}

    async def fetch_all(self, query: str, parameters: Parameters = _NOTHING) -> list[Row]:
        """Run a named query and return every row."""
        rows = self._fetch(query, parameters)
        columns = self._columns.get(query) or self._learn_columns(query)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    async def fetch_one(self, query: str, parameters: Parameters = _NOTHING) -> Row | None:
        """Run a named query and return its first row, if any."""
        rows = self._fetch(query, parameters)
        if not rows:
            return None
        columns = self._columns.get(query) or self._learn_columns(query)
        return dict(zip(columns, rows[0], strict=True))

    async def execute(self, query: str, parameters: Parameters = _NOTHING) -> int:
        """Run a named statement and return how many rows it touched."""
        statement = self._statements[query]
        try:
            return self._cursor.execute(statement.text, statement.values(parameters)).rowcount
        except sqlite3.Error as exc:
            raise translate(exc, self._path, query) from exc

    async def execute_many(self, query: str, rows: Sequence[Parameters]) -> None:
        """Run a named statement once for each set of parameters."""
        statement = self._statements[query]
        try:
            self._cursor.executemany(statement.text, map(statement.values, rows))
        except sqlite3.Error as exc:
            raise translate(exc, self._path, query) from exc

    def _learn_columns(self, query: str) -> tuple[str, ...]:
        columns = tuple(column[0] for column in self._cursor.description)
        self._columns[query] = columns
        return columns

    def close(self) -> None:
        """Let go of the last statement; with one left SQLite only pretends to close."""
        self._cursor.close()

    def _fetch(self, query: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        statement = self._statements[query]
        try:
            # All of them: a statement left half read would keep its snapshot, and so the WAL.
            return self._cursor.execute(statement.text, statement.values(parameters)).fetchall()
        except sqlite3.Error as exc:
            raise translate(exc, self._path, query) from exc


class _Engine:
    """The writing connection, as group commit drives it; lives in the writer's thread."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        statements: Statements,
        path: Path,
        ballast: Ballast,
        lock: FileLock,
    ) -> None:
        self.broken: str | None = None
        self._connection = connection
        self._cursor = connection.cursor()
        self._session = _Session(connection, statements, path)
        self._path = path
        self._ballast = ballast
        self._lock = lock
        # A daemon that starts on a full disk must not eat the room that another one left.
        self._full = not ballast.is_laid() and ballast.free_bytes < ballast.room_needed
        self._log_pages = 0
        self._pages_used = 0
        self._rows_changed = 0

    @property
    def transaction(self) -> Transaction:
        """The transaction as bodies see it."""
        return self._session

    def is_full(self) -> bool:
        """Tell whether the disk was full and has no room again yet."""
        return self._full and self._ballast.free_bytes < self._ballast.room_needed

    def admit(self, *, essential: bool) -> None:
        """Raise when a write may not even be tried: broken, or full and not essential."""
        if self.broken is not None:
            raise StoreBroken(
                f"the store {self._path} had an I/O error and is not written to any more: "
                f"{self.broken}. Look at the disk, then restart syncd."
            )
        if not self._full:
            return
        if not self.is_full():
            self._full = False
            self._ballast.lay()
        elif not essential:
            raise StoreFull(full_words(self._path))

    def begin(self) -> None:
        """Take the write lock; a deferred one could not be waited for."""
        self._run("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Write the WAL and sync it."""
        self._run("COMMIT")

    def rollback(self) -> None:
        """Undo everything since `begin`, whatever is left of it."""
        if not self._connection.in_transaction:
            return
        try:
            self._cursor.execute("ROLLBACK")
        except sqlite3.Error as exc:
            # What cannot be undone must not be committed by the next one.
            self.broken = one_line(str(exc))

    def mark(self) -> None:
        """Open a savepoint."""
        self._run("SAVEPOINT body")

    def keep(self) -> None:
        """Release the savepoint."""
        self._run("RELEASE body")

    def undo(self) -> None:
        """Undo everything since the savepoint."""
        self._run("ROLLBACK TO body")
        self._run("RELEASE body")

    def is_in_transaction(self) -> bool:
        """Tell whether SQLite still has the transaction: a full disk may end it."""
        return self._connection.in_transaction

    def rows_changed(self) -> int:
        """Count the rows changed since the connection was opened."""
        return self._connection.total_changes

    def note(self, error: BaseException) -> None:
        """Remember what an error means for the writes to come."""
        if isinstance(error, StoreBroken) and self.broken is None:
            self.broken = one_line(str(error))
        elif isinstance(error, StoreFull):
            self._full = True
            self._ballast.give_up()
            self._log_pages = LOG_PAGES  # what is checkpointed makes room in the log

    def after_commit(self) -> None:
        """Checkpoint the log when it is long.

        SQLite would do that inside a commit, let its callers wait, and swallow the errors.
        """
        if self.broken is not None:
            return
        try:
            self._log_pages += self._pages_just_written()
            if self._log_pages >= LOG_PAGES:
                self._log_pages = 0
                self._run("PRAGMA wal_checkpoint(PASSIVE)")
        except StoreError as exc:
            self.note(exc)

    def close(self) -> None:
        """Close the connection, which checkpoints; then let go of the store."""
        try:
            self._session.close()
            self._cursor.close()
            self._connection.close()
        finally:
            self._lock.release()

    def _pages_just_written(self) -> int:
        """Estimate the log's growth: pages taken or given back, and one for each row."""
        (pages,) = self._run("PRAGMA page_count").fetchone()
        (free,) = self._run("PRAGMA freelist_count").fetchone()
        rows = self._connection.total_changes
        grown = abs(pages - free - self._pages_used) + rows - self._rows_changed
        self._pages_used, self._rows_changed = pages - free, rows
        return int(grown)

    def _run(self, statement: str) -> sqlite3.Cursor:
        try:
            return self._cursor.execute(statement)
        except sqlite3.Error as exc:
            raise translate(exc, self._path, statement) from exc


class _Readers:
    """A few threads with a reading connection each."""

    def __init__(
        self, connections: Sequence[sqlite3.Connection], statements: Statements, path: Path
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._closed = False
        # Unbounded, yet small: every entry is a task that waits for it.
        self._queue: queue.SimpleQueue[_Reading | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(connection, _Session(connection, statements, path)),
                name=f"store-reader-{number}",
                daemon=True,
            )
            for number, connection in enumerate(connections)
        ]
        for thread in self._threads:
            thread.start()

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        """Run `body` on a snapshot in the next free thread."""
        if self._closed:
            raise StoreRefused("the store is closed")
        reading = _Reading(body, self._loop.create_future())
        self._queue.put(reading)
        result: T = await reading.future
        return result

    async def close(self) -> None:
        """Finish what was queued, then close the connections."""
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _work(self, connection: sqlite3.Connection, session: _Session) -> None:
        while (reading := self._queue.get()) is not None:
            if reading.future.cancelled():
                continue
            try:
                self._run(connection, session, reading)
            except BaseException as exc:  # noqa: BLE001 - the caller gets it raised
                reading.error = exc
            try:
                self._loop.call_soon_threadsafe(reading.deliver)
            except RuntimeError:
                break  # the loop is gone, and with it everybody who could wait
        session.close()
        connection.close()

    def _run(
        self, connection: sqlite3.Connection, session: _Session, reading: "_Reading"
    ) -> None:
        try:
            connection.execute("BEGIN")
            try:
                reading.result = drive(reading.body, session)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as exc:
            raise translate(exc, self._path, "reading") from exc


@dataclass(slots=True, eq=False)
class _Reading:
    """One caller's reading body, and what became of it."""

    body: Callable[[Reader], Awaitable[Any]]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def deliver(self) -> None:
        """Hand the caller what there is."""
        if self.future.done():
            return  # cancelled
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)
            self.error = None
