"""A message comes in unless it is too old or goes in circles."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from syncd.incoming.admit import ADMITTED, BEFORE_DATE, Filter, Rules, Skip, admit, arrival
from syncd.model.mail import Headers

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
LIVE = Rules(own_mark="bob@example.com")
DATED = Rules(own_mark="bob@example.com", not_before=NEW_YEAR)
SECOND = timedelta(seconds=1)


def test_live_mail_has_no_date_limit() -> None:
    assert admit(Headers(date=datetime(1999, 1, 1, tzinfo=UTC)), LIVE) == ADMITTED


def test_earlier_mail_is_skipped_and_the_first_moment_counts_as_in_time() -> None:
    assert admit(Headers(date=NEW_YEAR - SECOND), DATED) == Skip(BEFORE_DATE)
    assert admit(Headers(date=NEW_YEAR), DATED) == ADMITTED


def test_the_topmost_received_header_is_believed_before_the_date() -> None:
    late = Headers(received_at=NEW_YEAR, date=NEW_YEAR - timedelta(days=400))
    assert arrival(late) == NEW_YEAR
    assert admit(late, DATED) == ADMITTED


def test_an_unknown_date_is_processed() -> None:
    assert admit(Headers(), DATED) == ADMITTED


def test_a_date_in_the_future_is_processed() -> None:
    assert admit(Headers(date=datetime(2090, 1, 1, tzinfo=UTC)), DATED) == ADMITTED


def test_mail_in_circles_is_filtered() -> None:
    assert admit(Headers(hops=50), LIVE) == ADMITTED
    assert admit(Headers(hops=51), LIVE) == Filter("mail loop: 51 Received headers")


def test_what_this_mailbox_marked_itself_is_filtered_written_in_any_case() -> None:
    assert isinstance(admit(Headers(loop_marks=("x", "Bob@Example.com")), LIVE), Filter)


def test_the_mark_of_another_mailbox_is_no_loop() -> None:
    assert admit(Headers(loop_marks=("ann@contoso.com",)), LIVE) == ADMITTED


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_only_an_earlier_date_skips(date: datetime, limit: datetime) -> None:
    rules = Rules(own_mark="x", not_before=limit)
    assert (admit(Headers(date=date), rules) == Skip(BEFORE_DATE)) == (date < limit)
