"""A process that queues a few messages and sends them; tests kill it at SYNCD_KILL_AT.

    python -m tests.support.outgoing_child FOLDER PORT MESSAGES

Started again it takes the mailbox over under a new term, as a restarted daemon does; the
idempotency keys are the same, so it queues nothing twice.
"""

import asyncio
import sys
from pathlib import Path

from tests.support.outgoing import MESSAGE, an_outbox, plain_endpoint


async def main(folder: Path, port: int, messages: int) -> None:
    """Queue, then send until nothing waits any more."""
    async with an_outbox(folder, plain_endpoint(port)) as outbox:
        for n in range(messages):
            await outbox.queue(MESSAGE + b"number %d\r\n" % n, key=f"order-{n}")
        while (next_due_at := (await outbox.send()).next_due_at) is not None:
            outbox.clock.forward(next_due_at - outbox.clock.now())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
