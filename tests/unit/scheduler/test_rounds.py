"""One heap of due mailboxes; one cycle of a mailbox at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from syncd.clock import SystemClock
from syncd.model.mailbox import MailboxId
from syncd.scheduler.rounds import Cycle, Rounds, RoundsEnded

ANN, BOB = MailboxId(1), MailboxId(2)
CLOCK = SystemClock()


class Stage:
    """Cycles that last until they are let go, and a record of what overlapped."""

    def __init__(self, most: int = 10) -> None:
        self.started: list[MailboxId] = []
        self.under_way: set[MailboxId] = set()
        self.overlaps = 0
        self.postpones = False
        self.gate = asyncio.Event()
        self.again = timedelta(days=1)
        self.changed = asyncio.Condition()
        self.rounds: Rounds[int] = Rounds(
            self.cycle, CLOCK, crowd=lambda m: "odd" if m % 2 else "even", most=most
        )

    async def cycle(self, mailbox_id: MailboxId) -> Cycle[int]:
        self.overlaps += mailbox_id in self.under_way
        self.under_way.add(mailbox_id)
        self.started.append(mailbox_id)
        async with self.changed:
            self.changed.notify_all()
        await self.gate.wait()
        self.under_way.discard(mailbox_id)
        return Cycle(len(self.started), CLOCK.now() + self.again, is_postponed=self.postpones)

    async def until_started(self, count: int) -> None:
        async with self.changed, asyncio.timeout(5):
            await self.changed.wait_for(lambda: len(self.started) >= count)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.rounds.run())
            try:
                yield
            finally:
                self.gate.set()
                self.rounds.stop()


async def told(stage: Stage, mailbox_id: MailboxId) -> str:
    with pytest.raises(RoundsEnded) as ended:
        await stage.rounds.run_now(mailbox_id)
    return str(ended.value)


async def test_a_due_mailbox_starts_and_a_later_one_waits() -> None:
    stage = Stage()
    stage.rounds.plan(ANN, CLOCK.now())
    stage.rounds.plan(BOB, CLOCK.now() + timedelta(hours=1))
    async with stage.running():
        await stage.until_started(1)
    assert stage.started == [ANN]


async def test_a_cycle_longer_than_its_interval_never_overlaps_itself() -> None:
    # Faults 79: whatever is planned or asked for meanwhile comes after.
    stage = Stage()
    stage.rounds.plan(ANN, CLOCK.now())
    async with stage.running():
        await stage.until_started(1)
        for _ in range(50):
            stage.rounds.plan(ANN, CLOCK.now())
        assert stage.started == [ANN]
        stage.gate.set()
        await stage.until_started(2)
    assert stage.overlaps == 0


async def test_asking_while_a_cycle_is_under_way_joins_it() -> None:
    stage = Stage()
    stage.rounds.plan(ANN, CLOCK.now())
    async with stage.running(), asyncio.TaskGroup() as asking:
        await stage.until_started(1)
        answers = [asking.create_task(stage.rounds.run_now(ANN)) for _ in range(3)]
        await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop, so that all three have asked
        stage.gate.set()
    assert [answer.result() for answer in answers] == [1, 1, 1]
    assert stage.started == [ANN]


async def test_asking_for_a_waiting_mailbox_starts_it_at_once() -> None:
    stage = Stage()
    stage.gate.set()
    stage.rounds.plan(ANN, CLOCK.now() + timedelta(hours=1))
    async with stage.running(), asyncio.timeout(5):
        assert await stage.rounds.run_now(ANN) == 1


async def test_a_mailbox_forgotten_before_its_time_does_not_start() -> None:
    stage = Stage()
    stage.rounds.plan(ANN, CLOCK.now())
    stage.rounds.forget(ANN)
    stage.rounds.plan(BOB, CLOCK.now())
    async with stage.running():
        await stage.until_started(1)
    assert stage.started == [BOB]


async def test_no_more_than_the_most_of_a_crowd_are_under_way() -> None:
    stage = Stage(most=3)
    for number in range(0, 20, 2):
        stage.rounds.plan(MailboxId(number), CLOCK.now())
    async with stage.running():
        await stage.until_started(3)
        assert stage.rounds.running == 3
        stage.gate.set()
        await stage.until_started(10)
    assert stage.started == list(range(0, 20, 2))


async def test_a_crowd_that_hangs_holds_up_nobody_of_another() -> None:
    stage = Stage(most=2)
    for number in range(0, 200, 2):
        stage.rounds.plan(MailboxId(number), CLOCK.now())
    stage.rounds.plan(MailboxId(1), CLOCK.now())
    async with stage.running():
        await stage.until_started(3)
        assert stage.started == [0, 2, 1]


async def test_a_mailbox_forgotten_while_its_crowd_was_full_does_not_start() -> None:
    stage = Stage(most=1)
    for number in (0, 2, 4):
        stage.rounds.plan(MailboxId(number), CLOCK.now())
    async with stage.running():
        await stage.until_started(1)
        stage.rounds.forget(MailboxId(2))
        stage.gate.set()
        await stage.until_started(2)
    assert stage.started == [0, 4]


async def test_a_wish_made_during_a_cycle_that_postponed_does_not_cut_the_wait_short() -> None:
    stage = Stage()
    stage.postpones = True
    stage.rounds.plan(ANN, CLOCK.now())
    async with stage.running():
        await stage.until_started(1)
        stage.rounds.plan(ANN, CLOCK.now())
        stage.gate.set()
        stage.rounds.plan(BOB, CLOCK.now())
        await stage.until_started(2)
    assert stage.started == [ANN, BOB]


async def test_a_dropped_cycle_ends_and_the_rounds_go_on() -> None:
    stage = Stage()
    stage.rounds.plan(ANN, CLOCK.now())
    async with stage.running():
        await stage.until_started(1)
        stage.rounds.drop(ANN)
        stage.rounds.drop_all()
        stage.rounds.plan(BOB, CLOCK.now())
        await stage.until_started(2)
    assert stage.started == [ANN, BOB]


async def test_a_stop_lets_what_is_under_way_end() -> None:
    stage = Stage()
    stage.rounds.plan(ANN, CLOCK.now())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(stage.rounds.run())
        await stage.until_started(1)
        stage.rounds.stop()
        assert not running.done()
        stage.gate.set()
    assert stage.under_way == set()


async def test_whoever_asked_for_a_cycle_that_never_began_is_told() -> None:
    stage = Stage()
    stage.rounds.stop()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(told(stage, ANN))
        await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop, so that it has asked
        await stage.rounds.run()
        assert await asked == "syncd is stopping; this was not begun"


async def test_whoever_waits_for_a_dropped_cycle_is_told() -> None:
    stage = Stage()
    stage.rounds.plan(ANN, CLOCK.now())
    async with stage.running(), asyncio.TaskGroup() as tasks:
        await stage.until_started(1)
        asked = tasks.create_task(told(stage, ANN))
        await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop, so that it has asked
        stage.rounds.drop(ANN)
        assert await asked == "syncd is stopping; this was broken off"
