"""How many bytes of messages are in memory, over all connections together."""


class ByteBudget:
    """Counts what has been read from servers and not yet been taken care of.

    Nobody waits here. A connection with something to hand over stops reading while the
    budget is `tight`; one that has nothing yet may always read its next chunk, or all could
    wait for each other for ever. So the first half of the budget goes to those who read
    ahead, the second is for one chunk each: `limit` holds up to `limit` / 1 MiB connections
    in mid-message at once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    @property
    def tight(self) -> bool:
        """Tell whether reading ahead has to stop."""
        return self.used * 2 >= self.limit

    def hold(self, octets: int) -> None:
        """Note that a connection read so much."""
        self.used += octets

    def release(self, octets: int) -> None:
        """Note that so much of it is stored, or dropped."""
        self.used -= octets
