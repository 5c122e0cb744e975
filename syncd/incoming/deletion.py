"""Deleting on the server: only queues, only what is committed, only what was meant to go.

Rule 1: commit, mark, DELE, QUIT, and only then the ledger forgets that a deletion is due. A
crash anywhere before leaves the entry `delete_pending`: the next poll deletes it without
fetching it again (faults 6, 7, 57).
Rule 2: a name proves nothing: servers give the UIDL of a deleted message to the next one. What
an earlier session left to be deleted must show the same headers and the same size first; else
it is fetched, and its bytes decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.connections.seams import MailSource
from syncd.errors import ServerError
from syncd.incoming.headers import header_digest
from syncd.incoming.look import Sight, is_worth_saving
from syncd.incoming.quarantine import next_try
from syncd.incoming.work import PollWork, Tally
from syncd.model.mail import LedgerEntry, Listed
from syncd.model.poll import ListingMemory
from syncd.observe.edges import reached
from syncd.store import ledger, listings, mailboxes
from syncd.store.database import Transaction


@dataclass(frozen=True, slots=True)
class RefusedDeletion:
    """A DELE that the server refused."""

    listed: Listed
    attempts: int
    next_try_at: datetime


@dataclass(frozen=True, slots=True)
class Marked:
    """What this session marked for deletion; nothing is gone before QUIT is answered."""

    doomed: tuple[Listed, ...] = ()
    refused: tuple[RefusedDeletion, ...] = ()


async def prove(
    work: PollWork, source: MailSource, sight: Sight, due: Sequence[Listed]
) -> tuple[list[Listed], list[Listed]]:
    """Tell which messages surely are those whose deletion is due; the others must be fetched."""
    proven: list[Listed] = []
    doubtful: list[Listed] = []
    asked = [listed for listed in due if _can_be_proven(sight.seen[listed.uid], listed)]
    answered = 0
    try:
        async for heads in source.heads(asked):
            for head in heads:
                listed, header = head.listed, head.header
                digest = header_digest(header) if header is not None else None
                is_same = digest is not None and all(
                    entry.header_digest == digest for entry in _due(sight.seen[listed.uid])
                )
                (proven if is_same else doubtful).append(listed)
                answered += 1
    except ServerError:
        if answered < len(asked):
            await _wait_longer(work, sight, asked[answered])
        raise
    numbers = {listed.number for listed in asked}
    doubtful += [listed for listed in due if listed.number not in numbers]
    return proven, doubtful


def _due(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    return [entry for entry in entries if entry.delete_pending]


def _can_be_proven(entries: Sequence[LedgerEntry], listed: Listed) -> bool:
    return all(
        entry.header_digest is not None and entry.octets == listed.octets > 0
        for entry in _due(entries)
    )


async def _wait_longer(work: PollWork, sight: Sight, listed: Listed) -> None:
    """Put off a deletion whose proof ended the session: it must not end each one."""
    one = _put_off(work, sight, listed)
    key = sight.key(work)

    async def body(tx: Transaction) -> None:
        await mailboxes.require_term(tx, work.record.id, work.record.term)
        await ledger.note_delete_refused(tx, key, listed.uid, one.attempts, one.next_try_at)

    await work.db.write(body)


async def mark_what_may_go(
    work: PollWork,
    source: MailSource,
    sight: Sight,
    proven: Sequence[Listed],
    tally: Tally,
) -> Marked:
    """Send DELE for what is in the store and should go, of this session and of earlier ones."""
    wanted = [*proven, *tally.deletable] if work.deletes else []
    if not wanted:
        return Marked()
    refused = await source.delete(wanted)
    reached("incoming.deleted")
    numbers = {listed.number for listed in refused}
    doomed = tuple(listed for listed in wanted if listed.number not in numbers)
    put_off = tuple(_put_off(work, sight, listed) for listed in refused)
    for one in put_off:
        tally.due_again(one.next_try_at)
    return Marked(doomed, put_off)


async def note_how_it_ended(
    work: PollWork,
    sight: Sight,
    marked: Marked,
    gone: Sequence[Listed],
    memory: ListingMemory | None,
) -> None:
    """Note what the server deleted and what it refused to, and how the maildrop was left."""
    key = sight.key(work)
    refused = {one.listed.uid for one in marked.refused}
    gone_uids = {listed.uid for listed in gone} - refused
    saved = memory if memory and is_worth_saving(work.memory, memory) else None

    async def body(tx: Transaction) -> None:
        await mailboxes.require_term(tx, work.record.id, work.record.term)
        if gone_uids:
            await ledger.note_deleted(tx, key, gone_uids)
        for one in marked.refused:
            uid, attempts, next_try_at = one.listed.uid, one.attempts, one.next_try_at
            await ledger.note_delete_refused(tx, key, uid, attempts, next_try_at)
        if saved is not None:
            await listings.save(tx, work.record.id, saved)

    if gone_uids or marked.refused or saved is not None:
        await work.db.write(body, essential=True)


def _put_off(work: PollWork, sight: Sight, listed: Listed) -> RefusedDeletion:
    before = max((entry.attempts for entry in sight.seen.get(listed.uid, ())), default=0)
    at = next_try(before + 1, work.interval, work.clock.now())
    return RefusedDeletion(listed, before + 1, at)
