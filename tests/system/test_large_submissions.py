"""Large messages handed over for sending: memory, and everybody else meanwhile."""

import asyncio
from functools import partial
from pathlib import Path

from syncd.api.routes.outgoing import MOST_LARGE
from tests.support.process import CLOCK, Daemon, all_of, daemon_running
from tests.support.world import USER, a_reply, world_open

MIB = 2**20
MESSAGE = 40 * MIB
AT_ONCE = 4


async def test_large_messages_are_taken_one_copy_at_a_time_and_hold_up_nobody(
    tmp_path: Path,
) -> None:
    """Bare line ends, so that every line of it changes on its way in."""
    head = a_reply(USER, "customer@elsewhere.example").octets
    message = head + (b"y" * 76 + b"\n") * (MESSAGE // 77)
    async with world_open(tmp_path) as world, daemon_running(world.config) as daemon:
        await daemon.answers()
        submit = partial(
            daemon.ask,
            "POST",
            f"/api/v1/mailboxes/{USER}/outgoing",
            message,
            {"content-type": "message/rfc822"},
        )
        idle = daemon.memory("VmRSS")
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(_slowest_answer(daemon, over := asyncio.Event()))
            accepted = await all_of(*[submit] * AT_ONCE, at_once=AT_ONCE)
            over.set()
        assert all(answer["is_new"] for answer in accepted)
        assert daemon.memory("VmHWM") - idle <= 2 * MOST_LARGE * MESSAGE
        assert watch.result() < 1


async def _slowest_answer(daemon: Daemon, over: asyncio.Event) -> float:
    """Ask whether it is alive again and again; return the longest wait, in seconds."""
    slowest = 0.0
    while not over.is_set():
        asked = CLOCK.monotonic()
        await daemon.ask("GET", "/healthz", parse=False)
        slowest = max(slowest, CLOCK.monotonic() - asked)
        await CLOCK.sleep(0.02)
    return slowest
