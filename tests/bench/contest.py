"""How programs are compared: in alternation, each from an empty folder, each proved to have stored all."""

import contextlib
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.bench import measure
from tests.bench.corpus import fingerprints
from tests.bench.measure import RunFailed, Usage
from tests.bench.peers.programs import Program
from tests.bench.peers.syncd import Running
from tests.bench.results import Contest, Series
from tests.bench.stage import Job, Mail, Reach, Stage

_LOOKS = 50

T = TypeVar("T")


class NotStored(Exception):
    """A program's store does not hold exactly what the server does."""


@dataclass(frozen=True, slots=True)
class Task:
    """What all programs are asked to do."""

    stage: Stage
    mail: Mail
    reach: Reach
    tls: bool
    rounds: int


def pull_contest(contest: Contest, task: Task, programs: Sequence[Program]) -> None:
    """Let every program pull everything, `rounds` times, never one program twice in a row."""
    for number in range(task.rounds):
        for program in _in_turn(programs, number):
            series = contest.series.setdefault(program.name, Series())
            if series.failure:
                continue
            _say(f"{contest.name} round {number + 1}: {program.name}")
            with _noting(series), _job(task) as job:
                program.prepare(job)
                measure.settle()
                usage = program.pull(job)
                check_stored(program, job, task.mail.expected)
                series.usages.append(usage)


def idle_contest(
    contest: Contest,
    task: Task,
    programs: Sequence[Program],
) -> None:
    """Let every program pull everything once, unmeasured, and then look again, `rounds` times.

    A last look goes through a byte counter.
    """
    with contextlib.ExitStack() as open_jobs:
        ready: list[tuple[Program, Job]] = []
        for program in programs:
            series = contest.series.setdefault(program.name, Series())
            _say(f"{contest.name} first pull: {program.name}")
            with _noting(series):
                job = open_jobs.enter_context(_job(task))
                program.prepare(job)
                program.pull(job)
                check_stored(program, job, task.mail.expected)
                program.pull(job)  # what is only done once after a first pull is done now
                ready.append((program, job))
        for number in range(task.rounds):
            _say(f"{contest.name} looking, round {number + 1}")
            for program, job in _in_turn(ready, number):
                with _noting(contest.series[program.name]):
                    usage = _look(program, job)
                    contest.series[program.name].usages.append(usage)
        with task.stage.wiretapped() as wire:
            for program, job in ready:
                with _noting(contest.series[program.name]):
                    wire.count()
                    program.pull(job)
                    contest.series[program.name].wire.append(wire.count())
        for program, job in ready:
            with _noting(contest.series[program.name]):
                check_stored(program, job, task.mail.expected)
            if isinstance(program, Running) and not contest.series[program.name].failure:
                cost = program.request_cost(job, _LOOKS)
                contest.remarks.append(
                    f"{program.name} is asked over HTTP; a request costs {cost * 1000:.2f} ms of"
                    f" CPU, {'taken off' if len(job.users) == 1 else 'not taken off'} above"
                )


def check_stored(program: Program, job: Job, expected: Counter[str]) -> None:
    """Compare what the program holds with what the server holds, message by message."""
    stored = program.stored(job)
    if stored is None:
        return
    found = fingerprints(stored)
    if found != expected:
        missing, extra = expected - found, found - expected
        raise NotStored(
            f"{missing.total()} messages missing, {extra.total()} doubled or changed"
        )


def _look(program: Program, job: Job) -> Usage:
    """Return the cost of looking once; a running daemon's is too small for one figure."""
    if isinstance(program, Running) and len(job.users) == 1:
        return program.look(job, _LOOKS)
    return program.pull(job)


@contextlib.contextmanager
def _job(task: Task) -> Iterator[Job]:
    with task.stage.job(task.mail, task.reach, tls=task.tls) as job:
        yield job
    shutil.rmtree(job.folder, ignore_errors=True)


@contextlib.contextmanager
def _noting(series: Series) -> Iterator[None]:
    """Let one program's failure be its own: the others go on."""
    try:
        yield
    except (RunFailed, NotStored, OSError) as exc:
        series.failure = f"{type(exc).__name__}: {exc}"


def _in_turn(items: Sequence[T], number: int) -> list[T]:
    """Begin each round with another one, so that nobody always runs after the same neighbour."""
    start = number % len(items) if items else 0
    return [*items[start:], *items[:start]]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
