"""When a deferred message is tried again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.model.profile import RetryPolicy
from syncd.outgoing.backoff import SPREAD, GiveUp, next_attempt

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
POLICY = RetryPolicy()
AGES = st.timedeltas(timedelta(0), timedelta(days=6))
DICE = st.floats(0, 1, exclude_max=True)


def wait_after(age: timedelta, dice: float = 0.5) -> timedelta:
    at = next_attempt(POLICY, since=NOON, tried_at=None, now=NOON + age, dice=dice)
    assert isinstance(at, datetime)
    return at - (NOON + age)


def test_waits_double_with_age_between_first_and_longest() -> None:
    assert wait_after(timedelta(0)) == timedelta(minutes=1)
    assert wait_after(timedelta(minutes=7)) == timedelta(minutes=7)
    assert wait_after(timedelta(hours=9)) == timedelta(hours=1)


def test_the_last_attempt_is_at_the_end_of_the_lifetime() -> None:
    almost = timedelta(days=5) - timedelta(minutes=30)
    assert wait_after(almost) == timedelta(minutes=30)
    seconds_before = timedelta(days=5) - timedelta(seconds=2)
    assert wait_after(seconds_before) == timedelta(minutes=1)
    now = NOON + timedelta(days=5)
    before = now - timedelta(hours=1)
    end = next_attempt(POLICY, since=NOON, tried_at=before, now=now, dice=0.5)
    assert end == GiveUp(timedelta(days=5))


@pytest.mark.parametrize("tried_after", [None, timedelta(hours=1), timedelta(days=4)])
def test_who_was_not_tried_lately_is_tried_once_more_after_the_longest_wait(
    tried_after: timedelta | None,
) -> None:
    """Off from the first minute, from the first hour, or from the fourth day to the sixth."""
    tried_at = None if tried_after is None else NOON + tried_after
    back = NOON + timedelta(days=6)
    again = next_attempt(POLICY, since=NOON, tried_at=tried_at, now=back, dice=0.5)
    assert again == back + POLICY.longest
    end = next_attempt(POLICY, since=NOON, tried_at=back, now=back + timedelta(9), dice=0.5)
    assert end == GiveUp(timedelta(days=15))


@given(AGES, DICE)
def test_a_wait_is_never_shorter_or_longer_than_the_policy_and_the_spread_allow(
    age: timedelta, dice: float
) -> None:
    now = NOON + age
    before = now - timedelta(minutes=1)
    at = next_attempt(POLICY, since=NOON, tried_at=before, now=now, dice=dice)
    if age >= POLICY.lifetime:
        assert at == GiveUp(age)
    else:
        assert isinstance(at, datetime)
        wait = at - (NOON + age)
        assert POLICY.first * (1 - SPREAD) <= wait <= POLICY.longest * (1 + SPREAD)
        assert at <= NOON + POLICY.lifetime + POLICY.first


@given(AGES, DICE)
def test_messages_deferred_together_do_not_come_back_together(
    age: timedelta, dice: float
) -> None:
    if age < POLICY.lifetime / 2:
        spread = wait_after(age, 0.999) - wait_after(age, 0)
        assert spread >= timedelta(seconds=29)


def test_no_policy_makes_a_wait_of_nothing() -> None:
    eager = RetryPolicy(first=timedelta(0))
    at = next_attempt(eager, since=NOON, tried_at=None, now=NOON, dice=0)
    assert isinstance(at, datetime)
    assert at > NOON


def test_a_clock_that_went_back_gives_nobody_up() -> None:
    now = NOON - timedelta(days=9)
    at = next_attempt(POLICY, since=NOON, tried_at=NOON, now=now, dice=0.5)
    assert at == now + timedelta(minutes=1)
