"""What a run cost: seconds on the wall, seconds of CPU, the most memory."""

import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class RunFailed(Exception):
    """A measured program ended with an error; the text is the end of its output."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The cost of one run: seconds, and octets of memory (0: not measured)."""

    wall: float
    cpu: float
    rss: int = 0


def run(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    accepted: frozenset[int] = frozenset({0}),
    timeout: float = 1800,
) -> Usage:
    """Run a command to its end and return its cost, children it waited for included.

    CPU is what the kernel accounts (wait4). Memory is VmHWM looked at every 20 ms, not
    ru_maxrss: that one begins with the memory of whoever called fork.
    """
    with (folder / "output").open("ab+") as output:
        output.truncate(0)
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**_ENVIRONMENT, "HOME": str(folder), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        with _Watch(process.pid, timeout) as watch:
            _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in accepted:
            output.seek(0)
            words = output.read().decode(errors="replace")[-2000:]
            raise RunFailed(f"ended with status {process.returncode}\n{words}")
    return Usage(wall, _cpu(used), watch.peak)


class Daemon:
    """The cost of a span of a long-running process's life: `mark` before, `since` after."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._wall = 0.0
        self._cpu = 0.0

    def mark(self) -> None:
        """Begin a span."""
        self._cpu = self.cpu()
        self._wall = time.perf_counter()

    def since(self) -> Usage:
        """Return what the span has cost so far; memory is the peak of the whole life."""
        wall = time.perf_counter() - self._wall
        return Usage(wall, self.cpu() - self._cpu, _peak(self.pid))

    def cpu(self) -> float:
        """Return the CPU seconds of all threads, in nanoseconds' precision (stat counts in 10 ms)."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        try:
            spent = [int((task / "schedstat").read_text().split()[0]) for task in tasks]
        except OSError:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return sum(spent) / 1e9


def settle() -> None:
    """Let the disk finish what the last run left to it, so that the next one does not pay for it."""
    os.sync()


class _Watch:
    """Looks at a process's memory while it runs, and ends it when it takes too long."""

    def __init__(self, pid: int, timeout: float) -> None:
        self.peak = 0
        self._pid = pid
        self._timeout = timeout
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        end = time.monotonic() + self._timeout
        while not self._over.wait(0.02):
            self.peak = max(self.peak, _peak(self._pid))
            if time.monotonic() > end:
                os.kill(self._pid, 9)
                return


def _peak(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _cpu(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime
