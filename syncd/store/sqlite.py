"""SQLite behind the seam: connections, types and errors, no meaning.

Rule 1: `synchronous=FULL` and WAL, read back after they were set: in WAL mode NORMAL does not
sync a commit (faults.md M18), and we delete on servers what we have committed.
Rule 2: one thread writes (`group_commit`), a few read; the event loop never touches a
connection. One process writes a file, held by a lock beside it.
Rule 3: a store is complete or not there: it is made under another name and renamed. An empty
or damaged file is refused, never made anew.
Rule 4: after an I/O error this handle writes nothing more: the kernel may have dropped the
pages whose sync failed, and a second sync would claim success (fsyncgate).
Rule 5: nobody else in this process opens the database file, not even to read it: closing any
descriptor of a file drops the locks that SQLite holds on it (POSIX).
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from syncd.clock import Clock, SystemClock
from syncd.errors import (
    StoreBroken,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreRefused,
    one_line,
)
from syncd.store.database import Parameters, Reader, Row, Transaction
from syncd.store.files import (
    Ballast,
    FileLock,
    create_private,
    is_out_of_room,
    is_private,
    require_folder,
    sync_folder,
)
from syncd.store.group_commit import Commit, GroupCommit, drive
from syncd.store.migrate import Migration, choose_pending, load_migrations
from syncd.store.queries import Queries, load_queries

T = TypeVar("T")

DIALECT = "sqlite"

READERS = 3
"""Reading threads: enough that a long listing does not hold up a short question."""

_BUSY_SECONDS = 30.0
"""How long we wait for an operator's own sqlite3 shell or backup (faults 46)."""

_PAGE_OCTETS = 4096
"""Measured with 8 KB bodies: larger pages gain nothing for the bodies and write more for
every small row that a commit touches."""

_LOG_PAGES = 5000
"""Pages written to the log (about 14 MB of mail, for the estimate is high) after which it is
checkpointed, once the callers have their results. Less than the ballast: on a full disk the
whole log can then move into the database. Three times as much would gain a tenth of speed."""

_LOG_PAGES_ODD = 4 * _LOG_PAGES
"""SQLite checkpoints by itself, inside a commit, when our estimate was wrong by this much."""

_CHECKED_WHOLE_OCTETS = 512 * 1024 * 1024
"""Stores up to this size are checked whole at every start (about a second); of larger ones
everything but the message bodies, which are proved by their SHA-256 when read."""

_NOTHING: Parameters = {}


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
    queries = load_queries(DIALECT)
    try:
        if read_only:
            connections = await asyncio.to_thread(_open_readers, path)
            return SqliteDatabase(path, None, _Readers(connections, queries, path))
        lock = FileLock(_beside(path, "lock"))
        try:
            known = load_migrations(DIALECT)
            connection, connections = await asyncio.to_thread(
                _open_all, path, known, may_migrate=migrate
            )
        except BaseException:
            lock.release()
            raise
    except OSError as exc:
        raise StoreRefused(f"the store {path} cannot be opened: {exc}") from exc
    ballast = Ballast(_beside(path, "ballast"))
    engine = _Engine(connection, queries, path, ballast, lock)
    writer = GroupCommit(engine, clock or SystemClock(), on_commit)
    return SqliteDatabase(path, (writer, engine), _Readers(connections, queries, path))


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
        ballast = Ballast(_beside(self._path, "ballast"))
        engine = self._writing[1] if self._writing else None
        return StoreHealth(
            path=self._path,
            store_bytes=_size(self._path) + _size(_beside(self._path, "wal", "-")),
            free_bytes=ballast.free_bytes,
            full=engine is not None and engine.is_full(),
            room_needed=ballast.room_needed,
            broken=engine.broken if engine else None,
            has_ballast=ballast.is_laid(),
            is_private=is_private(self._path),
        )


class _Session:
    """A connection as bodies see it: named queries, rows as mappings, our errors."""

    __slots__ = ("_columns", "_cursor", "_path", "_queries")

    def __init__(self, connection: sqlite3.Connection, queries: Queries, path: Path) -> None:
        self._cursor = connection.cursor()
        self._queries = queries
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
        try:
            return self._cursor.execute(self._queries[query], parameters).rowcount
        except sqlite3.Error as exc:
            raise _translate(exc, self._path, query) from exc

    async def execute_many(self, query: str, rows: Sequence[Parameters]) -> None:
        """Run a named statement once for each set of parameters."""
        try:
            self._cursor.executemany(self._queries[query], rows)
        except sqlite3.Error as exc:
            raise _translate(exc, self._path, query) from exc

    def _learn_columns(self, query: str) -> tuple[str, ...]:
        columns = tuple(column[0] for column in self._cursor.description)
        self._columns[query] = columns
        return columns

    def close(self) -> None:
        """Let go of the last statement; with one left SQLite only pretends to close."""
        self._cursor.close()

    def _fetch(self, query: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        try:
            # All of them: a statement left half read would keep its snapshot, and so the WAL.
            return self._cursor.execute(self._queries[query], parameters).fetchall()
        except sqlite3.Error as exc:
            raise _translate(exc, self._path, query) from exc


class _Engine:
    """The writing connection, as group commit drives it; lives in the writer's thread."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        queries: Queries,
        path: Path,
        ballast: Ballast,
        lock: FileLock,
    ) -> None:
        self.broken: str | None = None
        self._connection = connection
        self._cursor = connection.cursor()
        self._session = _Session(connection, queries, path)
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
            raise StoreFull(self._full_words())

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
            self._log_pages = _LOG_PAGES  # what is checkpointed makes room in the log

    def after_commit(self) -> None:
        """Checkpoint the log when it is long.

        SQLite would do that inside a commit, let its callers wait, and swallow the errors.
        """
        if self.broken is not None:
            return
        try:
            self._log_pages += self._pages_just_written()
            if self._log_pages >= _LOG_PAGES:
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
            raise _translate(exc, self._path, statement) from exc

    def _full_words(self) -> str:
        free, needed = self._ballast.free_bytes, self._ballast.room_needed
        return (
            f"the disk under {self._path} is full: {free // 1024**2} MiB free, "
            f"{needed // 1024**2} MiB needed before mail is taken again"
        )


class _Readers:
    """A few threads with a reading connection each."""

    def __init__(
        self, connections: Sequence[sqlite3.Connection], queries: Queries, path: Path
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._closed = False
        # Unbounded, yet small: every entry is a task that waits for it.
        self._queue: queue.SimpleQueue[_Reading | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(connection, _Session(connection, queries, path)),
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
            raise _translate(exc, self._path, "reading") from exc


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


def _open_all(
    path: Path, known: Sequence[Migration], *, may_migrate: bool
) -> tuple[sqlite3.Connection, list[sqlite3.Connection]]:
    connection = _open_writer(path, known, may_migrate=may_migrate)
    try:
        Ballast(_beside(path, "ballast")).lay()
        return connection, _open_readers(path)
    except BaseException:
        connection.close()
        raise


def _open_writer(
    path: Path, known: Sequence[Migration], *, may_migrate: bool
) -> sqlite3.Connection:
    if not path.exists():
        _make_new(path, known)
    elif _size(path) == 0:
        raise StoreRefused(
            f"the store {path} is an empty file: something emptied it. Restore a backup, or "
            "remove the file if you mean to begin anew."
        )
    connection = _connect(path, "rw")
    try:
        _set_up_writer(connection)
        _require_sound(connection, path)
        _bring_up_to_date(connection, path, known, may_migrate=may_migrate)
    except sqlite3.Error as exc:
        connection.close()
        raise _refuse(exc, path) from exc
    except BaseException:
        connection.close()
        raise
    return connection


def _open_readers(path: Path) -> list[sqlite3.Connection]:
    if not path.exists():
        raise StoreRefused(f"there is no store at {path}")
    connections: list[sqlite3.Connection] = []
    try:
        for _ in range(READERS):
            connection = _connect(path, "ro")
            connections.append(connection)
            connection.execute("PRAGMA cache_size = -2048")
        _require_current(connections[0])
    except sqlite3.Error as exc:
        _close_all(connections)
        raise _refuse(exc, path) from exc
    except BaseException:
        _close_all(connections)
        raise
    return connections


def _close_all(connections: Sequence[sqlite3.Connection]) -> None:
    for connection in connections:
        connection.close()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        cached_statements=512,
        check_same_thread=False,  # opened here, then used by one thread only
    )


def _set_up_writer(connection: sqlite3.Connection) -> None:
    wanted = {
        "journal_mode": ("WAL", "wal"),
        "synchronous": ("FULL", 2),
        "foreign_keys": ("ON", 1),
    }
    for pragma, (word, expected) in wanted.items():
        connection.execute(f"PRAGMA {pragma} = {word}")
        (found,) = connection.execute(f"PRAGMA {pragma}").fetchone()
        if found != expected:
            raise StoreRefused(f"SQLite will not set {pragma} to {word}: it says {found}")
    for pragma in (
        f"wal_autocheckpoint = {_LOG_PAGES_ODD}",
        f"journal_size_limit = {_LOG_PAGES_ODD * _PAGE_OCTETS}",
        "cache_size = -8192",
        "mmap_size = 0",  # a mapped file turns an I/O error into SIGBUS, and counts as memory
        "temp_store = MEMORY",
        "secure_delete = FAST",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _make_new(path: Path, known: Sequence[Migration]) -> None:
    """Make a store under another name; a crash leaves no half of one under its own.

    Without a write-ahead log: what has no second file cannot be parted from it by the rename.
    """
    unfinished = _beside(path, "new")
    unfinished.unlink(missing_ok=True)
    _beside(unfinished, "journal", "-").unlink(missing_ok=True)
    create_private(unfinished)
    connection = _connect(unfinished, "rw")
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_OCTETS}")
        connection.execute("PRAGMA synchronous = EXTRA")
        _apply(connection, known)
    except sqlite3.Error as exc:
        raise _translate(exc, path, "making a new store") from exc
    finally:
        connection.close()
    unfinished.rename(path)
    sync_folder(path.parent)


def _require_sound(connection: sqlite3.Connection, path: Path) -> None:
    if not _applied(connection):
        raise StoreRefused(f"{path} is a database, but not one that syncd made")
    checks = ["PRAGMA quick_check(10)"]
    if _size(path) > _CHECKED_WHOLE_OCTETS:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        checks = [f"PRAGMA quick_check('{name}')" for (name,) in tables if name != "body_chunk"]
    for check in checks:
        found = [str(row[0]) for row in connection.execute(check)]
        if found != ["ok"]:
            raise StoreRefused(_damaged(path, "; ".join(found)))


def _bring_up_to_date(
    connection: sqlite3.Connection,
    path: Path,
    known: Sequence[Migration],
    *,
    may_migrate: bool,
) -> None:
    applied = _applied(connection)
    pending = choose_pending(known, applied)
    if not pending:
        return
    if not may_migrate:
        raise StoreRefused(
            f"the store {path} has the schema of an older syncd; start the daemon once, it "
            "brings the store up to date"
        )
    if applied:
        _copy_before(connection, path, pending[0])
    _apply(connection, pending)


def _copy_before(connection: sqlite3.Connection, path: Path, migration: Migration) -> None:
    copy = _beside(path, f"before-{migration.number:04}")
    copy.unlink(missing_ok=True)  # of a migration that did not come to its end
    create_private(copy)
    connection.execute("VACUUM INTO ?", (str(copy),))


def _apply(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Run migrations, each in a transaction of its own together with the note that it ran."""
    for migration in migrations:
        connection.execute("BEGIN EXCLUSIVE")
        try:
            for statement in _statements(migration.script):
                connection.execute(statement)
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY, "
                "name TEXT NOT NULL, checksum TEXT NOT NULL, at INTEGER NOT NULL) STRICT"
            )
            connection.execute(
                "INSERT INTO schema_migration VALUES (?, ?, ?, strftime('%s') * 1000000)",
                (migration.number, migration.name, migration.checksum),
            )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _applied(connection: sqlite3.Connection) -> dict[int, str]:
    known = "SELECT 1 FROM sqlite_schema WHERE name = 'schema_migration'"
    if connection.execute(known).fetchone() is None:
        return {}
    return dict(connection.execute("SELECT number, checksum FROM schema_migration").fetchall())


def _require_current(connection: sqlite3.Connection) -> None:
    if choose_pending(load_migrations(DIALECT), _applied(connection)):
        raise StoreRefused(
            "the store has the schema of an older syncd; start the daemon once, it brings the "
            "store up to date"
        )


def _statements(script: str) -> list[str]:
    """Cut a script at its semicolons, but not at those inside comments and strings."""
    statements: list[str] = []
    begun = ""
    for piece in script.split(";"):
        begun += piece + ";"
        if sqlite3.complete_statement(begun):
            statements.append(begun)
            begun = ""
    return statements


def _translate(error: sqlite3.Error, path: Path, doing: str) -> Exception:
    """Turn SQLite's error into ours; a mistake in the program stays what it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error
    words = f"{path}: {doing}: {error}"
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"the disk under {path} is full ({doing})")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(f"another program holds the store {path} ({doing}: {error})")
        case sqlite3.SQLITE_IOERR if is_out_of_room(path.parent):
            return StoreFull(f"the disk under {path} is full ({doing}: {error})")
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return StoreBroken(words)
        case sqlite3.SQLITE_READONLY if code == sqlite3.SQLITE_READONLY_DBMOVED:
            return StoreBroken(f"{words}: the file was moved or replaced under us")
        case _:
            return StoreError(words)


def _refuse(error: sqlite3.Error, path: Path) -> Exception:
    """Turn what SQLite says while a store is being opened into a refusal with advice."""
    translated = _translate(error, path, "opening")
    if isinstance(translated, StoreBroken):
        return StoreRefused(_damaged(path, str(error)))
    if type(translated) is StoreError:
        return StoreRefused(
            f"the store {path} cannot be opened: {error}. Is this the user who owns it?"
        )
    return translated


def _damaged(path: Path, words: str) -> str:
    return (
        f"the store {path} is damaged: {one_line(words)}. Nothing was changed. Copy the file "
        "away as it is (with -wal and -shm), then restore a backup, or try "
        f"`sqlite3 {path} .recover`."
    )


def _beside(path: Path, ending: str, joint: str = ".") -> Path:
    return path.with_name(f"{path.name}{joint}{ending}")


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - once a commit; Path.stat costs thrice
    except FileNotFoundError:
        return 0
