"""Connection limits: of a login, of a server, of the whole process; and logins per second.

Every wait is first come, first served among those who wait for the same thing. A slot is taken
in the order login, server, all: whoever waits for one of them holds up only those who would need it
too, and nobody can wait in a circle.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from syncd.clock import Clock


@dataclass(frozen=True, slots=True)
class LoginRate:
    """So many logins in such a time, at one server."""

    logins: int
    period: timedelta


@dataclass(frozen=True, slots=True)
class Slot:
    """Leave for one connection."""

    waited: bool
    """Whether a limit held it up."""


class Slots:
    """The process's connection limits; `async with slots.take(…)` around every connection."""

    def __init__(
        self, total: int, per_server: int, login_rate: LoginRate | None, clock: Clock
    ) -> None:
        self._per_server = per_server
        self._login_rate = login_rate
        self._clock = clock
        self._all = _Permits(total)
        self._servers: dict[str, _Permits] = {}
        self._logins: dict[str, _Permits] = {}
        self._paces: dict[str, _Pace] = {}

    @asynccontextmanager
    async def take(self, *, server: str, login: str, login_limit: int) -> AsyncIterator[Slot]:
        """Wait for leave to connect to `server` as `login`; give it back at the end.

        `login_limit` is the limit of this login from now on.
        """
        held: list[_Permits] = []
        try:
            # A login's and a server's permits are looked up when they are needed, not before:
            # they are forgotten while nobody has or wants one.
            waited = await _join(_crowd(self._logins, login, login_limit), held)
            waited |= await _join(_crowd(self._servers, server, self._per_server), held)
            waited |= await _join(self._all, held)
            waited |= await self._keep_pace(server)
            yield Slot(waited)
        finally:
            for permits in reversed(held):
                permits.release()
            _forget_idle(self._logins, login)
            _forget_idle(self._servers, server)

    def resize(self, *, total: int, per_server: int, login_rate: LoginRate | None) -> None:
        """Change the limits; who has a slot keeps it."""
        self._per_server = per_server
        if login_rate != self._login_rate:
            self._login_rate = login_rate
            self._paces.clear()
        self._all.resize(total)
        for permits in self._servers.values():
            permits.resize(per_server)

    def in_use(self) -> int:
        """Count the connections that have a slot."""
        return self._all.taken

    def waiting(self) -> int:
        """Count those who wait for a connection limit."""
        crowds = (self._all, *self._servers.values(), *self._logins.values())
        return sum(permits.waiting for permits in crowds)

    async def _keep_pace(self, server: str) -> bool:
        if self._login_rate is None:
            return False
        pace = self._paces.get(server)
        if pace is None:
            pace = self._paces[server] = _Pace(self._login_rate)
        seconds = pace.wait_for_turn(self._clock.monotonic())
        if seconds > 0:
            await self._clock.sleep(seconds)
        return seconds > 0


class _Permits:
    """A semaphore that is fair, can be resized, and survives every cancellation."""

    __slots__ = ("_limit", "_queue", "taken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: deque[asyncio.Future[None]] = deque()
        self.taken = 0

    @property
    def idle(self) -> bool:
        """Tell whether nobody has or wants one."""
        return not self.taken and not self._queue

    @property
    def waiting(self) -> int:
        """Count those who wait."""
        return sum(not turn.done() for turn in self._queue)

    def resize(self, limit: int) -> None:
        """Change the limit; who has a permit keeps it."""
        self._limit = limit
        self._admit()

    async def acquire(self) -> bool:
        """Take a permit; tell whether it had to be waited for."""
        if self.taken < self._limit and not self._queue:
            self.taken += 1
            return False
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # granted, and cancelled before it could be used
                self.release()
            raise
        return True

    def release(self) -> None:
        """Give a permit back."""
        self.taken -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self.taken < self._limit:
            turn = self._queue.popleft()
            if not turn.done():
                self.taken += 1
                turn.set_result(None)


class _Pace:
    """A token bucket: a burst of `logins`, then one each `period / logins`."""

    __slots__ = ("_burst", "_free_at", "_step")

    def __init__(self, rate: LoginRate) -> None:
        self._step = rate.period.total_seconds() / rate.logins
        self._burst = rate.logins * self._step
        self._free_at = float("-inf")

    def wait_for_turn(self, now: float) -> float:
        """Take the next turn; return how many seconds off it is."""
        self._free_at = max(self._free_at, now - self._burst) + self._step
        return max(0.0, round(self._free_at - now, 9))  # twenty times 0.05 is a bit over 1


async def _join(permits: _Permits, held: list[_Permits]) -> bool:
    waited = await permits.acquire()
    held.append(permits)
    return waited


def _crowd(crowds: dict[str, _Permits], name: str, limit: int) -> _Permits:
    """Return the permits of one login or server; they exist while somebody wants them."""
    permits = crowds.get(name)
    if permits is None:
        permits = crowds[name] = _Permits(limit)
    else:
        permits.resize(limit)
    return permits


def _forget_idle(crowds: dict[str, _Permits], name: str) -> None:
    permits = crowds.get(name)
    if permits is not None and permits.idle:
        del crowds[name]
