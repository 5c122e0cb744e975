"""When a refused message is tried again, and when it is put aside."""

from datetime import UTC, datetime, timedelta

from syncd.incoming.quarantine import after_refusal, next_try
from syncd.incoming.work import MOST_TRIES
from syncd.model.mail import LedgerState

NOW = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
INTERVAL = timedelta(minutes=5)


def test_waits_double_from_the_interval_up_to_a_day() -> None:
    waits = [next_try(n, INTERVAL, NOW) - NOW for n in (1, 2, 3, 10, 99)]
    assert waits == [INTERVAL, 2 * INTERVAL, 4 * INTERVAL, timedelta(days=1), timedelta(days=1)]


def test_a_longer_interval_than_a_day_is_kept() -> None:
    assert next_try(3, timedelta(days=2), NOW) - NOW == timedelta(days=2)


def test_the_last_try_puts_a_message_aside_and_none_before() -> None:
    for tries in range(1, MOST_TRIES):
        verdict = after_refusal(tries, INTERVAL, NOW)
        assert verdict.state is LedgerState.FAILING
        assert verdict.next_try_at is not None
    assert after_refusal(MOST_TRIES, INTERVAL, NOW).state is LedgerState.QUARANTINED
    assert after_refusal(MOST_TRIES, INTERVAL, NOW).next_try_at is None
