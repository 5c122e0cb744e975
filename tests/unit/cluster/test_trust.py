"""How long an owner may act."""

from hypothesis import given
from hypothesis import strategies as st

from syncd.cluster.trust import may_work

_seconds = st.floats(min_value=0, max_value=1e9)


def test_work_stops_a_margin_before_the_lease_ends() -> None:
    assert may_work(lease_until=130.0, now=119.9, margin=10.0)
    assert not may_work(lease_until=130.0, now=120.0, margin=10.0)
    assert not may_work(lease_until=130.0, now=131.0, margin=10.0)


@given(now=_seconds, margin=_seconds)
def test_a_lease_that_nobody_else_can_take_never_ends(now: float, margin: float) -> None:
    assert may_work(None, now, margin)


@given(lease_until=_seconds, now=_seconds, later=_seconds, margin=_seconds)
def test_who_may_not_work_now_may_not_work_later_on_the_same_lease(
    lease_until: float, now: float, later: float, margin: float
) -> None:
    assert may_work(lease_until, now, margin) or not may_work(lease_until, now + later, margin)
