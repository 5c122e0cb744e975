"""A clock that stands still until the test moves it."""

import asyncio
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class ManualClock:
    """`syncd.clock.Clock` for tests; `advance` wakes whoever has slept long enough."""

    def __init__(self, now: datetime = NOON) -> None:
        self._start = now
        self._seconds = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the moment the clock was set to."""
        return self._start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        """Return the seconds it was moved."""
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved so far."""
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._seconds + seconds, woken))
        await woken

    @property
    def sleepers(self) -> int:
        """Count who sleeps."""
        return len([woken for _, woken in self._sleepers if not woken.done()])

    async def advance(self, seconds: float) -> None:
        """Move on, and let run whoever wakes."""
        self._seconds += seconds
        for until, woken in sorted(self._sleepers, key=lambda sleeper: sleeper[0]):
            if until <= self._seconds + 1e-9 and not woken.done():
                woken.set_result(None)
        self._sleepers = [s for s in self._sleepers if not s[1].done()]
        await settled()


async def settled() -> None:
    """Let everything run that can run without time passing."""
    loop = asyncio.get_running_loop()
    for _ in range(20):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
