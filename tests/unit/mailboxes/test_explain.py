"""A mailbox explains itself in sentences."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.mailboxes.explain import explain
from syncd.mailboxes.lifecycle import Standing, State
from syncd.model.direction import DirectionRecord, LastError
from syncd.model.mailbox import Direction, MailboxId

NOW = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
RECORD = DirectionRecord(
    mailbox_id=MailboxId(7),
    direction=Direction.INCOMING,
    last_success_at=NOW - timedelta(hours=26, minutes=3),
    next_at=NOW + timedelta(seconds=90),
)
FAILED = replace(
    RECORD,
    consecutive_failures=2,
    postponed_why="The connection ended.",
    last_error=LastError(
        code="connection_lost", level="warning", words="reset", remedy="Wait."
    ),
)


def told(record: DirectionRecord, standing: Standing) -> list[str]:
    return explain("ann@contoso.com", record, standing, NOW)


def test_what_works_says_so_and_when_it_goes_on() -> None:
    assert told(RECORD, Standing(State.RUNNING)) == [
        "Incoming mail of ann@contoso.com works.",
        "It last worked 1 d 2 h ago.",
        "The next try comes in 1 min 30 s.",
    ]


def test_what_fails_says_why_and_what_to_do() -> None:
    assert told(FAILED, Standing(State.RUNNING))[:4] == [
        "Incoming mail of ann@contoso.com is enabled and has failed 2 times in a row.",
        "The last error was connection_lost: reset",
        "The connection ended.",
        "What to do: Wait.",
    ]


def test_an_error_without_words_and_reason_still_has_its_remedy() -> None:
    error = LastError(code="x", level="error", words="", remedy="Act.")
    record = replace(RECORD, last_error=error, consecutive_failures=1)
    sentences = told(record, Standing(State.RUNNING))
    assert sentences[0].endswith("failed 1 time in a row.")
    assert sentences[1] == "What to do: Act."


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (State.TESTING, "is being tested: its first connection is the test."),
        (State.FAILED, "has stopped: the password."),
        (State.PAUSED, "is paused: until Monday."),
        (State.UNAPPROVED, "does not move: waits for approval."),
        (State.DISABLED, "does not move: enabled: false."),
    ],
)
def test_each_state_has_its_sentence(state: State, sentence: str) -> None:
    why = sentence.partition(": ")[2].rstrip(".")
    assert (
        told(RECORD, Standing(state, why))[0] == f"Incoming mail of ann@contoso.com {sentence}"
    )


def test_what_may_not_connect_has_no_next_try() -> None:
    sentences = told(RECORD, Standing(State.DISABLED, "x"))
    assert not any("next try" in sentence for sentence in sentences)


def test_times_just_now_are_not_counted_in_seconds() -> None:
    record = replace(RECORD, last_success_at=NOW, next_at=NOW)
    assert told(record, Standing(State.RUNNING))[1:] == [
        "It last worked a moment ago.",
        "The next try comes at once.",
    ]


def test_less_than_a_second_is_shown_too() -> None:
    record = replace(RECORD, next_at=NOW + timedelta(milliseconds=5))
    assert told(record, Standing(State.RUNNING))[-1] == "The next try comes in 0 s."


def test_what_never_worked_does_not_say_when_it_did() -> None:
    record = DirectionRecord(mailbox_id=MailboxId(7), direction=Direction.OUTGOING)
    standing = Standing(State.TESTING, "its first connection is the test")
    assert told(record, standing) == [
        "Outgoing mail of ann@contoso.com is being tested: its first connection is the test."
    ]
