"""Group commit: one thread writes, the bodies of many callers share one durable commit.

Rule 1: a result leaves this module only after the commit that holds it.
Rule 2: every body runs inside a savepoint of its own, so one that fails takes nobody along;
a body that is alone needs none.
Rule 3: when the commit itself fails, or SQLite has given up the whole transaction, everybody
in it gets the error and nothing was kept.
Rule 4: nobody waits for ever. Whatever escapes from the engine where nothing may, the store
counts as broken from then on, and everybody who waits, or comes later, hears why.
Rule 5: nothing here knows the engine; `Engine` says what it must do.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from syncd.clock import Clock
from syncd.errors import StoreBroken, StoreError, StoreRefused, one_line
from syncd.store.database import Transaction

S = TypeVar("S")
T = TypeVar("T")

MOST_BODIES = 200
"""Bodies in one commit. Measured: 100 messages a commit gain 7.4 times over one, a thousand
gain nothing more (performance.md f), and the first body waits for the last."""

MOST_ROWS = 4000
"""Rows after which no further body joins: a backlog must not make one endless commit."""


class Engine(Protocol):
    """What group commit asks of a connection; every call comes from the writer's thread.

    Raises nothing but StoreError.
    """

    @property
    def transaction(self) -> Transaction:
        """The transaction as bodies see it."""
        ...

    def begin(self) -> None:
        """Take the write lock."""
        ...

    def commit(self) -> None:
        """Make everything since `begin` durable."""
        ...

    def rollback(self) -> None:
        """Undo everything since `begin`, whatever is left of it."""
        ...

    def mark(self) -> None:
        """Open a savepoint."""
        ...

    def keep(self) -> None:
        """Release the savepoint."""
        ...

    def undo(self) -> None:
        """Undo everything since the savepoint."""
        ...

    def is_in_transaction(self) -> bool:
        """Tell whether the transaction is still there: engines may give it up by themselves."""
        ...

    def rows_changed(self) -> int:
        """Count the rows changed since the connection was opened."""
        ...

    def admit(self, *, essential: bool) -> None:
        """Raise when a write may not even be tried."""
        ...

    def note(self, error: BaseException) -> None:
        """Remember what an error means for the writes to come."""
        ...

    def after_commit(self) -> None:
        """Do what may wait until the callers have their results."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """One caller's body, and what became of it."""

    body: Callable[[Transaction], Awaitable[Any]]
    essential: bool
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """One finished commit, for metrics."""

    bodies: int
    seconds: float


class GroupCommit:
    """The writer: a thread, its queue, and the engine it alone touches."""

    def __init__(
        self, engine: Engine, clock: Clock, on_commit: Callable[[Commit], None] | None
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        # Unbounded, yet small: every entry is a task that waits for it.
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, body: Callable[[Transaction], Awaitable[T]], *, essential: bool) -> T:
        """Queue a body and wait for its commit.

        A caller that is cancelled before its body begins leaves no trace; later, the body
        may have been committed all the same.
        """
        if self._closed:
            raise StoreRefused("the store is closed")
        waiting = _Waiting(body, essential, self._loop.create_future())
        self._queue.put(waiting)
        result: T = await waiting.future
        return result

    async def close(self) -> None:
        """Finish what was queued, then close the engine."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await self._ended.wait()
        self._thread.join()

    # -- below here: the writer's thread ------------------------------------------------

    def _work(self) -> None:
        try:
            first = self._queue.get()
            while first is not None and self._serve(first):
                first = self._queue.get()
        finally:
            try:
                self._engine.close()
            finally:
                self._call_loop(self._ended.set)

    def _serve(self, first: _Waiting) -> bool:
        """Commit, or break and refuse from then on; tell whether the queue goes on."""
        done: list[_Waiting] = []
        try:
            return self._commit_from(first, done)
        except BaseException as exc:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            return self._refuse_for_good([first, *done], exc)

    def _refuse_for_good(self, waiting: list[_Waiting], error: BaseException) -> bool:
        """Fail who waits and who comes, until the store is closed."""
        words = one_line(f"the store's writer failed: {error!r}; restart syncd")
        with contextlib.suppress(Exception):
            self._engine.note(StoreBroken(words))
        with contextlib.suppress(Exception):
            self._engine.rollback()
        self._call_loop(self._refuse, waiting, words, error)
        while True:
            try:
                # Once closed, the queue's end has come or comes too late to be waited for.
                late = self._queue.get(block=not self._closed)
            except queue.Empty:
                return False
            if late is None:
                return False
            self._call_loop(self._refuse, [late], words, error)

    def _commit_from(self, first: _Waiting, done: list[_Waiting]) -> bool:
        """Commit `first` and whoever waits behind it; tell whether the queue goes on."""
        started = self._clock.monotonic()
        batch = _Batch(self._engine, done)
        waiting: _Waiting | None = first
        while waiting is not None:
            batch.run(waiting)
            if batch.is_full():
                break
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
        batch.commit()
        fact = Commit(len(batch.done), self._clock.monotonic() - started)
        self._call_loop(self._deliver, batch.done, fact)
        self._engine.after_commit()
        return waiting is not None

    def _call_loop(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop is gone, and with it everybody who could have waited for an answer.
            return

    # -- back in the loop ---------------------------------------------------------------

    def _refuse(self, waiting: Sequence[_Waiting], words: str, error: BaseException) -> None:
        """Fail those who have no answer yet: what was delivered before stays as it was."""
        for one in waiting:
            if not one.future.done():
                broken = StoreBroken(words)
                broken.__cause__ = error
                one.future.set_exception(broken)

    def _deliver(self, done: Sequence[_Waiting], fact: Commit) -> None:
        for waiting in done:
            if waiting.future.done():
                continue  # cancelled
            if waiting.error is None:
                waiting.future.set_result(waiting.result)
            else:
                waiting.future.set_exception(waiting.error)
                waiting.error = None  # else it and its traceback's frames hold each other
        if self._on_commit is not None:
            self._on_commit(fact)


class _Batch:
    """The bodies of one commit; lives in the writer's thread."""

    __slots__ = ("_engine", "_is_open", "_kept", "_refusal", "_rows_before", "_spoilt", "done")

    def __init__(self, engine: Engine, done: list[_Waiting]) -> None:
        self.done = done
        self._engine = engine
        self._kept: list[_Waiting] = []
        self._is_open = False
        self._spoilt = False
        self._refusal: StoreError | None = None
        self._rows_before = engine.rows_changed()

    def is_full(self) -> bool:
        """Tell whether this commit should be closed now."""
        return (
            self._spoilt
            or len(self.done) >= MOST_BODIES
            or self._engine.rows_changed() - self._rows_before >= MOST_ROWS
        )

    def run(self, waiting: _Waiting) -> None:
        """Run one body; what it did awaits `commit`, what it raised is kept for its caller."""
        if waiting.future.cancelled():
            return
        self.done.append(waiting)
        # Nobody's work stands in the transaction yet: a failure may simply roll it back.
        is_alone = not self._kept
        try:
            self._engine.admit(essential=waiting.essential)
            self._begin()
            if not is_alone:
                self._engine.mark()
            waiting.result = drive(waiting.body, self._engine.transaction)
            if not is_alone:
                self._engine.keep()
        except BaseException as exc:  # noqa: BLE001 - the caller awaits it and gets it raised
            waiting.error = exc
            self._engine.note(exc)
            self._undo(exc, is_alone=is_alone)
        else:
            self._kept.append(waiting)

    def commit(self) -> None:
        """Make durable what was kept, or tell everybody that nothing was."""
        if not self._is_open:
            return
        try:
            self._engine.commit()
        except Exception as exc:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            self._engine.note(exc)
            self._fail_everybody(exc)

    def _begin(self) -> None:
        if self._is_open:
            return
        if self._refusal is not None:
            # Whoever waits behind a lock that was not to be had need not wait that long again.
            raise type(self._refusal)(*self._refusal.args) from self._refusal
        try:
            self._engine.begin()
        except StoreError as exc:
            self._refusal = exc
            raise
        self._is_open = True

    def _undo(self, error: BaseException, *, is_alone: bool) -> None:
        if not self._is_open:
            return
        if is_alone:
            self._engine.rollback()
            self._is_open = False
            return
        try:
            if self._engine.is_in_transaction():
                self._engine.undo()
                return
        except Exception as exc:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            error = exc
        self._fail_everybody(error)

    def _fail_everybody(self, error: BaseException) -> None:
        self._engine.rollback()
        self._is_open = False
        self._spoilt = True
        words = str(error)
        kind = type(error) if isinstance(error, StoreError) else StoreError
        for waiting in self._kept:
            waiting.result = None
            waiting.error = kind(words)
            waiting.error.__cause__ = error
        self._kept.clear()


def drive(body: Callable[[S], Awaitable[T]], session: S) -> T:
    """Run a body to its end without an event loop.

    Bodies are coroutines for PostgreSQL's sake; here nothing they may await ever suspends.
    """
    steps = body(session).__await__()
    try:
        next(steps)
    except StopIteration as done:
        result: T = done.value
        return result
    steps.close()
    raise RuntimeError(
        f"{body!r} awaited something else than its transaction: it would hold the store's "
        "writer for as long as that takes"
    )
