"""SIGKILL at every edge of the incoming story, one after the other (faults 5 to 8).

The mail server and its ledger live on in the test's process. Every edge is walked: the first
pass over it, the second, … until a poll comes to its end without dying.
"""

import asyncio
import os
import signal
import sqlite3
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.observe.edges import EDGES
from syncd.store import bodies, messages
from tests.support.incoming import ADDRESS, NOON
from tests.support.sandbox import JournalledSandbox, letter, sandbox_running
from tests.support.store import declare, opened

ROOT = Path(__file__).resolve().parents[2]
INCOMING = [edge for edge in EDGES if edge.startswith("incoming.")]
MOST_PASSES = 30


async def poll_in_a_process(path: Path, sandbox: JournalledSandbox, kill_at: str) -> int:
    """Poll once in another process; return its exit status (negative: the signal)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.poll_once", str(path), sandbox.host, str(sandbox.pop3_port)),
        cwd=ROOT,
        env=os.environ | {"SYNCD_KILL_AT": kill_at},
    )
    return await process.wait()


@pytest.mark.parametrize("edge", INCOMING)
async def test_rows_5_to_8_a_kill_at_any_edge_loses_and_doubles_nothing(
    edge: str, tmp_path: Path
) -> None:
    letters = [letter(f"number {n}") for n in range(3)]
    large = letter("large", "0123456789abcde\r\n" * 150_000)
    passes = 0
    status = -signal.SIGKILL
    while status == -signal.SIGKILL:
        passes += 1
        assert passes < MOST_PASSES
        path = tmp_path / f"{passes}.db"
        async with sandbox_running() as sandbox:
            sandbox.open(ADDRESS, "secret")
            async with opened(path) as db:
                await declare(db, ADDRESS)
            for body in (*letters, large, letter("last")):
                sandbox.deposit(ADDRESS, body)
            status = await poll_in_a_process(path, sandbox, f"{edge}:{passes}")
            deleted_by_then = [entry.mail.body for entry in sandbox.journal.deletions]
            stored_by_then = await stored(path)
            assert set(deleted_by_then) <= set(stored_by_then)
            assert await poll_in_a_process(path, sandbox, "") == 0
            assert sandbox.drop(ADDRESS).mails == []
        assert Counter(await stored(path)) == Counter([*letters, large, letter("last")])
        assert await sweep(path) == chunk_owners(path)
    assert status == 0
    assert passes > 1, "the edge is never reached"


async def stored(path: Path) -> list[bytes]:
    """Return what the store holds, as `message export` would write it."""
    async with opened(path) as db:
        rows = await db.read(lambda reader: messages.list_messages(reader, None, 0, 100))
        return [b"".join([chunk async for chunk in messages.read_raw(db, row)]) for row in rows]


async def sweep(path: Path) -> list[int]:
    """Sweep bodies that no message has adopted, as the janitor does; return the chunks left."""
    async with opened(path) as db:
        while await db.write(lambda tx: bodies.sweep_staged(tx, NOON + timedelta(days=1))):
            pass
        rows = await db.read(lambda reader: messages.list_messages(reader, None, 0, 100))
        return sorted(row.body_id for row in rows)


def chunk_owners(path: Path) -> list[int]:
    """Name the bodies that have chunks in the store, looked at from outside."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT DISTINCT id >> 16 FROM body_chunk ORDER BY 1")
        return [body_id for (body_id,) in rows]
    finally:
        connection.close()
