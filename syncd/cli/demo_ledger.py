"""The outside ledger: what the sandbox saw, held against what the daemon says it has.

Rule 1: the ledger learns from the mail server's side and from the application's, never from
the daemon. Rule 2: a message in a maildrop is known by its address and the SHA-256 of its
octets, which no two share; an outgoing one by the number that its letter carries.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from syncd.cli.demo_world import Reply, letter_of
from syncd.sandbox.maildrops import Mail
from syncd.sandbox.witness import Accepted, Unwatched

MOST_COPIES = 2
"""Of a message whose outcome was unknown: one extra (contract 1.3)."""


@dataclass(frozen=True, slots=True, order=True)
class Copy:
    """One message in one mailbox, by its octets."""

    address: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What the daemon says of one queued message."""

    id: int
    state: str
    unknown_outcomes: int


class Ledger(Unwatched):
    """What was made, deleted, queued and delivered, as seen from outside."""

    def __init__(self) -> None:
        self.made: Counter[Copy] = Counter()
        self.gone: set[Copy] = set()
        self.offered: dict[UUID, Reply] = {}
        self.queued: dict[UUID, int] = {}
        self.reached: Counter[tuple[UUID, str]] = Counter()
        self.foreign: list[str] = []
        """What arrived at the SMTP server and nobody had queued, and Bcc lines that left."""
        self.turned_down: list[str] = []
        """What the daemon would not take from the application."""

    # ------------------------------------------------------------ told by the sandbox

    def deposited(self, address: str, mail: Mail) -> None:
        """Note a message made."""
        self.made[copy_of(address, mail.body)] += 1

    def deleted(self, address: str, mails: Sequence[Mail]) -> None:
        """Note what QUIT removed."""
        self.gone.update(copy_of(address, mail.body) for mail in mails)

    def accepted(self, message: Accepted) -> None:
        """Note a message that reached the SMTP server."""
        letter = letter_of(message.body)
        if letter is None or letter not in self.offered:
            self.foreign.append(f"a message that nobody queued, from {message.sender}")
            return
        head = message.body.partition(b"\r\n\r\n")[0].lower()
        if b"\r\nbcc:" in b"\r\n" + head:
            self.foreign.append(f"{letter}: its Bcc line left")
        for recipient in message.recipients:
            if recipient not in self.offered[letter].recipients:
                self.foreign.append(f"{letter}: went to {recipient} too")
            self.reached[letter, recipient] += 1

    # ------------------------------------------------------------ told by the application

    def offer(self, reply: Reply) -> None:
        """Note a reply before it is handed over: it may arrive before it is acknowledged."""
        self.offered[reply.letter] = reply

    def acknowledge(self, reply: Reply, outgoing_id: int) -> None:
        """Note that the daemon has taken a reply over: from here on it must arrive."""
        self.queued[reply.letter] = outgoing_id


def copy_of(address: str, octets: bytes) -> Copy:
    """Name a message in a mailbox by its octets."""
    return Copy(address.casefold(), hashlib.sha256(octets).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The balance: what should be, what is, and every difference by name."""

    made: int
    stored: int
    missing: tuple[Copy, ...]
    """Made, and not in the store."""
    doubled: tuple[Copy, ...]
    """In the store more than once."""
    strange: tuple[Copy, ...]
    """In the store, and never made."""
    deleted: int
    deleted_unstored: tuple[Copy, ...]
    """Deleted on the server without being in the store: lost."""
    queued: int
    reached: int
    """Deliveries (message and recipient) that the sandbox took at least once."""
    undelivered: tuple[str, ...]
    """Queued, never taken by the sandbox, and not known as outcome unknown."""
    unknown: tuple[str, ...]
    """Counted as outcome unknown by the daemon: state and copies."""
    extra_copies: int
    excessive: tuple[str, ...]
    """Delivered more often than allowed."""
    foreign: tuple[str, ...]
    refused: tuple[str, ...]

    @property
    def nothing_wrong(self) -> bool:
        """Whether nothing was lost, doubled or made up; mail may still be on its way."""
        wrong = (
            self.doubled,
            self.strange,
            self.deleted_unstored,
            self.excessive,
            self.foreign,
            self.refused,
        )
        return not any(wrong)

    @property
    def balanced(self) -> bool:
        """Whether everything has also arrived."""
        return self.nothing_wrong and not self.missing and not self.undelivered

    def as_json(self) -> dict[str, Any]:  # JSON as orjson takes it
        """Return the balance as JSON can say it."""
        return {**asdict(self), "balanced": self.balanced}


def balance(ledger: Ledger, stored: Sequence[Copy], outgoing: Mapping[int, Outgoing]) -> Books:
    """Hold the ledger against what came out of the store."""
    in_store = Counter(stored)
    known = {id_of: outgoing[id_of] for id_of in ledger.queued.values() if id_of in outgoing}
    undelivered, unknown, excessive, extra = [], [], [], 0
    for letter, outgoing_id in ledger.queued.items():
        item = known.get(outgoing_id)
        doubtful = item is not None and item.unknown_outcomes > 0
        counts = {to: ledger.reached[letter, to] for to in ledger.offered[letter].recipients}
        copies = ", ".join(f"{to} {n}" for to, n in counts.items())
        if doubtful and item is not None:
            unknown.append(f"{outgoing_id}: {item.state}; copies: {copies}")
        elif min(counts.values()) == 0:
            undelivered.append(f"{outgoing_id}: {item.state if item else 'gone'}; {copies}")
        if max(counts.values()) > (MOST_COPIES if doubtful else 1):
            excessive.append(f"{outgoing_id}: {copies}")
        extra += sum(max(0, n - 1) for n in counts.values())
    return Books(
        made=ledger.made.total(),
        stored=len(stored),
        missing=tuple(sorted((ledger.made - in_store).elements())),
        doubled=tuple(sorted(copy for copy, n in in_store.items() if n > 1)),
        strange=tuple(sorted(in_store.keys() - ledger.made.keys())),
        deleted=len(ledger.gone),
        deleted_unstored=tuple(sorted(ledger.gone - in_store.keys())),
        queued=len(ledger.queued),
        reached=len(ledger.reached),
        undelivered=tuple(undelivered),
        unknown=tuple(unknown),
        extra_copies=extra,
        excessive=tuple(excessive),
        foreign=tuple(ledger.foreign),
        refused=tuple(ledger.turned_down),
    )
