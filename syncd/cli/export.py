"""Writing stored messages out again, octet for octet."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from syncd.cli.client import Road
from syncd.cli.output import JsonValue
from syncd.errors import SyncdError


class ExportDiffers(SyncdError):
    """What was written is not what the store's checksum says."""


async def write_stream(road: Road, message_id: int, sink: BinaryIO) -> str:
    """Write one message's bytes to `sink`, prove them, return their SHA-256 in hex."""
    facts = await road.get(f"/api/v1/messages/{message_id}")
    digest = hashlib.sha256()
    async with road.stream(f"/api/v1/messages/{message_id}/raw") as chunks:
        async for chunk in chunks:
            digest.update(chunk)
            sink.write(chunk)
    sink.flush()
    if digest.hexdigest() != facts["sha256"]:
        raise ExportDiffers(
            f"message {message_id}: the bytes read have SHA-256 {digest.hexdigest()}, the "
            f"store recorded {facts['sha256']}; check the disk, restore a backup"
        )
    return digest.hexdigest()


async def write_maildir(
    road: Road, maildir: Path, message_ids: list[int] | None, mailbox: str | None
) -> list[JsonValue]:
    """Write messages into `maildir` (tmp, then new, as Maildir readers expect)."""
    for folder in ("tmp", "new", "cur"):
        (maildir / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    if message_ids is None:
        message_ids = [
            item["id"]
            async for item in road.pages("/api/v1/messages", mailbox=mailbox, limit=500)
        ]
    written = []
    with _progress(len(message_ids)) as advance:
        for message_id in message_ids:
            name = f"{message_id}.syncd"
            partial = maildir / "tmp" / name
            # 0600: it is somebody's mail.
            with open(partial, "wb", opener=_private) as sink:  # noqa: ASYNC230 - nobody else runs here; Path knows no opener
                sha256 = await write_stream(road, message_id, sink)
            partial.rename(maildir / "new" / name)
            written.append({"id": message_id, "file": f"new/{name}", "sha256": sha256})
            advance()
    return written


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Show a bar at a terminal, nothing elsewhere; call what it gives after each message."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("exporting", total=total)
        yield lambda: progress.advance(task)
