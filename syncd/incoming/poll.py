"""One poll of one mailbox, from connect to quit. The story; all else is vocabulary for it.

Rule 1: commit, then mark, then delete, then QUIT. When anything fails, the connection is
dropped without QUIT: the server then has deleted nothing and marked nothing as read.
Rule 2: an unchanged mailbox costs one flight and no write.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from syncd.connections.seams import MailSource
from syncd.errors import SyncdError
from syncd.incoming.deletion import mark_what_may_go, note_how_it_ended, prove
from syncd.incoming.earlier import judge_earlier
from syncd.incoming.epochs import settle_epoch
from syncd.incoming.intake import pull
from syncd.incoming.look import Sight, how_it_was_left, look
from syncd.incoming.new_mail import Choice, choose_new
from syncd.incoming.record import Names, leave_alone
from syncd.incoming.slices import in_slices
from syncd.incoming.work import PollWork, Tally, begin_tally
from syncd.model.failure import Scope
from syncd.model.mail import LedgerState, Listed
from syncd.model.poll import PollOutcome
from syncd.observe.edges import reached


async def poll_mailbox(work: PollWork) -> PollOutcome:
    """Pull what is new, once; a failure is part of the outcome.

    Raises nothing but CancelledError, and what is a mistake in the program.
    """
    tally = begin_tally(work.clock)
    try:
        async with _session(work) as source:
            sight = await look(work, source)
            if sight is None:
                await source.quit()
                return tally.outcome(memory=work.memory)
            sight = await settle_epoch(work, source, sight, tally)
            choice = _choose(work, sight)
            proven = await _take_in(work, source, sight, choice, tally)
            marked = await mark_what_may_go(work, source, sight, proven, tally)
            has_ended = await source.quit()
            reached("incoming.quit")
            gone = marked.doomed if has_ended else ()
            memory = how_it_was_left(work, sight, gone, tally) if has_ended else None
            await note_how_it_ended(work, sight, marked, gone, memory)
            tally.deleted = len(gone)
            return tally.outcome(memory=memory)
    except SyncdError as error:
        failure = work.classify(error)
        tally.more = tally.more or failure.scope is Scope.MESSAGE
        return tally.outcome(failure=failure)


@asynccontextmanager
async def _session(work: PollWork) -> AsyncIterator[MailSource]:
    """Open the maildrop; whatever goes wrong, it is left without QUIT."""
    source = await work.open_source()
    try:
        yield source
    except BaseException:
        source.abort()
        raise


def _choose(work: PollWork, sight: Sight) -> Choice:
    return choose_new(
        sight.listing,
        sight.seen,
        now=work.clock.now(),
        not_before=work.not_before(sight.facts),
        most_octets=work.max_message_size,
    )


async def _take_in(
    work: PollWork, source: MailSource, sight: Sight, choice: Choice, tally: Tally
) -> Sequence[Listed]:
    """Record what is new: live mail first, then earlier mail, then what has no clear name.

    What has failed before comes last. Returns what is proven to be in the store already.
    """
    names = Names(sight.key(work), sight.seen, choice.ambiguous)
    not_before = work.not_before(sight.facts)
    # Where a listing is only a page of the mailbox, old mail turns up as if it were new.
    live_from = not_before if work.shows_pages else None

    async def take_live(slice_: Sequence[Listed]) -> None:
        await pull(work, source, slice_, names, tally, not_before=live_from)

    tally.due_again(choice.retry_at)
    tally.live_since = sight.facts.first_enabled_at
    await leave_alone(work, names, choice.skip)
    tally.results[LedgerState.SKIPPED] += len(choice.skip)
    await in_slices(work, choice.fetch, tally, take_live)
    await judge_earlier(work, source, sight, choice.pending, names, tally)
    await pull(work, source, choice.fetch_dated, names, tally, not_before=not_before)
    due = choice.delete_again if work.deletes else ()
    proven, doubtful = await prove(work, source, sight, due)
    await pull(work, source, doubtful, names, tally, not_before=live_from)
    await pull(work, source, choice.again, names, tally, not_before=live_from)
    await pull(work, source, choice.again_dated, names, tally, not_before=not_before)
    return proven
