"""One poll in a process of its own, to be killed at an edge: SYNCD_KILL_AT=incoming.recording:2.

    python -m tests.support.poll_once STORE HOST PORT

Exit status 0: the poll came to its end and succeeded.
"""

import asyncio
import sys
from pathlib import Path

from syncd.model.mailbox import MailboxType
from syncd.store import mailboxes
from syncd.store.database import Transaction
from syncd.store.mailboxes import MailboxRecord
from tests.support.incoming import ADDRESS, HandClock, Inbox, inbox_of, plain_profile
from tests.support.store import opened


async def poll_once(path: Path, host: str, port: int) -> int:
    """Claim the mailbox as a daemon that starts does, and poll it."""

    async def claim(tx: Transaction) -> MailboxRecord | None:
        await mailboxes.claim_all(tx, "node-b")
        return await mailboxes.find(tx, ADDRESS)

    async with opened(path) as db:
        record = await db.write(claim)
        assert record is not None
        inbox = Inbox(path, db, inbox_of(plain_profile(host, port)), record, HandClock())
        inbox.wish(type=MailboxType.QUEUE, delete_after_processing=True)
        outcome = await inbox.poll()
        return 0 if outcome.failure is None else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(poll_once(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
