"""One heap of due mailboxes; one cycle of a mailbox at a time.

The poller and the dispatcher are both such rounds: they differ in what a cycle does and in
when the next one is due. The cost of waiting is one heap entry a mailbox.

Rule 1: a mailbox is in the heap or running, never twice in either (faults 78, 79).
Rule 2: a crowd (the mailboxes of one profile, so of one server) has at most so many cycles under
way; the others of that crowd wait in their order, and hold up nobody of another crowd.
Rule 3: durations are monotonic: a jump of the wall clock neither storms nor stalls.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from syncd.clock import Clock
from syncd.errors import SyncdError
from syncd.model.mailbox import MailboxId

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Cycle(Generic[Outcome]):
    """What a cycle brought, and when the next one is due (None: not until planned)."""

    outcome: Outcome
    next_at: datetime | None
    is_postponed: bool = False
    """Whether `next_at` is a wait that no wish made meanwhile may cut short."""


@dataclass(slots=True)
class _Running(Generic[Outcome]):
    """A cycle under way: who waits for it, and whether another was asked for meanwhile."""

    waiters: list[asyncio.Future[Outcome]]
    again_at: float | None = None
    task: asyncio.Task[None] | None = None


class RoundsEnded(SyncdError):
    """Whoever asked for a cycle will not see its end: the rounds are over."""


class Rounds(Generic[Outcome]):
    """Starts each mailbox's cycle when it is due, at most `most` of a crowd at once."""

    def __init__(
        self,
        cycle: Callable[[MailboxId], Awaitable[Cycle[Outcome]]],
        clock: Clock,
        *,
        crowd: Callable[[MailboxId], str],
        most: int,
    ) -> None:
        self._cycle = cycle
        self._clock = clock
        self._crowd = crowd
        self._most = most
        self._crowded: dict[str, int] = {}
        self._waiting: dict[str, deque[MailboxId]] = {}
        self._heap: list[tuple[float, int, MailboxId]] = []
        self._due: dict[MailboxId, tuple[float, int]] = {}
        self._running: dict[MailboxId, _Running[Outcome]] = {}
        self._asked: dict[MailboxId, list[asyncio.Future[Outcome]]] = {}
        self._serial = itertools.count()
        self._changed = asyncio.Event()
        self._stopping = False

    @property
    def running(self) -> int:
        """How many cycles are under way."""
        return len(self._running)

    def plan(self, mailbox_id: MailboxId, at: datetime) -> None:
        """Make a mailbox due at `at`; an earlier plan is replaced by an earlier one only."""
        self._plan(mailbox_id, self._clock.monotonic() + self._seconds_until(at))

    def forget(self, mailbox_id: MailboxId) -> None:
        """Take a mailbox out of the rounds; a cycle under way ends as it would."""
        self._due.pop(mailbox_id, None)

    def is_running(self, mailbox_id: MailboxId) -> bool:
        """Whether a cycle of this mailbox is under way."""
        return mailbox_id in self._running

    async def run_now(self, mailbox_id: MailboxId) -> Outcome:
        """Run a cycle at once, or join the one under way, and return its outcome."""
        waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        running = self._running.get(mailbox_id)
        if running is not None:
            running.waiters.append(waiter)
        else:
            self._asked.setdefault(mailbox_id, []).append(waiter)
            self._plan(mailbox_id, self._clock.monotonic())
        return await waiter

    def drop(self, mailbox_id: MailboxId) -> None:
        """Cancel the cycle of a mailbox that is under way: as safe as a crash, and as rude."""
        running = self._running.get(mailbox_id)
        if running is not None and running.task is not None:
            running.task.cancel()

    def drop_all(self) -> None:
        """Cancel every cycle that is under way."""
        for mailbox_id in list(self._running):
            self.drop(mailbox_id)

    def stop(self) -> None:
        """Start nothing new; `run` returns when the cycles under way have ended."""
        self._stopping = True
        self._changed.set()

    async def run(self) -> None:
        """Start cycles as they fall due, until `stop`."""
        try:
            async with asyncio.TaskGroup() as cycles:
                while not self._stopping:
                    await self._start_due(cycles)
        finally:
            for waiters in self._asked.values():
                _tell(waiters, RoundsEnded("syncd is stopping; this was not begun"))

    async def _start_due(self, cycles: asyncio.TaskGroup) -> None:
        self._changed.clear()
        while (mailbox_id := self._pop_ready()) is not None:
            crowd = self._crowd(mailbox_id)
            self._crowded[crowd] = self._crowded.get(crowd, 0) + 1
            running = self._running[mailbox_id] = _Running(self._asked.pop(mailbox_id, []))
            running.task = cycles.create_task(self._run_cycle(mailbox_id))
        wait = self._seconds_to_next()
        try:
            async with asyncio.timeout(wait):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _run_cycle(self, mailbox_id: MailboxId) -> None:
        running = self._running[mailbox_id]
        try:
            cycle = await self._cycle(mailbox_id)
        except asyncio.CancelledError:
            _tell(running.waiters, RoundsEnded("syncd is stopping; this was broken off"))
            raise
        except Exception as exc:
            _tell(running.waiters, exc)
            raise
        finally:
            del self._running[mailbox_id]
            self._leave(self._crowd(mailbox_id))
            self._changed.set()
        for waiter in running.waiters:
            if not waiter.done():
                waiter.set_result(cycle.outcome)
        if cycle.next_at is not None:
            self.plan(mailbox_id, cycle.next_at)
        if running.again_at is not None and not cycle.is_postponed:
            self._plan(mailbox_id, running.again_at)

    def _plan(self, mailbox_id: MailboxId, due: float) -> None:
        running = self._running.get(mailbox_id)
        if running is not None:
            running.again_at = due if running.again_at is None else min(due, running.again_at)
            return
        earlier = self._due.get(mailbox_id)
        if earlier is not None and earlier[0] <= due:
            return
        serial = next(self._serial)
        self._due[mailbox_id] = (due, serial)
        heapq.heappush(self._heap, (due, serial, mailbox_id))
        self._changed.set()

    def _pop_ready(self) -> MailboxId | None:
        """Return a mailbox that is due and whose crowd has room."""
        while (mailbox_id := self._pop_due()) is not None:
            crowd = self._crowd(mailbox_id)
            if self._crowded.get(crowd, 0) < self._most:
                del self._due[mailbox_id]
                return mailbox_id
            self._waiting.setdefault(crowd, deque()).append(mailbox_id)
        return self._pop_waiting()

    def _pop_waiting(self) -> MailboxId | None:
        for crowd in list(self._waiting):
            line = self._waiting[crowd]
            while line and self._crowded.get(crowd, 0) < self._most:
                mailbox_id = line.popleft()
                if self._due.pop(mailbox_id, None) is not None:  # else it was forgotten
                    return mailbox_id
            if not line:
                del self._waiting[crowd]
        return None

    def _pop_due(self) -> MailboxId | None:
        self._drop_stale()
        if not self._heap or self._heap[0][0] > self._clock.monotonic():
            return None
        return heapq.heappop(self._heap)[2]

    def _leave(self, crowd: str) -> None:
        self._crowded[crowd] -= 1
        if not self._crowded[crowd]:
            del self._crowded[crowd]

    def _seconds_to_next(self) -> float | None:
        self._drop_stale()
        if not self._heap:
            return None
        return max(0.0, self._heap[0][0] - self._clock.monotonic())

    def _drop_stale(self) -> None:
        """Drop heap entries that a later plan, or `forget`, has overtaken."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][:2]:
            heapq.heappop(self._heap)

    def _seconds_until(self, at: datetime) -> float:
        return max(0.0, (at - self._clock.now()).total_seconds())


def _tell(waiters: Sequence[asyncio.Future[Outcome]], error: Exception) -> None:
    """Let everybody who still waits hear of an error."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
