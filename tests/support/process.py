"""The real process: `python -m syncd …`, run to its end or kept running, and what it said.

    ended = await syncd("status", "--json", config=world.config)
    assert ended.json["daemon"] is False

    async with daemon_running(world.config) as daemon:
        await daemon.logged("polled", address="ann@sandbox.example")
        assert await daemon.stopped() == 0
    # leaving makes sure that it is gone

Nothing of this process's own SYNCD_ variables reaches the child; everything has an end in time.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from syncd.clock import SystemClock

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
"""Seconds for anything: a busy machine is not a finding, a hang is."""
LOOK_EVERY = 0.01
"""Seconds between two looks at what only another process can change."""

Json = Any  # JSON as our own commands and logs print it
CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended: how, and what it printed."""

    status: int
    """Exit status; negative: the signal that ended it."""
    out: str
    err: str

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.status == -signal.SIGKILL

    @property
    def json(self) -> Json:
        """What it printed, as JSON."""
        return json.loads(self.out)


async def syncd(
    *words: str,
    config: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    under: Sequence[str] = (),
) -> Ended:
    """Run a command to its end; `under` is a command line that runs it, such as strace's."""
    process = await _start(
        words, config, env, under, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(stdin)
    finally:
        await _make_sure_it_is_gone(process)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode("utf-8", "replace"), err.decode())


async def all_of(*commands: Callable[[], Any], at_once: int = 2) -> list[Any]:
    """Run commands side by side, as many as the smallest machine has cores; results in order."""
    gate = asyncio.Semaphore(at_once)

    async def one(command: Callable[[], Any]) -> Any:
        async with gate:
            return await command()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(command)) for command in commands]
    return [task.result() for task in tasks]


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for something that another process, or this one's event loop, brings about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await CLOCK.sleep(LOOK_EVERY)


@dataclass(slots=True)
class Daemon:
    """A running `syncd run`: its log, its socket, its life."""

    process: asyncio.subprocess.Process
    http: httpx2.AsyncClient
    """To its local socket."""
    lines: list[str] = field(default_factory=list)
    """Standard error so far, as far as it was read."""
    _looked_at: int = 0

    @property
    def records(self) -> list[dict[str, Json]]:
        """The log so far; every line of it must be JSON."""
        return [json.loads(line) for line in self.lines]

    async def logged(self, event: str, **fields: Json) -> dict[str, Json]:
        """Wait for the next record of this event with these fields, and return it.

        Next: after the one that was last returned.
        """
        wanted = {"event": event, **fields}
        async with asyncio.timeout(PATIENCE):
            while True:
                while self._looked_at < len(self.lines):
                    record: dict[str, Json] = json.loads(self.lines[self._looked_at])
                    self._looked_at += 1
                    if wanted.items() <= record.items():
                        return record
                if not await self.read_line():
                    raise AssertionError(f"it ended without {wanted}: {self.lines[-5:]}")

    async def read_line(self) -> bool:
        """Read another line of the log; False at its end."""
        assert self.process.stderr is not None
        line = await self.process.stderr.readline()
        if line:
            self.lines.append(line.decode())
        return bool(line)

    async def answers(self) -> None:
        """Wait until its socket answers."""
        async with asyncio.timeout(PATIENCE):
            while self.process.returncode is None:
                with suppress(httpx2.TransportError):
                    await self.get("/healthz", parse=False)
                    return
                await CLOCK.sleep(LOOK_EVERY)
        raise AssertionError(f"it ended before its socket answered: {await self.ended()}")

    async def get(self, path: str, *, parse: bool = True) -> Json:
        """Ask a route, as an application on this machine does."""
        return await self.ask("GET", path, parse=parse)

    async def ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        parse: bool = True,
    ) -> Json:
        """Send a request over the local socket; return the JSON of a good answer."""
        answer = await self.http.request(
            method, path, content=content, headers=dict(headers or {})
        )
        assert answer.status_code < 400, answer.text
        return answer.json() if parse else answer.text

    async def poll(self, address: str) -> Json:
        """Poll a mailbox now and return the report."""
        return await self.ask("POST", f"/api/v1/mailboxes/{address}/poll")

    async def mailbox(self, address: str) -> Json:
        """Show a mailbox."""
        return await self.get(f"/api/v1/mailboxes/{address}")

    async def status(self) -> Json:
        """Show what runs, what waits, what is wrong."""
        return await self.get("/api/v1/status")

    def memory(self, what: str) -> int:
        """Read VmRSS or VmHWM (the peak), in octets, from the kernel."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == what:
                return int(value.split()[0]) * 1024
        raise AssertionError(f"the kernel does not tell {what}")

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal; whatever runs it (strace) gets it as well, and has none of it."""
        os.killpg(self.process.pid, number)

    async def ended(self) -> int:
        """Wait for its end and return the status; the whole log is there then."""
        async with asyncio.timeout(PATIENCE):
            while await self.read_line():
                pass
            return await self.process.wait()

    async def stopped(self) -> int:
        """Ask it to end, and return the status."""
        self.tell(signal.SIGTERM)
        return await self.ended()


@asynccontextmanager
async def daemon_running(
    config: Path, env: Mapping[str, str] | None = None, *, under: Sequence[str] = ()
) -> AsyncIterator[Daemon]:
    """Run the daemon beside `syncd.sock`, its socket; it is killed at the end if it still runs."""
    process = await _start(("run",), config, env, under)
    transport = httpx2.AsyncHTTPTransport(uds=str(config.with_name("syncd.sock")))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://syncd", timeout=PATIENCE
    ) as http:
        daemon = Daemon(process, http)
        try:
            await daemon.answers()
            yield daemon
        finally:
            await _make_sure_it_is_gone(process)
            while await daemon.read_line():
                pass


async def _start(
    words: Sequence[str],
    config: Path | None,
    env: Mapping[str, str] | None,
    under: Sequence[str],
    *,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int = asyncio.subprocess.DEVNULL,
) -> asyncio.subprocess.Process:
    ours = {name: v for name, v in os.environ.items() if not name.startswith("SYNCD_")}
    return await asyncio.create_subprocess_exec(
        *under,
        sys.executable,
        *("-m", "syncd", *words),
        *(() if config is None else ("--config", str(config))),
        cwd=PROJECT,
        env=ours | dict(env or {}),
        stdin=stdin,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        limit=2
        ** 26,  # a test reads the log when it wants to; the child must never wait for that
        start_new_session=True,  # so that what runs it (strace) ends with it
    )


async def _make_sure_it_is_gone(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
