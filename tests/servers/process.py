"""A real server as an ordinary child process inside the private root, with a folder of its own there."""

import contextlib
import fcntl
import itertools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.servers.debian import CACHE

LOGS = CACHE.parent / "servers"
_numbers = itertools.count(1)

_MORTAL = ("setpriv", "--pdeathsig", "TERM")

# Passes SIGTERM on to the server, waits for its end and for whatever it leaves behind.
# setsid: to end, Postfix's master signals the process group that it believes to lead.
_KEEPER = """
setsid "$@" &
server=$!
trap 'kill $server' TERM
wait $server
wait $server
status=$?
kill -KILL -$server 2>/dev/null
exit $status
"""


class ServerFailed(Exception):
    """A server did not start, or ended by itself; the text holds the end of its log."""


class Folder:
    """A folder below /srv of the private root, held by this process and swept when its holder is gone."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        _sweep(root / "srv")
        self.inside = Path("/srv") / f"{name}-{os.getpid()}-{next(_numbers)}"
        self.path.mkdir()
        self.path.chmod(0o755)
        self._lock = (self.path / ".held").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    @property
    def path(self) -> Path:
        """Return the folder as this process sees it; `inside` is the server's view."""
        return self.root / self.inside.relative_to("/")

    def make(self, name: str, owner: tuple[int, int] = (0, 0), mode: int = 0o755) -> Path:
        """Make a folder inside and return the server's view of it."""
        (self.path / name).mkdir(parents=True, exist_ok=True)
        (self.path / name).chmod(mode)
        os.chown(self.path / name, *owner)
        return self.inside / name

    def write(self, name: str, content: str | bytes, mode: int = 0o644) -> Path:
        """Replace a file in one step, so that a running server never reads half; return its inside path."""
        target = self.path / name
        new = target.with_name(f".{target.name}.new")
        new.write_bytes(content.encode() if isinstance(content, str) else content)
        new.chmod(mode)
        # Postfix waits two seconds before it trusts a young file. This one is whole when it appears.
        os.utime(new, (0, 0))
        new.replace(target)
        return self.inside / name

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


class ServerProcess:
    """One server's main process; it dies with the process that started it, whatever kills that one."""

    def __init__(self, root: Path, command: Sequence[str | Path], log: Path) -> None:
        self.log = log
        # The shell is what PR_SET_PDEATHSIG is for: a server that changes its user, as Postfix's
        # master does for a moment, silently loses the setting.
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_MORTAL, "sh", "-c", _KEEPER, "sh", "chroot", root, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )

    def freeze(self) -> None:
        """Stop every process of the server where it stands (SIGSTOP): it still listens, but says nothing."""
        os.killpg(self._server(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        os.killpg(self._server(), signal.SIGCONT)

    def wait_until(self, ready: Callable[[], bool], seconds: float = 10) -> None:
        """Return once `ready` says so; ServerFailed when the server ends before or takes too long."""
        for _ in range(int(seconds / 0.01)):
            if ready():
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = self._process.wait(timeout=0.01)
                raise ServerFailed(f"ended with status {status}\n{self._last_words()}")
        self.stop()
        raise ServerFailed(f"not ready after {seconds} s\n{self._last_words()}")

    def stop(self) -> None:
        """End the server and everything it started, and wait until it is gone."""
        if self._process.poll() is None:
            server = self._server()
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(server, signal.SIGKILL)
                self._process.wait()

    def kill(self) -> None:
        """End the server and everything it started at once, as a power failure would."""
        if self._process.poll() is None:
            os.killpg(self._server(), signal.SIGKILL)
            self._process.wait()

    def _server(self) -> int:
        """Return the number of the server's first process, which leads the group of all others."""
        keeper = self._process.pid
        children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text(encoding="ascii")
        return int(children.split()[0])

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-20:])


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return ports nobody listens on at this moment, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a connection to the port is accepted."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def keep_log(log: Path) -> Path | None:
    """Copy a server's log to where it outlives the server; return the copy."""
    if not log.exists():
        return None
    LOGS.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(log, LOGS / f"{log.parent.name}.log"))


def _sweep(folder: Path) -> None:
    """Remove what servers of test processes that were killed have left."""
    for stale in _unheld(folder):
        shutil.rmtree(stale, ignore_errors=True)


def _unheld(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        try:
            with (path / ".held").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # held, or just being made
        yield path
