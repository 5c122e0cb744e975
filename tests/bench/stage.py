"""The server all programs are measured against: one Dovecot, its mailboxes, and the ways to reach it."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Self

from tests.bench import far, limit, measure
from tests.bench.corpus import fingerprints
from tests.bench.wire import Wire
from tests.servers import debian
from tests.servers.certificates import NAMES, Authority
from tests.servers.dovecot import HOST, Dovecot, DovecotOptions, User
from tests.servers.process import Folder, free_ports

# As the evidence was measured: Maildir with CRLF, no flag updates, login processes reused.
_CONFIGURATION = f"""
disable_plaintext_auth = no
listen = 127.0.0.1 {far.HERE}
auth_verbose = no
protocol pop3 {{
  mail_max_userip_connections = 1000
}}
protocol imap {{
  mail_max_userip_connections = 1000
}}
service pop3-login {{
  process_min_avail = 2
}}
service imap-login {{
  process_min_avail = 2
}}
service pop3 {{
  client_limit = 1
  service_count = 100
}}
service imap {{
  client_limit = 1
  service_count = 100
}}
"""


@dataclass(frozen=True, slots=True)
class Reach:
    """How a client gets to the server: what to put before its command, and where the server is."""

    host: str
    pop3: int
    pop3s: int
    imap: int
    imaps: int
    prefix: tuple[str, ...] = ()

    def pop(self, *, tls: bool) -> int:
        """Return the POP3 port."""
        return self.pop3s if tls else self.pop3

    def mail(self, *, tls: bool) -> int:
        """Return the IMAP port."""
        return self.imaps if tls else self.imap


@dataclass(slots=True)
class Job:
    """One program's task: these users' mail, over this road, into this folder."""

    folder: Path
    users: Sequence[User]
    reach: Reach
    tls: bool
    authority: Path  # the file with the certificate authority
    cleanup: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup.close()

    def inside(self, path: Path) -> Path:
        """Return the path as a program sees it that runs by chroot in the private root."""
        return Path("/") / path.relative_to(debian.ROOT)


class Stage:
    """A running Dovecot with its mailboxes; everything is gone when it is left."""

    def __init__(self) -> None:
        root = debian.find()
        authority = Authority()
        self._folder = Folder(root, "bench")
        self.authority = authority.write(self._folder.path)
        self.authority.chmod(0o644)
        self._authority = authority
        self.dovecot = Dovecot(
            root,
            DovecotOptions(extra=_CONFIGURATION),
            authority=authority,
            certificate=authority.good(far.HERE, *NAMES, common_name=far.HERE),
        )
        self._cleanup = contextlib.ExitStack()
        self._jobs = 0

    def __enter__(self) -> Self:
        self._cleanup.callback(self._folder.remove)
        self._cleanup.enter_context(self.dovecot)
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def fill(self, prefix: str, mailboxes: Iterable[Iterable[bytes]]) -> "Mail":
        """Make a mailbox for each batch of messages, and have Dovecot index them."""
        users, expected = [], Counter[str]()
        for number, messages in enumerate(mailboxes):
            user = self.dovecot.add_user(f"{prefix}{number}@example.test")
            held = list(messages)
            self.dovecot.deliver_all(user, held)
            expected += fingerprints(held)
            users.append(user)
        measure.settle()
        for user in users:
            limit.look(HOST, self.dovecot.ports.pop3, user.address, user.password)
        return Mail(tuple(users), expected)

    def near(self) -> Reach:
        """Return the road over loopback."""
        ports = self.dovecot.ports
        return Reach(far.HERE, ports.pop3, ports.pop3s, ports.imap, ports.imaps)

    @contextlib.contextmanager
    def away(self) -> Iterator[tuple[Reach, Callable[[], str]]]:
        """Yield the road from 40 ms away, and what to say about it afterwards."""
        near = self.near()
        try:
            with far.Far() as road:
                yield (
                    replace(near, prefix=tuple(road.prefix)),
                    lambda: f"by {road.how}, which used {road.cpu():.1f} s of CPU",
                )
                return
        except far.NotPossible as exc:
            why = str(exc)
        pop3, pop3s, imap, imaps = fronts = free_ports(4, near.host)
        behind = (near.pop3, near.pop3s, near.imap, near.imaps)
        one_way = timedelta(seconds=far.ROUND_TRIP / 2)
        with Wire(near.host, dict(zip(fronts, behind, strict=True)), delay=one_way):
            yield (
                Reach(near.host, pop3, pop3s, imap, imaps),
                lambda: (
                    f"by a TCP proxy that delays chunks, because of {why}; weaker than packets"
                    " held: connecting costs no round trip, windows never fill"
                ),
            )

    def job(self, mail: "Mail", reach: Reach, *, tls: bool) -> Job:
        """Return a fresh task in an empty folder that everybody may enter."""
        self._jobs += 1
        folder = self._folder.path / f"job{self._jobs}"
        folder.mkdir(mode=0o755)
        return Job(folder, mail.users, reach, tls, self.authority)

    @contextlib.contextmanager
    def wiretapped(self) -> Iterator[Wire]:
        """Put byte counters where Dovecot's ports were, and Dovecot behind them.

        Programs go on with the addresses and the memory they have.
        """
        before = self.dovecot.ports
        behind = free_ports(4)
        self.dovecot.ports = replace(
            before, pop3=behind[0], pop3s=behind[1], imap=behind[2], imaps=behind[3]
        )
        self.dovecot.restart()
        fronts = (before.pop3, before.pop3s, before.imap, before.imaps)
        with Wire(far.HERE, dict(zip(fronts, behind, strict=True))) as wire:
            yield wire
        self.dovecot.ports = before
        self.dovecot.restart()


@dataclass(frozen=True, slots=True)
class Mail:
    """What lies in a set of mailboxes."""

    users: tuple[User, ...]
    expected: Counter[str]


def own_python() -> list[str]:
    """Return how to run a module of this project."""
    return [sys.executable, "-m"]


def own_environment() -> dict[str, str]:
    """Return what such a module needs to find the project from any folder."""
    return {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": os.environ["PATH"]}
