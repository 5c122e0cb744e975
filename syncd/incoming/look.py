"""Looking at a maildrop: as short as trust allows, whole where there is any doubt.

Steady state costs one flight (architecture 4): STAT and the UIDL of the last known message.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from syncd.connections.seams import MailSource
from syncd.incoming.new_mail import Look, Seen, choose_look, is_usable, name_by_top
from syncd.incoming.work import PollWork, Tally
from syncd.model.mail import Listed, MaildropStatus
from syncd.model.poll import ListingMemory
from syncd.store import ledger
from syncd.store.database import Reader
from syncd.store.ledger import LedgerKey, MailboxFacts

_SAVE_TIME_AFTER = timedelta(hours=1)
"""A listing that only was looked at again is written down this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a poll sees: the listing, and what is known of the mailbox and of its messages."""

    status: MaildropStatus
    listing: tuple[Listed, ...]
    is_whole: bool
    """False: only the messages behind the last known one."""
    facts: MailboxFacts
    seen: Seen

    def key(self, work: PollWork) -> LedgerKey:
        """Return the ledger in which this listing is entered."""
        return LedgerKey(work.record.id, self.facts.epoch)


async def look(work: PollWork, source: MailSource) -> Sight | None:
    """Return what is to be judged; None when nothing has changed since the last poll."""
    memory = trusted_memory(work)
    glance = await source.glance(memory.count or None if memory else None)
    match choose_look(memory, glance.status, glance.uid, work.clock.now()):
        case Look.NOTHING:
            return None
        case Look.TAIL:
            sight = await _look_at_tail(work, source, memory, glance.status)
            return sight or await _look_at_all(work, source, glance.status)
        case Look.WHOLE:
            return await _look_at_all(work, source, glance.status)


def trusted_memory(work: PollWork) -> ListingMemory | None:
    """Return the last listing if it is about this maildrop and says anything about it."""
    memory = work.memory
    if memory is None or memory.identity != work.identity or work.shows_pages:
        return None
    return memory


async def _look_at_tail(
    work: PollWork, source: MailSource, memory: ListingMemory | None, status: MaildropStatus
) -> Sight | None:
    """List what came behind the last known message; None where anything about it is odd."""
    if memory is None:
        return None
    listing = await source.list_range(memory.count + 1, status.count)
    if len(listing) != status.count - memory.count:
        return None
    if not all(is_usable(listed.uid) for listed in listing):
        return None
    facts, seen = await _read_up(work, listing)
    # A name that is known already came from further up: the server has moved things about.
    if seen or facts.epoch != memory.epoch:
        return None
    return Sight(status=status, listing=tuple(listing), is_whole=False, facts=facts, seen=seen)


async def _look_at_all(work: PollWork, source: MailSource, status: MaildropStatus) -> Sight:
    listing = await _named(source, await source.list_all())
    facts, seen = await _read_up(work, listing)
    return Sight(status=status, listing=tuple(listing), is_whole=True, facts=facts, seen=seen)


async def _named(source: MailSource, listing: Sequence[Listed]) -> Sequence[Listed]:
    """Give names of our own to messages whose UIDL is none; those without a TOP stay nameless."""
    odd = [listed for listed in listing if not is_usable(listed.uid)]
    if not odd:
        return listing
    names: dict[int, str] = {}
    async for heads in source.heads(odd):
        for head in heads:
            if head.header is not None:
                octets = head.listed.octets
                names[head.listed.number] = name_by_top(head.header, octets)
    return [
        listed if is_usable(listed.uid) else replace(listed, uid=names.get(listed.number, ""))
        for listed in listing
    ]


async def _read_up(work: PollWork, listing: Sequence[Listed]) -> tuple[MailboxFacts, Seen]:
    async def body(reader: Reader) -> tuple[MailboxFacts, Seen]:
        facts = await ledger.facts(reader, work.record.id)
        key = LedgerKey(work.record.id, facts.epoch)
        return facts, await ledger.seen(reader, key, (listed.uid for listed in listing))

    return await work.db.read(body)


def how_it_was_left(
    work: PollWork, sight: Sight, gone: Sequence[Listed], tally: Tally
) -> ListingMemory | None:
    """Describe the maildrop after this session; `gone` is what the server deleted.

    None when there is nothing to compare a later poll with: an empty listing says nothing,
    neither of what was there before nor of a mailbox that is another one now.
    """
    if not sight.listing and (sight.facts.listed or sight.facts.identity != work.identity):
        return None
    before = None if sight.is_whole else trusted_memory(work)
    deleted = {listed.number for listed in gone}
    left = [listed.uid for listed in sight.listing if listed.number not in deleted]
    last_uid = left[-1] if left else before.last_uid if before else None
    # STAT and UIDL may disagree (a message arrived between them, or one of them lies).
    is_complete = not sight.is_whole or len(sight.listing) == sight.status.count
    return ListingMemory(
        epoch=sight.facts.epoch,
        identity=work.identity,
        count=sight.status.count - len(gone),
        octets=sight.status.octets - sum(listed.octets for listed in gone),
        last_uid=last_uid if last_uid and is_usable(last_uid) else None,
        full_at=before.full_at if before else work.clock.now(),
        whole=is_complete and not tally.more,
        retry_at=tally.retry_at,
    )


def is_worth_saving(before: ListingMemory | None, after: ListingMemory) -> bool:
    """Tell whether a listing differs from the last one by more than the time of looking."""
    if before is None or after.full_at - before.full_at >= _SAVE_TIME_AFTER:
        return True
    return replace(after, full_at=before.full_at) != before
