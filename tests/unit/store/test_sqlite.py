"""What is SQLite's own: opening, refusing, migrating, waiting, filling up."""

import asyncio
import hashlib
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from syncd.errors import StoreBusy, StoreError, StoreFull, StoreRefused
from syncd.model.direction import DirectionRecord
from syncd.model.mailbox import Direction, MailboxId
from syncd.store import directions, facts
from syncd.store.database import Reader, Transaction
from syncd.store.migrate import Migration, load_migrations
from syncd.store.sqlite import SqliteDatabase, open_sqlite
from syncd.store.sqlite_file import open_writer
from tests.support.store import opened


async def remember(
    db: SqliteDatabase, name: str, value: str, *, essential: bool = False
) -> None:
    """Write one fact."""

    async def body(tx: Transaction) -> None:
        await facts.write_fact(tx, name, value)

    await db.write(body, essential=essential)


async def recall(db: SqliteDatabase, name: str) -> str | None:
    """Read one fact."""

    async def body(reader: Reader) -> str | None:
        return await facts.read_fact(reader, name)

    return await db.read(body)


async def pragma(db: SqliteDatabase, statement: str) -> object:
    """Run a PRAGMA on the writing connection, which nothing but a body can reach."""

    async def body(tx: Transaction) -> object:
        row = tx._cursor.execute(f"PRAGMA {statement}").fetchone()  # type: ignore[attr-defined]
        return row and row[0]

    return await db.write(body, essential=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "syncd.db"


async def test_a_commit_is_synced_and_foreign_keys_hold(path: Path) -> None:
    async with opened(path) as db:
        assert await pragma(db, "synchronous") == 2
        assert await pragma(db, "journal_mode") == "wal"
        assert await pragma(db, "foreign_keys") == 1


async def test_what_was_written_is_there_after_reopening(path: Path) -> None:
    async with opened(path) as db:
        await remember(db, "colour", "green")
    async with opened(path) as db:
        assert await recall(db, "colour") == "green"


async def test_closing_leaves_one_file_and_no_log(path: Path) -> None:
    async with opened(path) as db:
        await remember(db, "colour", "green")
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "syncd.db",
        "syncd.db.ballast",
        "syncd.db.lock",
    ]


async def test_a_second_opening_is_refused_while_the_first_holds_it(path: Path) -> None:
    async with opened(path):
        with pytest.raises(StoreRefused, match=f"process {os.getpid()}"):
            await open_sqlite(path)
    async with opened(path):
        pass


async def test_a_missing_folder_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="unmounted of the store does not exist"):
        await open_sqlite(tmp_path / "unmounted" / "syncd.db")
    assert not (tmp_path / "unmounted").exists()


async def test_an_emptied_file_is_refused_and_stays_as_it_is(path: Path) -> None:
    path.touch(mode=0o600)
    with pytest.raises(StoreRefused, match="something emptied it"):
        await open_sqlite(path)
    assert path.stat().st_size == 0


async def test_a_file_that_is_no_store_is_refused(path: Path) -> None:
    path.write_bytes(b"From ann@example.com Mon Nov 23 12:00:00 2026\n" * 500)
    with pytest.raises(StoreRefused, match="is damaged"):
        await open_sqlite(path)


async def test_the_database_of_another_program_is_refused(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE customer (name TEXT)")
    other.close()
    with pytest.raises(StoreRefused, match="not one that syncd made"):
        await open_sqlite(path)


async def test_flipped_pages_are_found_at_the_start_and_nothing_is_changed(path: Path) -> None:
    async with opened(path) as db:
        for n in range(400):
            await remember(db, f"fact {n}", "x" * 100)
    with path.open("r+b") as file:
        for page in range(4, path.stat().st_size // 4096, 3):
            file.seek(page * 4096)
            file.write(os.urandom(600))
    before = hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(StoreRefused, match=r"is damaged.*restore a backup"):
        await open_sqlite(path)
    assert hashlib.sha256(path.read_bytes()).digest() == before


async def test_half_a_store_left_by_a_crash_is_made_anew(path: Path) -> None:
    (path.parent / "syncd.db.new").write_bytes(b"half")
    (path.parent / "syncd.db.new-journal").write_bytes(b"of it")
    async with opened(path) as db:
        await remember(db, "colour", "green")
    assert not (path.parent / "syncd.db.new").exists()


async def test_a_store_that_a_newer_syncd_used_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO schema_migration VALUES (9999, 'future', 'x', 0)")
    connection.close()
    with pytest.raises(StoreRefused, match="a newer syncd has used it"):
        await open_sqlite(path)
    with pytest.raises(StoreRefused, match="a newer syncd has used it"):
        await open_sqlite(path, read_only=True)


def _later(script: str) -> list[Migration]:
    known = load_migrations("sqlite")
    return [*known, Migration(known[-1].number + 1, "later", script)]


async def test_an_older_store_is_copied_and_then_brought_up_to_date(path: Path) -> None:
    async with opened(path) as db:
        await remember(db, "colour", "green")
    known = _later("-- a comment; with a semicolon\nCREATE TABLE later (x);")
    open_writer(path, known, may_migrate=True).close()
    copy = path.with_name(f"syncd.db.before-{known[-1].number:04}")
    assert copy.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(copy) as old, sqlite3.connect(path) as new:
        tables = "SELECT name FROM sqlite_schema WHERE name = 'later'"
        assert old.execute(tables).fetchall() == []
        assert new.execute(tables).fetchall() == [("later",)]
        assert old.execute("SELECT value FROM store_fact").fetchall() == [("green",)]
    old.close()
    new.close()


async def test_a_migration_that_fails_leaves_the_store_as_it_was(path: Path) -> None:
    async with opened(path) as db:
        await remember(db, "colour", "green")
    with pytest.raises(StoreRefused, match="cannot be opened"):
        open_writer(path, _later("CREATE TABLE later (x); SELECT nonsense;"), may_migrate=True)
    async with opened(path) as db:
        assert await recall(db, "colour") == "green"


async def test_an_older_store_is_not_touched_by_who_may_not_migrate(path: Path) -> None:
    async with opened(path):
        pass
    known = _later("CREATE TABLE later (x);")
    with pytest.raises(StoreRefused, match="start the daemon once"):
        open_writer(path, known, may_migrate=False)


async def test_reading_alone_works_beside_a_daemon_and_writes_nothing(path: Path) -> None:
    async with opened(path) as daemon:
        reader = await open_sqlite(path, read_only=True)
        await remember(daemon, "colour", "green")
        assert await recall(reader, "colour") == "green"
        with pytest.raises(StoreRefused, match="for reading only"):
            await remember(reader, "colour", "red")
        await reader.close()


async def test_reading_alone_needs_no_daemon_but_a_store(path: Path) -> None:
    with pytest.raises(StoreRefused, match="there is no store at"):
        await open_sqlite(path, read_only=True)
    assert not path.exists()
    async with opened(path) as db:
        await remember(db, "colour", "green")
    reader = await open_sqlite(path, read_only=True)
    assert await recall(reader, "colour") == "green"
    await reader.close()


async def test_a_reader_keeps_its_snapshot_while_others_write(path: Path) -> None:
    async with opened(path) as db:
        await remember(db, "colour", "green")
        begun, written = threading.Event(), threading.Event()

        async def body(reader: Reader) -> tuple[str | None, str | None]:
            first = await facts.read_fact(reader, "colour")
            begun.set()
            assert written.wait(10)
            return first, await facts.read_fact(reader, "colour")

        async def repaint(tx: Transaction) -> None:
            assert begun.wait(10)
            await facts.write_fact(tx, "colour", "red")

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(db.read(body))
            await db.write(repaint)
            written.set()
        assert reading.result() == ("green", "green")
        assert await recall(db, "colour") == "red"


async def test_a_foreign_lock_is_waited_for(path: Path) -> None:
    async with opened(path) as db:
        operator = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        operator.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.2, operator.execute, ["COMMIT"])
        release.start()
        await remember(db, "colour", "green")
        release.join()
        operator.close()
        assert await recall(db, "colour") == "green"


async def test_a_foreign_lock_that_stays_is_busy_and_costs_nothing(path: Path) -> None:
    async with opened(path) as db:
        await pragma(db, "busy_timeout = 20")
        operator = sqlite3.connect(path, isolation_level=None)
        operator.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="another program holds the store"):
            await remember(db, "colour", "green")
        operator.execute("COMMIT")
        operator.close()
        await remember(db, "colour", "red")
        assert await recall(db, "colour") == "red"


async def test_a_full_store_takes_nothing_half_and_goes_on_when_there_is_room(
    path: Path,
) -> None:
    async with opened(path) as db:
        await remember(db, "padding", "p" * 200_000)
        pages = await pragma(db, "page_count")
        await pragma(db, f"max_page_count = {pages}")
        with pytest.raises(StoreFull, match="is full"):
            await remember(db, "letter", "x" * 200_000)
        assert await recall(db, "letter") is None
        await remember(db, "padding", "", essential=True)
        await remember(db, "letter", "y" * 100_000)
        assert await recall(db, "letter") == "y" * 100_000
        assert db.health().broken is None


async def test_a_constraint_is_an_error_of_the_store_and_the_next_write_goes_well(
    path: Path,
) -> None:
    orphan = DirectionRecord(mailbox_id=MailboxId(999), direction=Direction.INCOMING)

    async def body(tx: Transaction) -> None:
        await directions.save_many(tx, [orphan])

    async with opened(path) as db:
        with pytest.raises(StoreError, match="save_direction"):
            await db.write(body)
        await remember(db, "colour", "green")


async def test_health_tells_size_room_and_privacy(path: Path) -> None:
    async with opened(path) as db:
        await remember(db, "colour", "green")
        health = db.health()
        assert health.path == path
        assert health.store_bytes >= path.stat().st_size > 0
        assert health.free_bytes > 0
        assert (health.full, health.broken, health.is_private) == (False, None, True)
        path.chmod(0o644)
        assert not db.health().is_private


async def test_long_logs_are_checkpointed_while_writing_goes_on(path: Path) -> None:
    async with opened(path) as db:
        for n in range(60):
            await remember(db, f"blob {n}", "b" * 2_000_000)
        log = path.with_name("syncd.db-wal")
        assert path.stat().st_size > 20_000_000, "the log moved into the database"
        assert log.stat().st_size < 100_000_000
