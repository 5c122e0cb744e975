"""One session for everything a mailbox has due.

Rule 1: one mailbox has one session at a time (the scheduler sees to it), so whatever is
`sending` when a session begins was left by an earlier one.
Rule 2: a session that is lost takes nobody along but the message it was about: the others go
back untouched.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from syncd.connections.seams import MailSender
from syncd.errors import Phase, ServerError
from syncd.model.failure import Failure
from syncd.model.outgoing import Claimed
from syncd.observe.edges import reached
from syncd.outgoing.conclusion import choose_recipients, conclude
from syncd.outgoing.queue import settle
from syncd.outgoing.recover import recover
from syncd.outgoing.send import SendWork, send_one
from syncd.outgoing.verdict import MailboxTrouble, Verdict, judge_delivery
from syncd.store import outbox
from syncd.store.database import Transaction

BATCH = 20
"""Messages claimed by one commit; those that a lost session leaves are given back."""


@dataclass(slots=True, kw_only=True)
class SessionOutcome:
    """What a session brought: counts by event type, and why it ended before its time."""

    settled: Counter[str] = field(default_factory=Counter)
    error: ServerError | None = None
    """No session came about, or it was lost, or the server wants no mail just now."""
    trouble: Failure | None = None
    """The mailbox may not send for now; its queue waits."""
    is_cut_short: bool = False
    """We ended it over one message; the rest wants another session, at once."""
    next_due_at: datetime | None = None
    """When the first message that still waits is due."""


async def send_due(work: SendWork) -> SessionOutcome:
    """Send everything that is due, message by message, over one session.

    Raises StoreError (what was not settled is recovered by the next session) and nothing of
    the server's.
    """
    outcome = SessionOutcome()
    if (recovered := await recover(work)).unknown:
        outcome.settled["outgoing.outcome_unknown"] = recovered.unknown
    if await _is_due(work):
        try:
            sender = await work.open_sender()
        except ServerError as error:
            await _note_no_session(work, outcome, error)
        else:
            await _send_over(work, sender, outcome)
    outcome.next_due_at = await _next_due(work)
    return outcome


async def _send_over(work: SendWork, sender: MailSender, outcome: SessionOutcome) -> None:
    try:
        while not _is_over(outcome) and (batch := await _claim(work)):
            left = await _send_batch(work, sender, batch, outcome)
            await _release(work, left)
        if outcome.error is None and not outcome.is_cut_short:
            await sender.quit()
    except ServerError as error:
        outcome.error = outcome.error or error
    finally:
        sender.abort()  # harmless after a quit; after anything else nothing is kept


async def _send_batch(
    work: SendWork, sender: MailSender, batch: Sequence[Claimed], outcome: SessionOutcome
) -> Sequence[Claimed]:
    """Send claimed messages until the session is over; return those not begun."""
    for done, message in enumerate(batch, start=1):
        attempted = await send_one(work, sender, message)
        outcome.settled[attempted.settlement.event] += 1
        outcome.error = attempted.error
        outcome.trouble = attempted.trouble
        if attempted.is_session_lost:
            outcome.is_cut_short = True
        if attempted.needs_reset and not _is_over(outcome):
            outcome.error = await _reset(sender)
        if _is_over(outcome):
            return batch[done:]
    return ()


async def _reset(sender: MailSender) -> ServerError | None:
    try:
        await sender.reset()
    except ServerError as error:
        return error
    return None


def _is_over(outcome: SessionOutcome) -> bool:
    return outcome.is_cut_short or outcome.error is not None or outcome.trouble is not None


async def _is_due(work: SendWork) -> bool:
    due_at = await _next_due(work)
    return due_at is not None and due_at <= work.clock.now()


async def _next_due(work: SendWork) -> datetime | None:
    return await work.db.read(lambda reader: outbox.next_due(reader, work.mailbox.id))


async def _claim(work: SendWork) -> list[Claimed]:
    mailbox = work.mailbox
    now = work.clock.now()

    async def claim(tx: Transaction) -> list[Claimed]:
        return await outbox.claim_due(tx, mailbox.id, mailbox.term, now, BATCH)

    claimed = await work.db.write(claim)
    if claimed:
        reached("outgoing.claimed")
    return claimed


async def _release(work: SendWork, left: Sequence[Claimed]) -> None:
    async def release(tx: Transaction) -> None:
        await outbox.release(tx, left)

    if left:
        await work.db.write(release, essential=True)


async def _note_no_session(work: SendWork, outcome: SessionOutcome, error: ServerError) -> None:
    """Note why no session came about; it was an attempt for what has outlived its lifetime.

    Younger mail is spared the attempt: it goes out as soon as the server is back. A refused
    login fails nothing: that queue waits for a person.
    """
    outcome.error = error
    verdict = judge_delivery(work.place, error.phase, error)
    if isinstance(verdict, MailboxTrouble):
        outcome.trouble = verdict.failure
        return
    while expired := await _claim_expired(work):
        for message in expired:
            await _note_attempt(work, outcome, message, error.phase, verdict)


async def _note_attempt(
    work: SendWork, outcome: SessionOutcome, message: Claimed, phase: Phase, verdict: Verdict
) -> None:
    now = work.clock.now()
    settlement = conclude(
        message,
        {recipient.n: verdict for recipient in choose_recipients(message, work.policy)},
        work.policy,
        server=work.place,
        phase=phase,
        now=now,
        dice=work.dice(),
    )
    await settle(work.db, work.mailbox, message, settlement, now)
    work.on_settled(message, settlement)
    outcome.settled[settlement.event] += 1


async def _claim_expired(work: SendWork) -> list[Claimed]:
    mailbox = work.mailbox
    now = work.clock.now()
    since = now - work.policy.retry.lifetime

    async def claim(tx: Transaction) -> list[Claimed]:
        return await outbox.claim_expired(
            tx, mailbox.id, mailbox.term, since=since, now=now, limit=BATCH
        )

    return await work.db.write(claim)
