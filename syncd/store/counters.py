"""Numbers handed out in blocks: ids that are known before the rows are written."""

from syncd.errors import StoreError
from syncd.store.database import Transaction


async def take(tx: Transaction, name: str, count: int = 1) -> int:
    """Take `count` numbers in a row and return the first."""
    row = await tx.fetch_one("take_numbers", {"name": name, "count": count})
    if row is None:
        raise StoreError(f"the store has no counter named {name!r}")
    first: int = row["first"]
    return first
