"""When a mailbox is polled next."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from syncd.scheduler.due import (
    LONGEST_SPREAD,
    SHORTEST_INTERVAL,
    effective_interval,
    first_start,
    next_start,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTES = st.integers(0, 1440).map(lambda m: timedelta(minutes=m))
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))


def test_an_interval_of_nothing_counts_as_ten_seconds() -> None:
    assert effective_interval(timedelta(0)) == timedelta(seconds=10)


def test_a_quick_cycle_starts_again_after_the_interval() -> None:
    ended = NOW + timedelta(seconds=2)
    assert next_start(NOW, ended, timedelta(minutes=5)) == NOW + timedelta(minutes=5)


def test_a_cycle_longer_than_the_interval_starts_again_at_its_end() -> None:
    ended = NOW + timedelta(minutes=7)
    assert next_start(NOW, ended, timedelta(minutes=5)) == ended


@given(MOMENTS, MINUTES, MINUTES)
def test_no_cycle_overlaps_the_next_or_comes_before_the_interval(
    started: datetime, lasted: timedelta, interval: timedelta
) -> None:
    following = next_start(started, started + lasted, interval)
    assert following >= started + lasted
    assert following - started >= max(interval, SHORTEST_INTERVAL)


def test_what_was_due_while_the_daemon_was_down_goes_first() -> None:
    overdue = NOW - timedelta(hours=3)
    assert first_start(overdue, NOW, timedelta(minutes=5), 0.9) == NOW


def test_a_remembered_time_survives_a_restart() -> None:
    # A crash loop must not poll a provider more often than its interval (faults 33).
    remembered = NOW + timedelta(minutes=3)
    assert first_start(remembered, NOW, timedelta(minutes=5), 0.1) == remembered


def test_a_time_remembered_beyond_the_interval_is_not_believed() -> None:
    remembered = NOW + timedelta(days=30)
    assert first_start(remembered, NOW, timedelta(minutes=5), 0.1) == NOW + timedelta(minutes=5)


@given(MINUTES, st.floats(0, 1, exclude_max=True))
def test_a_new_mailbox_gets_its_place_in_the_interval(interval: timedelta, dice: float) -> None:
    first = first_start(None, NOW, interval, dice)
    assert NOW <= first <= NOW + min(max(interval, SHORTEST_INTERVAL), LONGEST_SPREAD)
