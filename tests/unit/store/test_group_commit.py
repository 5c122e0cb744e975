"""Group commit, on an engine of lists that can be told to fail."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence

import pytest

from syncd.clock import SystemClock
from syncd.errors import StoreBroken, StoreBusy, StoreError, StoreFull, StoreRefused, TermLost
from syncd.store.database import Parameters, Row, Transaction
from syncd.store.group_commit import MOST_BODIES, Commit, GroupCommit, drive

NOTHING: Parameters = {}


class ListEngine:
    """Keeps "rows" in lists, with transaction and savepoint, as an engine would."""

    def __init__(self) -> None:
        self.durable: list[str] = []
        self.pending: list[str] | None = None
        self.marked: list[str] | None = None
        self.closed = False
        self.begun = 0
        self.hold_begin: Gate | None = None
        self.fail_commit: StoreError | None = None
        self.noted: list[BaseException] = []

    @property
    def transaction(self) -> Transaction:
        return self

    async def execute(self, query: str, parameters: Parameters = NOTHING) -> int:
        assert self.pending is not None
        self.pending.append(query)
        return 1

    async def execute_many(self, query: str, rows: Sequence[Parameters]) -> None:
        raise NotImplementedError

    async def fetch_all(self, query: str, parameters: Parameters = NOTHING) -> list[Row]:
        raise NotImplementedError

    async def fetch_one(self, query: str, parameters: Parameters = NOTHING) -> Row | None:
        raise NotImplementedError

    def begin(self) -> None:
        assert self.pending is None
        self.begun += 1
        if self.hold_begin is not None:
            self.hold_begin.pass_through()
            raise StoreBusy("held by another program")
        self.pending = []

    def commit(self) -> None:
        if self.fail_commit is not None:
            raise self.fail_commit
        assert self.pending is not None
        self.durable += self.pending
        self.pending = None

    def rollback(self) -> None:
        self.pending = self.marked = None

    def mark(self) -> None:
        assert self.pending is not None
        self.marked = list(self.pending)

    def keep(self) -> None:
        self.marked = None

    def undo(self) -> None:
        assert self.marked is not None
        self.pending, self.marked = self.marked, None

    def give_up_transaction(self) -> None:
        """Do what SQLite does on some errors: end the whole transaction by itself."""
        self.pending = self.marked = None

    def is_in_transaction(self) -> bool:
        return self.pending is not None

    def rows_changed(self) -> int:
        return len(self.durable) + len(self.pending or [])

    def admit(self, *, essential: bool) -> None:
        return

    def note(self, error: BaseException) -> None:
        self.noted.append(error)

    def after_commit(self) -> None:
        return

    def close(self) -> None:
        self.closed = True


Body = Callable[[Transaction], Awaitable[str]]


def writes(row: str) -> Body:
    async def body(tx: Transaction) -> str:
        await tx.execute(row)
        return row

    return body


def writes_then_raises(row: str, error: Exception) -> Body:
    async def body(tx: Transaction) -> str:
        await tx.execute(row)
        raise error

    return body


class Gate:
    """Holds the writer's thread, so that callers gather behind it."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._opened = threading.Event()

    def pass_through(self) -> None:
        self._entered.set()
        assert self._opened.wait(10)

    async def body(self, tx: Transaction) -> str:
        await tx.execute("gate")
        self.pass_through()
        return "gate"

    async def wait_until_held(self) -> None:
        assert await asyncio.to_thread(self._entered.wait, 10)

    def open(self) -> None:
        self._opened.set()


class Yields:
    """Awaited, it gives control back once, as real waiting does."""

    def __await__(self) -> Generator[None, None, None]:
        yield


async def turn_of_the_loop() -> None:
    """Let every task that is ready run until it waits."""
    await asyncio.to_thread(int)


async def outcome(writer: GroupCommit, body: Body) -> str | BaseException:
    try:
        return await writer.write(body, essential=False)
    except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - it is the result
        return exc


async def write_together(
    writer: GroupCommit, bodies: Sequence[Body], *, cancel: int | None = None
) -> list[str | BaseException]:
    """Queue bodies behind a held writer, so that they share a commit; return their outcomes."""
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        group.create_task(outcome(writer, gate.body))
        await gate.wait_until_held()
        tasks = [group.create_task(outcome(writer, body)) for body in bodies]
        await turn_of_the_loop()
        if cancel is not None:
            tasks[cancel].cancel()
            await turn_of_the_loop()
        gate.open()
    return [task.result() for task in tasks]


async def test_bodies_that_wait_together_share_one_commit() -> None:
    engine, commits = ListEngine(), list[Commit]()
    writer = GroupCommit(engine, SystemClock(), commits.append)
    assert await write_together(writer, [writes("a"), writes("b"), writes("c")]) == [
        "a",
        "b",
        "c",
    ]
    await writer.close()
    assert engine.durable == ["gate", "a", "b", "c"]
    assert [commit.bodies for commit in commits] == [4]


async def test_a_body_that_fails_takes_nobody_along() -> None:
    engine = ListEngine()
    writer = GroupCommit(engine, SystemClock(), None)
    lost = TermLost("over")
    outcomes = await write_together(
        writer, [writes("a"), writes_then_raises("half", lost), writes("c")]
    )
    await writer.close()
    assert outcomes == ["a", lost, "c"]
    assert engine.durable == ["gate", "a", "c"]


async def test_a_body_that_is_first_and_fails_leaves_a_clean_start_for_the_next() -> None:
    engine = ListEngine()
    writer = GroupCommit(engine, SystemClock(), None)
    with pytest.raises(ValueError, match="mine"):
        await writer.write(writes_then_raises("half", ValueError("mine")), essential=False)
    assert await writer.write(writes("a"), essential=False) == "a"
    await writer.close()
    assert engine.durable == ["a"]


async def test_when_the_commit_fails_everybody_hears_it_and_nothing_is_kept() -> None:
    engine = ListEngine()
    writer = GroupCommit(engine, SystemClock(), None)
    engine.fail_commit = StoreBroken("the sync failed")
    outcomes = await write_together(writer, [writes("a"), writes("b")])
    await writer.close()
    assert [type(outcome) for outcome in outcomes] == [StoreBroken, StoreBroken]
    assert outcomes[0] is not outcomes[1], "each caller raises an exception of its own"
    assert engine.durable == []
    assert engine.noted == [engine.fail_commit]


async def test_a_transaction_that_the_engine_gave_up_fails_for_all_in_it() -> None:
    engine = ListEngine()

    async def fills_the_disk(tx: Transaction) -> str:
        engine.give_up_transaction()
        raise StoreFull("full")

    writer = GroupCommit(engine, SystemClock(), None)
    outcomes = await write_together(writer, [writes("a"), fills_the_disk, writes("c")])
    await writer.close()
    assert [type(outcome) for outcome in outcomes[:2]] == [StoreFull, StoreFull]
    assert outcomes[2] == "c", "it waited, and got a transaction of its own"
    assert engine.durable == ["c"]


async def test_one_wait_for_a_foreign_lock_serves_everybody_in_the_queue() -> None:
    engine = ListEngine()
    engine.hold_begin = Gate()
    writer = GroupCommit(engine, SystemClock(), None)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(writer, writes(str(n)))) for n in range(20)]
        await engine.hold_begin.wait_until_held()
        await turn_of_the_loop()
        engine.hold_begin.open()
    await writer.close()
    assert [type(task.result()) for task in tasks] == [StoreBusy] * 20
    assert engine.begun == 1


async def test_a_body_that_really_suspends_is_a_mistake_that_says_so() -> None:
    async def sleeps(tx: Transaction) -> str:
        await Yields()
        return "never"

    engine = ListEngine()
    writer = GroupCommit(engine, SystemClock(), None)
    with pytest.raises(RuntimeError, match="awaited something else than its transaction"):
        await writer.write(sleeps, essential=False)
    assert await writer.write(writes("a"), essential=False) == "a"
    await writer.close()


async def test_a_caller_cancelled_before_its_body_begins_leaves_no_trace() -> None:
    engine = ListEngine()
    writer = GroupCommit(engine, SystemClock(), None)
    outcomes = await write_together(writer, [writes("a"), writes("b")], cancel=0)
    await writer.close()
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert engine.durable == ["gate", "b"]


async def test_a_commit_has_a_limit_and_the_rest_gets_the_next() -> None:
    engine, commits = ListEngine(), list[Commit]()
    writer = GroupCommit(engine, SystemClock(), commits.append)
    await write_together(writer, [writes(str(n)) for n in range(MOST_BODIES + 5)])
    await writer.close()
    assert [commit.bodies for commit in commits] == [MOST_BODIES, 6]
    assert engine.begun == 2


async def test_closing_finishes_what_waits_and_refuses_what_comes_after() -> None:
    engine = ListEngine()
    writer = GroupCommit(engine, SystemClock(), None)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(writer.write(writes("a"), essential=False))
        await turn_of_the_loop()
        group.create_task(writer.close())
    assert await writing == "a"
    assert engine.closed
    assert engine.durable == ["a"]
    with pytest.raises(StoreRefused, match="closed"):
        await writer.write(writes("b"), essential=False)


class FrailEngine(ListEngine):
    """Raises at one of the calls where nothing may be raised."""

    def __init__(self, frail: str) -> None:
        super().__init__()
        self.frail = frail
        self.broken: StoreBroken | None = None

    def note(self, error: BaseException) -> None:
        if isinstance(error, StoreBroken):
            self.broken = error
        else:
            self._break_at("note")

    def rollback(self) -> None:
        super().rollback()
        self._break_at("rollback")

    def after_commit(self) -> None:
        self._break_at("after_commit")

    def rows_changed(self) -> int:
        self._break_at("rows_changed")
        return super().rows_changed()

    def _break_at(self, call: str) -> None:
        if call == self.frail:
            raise PermissionError(1, "not allowed", "ballast")


@pytest.mark.parametrize("frail", ["note", "rollback", "after_commit", "rows_changed"])
async def test_a_writer_that_fails_where_it_may_not_fails_everybody_and_nobody_waits(
    frail: str,
) -> None:
    engine = FrailEngine(frail)
    writer = GroupCommit(engine, SystemClock(), None)
    async with asyncio.timeout(10):
        async with asyncio.TaskGroup() as group:
            fails = writes_then_raises("a", StoreFull("full"))
            tasks = [group.create_task(outcome(writer, fails)) for _ in range(3)]
        later = [await outcome(writer, writes(row)) for row in "bc"]
        assert [type(one) for one in later] == [StoreBroken] * 2
        assert {type(task.result()) for task in tasks} <= {StoreFull, StoreBroken}
        assert str(later[0]) == str(engine.broken)
        assert "PermissionError(1, 'not allowed')" in str(later[0])
        await writer.close()
    assert engine.closed
    assert engine.durable == []


async def test_what_was_committed_before_the_writer_failed_stays_so() -> None:
    engine = FrailEngine("after_commit")
    writer = GroupCommit(engine, SystemClock(), None)
    async with asyncio.timeout(10):
        assert await writer.write(writes("a"), essential=False) == "a"
        assert isinstance(await outcome(writer, writes("b")), StoreBroken)
        await writer.close()
    assert engine.durable == ["a"]


async def test_closing_a_writer_that_is_about_to_fail_ends() -> None:
    engine, gate = FrailEngine("after_commit"), Gate()
    writer = GroupCommit(engine, SystemClock(), None)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(outcome(writer, gate.body))
        await gate.wait_until_held()
        group.create_task(writer.close())
        await turn_of_the_loop()
        gate.open()
    assert engine.closed


def test_a_body_is_driven_to_its_result_without_a_loop() -> None:
    async def inner(number: int) -> int:
        return number * 2

    async def body(number: int) -> int:
        return await inner(number) + 1

    assert drive(body, 4) == 9
