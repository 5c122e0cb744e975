"""The store under fire: killed, its syncs failing, its disk full, opened twice.

The oracle is outside: `tests.support.store_writer` says on its standard output what was
acknowledged, and the store is opened again afterwards to see what is there.
"""

import asyncio
import os
import re
import stat
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from syncd.errors import StoreFull
from syncd.model.mail import BodyId
from syncd.store import bodies, events
from syncd.store.database import Database, Reader, Transaction
from syncd.store.files import BALLAST_OCTETS
from syncd.store.sqlite import SqliteDatabase, open_sqlite
from tests.support.disk import failing, fill, small_disk
from tests.support.store import NOON, opened

PROJECT = Path(__file__).resolve().parents[2]
AT_ONCE = 2
"""Processes side by side: as many as the smallest machine has cores."""


@dataclass(slots=True)
class Witness:
    """What a writing process said."""

    acked: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    acked_after_refusal: list[int] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        match word:
            case "acked":
                self.acked.append(int(rest))
                if self.refused:
                    self.acked_after_refusal.append(int(rest))
            case "refused":
                n, _, why = rest.partition(" ")
                self.refused[int(n)] = why
            case _:
                self.others.append(line)


async def run_writer(
    path: Path, *wishes: str, under: Sequence[str] = (), kill_after: int | None = None
) -> Witness:
    """Run a writing process to its end, or kill it after so many acknowledgements."""
    witness = Witness()
    process = await asyncio.create_subprocess_exec(
        *under,
        sys.executable,
        "-m",
        "tests.support.store_writer",
        str(path),
        *wishes,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=PROJECT,
    )
    assert process.stdout is not None
    async for line in process.stdout:
        witness.hear(line.decode().strip())
        if kill_after is not None and len(witness.acked) == kill_after:
            process.kill()
            kill_after = None
    await process.communicate()
    return witness


async def rows_in(path: Path) -> list[int]:
    """Open a store as the next start would, and return the numbers it holds, bodies proved."""
    async with opened(path) as db:
        found = await _events(db)
        for event in found:
            async with asyncio.timeout(10):
                chunks = [c async for c in bodies.read_chunks(db, BodyId(event["body_id"]))]
            assert len(chunks) == 1
        return [event["n"] for event in found]


async def _events(db: Database) -> list[dict[str, int]]:
    async def body(reader: Reader) -> list[dict[str, int]]:
        return [dict(event.data) for event in await events.after(reader, 0, 1_000_000)]

    return await db.read(body)


# ---------------------------------------------------------------- kill -9


@pytest.mark.parametrize("kill_after", [1, 2, 25, 26, 150, 400, 1000])
async def test_a_killed_writer_has_kept_what_it_acknowledged(
    tmp_path: Path, kill_after: int
) -> None:
    path = tmp_path / "syncd.db"
    witness = await run_writer(path, "--writers", "25", kill_after=kill_after)
    found = await rows_in(path)
    assert len(witness.acked) >= kill_after
    assert set(witness.acked) <= set(found)
    assert len(found) == len(set(found))


async def test_killed_at_every_write_of_a_few_commits_nothing_acknowledged_is_lost(
    tmp_path: Path, strace: list[str]
) -> None:
    """Walk the kill over the writes and syncs of making a store and of committing to it."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def die_at(n: int) -> Witness:
        path = tmp_path / str(n) / "syncd.db"
        path.parent.mkdir()
        under = failing(strace, "pwrite64,fdatasync,fsync,rename", f"signal=SIGKILL:when={n}")
        async with gate:
            witness = await run_writer(path, "--count", "12", "--writers", "3", under=under)
        found = await rows_in(path)
        assert set(witness.acked) <= set(found), f"died at {n}"
        assert len(found) == len(set(found)), f"died at {n}"
        return witness

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(die_at(n)) for n in range(1, 200, 7)]
    ended = [task.result() for task in tasks]
    assert any(not witness.acked for witness in ended), "some died before the first commit"
    assert any(0 < len(witness.acked) < 12 for witness in ended), "some died between commits"
    assert "closed" not in ended[0].others


# ---------------------------------------------------------------- EIO (faults 45)


async def test_a_failed_sync_is_never_acknowledged_and_nothing_is_written_after_it(
    tmp_path: Path, strace: list[str]
) -> None:
    """The n-th sync fails, n = 1 to 40; after it this process refuses to write."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def fail_at(n: int) -> Witness:
        path = tmp_path / str(n) / "syncd.db"
        path.parent.mkdir()
        under = failing(strace, "fsync,fdatasync", f"error=EIO:when={n}")
        async with gate:
            witness = await run_writer(path, "--count", "150", "--writers", "3", under=under)
        found = await rows_in(path)
        assert sorted(found) == sorted(witness.acked), f"sync {n} failed"
        return witness

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fail_at(n)) for n in range(1, 41)]
    ended = [task.result() for task in tasks]
    hit = [witness for witness in ended if witness.refused]
    assert len(hit) > 20, "most of them failed while rows were written"
    for witness in hit:
        assert sorted([*witness.acked, *witness.refused]) == list(range(150))
        assert witness.acked_after_refusal == [], "no write succeeds after a failed one"
        assert all(why.startswith("StoreBroken") for why in witness.refused.values())
        assert witness.others == ["open", "closed"]


# ---------------------------------------------------------------- a full disk (faults 14)


@pytest.mark.root
async def test_on_a_full_disk_nothing_acknowledged_is_lost_and_work_goes_on_when_freed(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 24) as disk:
        path = disk / "syncd.db"
        filler = disk / "filler"
        filler.write_bytes(bytes(16 * 1024 * 1024))
        witness = await run_writer(path, "--count", "1200", "--writers", "20")
        assert witness.acked
        assert witness.refused
        assert {why.split(":")[0] for why in witness.refused.values()} == {"StoreFull"}
        filler.unlink()
        assert set(await rows_in(path)) == set(witness.acked)
        again = await run_writer(path, "--count", "20")
        assert len(again.acked) == 20


@pytest.mark.root
async def test_the_ballast_lets_states_be_written_on_a_full_disk_but_no_mail(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 160) as disk:
        path, ballast, filler = disk / "syncd.db", disk / "syncd.db.ballast", disk / "filler"
        async with opened(path) as db:
            assert ballast.stat().st_size == BALLAST_OCTETS
            filler.write_bytes(bytes(100 * 1024 * 1024))
            taken = await _write_mail_until_full(db)
            assert not ballast.exists(), "it went overboard"
            await _require_only_states(db)
            fill(filler)  # another program takes what the ballast had left
            await _require_only_states(db)
        async with opened(path) as db:  # a restart makes no room
            await _require_only_states(db)
            filler.unlink()
            assert not db.health().full
            await db.write(_mail(b"m" * 100))
            assert ballast.exists(), "laid again as soon as there is room"
            assert len(await _events(db)) == taken + 1 + 3


async def _require_only_states(db: SqliteDatabase) -> None:
    assert db.health().full
    with pytest.raises(StoreFull, match=r"MiB free, 32 MiB needed"):
        await db.write(_mail(b"m" * 100))
    await db.write(_state("paused"), essential=True)


async def _write_mail_until_full(db: Database) -> int:
    for n in range(100_000):
        try:
            await db.write(_mail(os.urandom(20_000)))
        except StoreFull:
            return n
    raise AssertionError("the disk never became full")


def _mail(raw: bytes) -> Callable[[Transaction], Awaitable[None]]:
    async def body(tx: Transaction) -> None:
        await bodies.put_whole(tx, [(await bodies.new_body_id(tx), raw)])
        event = events.NewEvent("message.received", {"n": 0, "body_id": 0})
        await events.append(tx, None, None, None, NOON, [event])

    return body


def _state(words: str) -> Callable[[Transaction], Awaitable[None]]:
    async def body(tx: Transaction) -> None:
        event = events.NewEvent("alert.opened", {"words": words})
        await events.append(tx, None, None, None, NOON, [event])

    return body


# ---------------------------------------------------------------- two daemons (faults 78)


async def test_a_second_process_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "syncd.db"
    async with opened(path) as db:
        second = await run_writer(path, "--count", "3")
        assert second.acked == []
        (line,) = second.others
        assert line.startswith(
            f"unopened StoreHeld: another syncd holds the store (process {os.getpid()}"
        )
        await db.write(_state("alone"))
    assert (await run_writer(path, "--count", "3")).acked == [0, 1, 2]


async def test_a_killed_holder_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "syncd.db"
    dead = await run_writer(path, kill_after=5)
    reader = await open_sqlite(path, read_only=True)
    found = [event["n"] for event in await _events(reader)]
    assert set(dead.acked) <= set(found), "reading alone sees what only the log holds"
    await reader.close()
    assert (await run_writer(path, "--count", "2")).acked == [0, 1]


# ---------------------------------------------------------------- modes (faults 43)


async def test_every_file_of_a_store_is_private_from_its_first_byte(
    tmp_path: Path, strace: list[str]
) -> None:
    path = tmp_path / "syncd.db"
    trace = tmp_path / "trace"
    under = [strace[0], *strace[1:]]
    under[under.index("/dev/null")] = str(trace)
    umask = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
    await run_writer(
        path,
        "--count",
        "3",
        under=[*umask, *under, "-e", "trace=open,openat,creat,chmod,fchmod,mkdir"],
    )
    made = [
        line
        for line in trace.read_text().splitlines()
        if "syncd.db" in line and "O_CREAT" in line
    ]
    names = {re.search(r"syncd\.db[^\"]*", line)[0] for line in made}  # type: ignore[index]
    assert {"syncd.db.new", "syncd.db-wal", "syncd.db.lock", "syncd.db.ballast"} <= names
    for line in made:
        assert re.search(r", 0600\) = ", line), line
    for file in tmp_path.glob("syncd.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
