"""A disk that fills and syncs that fail, under the real process; the mail server is the witness.

Numbers are the rows of the project's fault matrix. What the store itself does then is looked at
more closely in test_store_faults.py.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest

from syncd.sandbox.witness import Service
from tests.support.disk import failing, fill, small_disk
from tests.support.process import Daemon, all_of, daemon_running, syncd
from tests.support.world import (
    LARGE,
    QUEUE,
    USER,
    World,
    a_letter,
    a_reply,
    empty_world,
)

pytestmark = pytest.mark.timeout(300)  # on a busy machine; every wait has its own end

MIB = 2**20


# ---------------------------------------------------------------- a full disk


@pytest.mark.root
async def test_row_14_on_a_full_disk_nothing_is_deleted_and_all_goes_on_when_it_is_freed(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 160) as disk:
        async with empty_world(tmp_path / "world", disk / "syncd.db") as world:
            world.open(QUEUE, type="queue", delete_after_processing=True)
            world.open(USER)
            world.profile["minimum_polling_interval"] = "24h"
            world.write()
            letters = [a_letter(QUEUE, octets=LARGE) for _ in range(40)]
            async with daemon_running(world.config) as daemon:
                await daemon.poll(USER)
                fill(disk / "filler", leave=5 * MIB)
                world.receive(QUEUE, *letters)

                first = await daemon.poll(QUEUE)
                second = await daemon.poll(QUEUE)
                for report in (first, second):
                    failure = report["failure"]
                    assert failure["code"] == "store_full"
                    assert str(world.store.path) in failure["words"]
                    assert "needed" in failure["words"]
                assert second["taken"] == 0
                assert (
                    world.sandbox.journal.words(Service.POP3).count("QUIT") == 1
                )  # the user's
                assert world.deleted() == set()
                world.assert_nothing_is_lost()

                status = await daemon.status()
                assert status["store"]["full"]
                (alert,) = [one for one in status["alerts"] if one["object"] == "store"]
                assert str(world.store.path) in alert["text"]
                assert "needed" in alert["text"]
                assert (await daemon.mailbox(USER))["incoming"]["state"] == "running"
                refused = await syncd(
                    "send", config=world.config, stdin=a_reply(USER, "b@c.example").octets
                )
                assert refused.status == 75, refused.err

                (disk / "filler").unlink()
                report = await daemon.poll(QUEUE)
                assert report["result"] == "ok"
                status = await daemon.status()
                assert not status["store"]["full"]
                assert status["alerts"] == []
                assert await daemon.stopped() == 0
            world.assert_incoming_balances()
            assert world.sandbox.drop(QUEUE).mails == []


# ---------------------------------------------------------------- syncs that fail


async def test_row_45_whichever_sync_fails_nothing_is_deleted_that_is_not_there_afterwards(
    tmp_path: Path, strace: list[str]
) -> None:
    """The n-th sync of every thread fails in one round, n = 1, 2, 3 … to the last one."""
    failed: list[bool] = []
    while not failed or any(failed[-2:]):  # how many there are depends on who shares a commit
        ns = range(len(failed) + 1, len(failed) + 3)
        failed += await all_of(
            *(partial(fail_and_go_on, strace, n, tmp_path / str(n)) for n in ns)
        )
    assert sum(failed) > 8, "making a store, polling, closing"


async def fail_and_go_on(strace: list[str], n: int, folder: Path) -> bool:
    """Let the n-th sync fail in a round, and run another; tell whether there was such a sync."""
    trace = folder.with_name(f"{n}.trace")
    under = failing(strace, "fsync,fdatasync", f"error=EIO:when={n}", trace)
    async with a_queue(folder) as world:
        ended = await world.once(under=under)
        world.assert_nothing_is_lost()
        if ended.status == 0:  # it failed while the store was closed, or there was none
            world.assert_incoming_balances()
        else:
            assert ended.status == 1
            assert "Traceback" not in ended.err
            assert "disk I/O error" in ended.err
        await world.settle()
        world.assert_incoming_balances()
        assert world.sandbox.drop(QUEUE).mails == []
    return "INJECTED" in trace.read_text()


async def test_row_45_a_daemon_whose_store_is_broken_ends_and_the_next_one_goes_on(
    tmp_path: Path, strace: list[str]
) -> None:
    under = failing(strace, "fdatasync", "error=EIO:when=25+")
    async with a_queue(tmp_path / "world") as world:
        async with daemon_running(world.config, under=under) as daemon:
            with pytest.raises((httpx2.TransportError, AssertionError)):
                await poll_for_ever(world, daemon)
            assert await daemon.ended() == 1
            assert "disk I/O error" in daemon.records[-1]["error"]
        world.assert_nothing_is_lost()
        await world.settle()
        world.assert_incoming_balances()


async def poll_for_ever(world: World, daemon: Daemon) -> None:
    """Poll, and let more mail come, until the daemon answers no more."""
    while True:
        await daemon.poll(QUEUE)
        world.receive(QUEUE, a_letter(QUEUE))


@asynccontextmanager
async def a_queue(folder: Path) -> AsyncIterator[World]:
    """Run a server with mail for a queue whose mail is deleted once it is stored."""
    async with empty_world(folder) as world:
        world.open(QUEUE, type="queue", delete_after_processing=True)
        world.write()
        letters = [a_letter(QUEUE) for _ in range(3)]
        world.receive(QUEUE, *letters, a_letter(QUEUE, octets=LARGE))
        yield world
