"""What is new in a mailbox: decided from its listing and the ledger, never from numbers or dates.

Rule 1: each server message is judged once; what the ledger holds is not fetched again.
Rule 2: an empty listing says nothing; nothing is forgotten because of it.
Rule 3: a UIDL is a name, not a proof. Where one name stands for more messages than are known,
all of them are fetched and told apart by their content (RFC 1939 7 allows equal names for
equal messages; real servers give them to different ones).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from hashlib import sha256

from syncd.incoming.admit import BEFORE_DATE, TOO_LARGE
from syncd.model.mail import LedgerEntry, LedgerState, Listed, MaildropStatus
from syncd.model.poll import ListingMemory

Seen = Mapping[str, Sequence[LedgerEntry]]
"""What the ledger knows, by UIDL."""

LONGEST_UID = 255
"""RFC 1939 allows 70 characters; servers that give more are believed up to here."""

BY_TOP = "top:"
BY_CONTENT = "sha256:"
"""How identities begin that we made ourselves, of header section or whole message."""

FULL_EVERY = timedelta(hours=24)
"""The whole UIDL is the truth; the short way is believed for this long (architecture 4)."""

FEWEST_TO_DOUBT = 10
"""A mailbox with fewer messages is not worth a re-key guard: equal bytes are found anyhow."""

LONGEST_TAIL = 200
"""Messages behind the last known one that are asked for one by one; beyond, the whole listing
is cheaper."""

_MOST_BELIEVED = 2**40
"""Octets above which LIST's claim is nonsense, and the message is counted as it comes."""


class Look(Enum):
    """How much of the maildrop has to be listed."""

    NOTHING = auto()
    """It stands as it was left."""
    TAIL = auto()
    """Only messages behind the last known one came."""
    WHOLE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to do with each message of a listing that is not settled."""

    fetch: tuple[Listed, ...] = ()
    """New mail, and refused mail whose next try has come."""
    fetch_dated: tuple[Listed, ...] = ()
    """The same, but it may be older mail under an unclear name: its date decides."""
    pending: tuple[Listed, ...] = ()
    """Mail of the first listing (or of a new epoch) that waits for its judgement."""
    skip: tuple[tuple[Listed, str], ...] = ()
    """Left on the server, with the reason."""
    delete_again: tuple[Listed, ...] = ()
    """In the store already; only its deletion failed before."""
    ambiguous: frozenset[str] = frozenset()
    """Names that do not tell messages apart: keyed by name and content."""
    retry_at: datetime | None = None
    """When the first of those that wait for another try is due."""


def is_usable(uid: str) -> bool:
    """Tell whether a UIDL can serve as a name; else the content has to."""
    return (
        0 < len(uid) <= LONGEST_UID
        and not uid.startswith((BY_TOP, BY_CONTENT))
        and all(c > " " and c != "\x7f" for c in uid)
    )


def choose_look(
    memory: ListingMemory | None, status: MaildropStatus, uid: str | None, now: datetime
) -> Look:
    """Tell how much to list; `uid` is the present UIDL of message `memory.count`."""
    if memory is None or not memory.whole or now - memory.full_at >= FULL_EVERY:
        return Look.WHOLE
    if memory.retry_at is not None and now >= memory.retry_at:
        return Look.WHOLE
    if status.count == memory.count == 0:
        return Look.NOTHING
    if memory.last_uid is None or uid != memory.last_uid:
        return Look.WHOLE
    if status.count == memory.count:
        return Look.NOTHING if status.octets == memory.octets else Look.WHOLE
    is_tail = memory.count < status.count <= memory.count + LONGEST_TAIL
    return Look.TAIL if is_tail else Look.WHOLE


def choose_new(
    listing: Sequence[Listed],
    seen: Seen,
    *,
    now: datetime,
    not_before: datetime,
    most_octets: int,
) -> Choice:
    """Sort a listing, in its order; `not_before` is the mailbox's process_email_from."""
    occurrences = Counter(listed.uid for listed in listing)
    fates = {
        uid: _fate(uid, seen.get(uid, ()), count, now) for uid, count in occurrences.items()
    }
    sorted_out: dict[_Fate, list[Listed]] = {fate: [] for fate in _Fate}
    skip: list[tuple[Listed, str]] = []
    for listed in listing:
        fate = fates[listed.uid]
        if fate in _FETCHED and is_too_large(listed, most_octets):
            skip.append((listed, TOO_LARGE))
        elif fate in _FETCHED and now < not_before:
            # Listed before the day from which mail counts: it cannot have come after it.
            skip.append((listed, BEFORE_DATE))
        else:
            sorted_out[fate].append(listed)
    waiting = [
        entry.next_try_at
        for uid, fate in fates.items()
        if fate in (_Fate.WAIT, _Fate.KNOWN)
        for entry in seen.get(uid, ())
        if entry.next_try_at is not None and _is_unsettled(entry)
    ]
    return Choice(
        fetch=tuple(sorted_out[_Fate.FETCH]),
        fetch_dated=tuple(sorted_out[_Fate.FETCH_DATED]),
        pending=tuple(sorted_out[_Fate.PENDING]),
        skip=tuple(skip),
        delete_again=tuple(sorted_out[_Fate.DELETE]),
        ambiguous=frozenset(
            uid
            for uid, fate in fates.items()
            if fate in _TO_JUDGE and (occurrences[uid] > 1 or not uid)
        ),
        retry_at=min(waiting, default=None),
    )


def is_too_large(listed: Listed, most_octets: int) -> bool:
    """Tell whether LIST already says that a message is beyond the limit."""
    return most_octets < listed.octets < _MOST_BELIEVED


def is_rekeyed(listing: Sequence[Listed], seen: Seen, expected: int) -> bool:
    """Tell whether the server seems to have named all its messages anew (contract 7.0).

    `expected` is how many messages the maildrop held when it was last left. As many strangers
    as half of them, most known ones gone: a migration, or another `pop3_uidl_format`.
    """
    strangers = sum(1 for listed in listing if listed.uid not in seen)
    known = len(listing) - strangers
    return (
        expected >= FEWEST_TO_DOUBT
        and 2 * strangers > len(listing)
        and 2 * strangers >= expected
        and 2 * known < expected
    )


def count_copies(listing: Iterable[Listed]) -> Counter[str]:
    """Count how many messages each usable name stands for."""
    return Counter(listed.uid for listed in listing if listed.uid)


class _Fate(Enum):
    """What one name of the listing calls for."""

    KNOWN = auto()
    FETCH = auto()
    FETCH_DATED = auto()
    PENDING = auto()
    WAIT = auto()
    DELETE = auto()


_FETCHED = frozenset({_Fate.FETCH, _Fate.FETCH_DATED})
_TO_JUDGE = _FETCHED | {_Fate.PENDING}


def _fate(uid: str, entries: Sequence[LedgerEntry], occurrences: int, now: datetime) -> _Fate:
    if not entries:
        # Without any name it may be a mail of long ago, seen at every poll.
        return _Fate.FETCH if uid else _Fate.FETCH_DATED
    states = {entry.state for entry in entries}
    if LedgerState.PENDING in states:
        return _Fate.PENDING
    is_known = occurrences <= sum(entry.copies for entry in entries)
    has_failed = LedgerState.FAILING in states
    if has_failed and not _try_has_come(entries, now):
        return _Fate.WAIT
    if has_failed or not is_known:
        return _Fate.FETCH_DATED if LedgerState.SKIPPED in states else _Fate.FETCH
    if all(entry.delete_pending for entry in entries) and _try_has_come(entries, now):
        return _Fate.DELETE
    return _Fate.KNOWN


def _try_has_come(entries: Sequence[LedgerEntry], now: datetime) -> bool:
    return all(entry.next_try_at is None or now >= entry.next_try_at for entry in entries)


def _is_unsettled(entry: LedgerEntry) -> bool:
    return entry.delete_pending or entry.state is LedgerState.FAILING


def name_by_top(header: bytes, octets: int) -> str:
    """Make a name for a message whose server gives none that can be used.

    The size makes two messages with equal headers less likely to pass for one; a size that
    changes costs another fetch, which finds the same content.
    """
    return BY_TOP + sha256(b"%d\n%b" % (octets, header)).hexdigest()[:32]
