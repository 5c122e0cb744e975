"""One attempt to deliver one message.  <- the story

Rule 1: `after_dot` is committed before the dot leaves: a crash before that commit is safe to
repeat, one after it is a possible copy and treated as such.
Rule 2: what the server said is committed first thing, before anything else is said to it.
Rule 3: an answer that is known is not forgotten because the store has no room or is locked: it
is tried again for as long as the process lives. Forgotten, it would be sent a second time.
"""

import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from syncd.clock import Clock
from syncd.connections.seams import EnvelopeReplies, MailSender
from syncd.errors import (
    BodyDamaged,
    CommandRefused,
    Phase,
    ServerError,
    StoreBusy,
    StoreFull,
)
from syncd.model.failure import Failure
from syncd.model.outgoing import Claimed, Recipient, Settlement
from syncd.observe.edges import reached
from syncd.outgoing.conclusion import SendPolicy, choose_recipients, conclude, hold_damaged
from syncd.outgoing.queue import settle
from syncd.outgoing.verdict import Deferred, MailboxTrouble, Verdict, judge_delivery
from syncd.protocols.smtp_replies import SmtpReply
from syncd.store import outbox
from syncd.store.bodies import read_chunks
from syncd.store.database import Database, Transaction
from syncd.store.mailboxes import MailboxRecord

log = structlog.get_logger()

CLOSING = 421
"""The one reply after which the server hangs up (RFC 5321 3.8)."""


FIRST_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
LONGEST_WAIT = 30.0
"""Seconds between the attempts to record an answer; the store itself has waited before each."""


def _nothing_more(_message: Claimed, _settlement: Settlement) -> None:
    """Do nothing about a settled message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendWork:
    """What the sending of one mailbox's mail works with."""

    db: Database
    mailbox: MailboxRecord
    place: str
    """host:port of the outgoing server."""
    policy: SendPolicy
    open_sender: Callable[[], Awaitable[MailSender]]
    """Takes the slots, unlocks, connects and logs in; raises ServerError."""
    clock: Clock
    dice: Callable[[], float]
    on_settled: Callable[[Claimed, Settlement], None] = _nothing_more
    """Called after each commit of an outcome: metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """How an attempt left the message, and what it says of the session and the mailbox."""

    settlement: Settlement
    error: ServerError | None = None
    """The session is over: lost, or the server said so, or it wants no mail just now."""
    trouble: Failure | None = None
    """The mailbox may not send for now."""
    needs_reset: bool = False
    """The server still holds an envelope of ours."""
    is_session_lost: bool = False
    """We dropped it ourselves, over a message that must not go out."""


async def send_one(work: SendWork, sender: MailSender, message: Claimed) -> Attempted:
    """Send one claimed message once: envelope, body, commit, dot, verdict, settle."""
    trial = Trial(sender.place, choose_recipients(message, work.policy))
    try:
        if trial.open:
            replies = await sender.envelope(
                message.sender,
                [recipient.address for recipient in trial.open],
                message.octets,
                eight_bit=message.eight_bit,
                utf8=message.utf8,
            )
            reached("outgoing.enveloped")
            trial.hear_envelope(replies)
        if trial.open:
            refusal = await sender.body(_exact_bytes(work.db, message))
            if refusal is not None:
                trial.hear(Phase.DATA, refusal)
        if trial.open:
            reached("outgoing.before_dot")
            await _allow_dot(work, message, work.clock.now())
            reached("outgoing.after_dot_committed")
            trial.hear(Phase.AFTER_DOT, await sender.dot())
    except ServerError as error:
        trial.fail(error)
    except BodyDamaged as damage:
        return await _hold(work, message, damage)
    reached("outgoing.answered")
    settlement = await _settle(work, message, trial)
    reached("outgoing.settled")
    return Attempted(
        settlement=settlement,
        error=trial.error,
        trouble=trial.trouble,
        needs_reset=trial.phase in {Phase.MAIL, Phase.RCPT, Phase.DATA},
    )


class Trial:
    """Who is still open in an attempt, and the verdict on everybody else."""

    def __init__(self, server: str, recipients: Sequence[Recipient]) -> None:
        self.open: Sequence[Recipient] = recipients
        self.verdicts: dict[int, Verdict] = {}
        self.phase = Phase.MAIL
        self.error: ServerError | None = None
        self._server = server

    @property
    def trouble(self) -> Failure | None:
        """What keeps the whole mailbox from sending, if any answer said so."""
        verdicts = self.verdicts.values()
        found = (v.failure for v in verdicts if isinstance(v, MailboxTrouble))
        return next(found, None)

    def hear_envelope(self, replies: EnvelopeReplies) -> None:
        """Judge who was refused; the others stay open."""
        if not replies.mail.is_positive:
            self.hear(Phase.MAIL, replies.mail)
            return
        self.phase = Phase.RCPT
        accepted = []
        for recipient, reply in zip(self.open, replies.recipients, strict=True):
            if reply.is_positive:
                accepted.append(recipient)
            else:
                self._judge(recipient, Phase.RCPT, reply)
        self.open = accepted

    def hear(self, phase: Phase, reply: SmtpReply) -> None:
        """Judge everybody who is still open by one reply."""
        self.phase = phase
        for recipient in self.open:
            self._judge(recipient, phase, reply)
        self.open = ()

    def fail(self, error: ServerError) -> None:
        """Judge everybody who is still open by what came instead of a reply."""
        self.phase, self.error = error.phase, error
        for recipient in self.open:
            self.verdicts[recipient.n] = judge_delivery(self._server, error.phase, error)
        self.open = ()

    def _judge(self, recipient: Recipient, phase: Phase, reply: SmtpReply) -> None:
        verdict = judge_delivery(self._server, phase, reply)
        self.verdicts[recipient.n] = verdict
        # "Later" to MAIL is said to the sender, whatever the message: asking once for each
        # message that waits would only make it worse (faults 21).
        wants_no_mail = phase is Phase.MAIL and isinstance(verdict, Deferred)
        if reply.code == CLOSING or wants_no_mail:
            self.error = CommandRefused(
                self._server, phase, reply.words, reply_code=reply.code, enhanced=reply.enhanced
            )


async def _exact_bytes(db: Database, message: Claimed) -> AsyncIterator[bytes]:
    """Read a message and prove that it is the one that was queued, before any dot can leave."""
    digest = hashlib.sha256()
    async for chunk in read_chunks(db, message.body_id):
        digest.update(chunk)
        yield chunk
    if digest.digest() != message.sha256:
        raise BodyDamaged(f"body {message.body_id} is not what was queued: its SHA-256 differs")


async def _hold(work: SendWork, message: Claimed, damage: BodyDamaged) -> Attempted:
    settlement = hold_damaged(message, server=work.place, words=str(damage))
    await _commit(work, message, settlement, work.clock.now())
    return Attempted(settlement=settlement, is_session_lost=True)


async def _allow_dot(work: SendWork, message: Claimed, now: datetime) -> None:
    async def mark(tx: Transaction) -> None:
        await outbox.mark_after_dot(tx, message, now)

    await work.db.write(mark)


async def _settle(work: SendWork, message: Claimed, trial: Trial) -> Settlement:
    now = work.clock.now()
    settlement = conclude(
        message,
        trial.verdicts,
        work.policy,
        server=work.place,
        phase=trial.phase,
        now=now,
        dice=work.dice(),
    )
    await _commit(work, message, settlement, now)
    return settlement


async def _commit(
    work: SendWork, message: Claimed, settlement: Settlement, now: datetime
) -> None:
    for wait in itertools.chain(FIRST_WAITS, itertools.repeat(LONGEST_WAIT)):
        try:
            await settle(work.db, work.mailbox, message, settlement, now)
            break
        except (StoreBusy, StoreFull) as error:
            log.warning(
                "the server's answer is not recorded yet",
                outgoing_id=message.id,
                error=str(error),
                again_in=wait,
            )
            await work.clock.sleep(wait)
    work.on_settled(message, settlement)
    log.info(
        "outgoing.attempt",
        outgoing_id=message.id,
        mailbox_id=message.mailbox_id,
        server=work.place,
        phase=settlement.attempt.phase,
        result=settlement.attempt.result,
        state=settlement.state.value,
    )
