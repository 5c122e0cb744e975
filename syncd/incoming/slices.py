"""Working through many messages without holding up the mail that comes meanwhile.

A maildrop is fixed at login: what arrives during a session is seen by the next one. So a session
that has much to do does it in slices, newest first, and ends when the polling interval is used up;
what is left is found again in the next listing.
"""

from collections.abc import Awaitable, Callable, Sequence

from syncd.incoming.work import PollWork, Tally
from syncd.model.mail import Listed

FIRST_SLICE = 1000
"""Messages; each further slice is twice as long while time allows: between two slices the
pipeline runs dry for a round trip, and what is overrun is never more than what went before."""


async def in_slices(
    work: PollWork,
    wanted: Sequence[Listed],
    tally: Tally,
    handle: Callable[[Sequence[Listed]], Awaitable[None]],
) -> None:
    """Hand slices over, at least one, each in the order of the listing; note if some are left."""
    left = wanted
    size = FIRST_SLICE
    while left and (size == FIRST_SLICE or tally.elapsed() < work.interval):
        left, newest = left[:-size], left[-size:]
        await handle(newest)
        size *= 2
    tally.more = tally.more or bool(left)
