"""A SQLite file until it is open: made, proved sound, brought up to date, connected.

Rule 1: a store is complete or not there: it is made under another name and renamed. An empty
or damaged file is refused, never made anew.
Rule 2: `synchronous=FULL` and WAL, read back after they were set: in WAL mode NORMAL does not
sync a commit (faults.md M18), and we delete on servers what we have committed.
Rule 3: nobody else in this process opens the database file, not even to read it: closing any
descriptor of a file drops the locks that SQLite holds on it (POSIX).
"""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from syncd.errors import StoreBroken, StoreBusy, StoreError, StoreFull, StoreRefused, one_line
from syncd.store.files import (
    Ballast,
    create_private,
    full_words,
    is_out_of_room,
    sync_folder,
)
from syncd.store.migrate import Migration, choose_pending, load_migrations

DIALECT = "sqlite"

READERS = 3
"""Reading threads: enough that a long listing does not hold up a short question."""

_BUSY_SECONDS = 30.0
"""How long we wait for an operator's own sqlite3 shell or backup (faults 46)."""

_PAGE_OCTETS = 4096
"""Measured with 8 KB bodies: larger pages gain nothing for the bodies and write more for
every small row that a commit touches."""

LOG_PAGES = 5000
"""Pages written to the log (about 14 MB of mail, for the estimate is high) after which it is
checkpointed, once the callers have their results. Less than the ballast: on a full disk the
whole log can then move into the database. Three times as much would gain a tenth of speed."""

_LOG_PAGES_ODD = 4 * LOG_PAGES
"""SQLite checkpoints by itself, inside a commit, when our estimate was wrong by this much."""

_CHECKED_WHOLE_OCTETS = 512 * 1024 * 1024
"""Stores up to this size are checked whole at every start (about a second); of larger ones
everything but the message bodies, which are proved by their SHA-256 when read."""


def open_connections(
    path: Path, known: Sequence[Migration], *, may_migrate: bool
) -> tuple[sqlite3.Connection, list[sqlite3.Connection]]:
    """Open the connection that writes and those that read, the store brought up to date."""
    connection = open_writer(path, known, may_migrate=may_migrate)
    try:
        Ballast(beside(path, "ballast")).lay()
        return connection, open_readers(path)
    except BaseException:
        connection.close()
        raise


def open_writer(
    path: Path, known: Sequence[Migration], *, may_migrate: bool
) -> sqlite3.Connection:
    """Open the connection that writes; raises StoreRefused saying what is wrong with the file."""
    if not path.exists():
        _make_new(path, known)
    elif size_of(path) == 0:
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


def open_readers(path: Path) -> list[sqlite3.Connection]:
    """Open the connections that read, and cannot write even by mistake."""
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
        # To its last row: what is left half read commits later, and its errors are nobody's.
        connection.execute(f"PRAGMA {pragma} = {word}").fetchall()
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
    unfinished = beside(path, "new")
    unfinished.unlink(missing_ok=True)
    beside(unfinished, "journal", "-").unlink(missing_ok=True)
    create_private(unfinished)
    connection = _connect(unfinished, "rw")
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_OCTETS}")
        connection.execute("PRAGMA synchronous = EXTRA")
        _apply(connection, known)
    except sqlite3.Error as exc:
        raise translate(exc, path, "making a new store") from exc
    finally:
        connection.close()
    unfinished.rename(path)
    sync_folder(path.parent)


def _require_sound(connection: sqlite3.Connection, path: Path) -> None:
    if not _applied(connection):
        raise StoreRefused(f"{path} is a database, but not one that syncd made")
    checks = ["PRAGMA quick_check(10)"]
    if size_of(path) > _CHECKED_WHOLE_OCTETS:
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
    copy = beside(path, f"before-{migration.number:04}")
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


def translate(error: sqlite3.Error, path: Path, doing: str) -> Exception:
    """Turn SQLite's error into ours; a mistake in the program stays what it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error
    words = f"{path}: {doing}: {error}"
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"{full_words(path)} ({doing})")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(f"another program holds the store {path} ({doing}: {error})")
        case sqlite3.SQLITE_IOERR if is_out_of_room(path.parent):
            return StoreFull(f"{full_words(path)} ({doing}: {error})")
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return StoreBroken(words)
        case sqlite3.SQLITE_READONLY if code == sqlite3.SQLITE_READONLY_DBMOVED:
            return StoreBroken(f"{words}: the file was moved or replaced under us")
        case _:
            return StoreError(words)


def _refuse(error: sqlite3.Error, path: Path) -> Exception:
    """Turn what SQLite says while a store is being opened into a refusal with advice."""
    translated = translate(error, path, "opening")
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


def beside(path: Path, ending: str, joint: str = ".") -> Path:
    """Name a file that belongs to a store; SQLite's own are joined by a hyphen."""
    return path.with_name(f"{path.name}{joint}{ending}")


def size_of(path: Path) -> int:
    """Return a file's size, 0 when it is not there."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 - once a commit; Path.stat costs thrice
    except FileNotFoundError:
        return 0
