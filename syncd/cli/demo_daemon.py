"""The demo's child: the real `syncd run`, started, killed and started again."""

import asyncio
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from syncd.cli.environment import environment
from syncd.clock import Clock
from syncd.errors import SyncdError
from syncd.observe.edges import EDGES

Json = Any  # JSON as our own commands print it

UNKNOWN_WAIT = 5
"""Seconds after which an unknown outcome is tried again: 600 in earnest (RFC 5321 4.5.3.2.6),
too long to watch."""
PAUSE_AFTER_A_CRASH = 0.2
LOOK_EVERY = 0.1
STOP_SECONDS = 30
LAST_LINES = 10


class CommandFailed(SyncdError):
    """A `syncd` command ended with another status than 0."""


@dataclass(frozen=True, slots=True)
class Kills:
    """How often the daemon is killed: every `every` seconds, or at a named edge before that."""

    every: float | None
    dice: Random

    def next_fuse(self) -> dict[str, str]:
        """Return the environment of one life: most of them may end at an edge of the story."""
        if self.every is None or self.dice.randrange(3) == 0:
            return {}
        edge, passes = self.dice.choice(EDGES), self.dice.randrange(1, 4)
        return {"SYNCD_KILL_AT": f"{edge}:{passes}"}


class Daemon:
    """The child process, whichever one of its lives is running."""

    def __init__(
        self, config: Path, log: Path, kills: Kills, clock: Clock, ended: asyncio.Event
    ) -> None:
        self._config = config
        self._log = log
        self._kills = kills
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self.killed = 0
        self.killed_at_edges = 0
        self.starts = 0
        self._may_kill = True
        self.answering = asyncio.Event()
        """Set by the application when this life has answered it."""
        self._ended = ended
        self.failure: str | None = None
        """Set, together with the event, when it ends and nobody has killed it."""

    def spare(self) -> None:
        """Kill no more."""
        self._may_kill = False

    async def run(self) -> None:
        """Keep it running until cancelled, or until it ends by itself: then `failure` says so."""
        while True:
            # On a slow machine a life may be over before it has answered anybody: the next
            # one is let live until it has, or nothing would ever move.
            cut_short = self.starts > 0 and not self.answering.is_set()
            self.answering.clear()
            fuse = self._kills.next_fuse() if self._may_kill else {}
            process = await self._start(fuse)
            if cut_short:
                await self._until_answering(process)
            killed_by_us = not await self._ends_by_itself(process)
            status = await process.wait()
            if status != -signal.SIGKILL or not (killed_by_us or fuse):
                self._fail(f"ended with status {status}")
                return
            self.killed += 1
            self.killed_at_edges += not killed_by_us
            await self._clock.sleep(PAUSE_AFTER_A_CRASH)

    async def _start(self, fuse: dict[str, str]) -> asyncio.subprocess.Process:
        self.starts += 1
        shorter = {"SYNCD_TEST_UNKNOWN_WAIT": str(UNKNOWN_WAIT)}
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "syncd", "run", "--config", str(self._config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment() | shorter | fuse,
                # Ctrl-C in the terminal is ours: we stop the daemon in our own order.
                start_new_session=True,
            )
        return self._process

    async def _until_answering(self, process: asyncio.subprocess.Process) -> None:
        while process.returncode is None and not self.answering.is_set():
            await self._clock.sleep(LOOK_EVERY)

    async def _ends_by_itself(self, process: asyncio.subprocess.Process) -> bool:
        """Wait for its end; once its time is up, kill it, unless it is to be spared."""
        try:
            async with asyncio.timeout(self._kills.every):
                await process.wait()
        except TimeoutError:
            if self._may_kill and process.returncode is None:
                process.kill()
                return False
            await process.wait()
        return True

    async def stop(self) -> None:
        """Ask it to end (SIGTERM) and wait; to have to kill it, or a bad status, is a failure."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            self._fail(f"did not end within {STOP_SECONDS} s of SIGTERM")
            return
        if status:
            self._fail(f"ended with status {status} after SIGTERM")

    def last_words(self) -> str:
        """Return the end of its log."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LAST_LINES:])

    def _fail(self, how: str) -> None:
        self.failure = f"the daemon {how}; see {self._log}"
        self._ended.set()


def _environment() -> dict[str, str]:
    """Return ours, without settings that were meant for another syncd."""
    return {name: v for name, v in environment().items() if not name.startswith("SYNCD_")}


async def command(config: Path, *words: str) -> Json:
    """Run another `syncd` command on the demo's store and return the JSON it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "syncd", *words, "--config", str(config), "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
    )
    printed, complaints = await process.communicate()
    if process.returncode:
        said = complaints.decode(errors="replace")
        raise CommandFailed(f"syncd {' '.join(words)}: status {process.returncode}: {said}")
    return json.loads(printed)
