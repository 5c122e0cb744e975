"""The seam every measured program sits behind, and what reading their stores has in common."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tests.bench.measure import Usage
from tests.bench.stage import Job


class Program(Protocol):
    """A program that pulls mail."""

    @property
    def name(self) -> str:
        """Return the name in tables."""
        ...

    def prepare(self, job: Job) -> None:
        """Write its configuration for the job; not measured."""
        ...

    def pull(self, job: Job) -> Usage:
        """Pull every mailbox of the job once, and return what that cost."""
        ...

    def stored(self, job: Job) -> Iterator[bytes] | None:
        """Return every message it has stored, in any order; None when it keeps nothing."""
        ...


def maildir_messages(folder: Path) -> Iterator[bytes]:
    """Read every message of every Maildir below the folder."""
    for name in ("new", "cur"):
        for maildir in sorted(folder.rglob(name)):
            for path in maildir.iterdir():
                yield path.read_bytes()


def bsmtp_messages(file: Path) -> Iterator[bytes]:
    """Read every message of a batched SMTP file."""
    lines: list[bytes] | None = None
    with file.open("rb") as batch:
        for raw in batch:
            line = raw.rstrip(b"\r\n")
            if lines is None:
                if line.upper() == b"DATA":
                    lines = []
            elif line == b".":
                yield b"".join(one + b"\n" for one in lines)
                lines = None
            else:
                lines.append(line[1:] if line.startswith(b"..") else line)
