"""syncd itself: `syncd once`, a whole process from start to end, and the running daemon."""

import contextlib
import http.client
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.bench import measure
from tests.bench.measure import Daemon, Usage
from tests.bench.peers.programs import maildir_messages
from tests.bench.stage import Job, own_environment, own_python

_ASKED_AT_ONCE = 16


class Once:
    """`syncd once`: start-up, every mailbox, the end. What the other programs are compared with."""

    def __init__(self, name: str = "syncd once") -> None:
        self.name = name

    def prepare(self, job: Job) -> None:
        """Write the configuration."""
        write_configuration(job, interval="1d")

    def pull(self, job: Job) -> Usage:
        """Poll every mailbox once."""
        return measure.run(
            [*job.reach.prefix, *_command(job, "once")],
            folder=job.folder,
            environment=own_environment(),
        )

    def stored(self, job: Job) -> Iterator[bytes]:
        """Export everything, with the product's own command."""
        return exported(job)


class Running:
    """`syncd run`, asked for polls over its socket; its CPU is the daemon's alone, start-up not counted."""

    def __init__(self, name: str = "syncd run", *, interval: str = "1d") -> None:
        self.name = name
        self._interval = interval

    def prepare(self, job: Job) -> None:
        """Write the configuration and start the daemon."""
        write_configuration(job, interval=self._interval)
        job.cleanup.enter_context(daemon(job))

    def pull(self, job: Job) -> Usage:
        """Ask for a poll of each mailbox, several at once; how many it does at once is its affair."""
        running = Daemon(_pid(job))
        running.mark()
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as asking:
            list(asking.map(lambda user: poll(job, [user.address]), job.users))
        return running.since()

    def look(self, job: Job, times: int) -> Usage:
        """Ask for polls of the only mailbox; return the mean cost of one, the request's taken off.

        Nobody asks in earnest: the daemon polls by its own schedule.
        """
        (user,) = job.users
        running = Daemon(_pid(job))
        running.mark()
        poll(job, [user.address] * times)
        usage = running.since()
        cpu = usage.cpu / times - self.request_cost(job, times)
        return replace(usage, wall=usage.wall / times, cpu=cpu)

    def request_cost(self, job: Job, times: int) -> float:
        """Return the CPU of a request that does nothing."""
        running = Daemon(_pid(job))
        running.mark()
        ask(job, "GET", ["/api/v1/nothing"] * times)
        return running.since().cpu / times

    def stored(self, job: Job) -> Iterator[bytes]:
        """Export everything, with the product's own command."""
        return exported(job)


def write_configuration(job: Job, *, interval: str) -> None:
    """Write what the contract's page on configuration asks for; as JSON, which is YAML too."""
    server = {
        "server": job.reach.host,
        "port": job.reach.pop(tls=job.tls),
        **({"security": "tls", "tls_ca": str(job.authority)} if job.tls else _plain()),
    }
    settings = {
        "instance": "bench",
        "store": {"url": f"sqlite:///{job.folder / 'syncd.db'}"},
        "http": {"socket": str(_socket(job))},
        "network": {
            # The others have no such limit, and all mailboxes are on one server.
            "login_rate_per_server": "100000/1s",
            "max_connections_per_server": 100,
        },
        "email_settings": {
            "profile": "bench",
            "outgoing": "none",
            "process_only_approved_users": False,
            "process_only_approved_queues": False,
        },
        "limits": {"max_message_size": "2GiB"},
        "log": {"level": "warning"},
        "profiles": [
            {
                "name": "bench",
                "type": "pop3-smtp",
                "incoming": server,
                "outgoing": {"server": job.reach.host},  # outgoing: none, so nobody goes there
                "credentials": {"source": "mailbox"},
                "process_email_from": "all",
                "minimum_polling_interval": interval,
            }
        ],
        "mailboxes": [
            {
                "address": user.address,
                "type": "user",
                "credentials": {"username": user.address, "password": user.password},
            }
            for user in job.users
        ],
    }
    path = _configuration(job)
    path.touch(mode=0o600)
    path.write_text(json.dumps(settings, indent=1), encoding="ascii")


@contextlib.contextmanager
def daemon(job: Job) -> Iterator[None]:
    """Run the daemon and yield once every mailbox has had its first poll."""
    with (job.folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *job.reach.prefix, *_command(job, "run")],
            cwd=job.folder,
            env=own_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    (job.folder / "pid").write_text(str(process.pid), encoding="ascii")
    try:
        _wait_for_socket(job, process)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def poll(job: Job, addresses: Sequence[str]) -> None:
    """Ask the daemon for polls, one after the other, and wait for the end of each."""
    paths = [f"/api/v1/mailboxes/{address}/poll" for address in addresses]
    for path, (status, body) in zip(paths, ask(job, "POST", paths), strict=True):
        if status >= 300 or json.loads(body).get("result") != "ok":
            raise measure.RunFailed(f"{path}: {status} {body.decode(errors='replace')}")


def ask(job: Job, method: str, paths: Sequence[str]) -> list[tuple[int, bytes]]:
    """Send requests over one connection to the daemon's socket and return the answers."""
    connection = _Local(_socket(job))
    answers = []
    for path in paths:
        connection.request(method, path)
        answer = connection.getresponse()
        answers.append((answer.status, answer.read()))
    connection.close()
    return answers


def exported(job: Job) -> Iterator[bytes]:
    """Have everything exported and read it."""
    maildir = job.folder / "export"
    shutil.rmtree(maildir, ignore_errors=True)
    measure.run(
        [*_command(job, "message", "export"), "--all", "--maildir", str(maildir)],
        folder=job.folder,
        environment=own_environment(),
    )
    return maildir_messages(maildir)


class _Local(http.client.HTTPConnection):
    """HTTP over the daemon's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=1800)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def _wait_for_socket(job: Job, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        if _socket(job).exists():
            return
        if process.poll() is not None:
            words = (job.folder / "daemon.log").read_text(errors="replace")[-2000:]
            raise measure.RunFailed(
                f"the daemon ended with status {process.returncode}\n{words}"
            )
        time.sleep(0.05)
    raise measure.RunFailed("the daemon opened no socket within 30 s")


def _command(job: Job, *words: str) -> list[str]:
    return [*own_python(), "syncd", *words, "--config", str(_configuration(job))]


def _configuration(job: Job) -> Path:
    return job.folder / "syncd.yaml"


def _socket(job: Job) -> Path:
    return job.folder / "s"


def _pid(job: Job) -> int:
    return int((job.folder / "pid").read_text(encoding="ascii"))


def _plain() -> dict[str, object]:
    return {"security": "none", "allow_plaintext_login": True}
