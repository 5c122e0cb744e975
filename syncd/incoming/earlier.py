"""Mail that was there before: judged by its date or recognised by its headers, in slices.

The entries wait in the ledger as `pending`, so that a crash, a restart or the end of a session
costs nothing (`slices`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from syncd.alerts import texts
from syncd.alerts.wall import open_alert
from syncd.connections.seams import MailSource
from syncd.errors import ServerError
from syncd.incoming.admit import BEFORE_DATE, TOO_LARGE, arrival
from syncd.incoming.epochs import Stranger, pair_off
from syncd.incoming.headers import parse_headers, shows_body
from syncd.incoming.intake import pull
from syncd.incoming.look import Sight
from syncd.incoming.new_mail import is_too_large
from syncd.incoming.record import Batch, Names, leave_alone, record
from syncd.incoming.slices import in_slices
from syncd.incoming.work import PollWork, Tally
from syncd.model.mail import Headers, LedgerState, Listed
from syncd.store import ledger, mailboxes
from syncd.store.database import Transaction
from syncd.store.ledger import LeftAlone

_FIRST_HEADS = 10
"""Enough to see whether a server knows what TOP is for."""


async def judge_earlier(
    work: PollWork,
    source: MailSource,
    sight: Sight,
    pending: Sequence[Listed],
    names: Names,
    tally: Tally,
) -> None:
    """Work through pending mail, newest first, until the polling interval is used up."""

    async def judge(slice_: Sequence[Listed]) -> None:
        await _judge_slice(work, source, sight, slice_, names, tally)

    await in_slices(work, pending, tally, judge)


async def _judge_slice(
    work: PollWork,
    source: MailSource,
    sight: Sight,
    slice_: Sequence[Listed],
    names: Names,
    tally: Tally,
) -> None:
    not_before = work.not_before(sight.facts)
    heads: dict[int, Headers] = {}
    try:
        await _read_heads(source, slice_, heads)
    except ServerError as error:
        # What was learned counts, and what ended the session is fetched instead next time.
        unanswered = next((one for one in slice_ if one.number not in heads), None)
        answered = [one for one in slice_ if one.number in heads]
        await _settle_by_heads(
            work, answered, heads, names, not_before, tally, adopts=sight.facts.epoch > 1
        )
        if unanswered is not None:
            await record(work, names, Batch(refused=[(unanswered, error)]))
        raise
    wanted = await _settle_by_heads(
        work, slice_, heads, names, not_before, tally, adopts=sight.facts.epoch > 1
    )
    too_large = [one for one in wanted if is_too_large(one, work.max_message_size)]
    await leave_alone(work, names, [(listed, TOO_LARGE) for listed in too_large])
    tally.results[LedgerState.SKIPPED] += len(too_large)
    small_enough = [one for one in wanted if one not in too_large] if too_large else wanted
    await pull(work, source, small_enough, names, tally, not_before=not_before)


async def _read_heads(
    source: MailSource, slice_: Sequence[Listed], found: dict[int, Headers]
) -> None:
    """Read headers by TOP into `found`, by message number; what is refused has none.

    A server that ignores the 0 of `TOP n 0` sends whole messages: then TOP saves nothing, and
    all others are fetched at once.
    """
    for some in (slice_[:_FIRST_HEADS], slice_[_FIRST_HEADS:]):
        is_whole = False
        async for heads in source.heads(some):
            for head in heads:
                found[head.listed.number] = parse_headers(head.header or b"")
                is_whole = is_whole or shows_body(head.header or b"")
        if is_whole:
            return


async def _settle_by_heads(
    work: PollWork,
    slice_: Sequence[Listed],
    heads: Mapping[int, Headers],
    names: Names,
    not_before: datetime,
    tally: Tally,
    *,
    adopts: bool,
) -> list[Listed]:
    """Carry over what is recognised, leave what is too old; return what has to be fetched."""
    now = work.clock.now()
    octets = {listed.uid: listed.octets for listed in slice_}
    # A name that several messages share is settled by their content.
    plain = {
        listed.uid: heads[listed.number]
        for listed in slice_
        if listed.number in heads and listed.uid not in names.ambiguous
    }
    strangers = [
        Stranger(listed.uid, digest, listed.octets)
        for listed in slice_
        if listed.uid in plain and (digest := plain[listed.uid].digest) is not None
    ]

    async def body(tx: Transaction) -> tuple[set[str], list[LeftAlone]]:
        await mailboxes.require_term(tx, work.record.id, work.record.term)
        recognised: set[str] = set()
        if adopts:
            digests = {stranger.digest for stranger in strangers}
            earlier = await ledger.earlier_entries(tx, names.key, digests)
            pairs = pair_off(strangers, earlier)
            await ledger.adopt(tx, names.key, pairs)
            recognised = {uid for _, uid in pairs}
        too_old = [
            LeftAlone(
                uid=uid,
                reason=BEFORE_DATE,
                header_digest=head.digest,
                octets=octets[uid],
            )
            for uid, head in plain.items()
            if uid not in recognised and _is_before(head, not_before)
        ]
        await ledger.leave_alone(tx, names.key, too_old, now)
        if recognised:
            alert = texts.messages_recognised(
                work.record.id,
                work.record.address,
                work.server,
                tally.adopted + len(recognised),
            )
            await open_alert(tx, alert, now, work.about)
        return recognised, too_old

    recognised, too_old = await work.db.write(body)
    tally.adopted += len(recognised)
    tally.results[LedgerState.SKIPPED] += len(too_old)
    settled = recognised | {entry.uid for entry in too_old}
    return [listed for listed in slice_ if listed.uid not in settled]


def _is_before(headers: Headers, not_before: datetime) -> bool:
    arrived_at = arrival(headers)
    return arrived_at is not None and arrived_at < not_before
