"""The ledger's epochs: begun with the first listing, begun anew when everything got new names.

Rule 1: an epoch and its first entries are one transaction: a crash leaves both or none, so a
first listing is never taken for a flood of new mail.
Rule 2: nothing of an earlier epoch is forgotten: what is recognised is carried over, message
for message (contract 7.0); what is not is judged like mail of a first listing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from syncd.connections.seams import MailSource
from syncd.errors import Phase, ProtocolViolated
from syncd.incoming.admit import BEFORE_DATE
from syncd.incoming.look import Sight
from syncd.incoming.new_mail import FEWEST_TO_DOUBT, count_copies, is_rekeyed
from syncd.incoming.work import PollWork, Tally
from syncd.model.mail import LedgerEntry, LedgerState
from syncd.model.profile import BEGINNING
from syncd.store import ledger, mailboxes
from syncd.store.database import Transaction
from syncd.store.ledger import EarlierEntry, LedgerKey


async def settle_epoch(work: PollWork, source: MailSource, sight: Sight, tally: Tally) -> Sight:
    """Begin the ledger of a mailbox that is new; a new epoch where it became another one."""
    facts = sight.facts
    if facts.first_enabled_at is None:
        return await _begin(work, source, sight, tally)
    if not sight.is_whole or not sight.listing:
        return sight
    rekeyed = is_rekeyed(sight.listing, sight.seen, facts.listed) and not work.shows_pages
    if facts.identity != work.identity or rekeyed:
        return await _open_epoch(work, sight, count_copies(sight.listing), LedgerState.PENDING)
    return sight


async def _begin(work: PollWork, source: MailSource, sight: Sight, tally: Tally) -> Sight:
    """Enter the first listing: left alone, or waiting for its dates to be read (contract 7.1)."""
    wanted_from = work.process_email_from
    copies = count_copies(sight.listing)
    if wanted_from == BEGINNING:
        # Everything is wanted: nothing here has to be told from what comes later.
        return await _open_epoch(work, sight, {}, LedgerState.PENDING)
    await _require_whole(source, sight)
    if wanted_from is not None and wanted_from <= work.clock.now():
        return await _open_epoch(work, sight, copies, LedgerState.PENDING)
    begun = await _open_epoch(work, sight, copies, LedgerState.SKIPPED)
    left_alone = sum(copies.values())
    tally.results[LedgerState.SKIPPED] += left_alone
    if left_alone:
        address = work.record.address
        tally.remark = (
            f"{left_alone} messages were in the mailbox before it was enabled and are left "
            f"alone (`syncd mailbox reset {address} --from DATE`, in a later version, "
            "will take them)."
        )
    return begun


async def _require_whole(source: MailSource, sight: Sight) -> None:
    """Refuse a first listing that may lack messages: later they would pass for new ones.

    A STAT that always lies must not stop a mailbox: what the server lists twice alike is
    believed, unless it is nothing.
    """
    said, listed = sight.status.count, len(sight.listing)
    if said == listed:
        return
    again = await source.list_all()
    is_steady = [one.number for one in again] == [one.number for one in sight.listing]
    if not (listed and is_steady):
        words = f"STAT counts {said} messages, UIDL and LIST name {listed}, then {len(again)}"
        raise ProtocolViolated(source.place, Phase.LIST, words)


async def _open_epoch(
    work: PollWork, sight: Sight, copies: Mapping[str, int], state: LedgerState
) -> Sight:
    """Begin an epoch with these names in it, all in one state."""
    now = work.clock.now()
    reason = BEFORE_DATE if state is LedgerState.SKIPPED else None

    async def body(tx: Transaction) -> int:
        await mailboxes.require_term(tx, work.record.id, work.record.term)
        epoch = await mailboxes.open_epoch(tx, work.record.id, work.identity)
        await mailboxes.set_first_enabled(tx, work.record.id, now)
        key = LedgerKey(work.record.id, epoch)
        await ledger.note_all(tx, key, copies, state, reason, now)
        return epoch

    epoch = await work.db.write(body)
    facts = replace(
        sight.facts,
        epoch=epoch,
        identity=work.identity,
        first_enabled_at=sight.facts.first_enabled_at or now,
    )
    return replace(sight, facts=facts, seen=_entries(copies, state))


def _entries(copies: Mapping[str, int], state: LedgerState) -> dict[str, list[LedgerEntry]]:
    return {
        uid: [LedgerEntry(uid=uid, state=state, copies=count)] for uid, count in copies.items()
    }


@dataclass(frozen=True, slots=True)
class Stranger:
    """A message under a new name: what TOP and LIST say of it."""

    uid: str
    digest: bytes
    octets: int


def pair_off(
    strangers: Sequence[Stranger], earlier: Sequence[EarlierEntry]
) -> list[tuple[EarlierEntry, str]]:
    """Match messages under new names with earlier entries of the same headers, one for one.

    A few with other sizes are other messages. Where most have other sizes, this server counts
    otherwise (or has added a header), and sizes say nothing.
    """
    waiting: dict[bytes, list[EarlierEntry]] = {}
    for entry in reversed(earlier):
        waiting.setdefault(entry.header_digest, []).extend([entry] * entry.copies)
    alike: list[tuple[EarlierEntry, str]] = []
    others: list[Stranger] = []
    for stranger in strangers:
        candidates = waiting.get(stranger.digest, [])
        sizes = (None, stranger.octets)
        found = next((one for one in reversed(candidates) if one.octets in sizes), None)
        if found is None:
            others.append(stranger)
        else:
            candidates.remove(found)
            alike.append((found, stranger.uid))
    resized = [
        (left.pop(), stranger.uid)
        for stranger in others
        if (left := waiting.get(stranger.digest))
    ]
    if len(resized) > max(len(alike), FEWEST_TO_DOUBT):
        return alike + resized
    return alike
