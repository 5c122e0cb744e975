"""When a deferred message is tried again, and when patience ends.

Rule 1: patience is measured by age, not by attempts: a wait is about as long as the message
has waited already (so each wait is about double the last one), never under `first`, never
over `longest`.
Rule 2: the last attempt is made at the end of `lifetime`, not somewhere before it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.model.profile import RetryPolicy

SPREAD = 0.25
"""Share by which a wait is stretched or shortened, so that messages deferred together by one
outage do not come back together."""


SHORTEST = timedelta(seconds=1)
"""A session goes on while anything is due: a wait of nothing would keep it from ending."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Patience has ended: the recipients that are left are failed."""

    age: timedelta


def next_attempt(
    policy: RetryPolicy, *, since: datetime, now: datetime, dice: float
) -> datetime | GiveUp:
    """Choose the next attempt of a message that waits since `since`; `dice` in [0, 1)."""
    age = now - since
    if age >= policy.lifetime:
        return GiveUp(age)
    wait = min(max(age, policy.first, SHORTEST), policy.longest) * (1 + SPREAD * (2 * dice - 1))
    return min(now + wait, max(since + policy.lifetime, now + policy.first))
