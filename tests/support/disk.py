"""Disks that are too small, and system calls that fail."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """Mount a tmpfs of that size; needs root."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder.mkdir()
    mount = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={mebibytes}m,mode=700",
        "syncd-test",
        str(folder),
    ]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(filler: Path, leave: int = 0) -> None:
    """Take every byte of the disk that is left, but for so many."""
    room = os.statvfs(filler.parent)
    left = room.f_bavail * room.f_frsize - leave
    with filler.open("ab", buffering=0) as file:
        try:
            while left > 0:
                left -= file.write(bytes(min(left, 64 * 1024)))
        except OSError:
            return


def failing(
    strace: Sequence[str], calls: str, fault: str, trace: Path | None = None
) -> list[str]:
    """Return a command line under which these calls fail; the trace marks them INJECTED.

    `fault` as strace(1) writes it: `error=EIO:when=3`, `signal=SIGKILL:when=7`. Each thread
    counts its own calls.
    """
    under = [*strace, "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"]
    return [str(trace) if trace and word == "/dev/null" else word for word in under]
