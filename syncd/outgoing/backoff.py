"""When a deferred message is tried again, and when patience ends.

Rule 1: patience is measured by age, not by attempts: a wait is about as long as the message
has waited already (so each wait is about double the last one), never under `first`, never
over `longest`.
Rule 2: the last attempt is made at the end of `lifetime`, not somewhere before it.
Rule 3: patience ends over trouble that lasts, not over time that nobody used: who was not
tried lately (syncd was off, the machine slept, the clock jumped, the server was never
reached) is tried once more after `longest`, however old it is.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.model.profile import RetryPolicy

SPREAD = 0.25
"""Share by which a wait is stretched or shortened, so that messages deferred together by one
outage do not come back together."""


LATELY = 2
"""Waits of `longest` within which an attempt counts as lately: one wait, its spread, its delay."""

SHORTEST = timedelta(seconds=1)
"""A session goes on while anything is due: a wait of nothing would keep it from ending."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Patience has ended: the recipients that are left are failed."""

    age: timedelta


def next_attempt(
    policy: RetryPolicy,
    *,
    since: datetime,
    tried_at: datetime | None,
    now: datetime,
    dice: float,
) -> datetime | GiveUp:
    """Choose the next attempt of a message that waits since `since`; `dice` in [0, 1).

    `tried_at` is the attempt before the one that failed just now, None for a first one.
    """
    age = now - since
    if age >= policy.lifetime and _was_tried(policy, since, tried_at, now):
        return GiveUp(age)
    wait = min(max(age, policy.first, SHORTEST), policy.longest) * (1 + SPREAD * (2 * dice - 1))
    if age >= policy.lifetime:
        return now + wait
    return min(now + wait, max(since + policy.lifetime, now + policy.first))


def _was_tried(
    policy: RetryPolicy, since: datetime, tried_at: datetime | None, now: datetime
) -> bool:
    """Tell whether an earlier attempt shows that the trouble has lasted."""
    if tried_at is None:
        return False
    return tried_at >= since + policy.lifetime or now - tried_at <= LATELY * policy.longest
