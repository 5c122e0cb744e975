"""What is new in a mailbox: decided from its listing and the ledger, never from numbers or dates.

Rule 1: each server message is judged once; what the ledger holds is not fetched again.
Rule 2: an empty listing says nothing; nothing is forgotten because of it.
Rule 3: a UIDL is a name, not a proof. Where one name stands for several messages, and these are
not surely the known ones, all of them are fetched and told apart by their content (RFC 1939 7
allows equal names for equal messages; real servers give them to different ones).
Rule 4: a name whose message we have deleted may come again, whatever RFC 1939 says: then it is
another message's. Nothing is deleted by its name alone (`deletion`).
Rule 5: what has failed before comes last: a message that ends every session holds up nobody.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from hashlib import sha256

from syncd.incoming.admit import BEFORE_DATE, TOO_LARGE
from syncd.model.mail import LedgerEntry, LedgerState, Listed, MaildropStatus, by_size
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
    again: tuple[Listed, ...] = ()
    again_dated: tuple[Listed, ...] = ()
    """Fetched as above, after all others: it has failed before, the least often first."""
    skip: tuple[tuple[Listed, str], ...] = ()
    """Left on the server, with the reason."""
    delete_again: tuple[Listed, ...] = ()
    """In the store already, as far as the name tells; only its deletion failed before."""
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
    groups = _unclear(listing, seen)
    fates_in_groups = {
        listed: fate
        for uid, group in groups.items()
        for listed, fate in _fates_in_group(uid, group, seen.get(uid, ()), now).items()
    }
    sorted_out: dict[_Fate, list[Listed]] = {fate: [] for fate in _Fate}
    skip: list[tuple[Listed, str]] = []
    waiting: list[datetime] = []
    ambiguous: set[str] = set()
    for listed in listing:
        uid = listed.uid
        if uid in groups:
            fate = fates_in_groups[listed]
            if fate in _TO_JUDGE:
                ambiguous.add(uid)
        else:
            fate = _fate(seen.get(uid, ()), now)
        if fate in _FETCHED and is_too_large(listed, most_octets):
            skip.append((listed, TOO_LARGE))
        elif fate in _FETCHED and now < not_before:
            # Listed before the day from which mail counts: it cannot have come after it.
            skip.append((listed, BEFORE_DATE))
        else:
            sorted_out[fate].append(listed)
        if fate in _AT_REST:
            waiting += _next_tries(seen.get(uid, ()), now)
    return Choice(
        fetch=tuple(sorted_out[_Fate.FETCH]),
        fetch_dated=tuple(sorted_out[_Fate.FETCH_DATED]),
        pending=tuple(sorted_out[_Fate.PENDING]),
        again=_least_tried_first(sorted_out[_Fate.AGAIN], seen),
        again_dated=_least_tried_first(sorted_out[_Fate.AGAIN_DATED], seen),
        skip=tuple(skip),
        delete_again=tuple(sorted_out[_Fate.DELETE]),
        ambiguous=frozenset(ambiguous),
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
    """What one message of the listing calls for."""

    KNOWN = auto()
    FETCH = auto()
    FETCH_DATED = auto()
    PENDING = auto()
    AGAIN = auto()
    AGAIN_DATED = auto()
    WAIT = auto()
    DELETE = auto()


_FETCHED = frozenset({_Fate.FETCH, _Fate.FETCH_DATED, _Fate.AGAIN, _Fate.AGAIN_DATED})
_TO_JUDGE = _FETCHED | {_Fate.PENDING}
_AT_REST = frozenset({_Fate.WAIT, _Fate.KNOWN})


def _fate(entries: Sequence[LedgerEntry], now: datetime) -> _Fate:
    """Decide about a message that alone has its name."""
    live = [entry for entry in entries if not entry.deleted]
    if not live:
        return _Fate.FETCH
    fate = _fate_of_unread(live, now)
    if fate is not None:
        return fate
    if all(entry.delete_pending for entry in live) and _try_has_come(live, now):
        return _Fate.DELETE
    return _Fate.KNOWN


def _fate_of_unread(entries: Sequence[LedgerEntry], now: datetime) -> _Fate | None:
    """Decide about what never came in; None where everything has."""
    states = {entry.state for entry in entries}
    is_pending = LedgerState.PENDING in states
    if not is_pending and LedgerState.FAILING not in states:
        return None
    if not _try_has_come(entries, now):
        return _Fate.WAIT
    is_dated = is_pending or LedgerState.SKIPPED in states
    if any(entry.attempts for entry in entries):
        return _Fate.AGAIN_DATED if is_dated else _Fate.AGAIN
    if is_pending:
        return _Fate.PENDING
    return _Fate.FETCH_DATED if is_dated else _Fate.FETCH


def _unclear(listing: Sequence[Listed], seen: Seen) -> dict[str, list[Listed]]:
    """Group the messages whose names stand, or have stood, for several."""
    occurrences = Counter(listed.uid for listed in listing)
    groups: dict[str, list[Listed]] = {
        uid: []
        for uid, count in occurrences.items()
        if count > 1 or not uid or any(entry.digest for entry in seen.get(uid, ()))
    }
    if groups:
        for listed in listing:
            if listed.uid in groups:
                groups[listed.uid].append(listed)
    return groups


def _fates_in_group(
    uid: str, group: Sequence[Listed], entries: Sequence[LedgerEntry], now: datetime
) -> dict[Listed, _Fate]:
    """Decide about messages of one name, or of none."""
    live = [entry for entry in entries if not entry.deleted]
    # Without any name it may be a mail of long ago, seen at every poll: nothing is known of it.
    known = [entry for entry in live if not entry.is_by_size] if uid else []
    waiting = {entry.digest: entry for entry in live if entry.is_by_size}
    is_dated = not uid or any(entry.state in _MAYBE_EARLIER for entry in known)
    fates: dict[Listed, _Fate] = {}
    others: list[Listed] = []
    for listed in group:
        entry = waiting.get(by_size(listed.octets))
        if entry is None:
            others.append(listed)
        elif entry.state is not LedgerState.FAILING:
            fates[listed] = _Fate.KNOWN
        elif not _try_has_come([entry], now):
            fates[listed] = _Fate.WAIT
        else:
            fates[listed] = _Fate.AGAIN_DATED if is_dated else _Fate.AGAIN
    return fates | dict.fromkeys(others, _fate_of_others(uid, others, known, now))


_MAYBE_EARLIER = frozenset({LedgerState.SKIPPED, LedgerState.PENDING})


def _fate_of_others(
    uid: str, others: Sequence[Listed], known: Sequence[LedgerEntry], now: datetime
) -> _Fate:
    if not known:
        return _Fate.FETCH if uid else _Fate.FETCH_DATED
    fate = _fate_of_unread(known, now)
    if fate is not None:
        return fate
    # TOP cannot tell which of them a deletion is meant for: their bytes do.
    is_due = all(entry.delete_pending for entry in known) and _try_has_come(known, now)
    if is_due or not _are_the_known(others, known, now):
        is_dated = any(entry.state is LedgerState.SKIPPED for entry in known)
        return _Fate.FETCH_DATED if is_dated else _Fate.FETCH
    return _Fate.KNOWN


def _are_the_known(
    others: Sequence[Listed], known: Sequence[LedgerEntry], now: datetime
) -> bool:
    """Tell whether messages of one name are surely those that the ledger has.

    As many of the same sizes; since that is no proof, they are read again once a day.
    """
    if any(entry.entered_at and now - entry.entered_at >= FULL_EVERY for entry in known):
        return False
    sizes: Counter[int] = Counter()
    for entry in known:
        if entry.octets is None or not entry.digest:
            return len(others) <= sum(one.copies for one in known)
        sizes[entry.octets] += entry.copies
    return sizes == Counter(listed.octets for listed in others)


def _least_tried_first(messages: Sequence[Listed], seen: Seen) -> tuple[Listed, ...]:
    """Order what has failed before; what failed equally often takes turns at being first."""

    def turn(listed: Listed) -> tuple[int, int]:
        tries = most_tries(listed, seen)
        return tries, -listed.number if tries % 2 else listed.number

    return tuple(sorted(messages, key=turn))


def most_tries(listed: Listed, seen: Seen) -> int:
    """Count the tries that have failed in a row for a message, as far as it can be told apart."""
    entries = seen.get(listed.uid, ())
    mine = [entry for entry in entries if entry.digest == by_size(listed.octets)]
    return max((entry.attempts for entry in mine or entries), default=0)


def _next_tries(entries: Sequence[LedgerEntry], now: datetime) -> list[datetime]:
    return [
        entry.next_try_at
        for entry in entries
        if entry.next_try_at is not None and entry.next_try_at > now and _is_unsettled(entry)
    ]


def _try_has_come(entries: Sequence[LedgerEntry], now: datetime) -> bool:
    return all(entry.next_try_at is None or now >= entry.next_try_at for entry in entries)


def _is_unsettled(entry: LedgerEntry) -> bool:
    return entry.delete_pending or entry.state in (LedgerState.FAILING, LedgerState.PENDING)


def name_by_top(header: bytes, octets: int) -> str:
    """Make a name for a message whose server gives none that can be used.

    The size makes two messages with equal headers less likely to pass for one; a size that
    changes costs another fetch, which finds the same content.
    """
    return BY_TOP + sha256(b"%d\n%b" % (octets, header)).hexdigest()[:32]
