"""Message bodies: exact bytes in chunks, in the store like everything else.

A small body is written whole by its message's own transaction. Of a large one the chunks
commit as they arrive, staged, so that a slow download never holds the writer; the message's
transaction adopts them. What is never adopted is swept.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from syncd.errors import BodyDamaged, StoreError
from syncd.model.mail import CHUNK_OCTETS, BodyId
from syncd.store import counters
from syncd.store.database import Database, Reader, Transaction
from syncd.store.moments import to_micros

_MOST_CHUNKS = 65536
"""Chunks a body may have: the id is body_id * 65536 + n, which allows 16 GiB."""

_CHUNKS_A_READ = 4
"""1 MiB at a time: a reader of a large message holds no snapshot meanwhile."""


async def new_body_id(tx: Transaction) -> BodyId:
    """Take the number of a body that is about to be written."""
    return BodyId(await counters.take(tx, "body"))


async def new_body_ids(tx: Transaction, count: int) -> range:
    """Take the numbers of many bodies at once; each is a BodyId."""
    first = await counters.take(tx, "body", count)
    return range(first, first + count)


async def put_chunk(tx: Transaction, body_id: BodyId, n: int, data: bytes) -> None:
    """Write chunk `n` (from 0) of a body; every chunk but the last has CHUNK_OCTETS."""
    if not 0 <= n < _MOST_CHUNKS:
        raise StoreError(f"a body has at most {_MOST_CHUNKS} chunks of {CHUNK_OCTETS} octets")
    await tx.execute("put_chunk", {"id": body_id * _MOST_CHUNKS + n, "data": data})


async def put_whole(tx: Transaction, bodies: Sequence[tuple[int, bytes]]) -> None:
    """Write many small bodies, each of one chunk: (body id, bytes)."""
    await tx.execute_many(
        "put_chunk", [{"id": body_id * _MOST_CHUNKS, "data": data} for body_id, data in bodies]
    )


async def stage(tx: Transaction, body_id: BodyId, now: datetime) -> None:
    """Note that a body has no message yet: swept unless adopted."""
    await tx.execute("stage_body", {"body_id": body_id, "staged_at": to_micros(now)})


async def adopt(tx: Transaction, body_id: BodyId) -> None:
    """Make a staged body its message's own, in the message's transaction."""
    if not await tx.execute("adopt_body", {"body_id": body_id}):
        raise StoreError(f"body {body_id} is not staged any more: it was swept")


async def discard(tx: Transaction, body_id: BodyId) -> None:
    """Delete a body, staged or not."""
    await _delete_chunks(tx, body_id, _MOST_CHUNKS)
    await tx.execute("adopt_body", {"body_id": body_id})


async def sweep_staged(tx: Transaction, older_than: datetime, most_chunks: int = 256) -> int:
    """Delete orphaned bodies, `most_chunks` at most; return how many chunks went.

    Call it until it returns 0: one transaction over gigabytes would hold up every writer.
    """
    swept = 0
    rows = await tx.fetch_all(
        "list_staged_bodies", {"older_than": to_micros(older_than), "limit": most_chunks}
    )
    for row in rows:
        body_id = BodyId(row["body_id"])
        swept += await _delete_chunks(tx, body_id, most_chunks - swept)
        if swept >= most_chunks:
            break
        await tx.execute("adopt_body", {"body_id": body_id})
    return swept


async def read_chunks(db: Database, body_id: BodyId) -> AsyncIterator[bytes]:
    """Read a body chunk by chunk, without holding a snapshot in between."""
    n = 0
    while chunks := await _slice(db, body_id, n):
        for chunk in chunks:
            yield chunk
        if len(chunks) < _CHUNKS_A_READ:
            return
        n += len(chunks)


async def read_body(reader: Reader, body_id: BodyId) -> bytes:
    """Read a small body whole; large ones are for `read_chunks`."""
    return b"".join(await _read_slice(reader, body_id, 0, _MOST_CHUNKS))


async def read_beginning(reader: Reader, body_id: BodyId) -> bytes:
    """Read a body's first chunk: enough for its headers."""
    return b"".join(await _read_slice(reader, body_id, 0, 1))


async def _slice(db: Database, body_id: BodyId, n: int) -> list[bytes]:
    async def body(reader: Reader) -> list[bytes]:
        return await _read_slice(reader, body_id, n, _CHUNKS_A_READ)

    return await db.read(body)


async def _read_slice(reader: Reader, body_id: BodyId, n: int, limit: int) -> list[bytes]:
    first = body_id * _MOST_CHUNKS + n
    end = (body_id + 1) * _MOST_CHUNKS
    rows = await reader.fetch_all("read_chunks", {"first": first, "end": end, "limit": limit})
    if [row["id"] for row in rows] != list(range(first, first + len(rows))):
        raise BodyDamaged(f"body {body_id} lacks a chunk after number {n}")
    return [row["data"] for row in rows]


async def _delete_chunks(tx: Transaction, body_id: BodyId, limit: int) -> int:
    first = body_id * _MOST_CHUNKS
    return await tx.execute(
        "delete_chunks", {"first": first, "end": first + _MOST_CHUNKS, "limit": limit}
    )
