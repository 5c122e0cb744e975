"""The byte budget: half of it for reading ahead, half for one chunk each."""

import pytest

from syncd.connections.budget import ByteBudget


@pytest.mark.parametrize(("used", "tight"), [(0, False), (49, False), (50, True), (200, True)])
def test_it_is_tight_when_half_of_it_is_used(used: int, tight: bool) -> None:
    budget = ByteBudget(100)
    budget.hold(used)
    assert budget.tight is tight


def test_what_is_released_can_be_used_again() -> None:
    budget = ByteBudget(100)
    budget.hold(70)
    budget.release(30)
    assert (budget.used, budget.tight) == (40, False)
