"""A process that writes numbered rows into a store and says which were acknowledged.

    python -m tests.support.store_writer FILE [--count N] [--writers N] [--octets N]

One line each, written through at once: `open`, `acked 17`, `refused 18 StoreFull: …`, `closed`;
`unopened StoreRefused: …` where the store cannot be had. Its reader kills it, fails its
syscalls or fills its disk, and then compares the lines with what the store holds.
"""

import argparse
import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from syncd.errors import StoreError
from syncd.store import bodies, events
from syncd.store.database import Database, Transaction
from syncd.store.events import NewEvent
from syncd.store.sqlite import open_sqlite

_WHEN = datetime(2026, 11, 23, tzinfo=UTC)


async def write_all(db: Database, numbers: Iterator[int], octets: int) -> None:
    """Write rows until the numbers run out; each is a body and an event, as mail is."""
    for n in numbers:

        async def body(tx: Transaction, n: int = n) -> None:
            body_id = await bodies.new_body_id(tx)
            await bodies.put_whole(tx, [(body_id, os.urandom(octets))])
            event = NewEvent("message.received", {"n": n, "body_id": body_id})
            await events.append(tx, None, None, None, _WHEN, [event])

        try:
            await db.write(body)
        except StoreError as exc:
            say(f"refused {n} {type(exc).__name__}: {exc}")
        else:
            say(f"acked {n}")


def say(line: str) -> None:
    """Write one line, unbuffered: what was said before a kill was said."""
    os.write(1, f"{line}\n".encode())


async def main() -> None:
    """Open, write from several tasks at once, close."""
    wishes = argparse.ArgumentParser()
    wishes.add_argument("file", type=Path)
    wishes.add_argument("--count", type=int, default=10**9)
    wishes.add_argument("--writers", type=int, default=1)
    wishes.add_argument("--octets", type=int, default=8192)
    wish = wishes.parse_args()
    try:
        db = await open_sqlite(wish.file)
    except StoreError as exc:
        say(f"unopened {type(exc).__name__}: {exc}")
        return
    say("open")
    numbers = iter(range(wish.count))
    async with asyncio.TaskGroup() as group:
        for _ in range(wish.writers):
            group.create_task(write_all(db, numbers, wish.octets))
    await db.close()
    say("closed")


if __name__ == "__main__":
    asyncio.run(main())
