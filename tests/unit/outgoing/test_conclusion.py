"""What an attempt makes of a message."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.errors import Refused as NotAllowed
from syncd.model.failure import Failure, Lasting, Scope
from syncd.model.mail import BodyId, OutgoingId, OutgoingState, RecipientState
from syncd.model.mailbox import MailboxId
from syncd.model.outgoing import Claimed, Recipient, Settlement
from syncd.model.profile import OutcomePolicy, RetryPolicy
from syncd.outgoing.conclusion import (
    COMMANDS,
    UNKNOWN_WAIT,
    Command,
    SendPolicy,
    apply_command,
    choose_recipients,
    conclude,
    hold_damaged,
)
from syncd.outgoing.verdict import (
    Deferred,
    MailboxTrouble,
    OutcomeUnknown,
    Refused,
    Sent,
    Verdict,
)
from syncd.protocols.smtp_replies import SmtpReply

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RETRY = SendPolicy(retry=RetryPolicy(), outcome_unknown=OutcomePolicy.RETRY)
HOLD = SendPolicy(retry=RetryPolicy(), outcome_unknown=OutcomePolicy.HOLD)
FULL = Failure(
    code="mailbox_full", lasting=Lasting.TRANSIENT, scope=Scope.MAILBOX, server="x:25",
    phase="mail", words="554 5.2.2 full", cause="c", remedy="r",
)  # fmt: skip

SENT = Sent(SmtpReply(250, "2.0.0", "queued"))
LATER = Deferred("450 4.2.0 busy", SmtpReply(450, "4.2.0", "busy"))
LOST = Deferred("the server closed the connection")
NEVER = Refused(SmtpReply(550, "5.1.1", "nobody"))
UNKNOWN = OutcomeUnknown("no answer within 600 s")
TROUBLE = MailboxTrouble(FULL, SmtpReply(554, "5.2.2", "full"))

VERDICTS = st.sampled_from([SENT, LATER, LOST, NEVER, UNKNOWN, TROUBLE])


def claimed(
    *states: RecipientState,
    unknown_outcomes: int = 0,
    after_dot_at: datetime | None = None,
    tried_at: datetime | None = None,
) -> Claimed:
    return Claimed(
        id=OutgoingId(1),
        mailbox_id=MailboxId(1),
        term=1,
        message_id="<a@example.com>",
        sender="ann@example.com",
        octets=9,
        sha256=b"",
        body_id=BodyId(1),
        eight_bit=False,
        utf8=False,
        waiting_since=NOON,
        attempts=0,
        tried_at=tried_at,
        unknown_outcomes=unknown_outcomes,
        after_dot_at=after_dot_at,
        recipients=tuple(
            Recipient(n=n, address=f"{n}@example.org", state=state)
            for n, state in enumerate(states)
        ),
    )


def concluded(
    message: Claimed,
    *verdicts: Verdict,
    policy: SendPolicy = RETRY,
    age: timedelta = timedelta(0),
) -> Settlement:
    return conclude(
        message, dict(enumerate(verdicts)), policy,
        server="x:25", phase="rcpt", now=NOON + age, dice=0.5,
    )  # fmt: skip


P, S, D, R, U = (
    RecipientState.PENDING,
    RecipientState.SENT,
    RecipientState.DEFERRED,
    RecipientState.REFUSED,
    RecipientState.OUTCOME_UNKNOWN,
)


@pytest.mark.parametrize(
    ("verdicts", "state", "recipients", "event", "result"),
    [
        ((SENT, SENT), "sent", (S, S), "outgoing.sent", "sent"),
        ((SENT, NEVER), "sent", (S, R), "outgoing.sent", "sent"),
        ((NEVER, NEVER), "failed", (R, R), "outgoing.failed", "refused"),
        ((SENT, LATER), "pending_send", (S, D), "outgoing.deferred", "sent"),
        ((LOST, LOST), "pending_send", (D, D), "outgoing.deferred", "deferred"),
        ((NEVER, LATER), "pending_send", (R, D), "outgoing.deferred", "deferred"),
        ((UNKNOWN, NEVER), "outcome_unknown", (U, R), "outgoing.outcome_unknown", "outcome_unknown"),
        ((UNKNOWN, LATER), "outcome_unknown", (U, D), "outgoing.outcome_unknown", "outcome_unknown"),
        ((TROUBLE, TROUBLE), "pending_send", (P, P), "outgoing.deferred", "mailbox_trouble"),
        ((TROUBLE, SENT), "pending_send", (P, S), "outgoing.deferred", "sent"),
        ((), "pending_send", (P, P), "outgoing.deferred", "nothing_to_send"),
    ],
)  # fmt: skip
def test_the_recipients_decide(
    verdicts: tuple[Verdict, ...],
    state: str,
    recipients: tuple[RecipientState, ...],
    event: str,
    result: str,
) -> None:
    settlement = concluded(claimed(P, P), *verdicts)
    assert settlement.state == state
    assert tuple(r.state for r in settlement.recipients) == recipients
    assert (settlement.event, settlement.attempt.result) == (event, result)


def test_the_servers_words_are_kept_with_each_recipient() -> None:
    settlement = concluded(claimed(P, P, P), LATER, NEVER, LOST)
    deferred, refused, lost = settlement.recipients
    assert (deferred.reply_code, deferred.enhanced, deferred.words) == (450, "4.2.0", "busy")
    assert (refused.reply_code, refused.enhanced, refused.words) == (550, "5.1.1", "nobody")
    assert (lost.reply_code, lost.words) == (None, "the server closed the connection")
    assert settlement.reason == "450 4.2.0 busy"
    assert settlement.attempt.words == "0@example.org: 450 4.2.0 busy"


def test_an_attempt_tells_what_was_said_to_whom_it_went_worst() -> None:
    one = concluded(claimed(P), NEVER).attempt
    assert (one.result, one.words) == ("refused", "550 5.1.1 nobody")
    alike = concluded(claimed(P, P), SENT, SENT).attempt
    assert (alike.result, alike.words) == ("sent", "250 2.0.0 queued")
    mixed = concluded(claimed(P, P), SENT, NEVER).attempt
    assert (mixed.result, mixed.words) == ("sent", "1@example.org: 550 5.1.1 nobody")


def test_what_no_server_said_stands_without_a_reply_code() -> None:
    ours = Refused(SmtpReply(552, None, "this server takes at most 9 octets", is_ours=True))
    settlement = concluded(claimed(P), ours)
    (recipient,) = settlement.recipients
    assert (recipient.reply_code, recipient.enhanced) == (None, None)
    said = "this server takes at most 9 octets"
    assert recipient.words == settlement.reason == settlement.attempt.words == said


def test_a_sent_message_has_no_reason_and_a_failed_one_the_first_refusal() -> None:
    assert concluded(claimed(P), SENT).reason is None
    assert concluded(claimed(P), NEVER).reason == "550 5.1.1 nobody"


def test_final_states_have_no_next_attempt() -> None:
    assert concluded(claimed(P), SENT).next_attempt_at is None
    assert concluded(claimed(P), NEVER).next_attempt_at is None
    assert concluded(claimed(P), LATER).next_attempt_at == NOON + timedelta(minutes=1)


# -- lost answers ---------------------------------------------------------------------------


def test_a_lost_answer_is_retried_once_and_not_before_the_servers_ten_minutes() -> None:
    first = concluded(claimed(P), UNKNOWN)
    assert first.next_attempt_at == NOON + UNKNOWN_WAIT
    assert first.unknown_outcomes == 1
    assert first.reason == (
        "possibly sent to 1 of 1 recipients: the answer was lost; it will be sent once more"
    )
    second = concluded(claimed(U, unknown_outcomes=1), UNKNOWN, age=timedelta(hours=1))
    assert (second.state, second.next_attempt_at) == (OutgoingState.HELD, None)
    assert second.unknown_outcomes == 2
    assert second.event == "outgoing.outcome_unknown"


def test_after_a_crash_the_ten_minutes_count_from_the_dot() -> None:
    left = claimed(P, after_dot_at=NOON)
    late = concluded(left, UNKNOWN, age=timedelta(minutes=2))
    assert late.next_attempt_at == NOON + UNKNOWN_WAIT
    very_late = concluded(left, UNKNOWN, age=timedelta(hours=2))
    assert very_late.next_attempt_at == NOON + timedelta(hours=3)


def test_with_hold_a_lost_answer_waits_for_a_person_and_the_others_go_on() -> None:
    alone = concluded(claimed(P), UNKNOWN, policy=HOLD)
    assert alone.state == "held"
    assert alone.reason is not None
    assert "retry it or cancel it" in alone.reason
    mixed = concluded(claimed(P, P), UNKNOWN, LATER, policy=HOLD)
    assert mixed.state == "pending_send"
    assert mixed.next_attempt_at == NOON + timedelta(minutes=1)


def test_a_lost_connection_does_not_unsay_that_it_was_possibly_sent() -> None:
    unsaid = concluded(claimed(U, unknown_outcomes=1), LOST)
    assert unsaid.state == "outcome_unknown"
    assert unsaid.event == "outgoing.deferred"
    said = concluded(claimed(U, unknown_outcomes=1), LATER)
    assert said.state == "pending_send"


def test_a_policy_that_became_hold_meanwhile_holds() -> None:
    message = claimed(U, unknown_outcomes=1)
    assert choose_recipients(message, HOLD) == ()
    settlement = concluded(message, policy=HOLD)
    assert (settlement.state, settlement.event) == ("held", "outgoing.outcome_unknown")


@pytest.mark.parametrize(
    ("policy", "unknown_outcomes", "chosen"),
    [(RETRY, 1, [0, 1, 4]), (RETRY, 2, [0, 1]), (HOLD, 1, [0, 1])],
)
def test_who_was_answered_is_not_chosen_again(
    policy: SendPolicy, unknown_outcomes: int, chosen: list[int]
) -> None:
    message = claimed(P, D, S, R, U, unknown_outcomes=unknown_outcomes)
    assert [r.n for r in choose_recipients(message, policy)] == chosen


# -- the end of patience ------------------------------------------------------------------------

LATE = NOON + timedelta(days=5) - timedelta(hours=1)


def test_at_the_end_of_the_lifetime_those_who_wait_are_failed() -> None:
    end = concluded(claimed(P, P, tried_at=LATE), LATER, SENT, age=timedelta(days=5))
    assert (end.state, end.next_attempt_at) == ("sent", None)
    assert end.recipients[0].state == "refused"
    assert end.recipients[0].words == "given up after 5 days; the last answer: 450 4.2.0 busy"
    silent = concluded(claimed(P, tried_at=LATE), age=timedelta(days=5))
    assert silent.state == "failed"
    assert silent.recipients[0].words == "given up after 5 days; the last answer: none"


def test_a_first_failure_fails_nobody_however_old_the_message_is() -> None:
    back = concluded(claimed(P), LATER, age=timedelta(days=6))
    assert (back.state, back.event) == ("pending_send", "outgoing.deferred")
    assert back.next_attempt_at == NOON + timedelta(days=6, hours=1)


def test_a_short_lifetime_is_told_in_hours() -> None:
    hurried = SendPolicy(
        retry=RetryPolicy(lifetime=timedelta(hours=6)), outcome_unknown=OutcomePolicy.RETRY
    )
    tried = claimed(P, tried_at=NOON + timedelta(hours=5))
    end = concluded(tried, LOST, policy=hurried, age=timedelta(hours=6))
    assert end.reason is not None
    assert end.reason.startswith("given up after 6 hours")


def test_what_was_possibly_sent_is_held_not_failed_at_the_end() -> None:
    tried = claimed(U, P, unknown_outcomes=1, tried_at=LATE)
    end = concluded(tried, LOST, LATER, age=timedelta(days=5))
    assert end.state == "held"
    assert [r.state for r in end.recipients] == [U, R]


def test_trouble_of_the_account_wears_out_no_patience() -> None:
    late = NOON + timedelta(days=50)
    later = concluded(claimed(P, tried_at=late), TROUBLE, age=late - NOON)
    assert later.state == "pending_send"
    assert later.next_attempt_at == NOON + timedelta(days=50, hours=1)


@given(
    st.lists(st.sampled_from([P, D, S, R, U]), min_size=1, max_size=5),
    st.lists(VERDICTS, min_size=5, max_size=5),
    st.sampled_from([RETRY, HOLD]),
    st.integers(0, 3),
    st.timedeltas(timedelta(0), timedelta(days=6)),
    st.none() | st.timedeltas(timedelta(0), timedelta(days=6)),
)
def test_whatever_is_answered_nothing_final_is_reopened_and_nothing_waiting_forgotten(
    states: list[RecipientState],
    verdicts: list[Verdict],
    policy: SendPolicy,
    unknown_outcomes: int,
    age: timedelta,
    tried_after: timedelta | None,
) -> None:
    """Recipients with an answer keep it, somebody waiting has a next attempt, and a message
    whose answer was lost twice is not sent to those recipients again by itself."""
    tried_at = None if tried_after is None else NOON + tried_after
    message = claimed(*states, unknown_outcomes=unknown_outcomes, tried_at=tried_at)
    tried = choose_recipients(message, policy)
    answers = {recipient.n: verdicts[recipient.n] for recipient in tried}
    settlement = conclude(
        message, answers, policy, server="x:25", phase="x", now=NOON + age, dice=0.5
    )
    after = [recipient.state for recipient in settlement.recipients]
    for before, now in zip(states, after, strict=True):
        if before in {S, R}:
            assert now is before
    waits = settlement.state in {OutgoingState.PENDING_SEND, OutgoingState.OUTCOME_UNKNOWN}
    assert (settlement.next_attempt_at is not None) == waits
    assert waits or not {P, D} & set(after)
    if settlement.state is OutgoingState.OUTCOME_UNKNOWN:
        assert policy is RETRY
        assert settlement.unknown_outcomes <= 1
        assert settlement.next_attempt_at is not None
        assert settlement.next_attempt_at >= NOON + age + UNKNOWN_WAIT
    if settlement.state is OutgoingState.SENT:
        assert S in after
        assert set(after) <= {S, R}
    if settlement.state is OutgoingState.FAILED:
        assert set(after) == {R}


def test_a_message_whose_bytes_are_damaged_is_held_for_a_person() -> None:
    held = hold_damaged(claimed(P, S), server="x:25", words="body 7 lacks a chunk")
    assert (held.state, held.next_attempt_at) == ("held", None)
    assert [r.state for r in held.recipients] == [P, S]
    assert held.reason is not None
    assert "body 7 lacks a chunk" in held.reason
    assert held.event == "outgoing.deferred"


# -- what a person asks for -------------------------------------------------------------------------


def test_a_retry_reopens_what_was_refused_or_unknown_and_nothing_that_was_sent() -> None:
    recipients = claimed(S, R, U, D, P).recipients
    state, after, reason = apply_command(Command.RETRY, OutgoingState.HELD, recipients)
    assert (state, reason) == ("pending_send", None)
    assert [recipient.state for recipient in after] == [S, P, P, P, P]


CANCELED = RecipientState.CANCELED


@pytest.mark.parametrize(
    ("before", "state", "after", "reason"),
    [
        ([D, P], "canceled", [CANCELED, CANCELED], "canceled before it was sent to anybody"),
        ([R, P], "canceled", [R, CANCELED], "canceled before it was sent to anybody"),
        ([U, P], "canceled", [U, CANCELED], "canceled when it had been possibly sent to 1 of 2 recipients"),
        ([S, D, S], "sent", [S, CANCELED, S], "canceled when it had been sent to 2 of 3 recipients"),
        ([S, R, U, D], "sent", [S, R, U, CANCELED], "canceled when it had been sent to 1 and possibly sent to 1 of 4 recipients"),
    ],
)  # fmt: skip
def test_a_cancel_leaves_every_answer_as_it_is(
    before: list[RecipientState], state: str, after: list[RecipientState], reason: str
) -> None:
    recipients = claimed(*before).recipients
    became = apply_command(Command.CANCEL, OutgoingState.PENDING_SEND, recipients)
    assert (became[0], [one.state for one in became[1]], became[2]) == (state, after, reason)


@pytest.mark.parametrize("command", Command)
@pytest.mark.parametrize("state", OutgoingState)
def test_a_command_that_is_not_in_the_table_changes_nothing(
    state: OutgoingState, command: Command
) -> None:
    if (state, command) not in COMMANDS:
        with pytest.raises(NotAllowed, match=f"{state} cannot be asked to {command}"):
            apply_command(command, state, ())
    else:
        assert apply_command(command, state, ())[:2] == (COMMANDS[state, command], ())
