"""What the store remembers of itself: whose it is, and which key sealed its secrets."""

from syncd.errors import StoreRefused
from syncd.store.database import Reader, Transaction

INSTANCE = "instance"
KEY_CHECK = "key_check"


async def read_fact(reader: Reader, name: str) -> str | None:
    """Return a remembered fact, if there is one."""
    row = await reader.fetch_one("read_fact", {"name": name})
    return None if row is None else str(row["value"])


async def write_fact(tx: Transaction, name: str, value: str) -> None:
    """Remember a fact; it replaces the one of that name."""
    await tx.execute("write_fact", {"name": name, "value": value})


async def claim_for_instance(tx: Transaction, instance: str) -> None:
    """Remember whose store this is, or raise StoreRefused if it is another's.

    A staging copy of a store must neither log in nor send (contract 1, promise 9).
    """
    known = await read_fact(tx, INSTANCE)
    if known is None:
        await write_fact(tx, INSTANCE, instance)
    elif known != instance:
        raise StoreRefused(
            f"the store belongs to the instance {known!r}, the configuration says {instance!r}. "
            "Nothing was polled or sent. If this is a copy, give it a store of its own; if the "
            "instance was renamed, name it as before (`syncd adopt`, in a later version, will "
            "take over a store knowingly)."
        )
