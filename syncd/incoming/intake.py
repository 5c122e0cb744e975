"""From the wire into the store, while the wire goes on: fetched messages become batches.

One task takes what the source hands over, another records it: one batch is being written, one
waits, one is being gathered. What is held here counts against the byte budget, so that slow
disks slow down reading and not the machine.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import assert_never

from syncd.connections.seams import Fetched, MailSource
from syncd.errors import LimitExceeded, Phase, ServerError, StoreError, leaves
from syncd.incoming.admit import TOO_LARGE, Rules, admit
from syncd.incoming.headers import parse_headers
from syncd.incoming.record import (
    Arrived,
    Batch,
    Names,
    Settled,
    Upload,
    discard,
    leave_alone,
    record,
    stage,
    verdict_of,
)
from syncd.incoming.work import PollWork, Tally
from syncd.model.mail import CHUNK_OCTETS, LedgerState, Listed
from syncd.observe.edges import reached

MOST_MESSAGES = 100
"""Messages in one transaction: 7.4 times the speed of one each; more gains nothing
(performance.md f)."""

MOST_OCTETS = 2 * 2**20

LONGEST_GATHERING = 0.5
"""Seconds after which what has been gathered is recorded although more is to come."""

_CHUNKS_A_WRITE = 4
"""1 MiB of a large message in each commit."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some chunks of a large message."""

    upload: Upload
    chunks: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Broken:
    """A large message that did not come whole, or must not."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A message that is to be left on the server."""

    listed: Listed


Job = Batch | Piece | Broken | TooLarge


async def pull(
    work: PollWork,
    source: MailSource,
    wanted: Sequence[Listed],
    names: Names,
    tally: Tally,
    *,
    not_before: datetime | None = None,
) -> None:
    """Fetch messages and record them; returns when every one that came is committed.

    `not_before` is for mail that was there before the mailbox was joined. Raises ServerError
    (what had come whole is recorded all the same) and StoreError.
    """
    if not wanted:
        return
    rules = Rules(own_mark=work.own_mark, not_before=not_before)
    intake = _Intake(work, names, tally, rules)
    try:
        async with asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(intake.record_all())
            try:
                await intake.take_all(source, wanted)
            except ServerError as error:
                # What came whole is kept, and what broke the line comes last next time, or a
                # line that always breaks at the same place would never get past it.
                await intake.set_aside(wanted, error)
                await intake.finish(recording)
                raise
            await intake.finish(recording)
    except BaseExceptionGroup as group:
        raise _reason(group) from group
    finally:
        intake.release_all()


class _Intake:
    """The two ends of one stream: `take_all` and `record_all`."""

    def __init__(self, work: PollWork, names: Names, tally: Tally, rules: Rules) -> None:
        self._work = work
        self._names = names
        self._tally = tally
        self._rules = rules
        self._batch = Batch()
        self._began = 0.0
        self._held = 0
        self._answered = 0
        self._jobs: asyncio.Queue[Job | None] = asyncio.Queue(maxsize=1)

    async def take_all(self, source: MailSource, wanted: Sequence[Listed]) -> None:
        """Gather what the source hands over."""
        async for fetched in source.fetch(wanted):
            reached("incoming.fetched")
            for one in fetched:
                await self._take(one)
                self._answered += 1
            if self._should_not_wait():
                await self._hand_over()

    async def set_aside(self, wanted: Sequence[Listed], error: ServerError) -> None:
        """Note the message at which the session ended: the first that was not handed over."""
        if self._answered == len(wanted):
            return
        listed = wanted[self._answered]
        is_clear = self._names.digest_without_content(listed) == b""
        if isinstance(error, LimitExceeded) and is_clear:
            await self._hand_over()
            await self._jobs.put(TooLarge(listed))
        else:
            self._batch.refused.append((listed, error))

    async def finish(self, recording: asyncio.Task[None]) -> None:
        """Hand over the rest and wait until it is committed."""
        await self._hand_over()
        await self._jobs.put(None)
        await recording

    async def record_all(self) -> None:
        """Commit what is handed over, in order, until told that nothing more comes."""
        while (job := await self._jobs.get()) is not None:
            match job:
                case Batch():
                    for done in await record(self._work, self._names, job):
                        _count(self._tally, done, self._work.clock.now())
                    reached("incoming.committed")
                    self._release(job.octets)
                case Piece(upload, chunks):
                    await stage(self._work, upload, chunks)
                    self._release(sum(map(len, chunks)))
                case Broken(upload):
                    await discard(self._work, upload)
                case TooLarge(listed):
                    await leave_alone(self._work, self._names, [(listed, TOO_LARGE)])
                    self._tally.results[LedgerState.SKIPPED] += 1
                case _:
                    assert_never(job)
            self._jobs.task_done()

    def release_all(self) -> None:
        """Give back what the budget still counts."""
        self._release(self._held)

    async def _take(self, fetched: Fetched) -> None:
        listed = fetched.listed
        if fetched.refusal is not None:
            self._batch.refused.append((listed, fetched.refusal))
        elif fetched.body is not None:
            self._gather(self._judge(listed, fetched.body))
        elif fetched.chunks is not None:
            await self._take_large(listed, fetched.chunks)
        if len(self._batch.arrived) >= MOST_MESSAGES or self._batch.octets >= MOST_OCTETS:
            await self._hand_over()

    def _judge(self, listed: Listed, body: bytes) -> Arrived:
        headers = parse_headers(body)
        state, reason = verdict_of(admit(headers, self._rules))
        proof = sha256(body).digest()
        return Arrived(listed, proof, len(body), headers, state, reason, body)

    def _gather(self, one: Arrived) -> None:
        if not self._batch.arrived:
            self._began = self._work.clock.monotonic()
        self._batch.arrived.append(one)
        self._batch.octets += len(one.body)
        self._hold(len(one.body))

    async def _take_large(self, listed: Listed, chunks: AsyncIterator[bytes]) -> None:
        """Upload a message chunk by chunk; its turn in a batch comes when it is whole."""
        upload = Upload()
        proof = sha256()
        octets = 0
        beginning = b""
        gathered: list[bytes] = []
        try:
            async for chunk in _even_chunks(chunks):
                beginning = beginning or chunk
                proof.update(chunk)
                octets += len(chunk)
                self._hold(len(chunk))
                gathered.append(chunk)
                if octets > self._work.max_message_size:
                    raise self._too_large(octets)
                if len(gathered) == _CHUNKS_A_WRITE or self._work.budget.tight:
                    await self._jobs.put(Piece(upload, gathered))
                    gathered = []
                if self._work.budget.tight:
                    await self._jobs.join()  # then one chunk at a time is all we hold
        except ServerError:
            await self._jobs.put(Broken(upload))
            raise
        if octets <= CHUNK_OCTETS:
            # LIST had promised more than there was.
            self._release(octets)
            self._gather(self._judge(listed, beginning))
            return
        if gathered:
            await self._jobs.put(Piece(upload, gathered))
        headers = parse_headers(beginning)
        state, reason = verdict_of(admit(headers, self._rules))
        self._gather(
            Arrived(listed, proof.digest(), octets, headers, state, reason, upload=upload)
        )

    def _too_large(self, octets: int) -> LimitExceeded:
        words = f"a message of more than {self._work.max_message_size} octets ({octets} so far)"
        return LimitExceeded(self._work.server, Phase.FETCH, words)

    def _should_not_wait(self) -> bool:
        waited = self._work.clock.monotonic() - self._began
        return self._work.budget.tight or waited >= LONGEST_GATHERING

    async def _hand_over(self) -> None:
        if self._batch.arrived or self._batch.refused:
            batch, self._batch = self._batch, Batch()
            await self._jobs.put(batch)

    def _hold(self, octets: int) -> None:
        self._held += octets
        self._work.budget.hold(octets)

    def _release(self, octets: int) -> None:
        self._held -= octets
        self._work.budget.release(octets)


def _count(tally: Tally, done: Settled, now: datetime) -> None:
    """Count what has become of a message."""
    tally.results[done.state] += 1
    tally.octets += done.octets
    if done.put_off is not None:
        tally.put_off(done.put_off)
    if done.may_go:
        tally.deletable.append(done.listed)
    if done.state is LedgerState.TAKEN:
        tally.note_latency(done.received_at, now)


async def _even_chunks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cut a stream into pieces of CHUNK_OCTETS, but for the last; even ones pass untouched."""
    rest = bytearray()
    async for chunk in chunks:
        if not rest and len(chunk) == CHUNK_OCTETS:
            yield chunk
            continue
        rest += chunk
        while len(rest) >= CHUNK_OCTETS:
            yield bytes(rest[:CHUNK_OCTETS])
            del rest[:CHUNK_OCTETS]
    if rest:
        yield bytes(rest)


def _reason(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Choose what to raise of several things that went wrong together: the store's word first."""
    errors = list(leaves(group))
    return next((error for error in errors if isinstance(error, StoreError)), errors[0])
