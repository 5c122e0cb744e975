"""What must stay bounded: memory under many large messages, and permits under random faults.

Numbers are the rows of the project's fault matrix.
"""

import asyncio
import math
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest

from syncd.config.load import load_settings
from syncd.connections.slots import Slots
from syncd.daemon.wire import Parts, open_parts
from syncd.errors import SyncdError
from syncd.observe.logging import configure_logging
from syncd.sandbox.misbehaviour import (
    Act,
    Cut,
    Delay,
    Drip,
    Drop,
    Flood,
    Instead,
    ListAs,
    Misbehaviour,
)
from syncd.sandbox.witness import Service
from syncd.scheduler.book import Entry
from tests.support.process import CLOCK, all_of, daemon_running, until
from tests.support.world import LARGE, a_letter, world_open

pytestmark = pytest.mark.timeout(300)  # on a busy machine; every wait has its own end

MIB = 2**20

# ---------------------------------------------------------------- memory

MAILBOXES = 60
MESSAGE = 10 * MIB
LIMIT = 64 * MIB
"""What the configuration allows to be in flight. The process takes as much again for copies on
their way through asyncio, the store's caches and what the allocator cannot give back …"""
ONE_READ = 256 * 1024
"""… and what a connection has read before anybody could tell it to stop."""


async def test_row_73_sixty_large_messages_at_once_stay_within_the_memory_configured(
    tmp_path: Path,
) -> None:
    addresses = [f"user{n}@sandbox.example" for n in range(MAILBOXES)]
    letter = a_letter("everybody@sandbox.example", octets=MESSAGE)
    async with world_open(tmp_path, addresses) as world:
        world.settings["limits"] = {"memory": "64MiB"}
        world.write()
        async with daemon_running(world.config) as daemon:
            polls = [partial(daemon.poll, address) for address in addresses]
            await all_of(*polls, at_once=MAILBOXES)  # connections made, code loaded
            idle = daemon.memory("VmRSS")
            for address in addresses:
                world.receive(address, letter)
            reports = await all_of(*polls, at_once=MAILBOXES)
            assert [report["taken"] for report in reports] == [1] * MAILBOXES
            peak = daemon.memory("VmHWM")
            assert await daemon.stopped() == 0
        world.assert_incoming_balances()
    assert peak - idle <= 2 * LIMIT + MAILBOXES * ONE_READ


# ---------------------------------------------------------------- permits

ROUNDS = 36
CROWD = 30
MOST_AT_ONCE = 12
"""Connections in all: some always wait for others."""


async def test_row_80_after_a_thousand_broken_sessions_every_permit_is_back(
    tmp_path: Path,
) -> None:
    dice = Random(80)
    addresses = [f"user{n}@sandbox.example" for n in range(CROWD)]
    async with world_open(tmp_path, addresses) as world:
        world.settings["limits"] = {"memory": "1MiB"}
        world.settings["network"] |= {
            "max_connections": MOST_AT_ONCE,
            "max_connections_per_server": MOST_AT_ONCE - 2,
            "command_timeout": "1s",
        }
        world.write()
        async with open_parts(load_settings(world.config, environ={}), {}) as parts:
            configure_logging("error", "json")
            sessions = 0
            for n in range(ROUNDS):
                for address in addresses:
                    large = dice.randrange(8) == 0
                    world.receive(address, a_letter(address, octets=LARGE if large else 0))
                    world.sandbox.misbehave(*misfortune(dice, address, stalls=n % 12 == 5))
                sessions += await crash_while_polling(parts, dice)
                sessions += await open_senders(parts, dice)
                assert in_use(parts) == (0, 0, 0), f"after round {n}"
                world.sandbox.behave()
            assert sessions > 1000
            assert await takes_at_once(parts.tools.dialer.slots) == MOST_AT_ONCE - 2
            await until(lambda: world.sandbox.open_now(Service.POP3) == 0)
        assert (await world.once()).status == 0
        stored = world.assert_nothing_is_lost()
        # What was refused is tried again at its own time.
        (refused,) = world.store.ask("SELECT count(*) FROM ledger WHERE state = 'failing'")
        assert stored < world.made()
        assert (world.made() - stored).total() == refused[0]


def misfortune(dice: Random, address: str, *, stalls: bool) -> list[Misbehaviour]:
    """Invent what goes wrong with a mailbox in one round: once, twice or not at all."""
    acts: list[Act] = [
        Drop(),
        Drop(reset=True),
        Cut(dice.randrange(2000)),
        Instead("-ERR no"),
        Instead("+OK"),
        Instead("\x00 what?"),
        Instead("-ERR [IN-USE] no", close=True),
        Flood(times=dice.randrange(200)),
        ListAs("{number} 18446744073709551616"),
        Drip(dice.randrange(1, 50), 0),
        Delay(math.inf if stalls else 0.01),
    ]
    commands = ["AUTH", "LOGIN", "STAT", "UIDL", "LIST", "RETR", "QUIT", "EHLO"]
    rules = [
        Misbehaviour(
            on=dice.choice(commands),
            act=dice.choice(acts),
            user=None if dice.randrange(20) == 0 else address,
            skip=dice.randrange(3),
            times=1,
        )
        for _ in range(dice.randrange(3))
    ]
    # Whose server hands out other octets than it has gets other octets.
    return [rule for rule in rules if rule.on != "RETR" or not _tells_other_octets(rule.act)]


def _tells_other_octets(act: Act) -> bool:
    return isinstance(act, Flood) or act == Instead("+OK")


async def crash_while_polling(parts: Parts, dice: Random) -> int:
    """Poll everybody at once; every third time the poller is cancelled in the middle of it."""
    polled = 0

    async def poll(entry: Entry) -> None:
        nonlocal polled
        with suppress(asyncio.CancelledError, SyncdError):
            polled += 1
            await parts.poller.poll_now(entry)

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(parts.poller.run())
        polls = [tasks.create_task(poll(entry)) for entry in parts.book]
        if dice.randrange(3) == 0:
            await CLOCK.sleep(0.2 * dice.random())
        else:
            await until(lambda: all(task.done() for task in polls))
        running.cancel()
    return polled


async def open_senders(parts: Parts, dice: Random) -> int:
    """Open sessions for sending; the patience of some ends in the middle of it."""

    async def send(entry: Entry) -> None:
        assert entry.mailbox is not None
        with suppress(TimeoutError, SyncdError):
            async with AsyncExitStack() as leave, asyncio.timeout(0.2 * dice.random()):
                sender = await parts.tools.dialer.open_sender(entry.mailbox, leave)
                await sender.quit()

    async with asyncio.TaskGroup() as tasks:
        senders = [tasks.create_task(send(entry)) for entry in parts.book]
    return len(senders)


def in_use(parts: Parts) -> tuple[int, int, int]:
    """Count slots taken, tasks that wait for one, and octets that the budget counts."""
    slots = parts.tools.dialer.slots
    return slots.in_use(), slots.waiting(), parts.tools.dialer.budget.used


async def takes_at_once(slots: Slots) -> int:
    """Count how many connections to one server are allowed without waiting."""
    taken = 0
    async with AsyncExitStack() as held:
        with suppress(TimeoutError):
            for n in range(2 * MOST_AT_ONCE):
                async with asyncio.timeout(0.05):
                    take = slots.take(server="127.0.0.1:1", login=str(n), login_limit=1)
                    await held.enter_async_context(take)
                taken += 1
    return taken
