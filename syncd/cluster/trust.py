"""How long an owner may act on a lease: never longer than anybody else honours it."""


def may_work(lease_until: float | None, now: float, margin: float) -> bool:
    """Tell whether an owner may still act for a mailbox.

    `lease_until` counts from when the lease was asked for, not from when the answer came, so
    that a slow answer cannot stretch it; None is a lease that nobody else can take (one node).
    The owner stops `margin` seconds early: what it began must end before another begins.
    All three are monotonic seconds.
    """
    return lease_until is None or now < lease_until - margin
