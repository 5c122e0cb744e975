"""Connection limits: never more than allowed, first come first served, nothing leaks."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

from syncd.clock import SystemClock
from syncd.connections.slots import LoginRate, Slots
from tests.support.manual_clock import ManualClock, settled

TWENTY_A_SECOND = LoginRate(20, timedelta(seconds=1))


def slots(total: int = 100, per_server: int = 100, rate: LoginRate | None = None) -> Slots:
    return Slots(total, per_server, rate, ManualClock())


class Crowd:
    """Tasks that want a slot, and in what order they got one."""

    def __init__(self, among: Slots, group: asyncio.TaskGroup) -> None:
        self._slots = among
        self._group = group
        self.admitted: list[str] = []
        self.waited: list[bool] = []
        self._doors: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(
        self, name: str, *, server: str = "s", login: str = "", limit: int = 99
    ) -> None:
        """Send somebody to wait for a slot."""
        self._doors[name] = asyncio.Event()
        self._tasks[name] = self._group.create_task(
            self._stay(name, server, login or name, limit)
        )
        await settled()

    async def leave(self, name: str) -> None:
        """Send somebody home."""
        self._doors[name].set()
        await settled()

    async def cancel(self, *names: str) -> None:
        """Cancel tasks, all in the same moment."""
        for name in names:
            self._tasks[name].cancel()
        await settled()

    async def _stay(self, name: str, server: str, login: str, limit: int) -> None:
        async with self._slots.take(server=server, login=login, login_limit=limit) as slot:
            self.admitted.append(name)
            self.waited.append(slot.waited)
            await self._doors[name].wait()


@asynccontextmanager
async def crowd(among: Slots) -> AsyncIterator[Crowd]:
    """Gather a crowd; at the end everybody goes home and every slot is back."""
    async with asyncio.TaskGroup() as group:
        people = Crowd(among, group)
        yield people
        await people.cancel(*people._tasks)
    assert (among.in_use(), among.waiting()) == (0, 0)
    assert not among._logins
    assert not among._servers


async def test_the_total_is_kept_and_the_first_comes_first() -> None:
    async with crowd(slots(total=2)) as people:
        for name in "abcd":
            await people.come(name)
        assert people.admitted == ["a", "b"]
        await people.leave("b")
        assert people.admitted == ["a", "b", "c"]
        await people.leave("a")
        assert people.admitted == ["a", "b", "c", "d"]
        assert people.waited == [False, False, True, True]


async def test_a_full_server_holds_up_only_its_own() -> None:
    async with crowd(slots(per_server=1)) as people:
        await people.come("a", server="one")
        await people.come("b", server="one")
        await people.come("c", server="two")
        assert people.admitted == ["a", "c"]


async def test_a_full_login_holds_up_only_its_own() -> None:
    async with crowd(slots()) as people:
        await people.come("a", login="x", limit=1)
        await people.come("b", login="x", limit=1)
        await people.come("c", login="y", limit=1)
        assert people.admitted == ["a", "c"]
        await people.leave("a")
        assert people.admitted == ["a", "c", "b"]


async def test_who_waits_for_his_login_takes_no_slot_of_the_server() -> None:
    async with crowd(slots(per_server=2)) as people:
        await people.come("a", login="x", limit=1)
        await people.come("b", login="x", limit=1)
        await people.come("c", login="y", limit=1)
        assert people.admitted == ["a", "c"]


async def test_more_room_is_used_at_once() -> None:
    among = slots(total=1, per_server=1)
    async with crowd(among) as people:
        await people.come("a")
        await people.come("b")
        among.resize(total=2, per_server=2, login_rate=None)
        await settled()
        assert people.admitted == ["a", "b"]


async def test_less_room_throws_nobody_out() -> None:
    among = slots(total=2)
    async with crowd(among) as people:
        await people.come("a")
        await people.come("b")
        among.resize(total=1, per_server=2, login_rate=None)
        await people.come("c")
        await people.leave("a")
        assert people.admitted == ["a", "b"]
        await people.leave("b")
        assert people.admitted == ["a", "b", "c"]


async def test_a_logins_limit_is_the_one_named_last() -> None:
    async with crowd(slots()) as people:
        await people.come("a", login="x", limit=1)
        await people.come("b", login="x", limit=1)
        await people.come("c", login="x", limit=3)
        assert sorted(people.admitted) == ["a", "b", "c"]


async def test_who_stops_waiting_leaves_no_gap() -> None:
    async with crowd(slots(total=1)) as people:
        for name in "abc":
            await people.come(name)
        await people.cancel("b")
        await people.leave("a")
        assert people.admitted == ["a", "c"]


async def test_a_slot_granted_to_somebody_just_cancelled_goes_to_the_next() -> None:
    async with crowd(slots(total=1)) as people:
        for name in "abc":
            await people.come(name)
        people._doors["a"].set()
        await people.cancel("a", "b")
        assert people.admitted == ["a", "c"]


async def test_a_failure_gives_the_slot_back() -> None:
    among = slots()
    with pytest.raises(ValueError, match="broken"):
        async with among.take(server="s", login="l", login_limit=1):
            raise ValueError("broken")
    assert among.in_use() == 0


async def test_logins_keep_their_pace() -> None:
    clock = ManualClock()
    among = Slots(100, 100, TWENTY_A_SECOND, clock)
    async with crowd(among) as people:
        for number in range(23):
            await people.come(str(number))
        assert len(people.admitted) == 20
        await clock.advance(0.05)
        assert len(people.admitted) == 21
        await clock.advance(0.1)
        assert len(people.admitted) == 23
        await people.come("elsewhere", server="other")
        assert people.admitted[-1] == "elsewhere"
        assert people.waited[-4:] == [True, True, True, False]


async def test_a_pause_earns_a_burst_and_no_more() -> None:
    clock = ManualClock()
    async with crowd(Slots(100, 100, TWENTY_A_SECOND, clock)) as people:
        await clock.advance(3600)
        for number in range(30):
            await people.come(str(number))
        assert len(people.admitted) == 20


async def test_a_new_pace_counts_from_now() -> None:
    clock = ManualClock()
    among = Slots(100, 100, LoginRate(1, timedelta(hours=1)), clock)
    async with crowd(among) as people:
        await people.come("a")
        among.resize(total=100, per_server=100, login_rate=TWENTY_A_SECOND)
        await people.come("b")
        among.resize(total=100, per_server=100, login_rate=TWENTY_A_SECOND)
        await people.come("c")
        assert people.admitted == ["a", "b", "c"]


async def test_nothing_leaks_and_no_limit_is_passed_whatever_happens() -> None:
    """Faults 80: cancelled, failed and timed out at random, 20,000 times."""
    dice = random.Random(80)
    clock = SystemClock()
    among = Slots(7, 3, None, clock)
    inside: Counter[str] = Counter()

    async def live(server: str, login: str) -> None:
        async with asyncio.timeout(dice.choice([None, None, 0.0, 0.001])):
            async with among.take(server=server, login=login, login_limit=2):
                keys = ("all", server, login)
                inside.update(keys)
                try:
                    assert inside["all"] <= 7
                    assert inside[server] <= 3
                    assert inside[login] <= 2
                    await clock.sleep(0)
                    if dice.random() < 0.2:
                        raise OSError
                finally:
                    inside.subtract(keys)

    async def try_to_live() -> None:
        server = dice.choice("ABCD")
        with suppress(OSError, TimeoutError):
            await live(server, server + dice.choice("xyz"))

    for _ in range(200):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(try_to_live()) for _ in range(100)]
            for _ in range(3):
                await clock.sleep(0)
                dice.choice(tasks).cancel()
    assert (among.in_use(), among.waiting()) == (0, 0)
    assert inside.total() == 0
