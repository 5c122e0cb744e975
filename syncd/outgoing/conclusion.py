"""What an attempt makes of a message: from the verdict on each recipient to its next state.

Rule 1: an accepted recipient is never sent to again.
Rule 2: an outcome that is unknown is retried once, if the profile says so, and never sooner
than `unknown_wait` after the dot: at most one extra copy (contract 1.3). Then a person decides.
Rule 3: trouble of the mailbox fails nobody and wears out no patience.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from syncd.errors import Phase, one_line
from syncd.errors import Refused as NotAllowed
from syncd.model.mail import OutgoingState, RecipientState
from syncd.model.outgoing import Attempt, Claimed, Recipient, Settlement
from syncd.model.profile import OutcomePolicy, RetryPolicy
from syncd.outgoing.backoff import GiveUp, next_attempt
from syncd.outgoing.verdict import (
    Deferred,
    MailboxTrouble,
    OutcomeUnknown,
    Refused,
    Sent,
    Verdict,
)

UNKNOWN_WAIT = timedelta(seconds=600)
"""A server may take this long to answer the dot (RFC 5321 4.5.3.2.6), and may still be at it."""

MOST_UNKNOWN_OUTCOMES = 1
"""Lost answers after which the message is still sent again: one extra copy at most."""


class Command(StrEnum):
    """What a person may ask of a queued message."""

    RETRY = "retry"
    CANCEL = "cancel"


COMMANDS: Mapping[tuple[OutgoingState, Command], OutgoingState] = {
    (OutgoingState.PENDING_SEND, Command.RETRY): OutgoingState.PENDING_SEND,
    (OutgoingState.FAILED, Command.RETRY): OutgoingState.PENDING_SEND,
    (OutgoingState.HELD, Command.RETRY): OutgoingState.PENDING_SEND,
    (OutgoingState.OUTCOME_UNKNOWN, Command.RETRY): OutgoingState.PENDING_SEND,
    (OutgoingState.DRAFT, Command.CANCEL): OutgoingState.CANCELED,
    (OutgoingState.PENDING_SEND, Command.CANCEL): OutgoingState.CANCELED,
    (OutgoingState.HELD, Command.CANCEL): OutgoingState.CANCELED,
    (OutgoingState.OUTCOME_UNKNOWN, Command.CANCEL): OutgoingState.CANCELED,
}

_LIGHTEST_FIRST = (Sent, Refused, Deferred, MailboxTrouble, OutcomeUnknown)
_GOES_ON = frozenset({OutgoingState.PENDING_SEND, OutgoingState.OUTCOME_UNKNOWN})
_WAITING = frozenset({RecipientState.PENDING, RecipientState.DEFERRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPolicy:
    """A profile's patience."""

    retry: RetryPolicy
    outcome_unknown: OutcomePolicy
    unknown_wait: timedelta = UNKNOWN_WAIT


def choose_recipients(message: Claimed, policy: SendPolicy) -> tuple[Recipient, ...]:
    """Return the recipients that the next attempt is for."""
    wanted = _WAITING | _unknown_to_retry(policy, message.unknown_outcomes)
    return tuple(recipient for recipient in message.recipients if recipient.state in wanted)


def conclude(
    message: Claimed,
    verdicts: Mapping[int, Verdict],
    policy: SendPolicy,
    *,
    server: str,
    phase: str,
    now: datetime,
    dice: float,
) -> Settlement:
    """Apply the verdicts, by recipient number, and choose what follows.

    `phase` is how far the attempt came. For an attempt that a crash ended, `message` holds
    the moment of the dot, from which `unknown_wait` counts; else it counts from `now`.
    """
    is_unknown = any(isinstance(verdict, OutcomeUnknown) for verdict in verdicts.values())
    is_trouble = any(isinstance(verdict, MailboxTrouble) for verdict in verdicts.values())
    unknown_outcomes = message.unknown_outcomes + is_unknown
    recipients = tuple(_answered(r, verdicts.get(r.n)) for r in message.recipients)
    retried_unknown = _unknown_to_retry(policy, unknown_outcomes)
    at: datetime | None
    after = next_attempt(
        policy.retry,
        since=message.waiting_since,
        tried_at=message.tried_at,
        now=now,
        dice=dice,
    )
    match after:
        case GiveUp() if is_trouble:
            at = now + policy.retry.longest
        case GiveUp() as end:
            at = None
            recipients = tuple(_given_up(recipient, end) for recipient in recipients)
            retried_unknown = frozenset()
        case moment:
            at = moment
    state = _next_state(recipients, retried_unknown)
    if at is not None and state is OutgoingState.OUTCOME_UNKNOWN:
        at = max(at, (message.after_dot_at or now) + policy.unknown_wait)
    result, words = _told_of_attempt(message.recipients, verdicts)
    return Settlement(
        state=state,
        reason=_reason(state, recipients),
        next_attempt_at=at if state in _GOES_ON else None,
        unknown_outcomes=unknown_outcomes,
        recipients=recipients,
        event=_event(state, is_unknown=is_unknown),
        attempt=Attempt(server=server, phase=phase, result=result, words=words),
    )


def hold_damaged(message: Claimed, *, server: str, words: str) -> Settlement:
    """Hold a message whose stored bytes cannot be trusted: nothing of it may go out."""
    return Settlement(
        state=OutgoingState.HELD,
        reason=one_line(
            f"its stored bytes are damaged ({words}); cancel it, hand it over again"
        ),
        next_attempt_at=None,
        unknown_outcomes=message.unknown_outcomes,
        recipients=message.recipients,
        event="outgoing.deferred",
        attempt=Attempt(server=server, phase=Phase.BODY, result="damaged", words=words),
    )


def apply_command(
    command: Command, state: OutgoingState, recipients: Sequence[Recipient]
) -> tuple[OutgoingState, tuple[Recipient, ...], str | None]:
    """Return a message's state, recipients and reason after a command; raise Refused.

    Canceled too late for some, it is `sent`: to them it went (contract 3).
    """
    after = COMMANDS.get((state, command))
    if after is None:
        raise NotAllowed("state", f"a message that is {state} cannot be asked to {command}")
    match command:
        case Command.RETRY:
            again = _WAITING | {RecipientState.REFUSED, RecipientState.OUTCOME_UNKNOWN}
            becomes = RecipientState.PENDING
        case Command.CANCEL:
            again, becomes = _WAITING, RecipientState.CANCELED
        case _:
            assert_never(command)
    changed = tuple(
        replace(recipient, state=becomes) if recipient.state in again else recipient
        for recipient in recipients
    )
    if after is not OutgoingState.CANCELED:
        return after, changed, None
    sent = _count(changed, RecipientState.SENT)
    return OutgoingState.SENT if sent else after, changed, _why_canceled(changed, sent)


def _why_canceled(recipients: Sequence[Recipient], sent: int) -> str:
    unknown = _count(recipients, RecipientState.OUTCOME_UNKNOWN)
    told = [f"sent to {sent}"] if sent else []
    told += [f"possibly sent to {unknown}"] if unknown else []
    if not told:
        return "canceled before it was sent to anybody"
    return f"canceled when it had been {' and '.join(told)} of {len(recipients)} recipients"


def _count(recipients: Sequence[Recipient], state: RecipientState) -> int:
    return sum(recipient.state is state for recipient in recipients)


def _unknown_to_retry(policy: SendPolicy, unknown_outcomes: int) -> frozenset[RecipientState]:
    """Return OUTCOME_UNKNOWN as a set while such recipients may be sent to again."""
    is_allowed = (
        policy.outcome_unknown is OutcomePolicy.RETRY
        and unknown_outcomes <= MOST_UNKNOWN_OUTCOMES
    )
    return frozenset({RecipientState.OUTCOME_UNKNOWN} if is_allowed else ())


def _answered(recipient: Recipient, verdict: Verdict | None) -> Recipient:
    match verdict:
        case None:
            return recipient
        case Sent(reply):
            state, words = RecipientState.SENT, reply.words
        case Deferred(words, reply):
            words = words if reply is None else reply.words
            # A connection that failed says nothing about an earlier dot's answer.
            was_unknown = recipient.state is RecipientState.OUTCOME_UNKNOWN and reply is None
            state = recipient.state if was_unknown else RecipientState.DEFERRED
        case Refused(reply):
            state, words = RecipientState.REFUSED, reply.words
        case OutcomeUnknown(words):
            state, reply = RecipientState.OUTCOME_UNKNOWN, None
        case MailboxTrouble(_, reply):
            state, words = recipient.state, reply.words
        case _:
            assert_never(verdict)
    said = None if reply is None or reply.is_ours else reply
    return replace(
        recipient,
        state=state,
        reply_code=None if said is None else said.code,
        enhanced=None if said is None else said.enhanced,
        words=one_line(words),
    )


def _given_up(recipient: Recipient, end: GiveUp) -> Recipient:
    if recipient.state not in _WAITING:
        return recipient
    words = f"given up after {_long(end.age)}; the last answer: {_said(recipient) or 'none'}"
    return replace(recipient, state=RecipientState.REFUSED, words=one_line(words))


def _next_state(
    recipients: Sequence[Recipient], retried_unknown: frozenset[RecipientState]
) -> OutgoingState:
    states = {recipient.state for recipient in recipients}
    if states & retried_unknown:
        return OutgoingState.OUTCOME_UNKNOWN
    if states & _WAITING:
        return OutgoingState.PENDING_SEND
    if RecipientState.OUTCOME_UNKNOWN in states:
        return OutgoingState.HELD
    return OutgoingState.SENT if RecipientState.SENT in states else OutgoingState.FAILED


def _reason(state: OutgoingState, recipients: Sequence[Recipient]) -> str | None:
    """Say in words why a message waits, is held or has failed."""
    unknown = _count(recipients, RecipientState.OUTCOME_UNKNOWN)
    possibly = f"possibly sent to {unknown} of {len(recipients)} recipients"
    match state:
        case OutgoingState.OUTCOME_UNKNOWN:
            return f"{possibly}: the answer was lost; it will be sent once more"
        case OutgoingState.HELD:
            return f"{possibly}: the answer was lost; retry it or cancel it"
        case OutgoingState.PENDING_SEND:
            return _first_words(recipients, _WAITING)
        case _:
            return _first_words(recipients, frozenset({RecipientState.REFUSED}))


def _first_words(
    recipients: Sequence[Recipient], states: frozenset[RecipientState]
) -> str | None:
    said = (_said(recipient) for recipient in recipients if recipient.state in states)
    return next(filter(None, said), None)


def _said(recipient: Recipient) -> str:
    parts = (recipient.reply_code, recipient.enhanced, recipient.words)
    return " ".join(str(part) for part in parts if part)


def _event(state: OutgoingState, *, is_unknown: bool) -> str:
    if is_unknown or state is OutgoingState.HELD:
        return "outgoing.outcome_unknown"
    events = {OutgoingState.SENT: "outgoing.sent", OutgoingState.FAILED: "outgoing.failed"}
    return events.get(state, "outgoing.deferred")


def _told_of_attempt(
    recipients: Sequence[Recipient], verdicts: Mapping[int, Verdict]
) -> tuple[str, str]:
    """Name an attempt, and tell what was said to whom it went worst.

    It is `sent` once anybody was sent to; else it is named after its weightiest verdict.
    """
    weights = {n: _LIGHTEST_FIRST.index(type(verdict)) for n, verdict in verdicts.items()}
    if not weights:
        return "nothing_to_send", ""
    worst = max(weights, key=weights.__getitem__)
    result, words = _named(verdicts[worst])
    if len({*weights.values()}) > 1:
        address = next(one.address for one in recipients if one.n == worst)
        words = f"{address}: {words}"
    was_sent = any(isinstance(verdict, Sent) for verdict in verdicts.values())
    return "sent" if was_sent else result, words


def _named(verdict: Verdict) -> tuple[str, str]:
    match verdict:
        case Sent(reply):
            return "sent", str(reply)
        case Refused(reply):
            return "refused", str(reply)
        case Deferred(words):
            return "deferred", words
        case MailboxTrouble(failure):
            return "mailbox_trouble", failure.words
        case OutcomeUnknown(words):
            return "outcome_unknown", words
        case _:
            assert_never(verdict)


def _long(age: timedelta) -> str:
    hours = int(age.total_seconds() // 3600)
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours"
