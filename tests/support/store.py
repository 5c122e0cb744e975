"""Stores for tests: opened on a real file, with the mailboxes a test needs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from syncd.model.mailbox import MailboxType
from syncd.store import mailboxes
from syncd.store.database import Database, Transaction
from syncd.store.mailboxes import DeclaredMailbox, MailboxRecord
from syncd.store.sqlite import SqliteDatabase, open_sqlite

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteDatabase]:
    """Open a SQLite store for the length of a test."""
    db = await open_sqlite(path)
    try:
        yield db
    finally:
        await db.close()


async def declare(db: Database, *addresses: str) -> list[MailboxRecord]:
    """Declare and claim mailboxes of these addresses; return their records in that order."""
    wanted = declared(addresses)

    async def body(tx: Transaction) -> list[MailboxRecord]:
        await mailboxes.declare(tx, wanted)
        await mailboxes.claim_all(tx, "node-a")
        found = [await mailboxes.find(tx, address) for address in addresses]
        return [record for record in found if record is not None]

    return await db.write(body)


def declared(addresses: Sequence[str]) -> list[DeclaredMailbox]:
    """Describe users of one profile, as the configuration would."""
    return [
        DeclaredMailbox(address=address, type=MailboxType.USER, profile="contoso")
        for address in addresses
    ]
