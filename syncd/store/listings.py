"""How each maildrop was left, so that after a restart a poll may still be a short one."""

from syncd.model.mailbox import MailboxId
from syncd.model.poll import ListingMemory
from syncd.store.database import Reader, Transaction
from syncd.store.moments import from_micros, optional_micros, optional_moment, to_micros


async def load_all(reader: Reader) -> dict[MailboxId, ListingMemory]:
    """Return every listing that may still be believed."""
    return {
        MailboxId(row["mailbox_id"]): ListingMemory(
            epoch=row["epoch"],
            identity=row["epoch_identity"],
            count=row["count"],
            octets=row["octets"],
            last_uid=row["last_uid"],
            full_at=from_micros(row["full_at"]),
            whole=row["whole"] == 1,
            retry_at=optional_moment(row["retry_at"]),
        )
        for row in await reader.fetch_all("list_listings")
    }


async def save(tx: Transaction, mailbox_id: MailboxId, memory: ListingMemory) -> None:
    """Remember how a maildrop was left."""
    await tx.execute(
        "save_listing",
        {
            "mailbox_id": mailbox_id,
            "epoch": memory.epoch,
            "count": memory.count,
            "octets": memory.octets,
            "last_uid": memory.last_uid,
            "full_at": to_micros(memory.full_at),
            "whole": memory.whole,
            "retry_at": optional_micros(memory.retry_at),
        },
    )


async def doubt(tx: Transaction, mailbox_id: MailboxId) -> None:
    """Make the next poll list everything; whoever holds a memory of his own must drop it."""
    await tx.execute("doubt_listing", {"mailbox_id": mailbox_id})
