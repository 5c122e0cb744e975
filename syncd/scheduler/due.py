"""When a mailbox is polled next: pure arithmetic on moments.

Rule 1 (contract 7.9): the next start is the later of this cycle's end and its start plus
the interval; an interval of 0 counts as 10 seconds.
Rule 2: nothing here makes a mailbox due earlier than its interval, also not after a crash
(some providers switch POP off for who logs in too often).
"""

from datetime import datetime, timedelta

SHORTEST_INTERVAL = timedelta(seconds=10)
"""What an interval of 0 means (contract 7.9)."""

LONGEST_SPREAD = timedelta(minutes=5)
"""First polls after a start are spread over the interval, but nobody waits longer than this
for a mailbox that is new: a day-long interval is a wish about load, not about the first look."""


def effective_interval(minimum: timedelta) -> timedelta:
    """Return the interval that really counts."""
    return max(minimum, SHORTEST_INTERVAL)


def next_start(started: datetime, ended: datetime, minimum: timedelta) -> datetime:
    """Return when a mailbox polls again after a cycle that went well (contract 7.9)."""
    return max(ended, started + effective_interval(minimum))


def first_start(
    remembered: datetime | None, now: datetime, minimum: timedelta, dice: float
) -> datetime:
    """Return when a mailbox polls first after the daemon started; `dice` is in [0, 1).

    What was due while the daemon was down goes first; what is not due yet keeps its time; a
    mailbox never polled before gets a place somewhere in the interval.
    """
    if remembered is None:
        return now + min(effective_interval(minimum), LONGEST_SPREAD) * dice
    # A remembered time further away than the interval is from before a change of interval
    # or of the clock: it may not keep a mailbox silent for longer than one interval.
    return min(max(remembered, now), now + effective_interval(minimum))
