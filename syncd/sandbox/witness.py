"""What really happened at the mail server: the outside ledger that syncd is held against.

A witness is told after the fact: `handed_out` when the last octet of a message went to the
client, `deleted` when QUIT has removed what DELE had marked, `accepted` when the final dot of
a message was taken (whether or not its 250 reaches the client: that is the point).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from syncd.sandbox.maildrops import Mail


class Service(StrEnum):
    """Which of the sandbox's servers."""

    POP3 = "pop3"
    SMTP = "smtp"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message the SMTP server took: envelope, octets after dot-unstuffing, who logged in."""

    sender: str
    recipients: tuple[str, ...]
    body: bytes
    username: str


class Witness(Protocol):
    """Sees what happens; must neither fail nor wait."""

    def deposited(self, address: str, mail: Mail) -> None:
        """See a message come into a maildrop."""
        ...

    def handed_out(self, address: str, mail: Mail) -> None:
        """See RETR answered to its last octet."""
        ...

    def deleted(self, address: str, mails: Sequence[Mail]) -> None:
        """See QUIT remove what DELE had marked."""
        ...

    def accepted(self, message: Accepted) -> None:
        """See the SMTP server take a message over."""
        ...

    def logged_in(self, service: Service, username: str) -> None:
        """See a login succeed."""
        ...

    def refused(self, service: Service, username: str) -> None:
        """See a login refused."""
        ...

    def heard(self, service: Service, line: bytes) -> None:
        """See a line that the client said, without its CRLF; passwords too."""
        ...


class Unwatched:
    """A witness who looks away: for load, where nothing may pile up."""

    def deposited(self, address: str, mail: Mail) -> None:
        """Look away."""

    def handed_out(self, address: str, mail: Mail) -> None:
        """Look away."""

    def deleted(self, address: str, mails: Sequence[Mail]) -> None:
        """Look away."""

    def accepted(self, message: Accepted) -> None:
        """Look away."""

    def logged_in(self, service: Service, username: str) -> None:
        """Look away."""

    def refused(self, service: Service, username: str) -> None:
        """Look away."""

    def heard(self, service: Service, line: bytes) -> None:
        """Look away."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message and the address whose maildrop it is about."""

    address: str
    mail: Mail


class Journal(Unwatched):
    """A witness who writes everything down, in order; for tests, unbounded."""

    def __init__(self) -> None:
        self.deposits: list[Entry] = []
        self.handouts: list[Entry] = []
        self.deletions: list[Entry] = []
        self.acceptances: list[Accepted] = []
        self.logins: Counter[tuple[Service, str]] = Counter()
        self.refusals: Counter[tuple[Service, str]] = Counter()
        self.lines: list[tuple[Service, bytes]] = []

    def deposited(self, address: str, mail: Mail) -> None:
        """Note a message that came into a maildrop."""
        self.deposits.append(Entry(address, mail))

    def handed_out(self, address: str, mail: Mail) -> None:
        """Note a RETR that was answered to its last octet."""
        self.handouts.append(Entry(address, mail))

    def deleted(self, address: str, mails: Sequence[Mail]) -> None:
        """Note what QUIT removed."""
        self.deletions.extend(Entry(address, mail) for mail in mails)

    def accepted(self, message: Accepted) -> None:
        """Note a message that the SMTP server took over."""
        self.acceptances.append(message)

    def logged_in(self, service: Service, username: str) -> None:
        """Count a login that succeeded."""
        self.logins[service, username] += 1

    def refused(self, service: Service, username: str) -> None:
        """Count a login that was refused."""
        self.refusals[service, username] += 1

    def heard(self, service: Service, line: bytes) -> None:
        """Note what the client said."""
        self.lines.append((service, line))

    def words(self, service: Service) -> list[str]:
        """Return the first words of the lines heard so far, in upper case."""
        return [
            line.split(b" ", 1)[0].decode("latin-1").upper()
            for heard_by, line in self.lines
            if heard_by is service
        ]
