"""The files beside a store: made private from their first byte, locked, and with ballast.

Rule 1: nothing here is ever readable by others, not for an instant: the mode is given to
open(2), never set afterwards.
"""

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path

from syncd.errors import StoreHeld, StoreRefused

PRIVATE = 0o600

BALLAST_OCTETS = 16 * 1024 * 1024
"""Given up when the disk is full, so that deletions, states and alerts can still be written:
even DELETE and a checkpoint need room (faults.md M18)."""

_SMALL_DISK = 8 * BALLAST_OCTETS
"""Disks below this size carry no ballast: it must not be what fills them."""

_LEAST_ROOM = 1024 * 1024
"""Free space with which a small disk counts as mended."""


def require_folder(path: Path) -> None:
    """Refuse a store whose folder is not there: perhaps a volume that is not mounted."""
    if not path.parent.is_dir():
        raise StoreRefused(
            f"the folder {path.parent} of the store does not exist. Create it (mode 0700, owned "
            "by the user that runs syncd), or mount what should be there."
        )


def create_private(path: Path) -> None:
    """Create an empty file that only its owner can read; it must not exist yet."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE))


def is_private(path: Path) -> bool:
    """Tell whether nobody but its owner (and root) can open a file."""
    try:
        return not stat.S_IMODE(path.stat().st_mode) & 0o077
    except FileNotFoundError:
        return True


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FileLock:
    """The right to write a store: held by one process, gone when that process is gone."""

    def __init__(self, path: Path) -> None:
        """Take the lock, or raise StoreHeld naming the process that has it."""
        self._handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, PRIVATE)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.pread(self._handle, 32, 0).decode("ascii", "replace").strip()
            os.close(self._handle)
            raise StoreHeld(
                f"another syncd holds the store (process {holder or 'unknown'}; lock {path}). "
                "Stop it first; a store has one daemon."
            ) from exc
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back; the file stays, for removing it would race with the next one."""
        os.close(self._handle)


class Ballast:
    """A file of no content beside the store, thrown overboard when the disk is full.

    It is a comfort, never a reason to fail: what the system refuses about it is left at that.
    """

    def __init__(self, path: Path, octets: int = BALLAST_OCTETS) -> None:
        self._path = path
        self._octets = octets

    @property
    def free_bytes(self) -> int:
        """Return what the disk under the store has left for us; 0 where it cannot be asked."""
        try:
            room = os.statvfs(self._path.parent)
        except OSError:
            return 0
        return room.f_bavail * room.f_frsize

    def is_laid(self) -> bool:
        """Tell whether the ballast is there to be given up."""
        try:
            return self._path.exists()
        except OSError:
            return False

    @property
    def room_needed(self) -> int:
        """Return the free bytes with which a disk that was full counts as mended."""
        try:
            room = os.statvfs(self._path.parent)
        except OSError:
            return 2 * self._octets
        is_small = room.f_blocks * room.f_frsize < _SMALL_DISK
        return _LEAST_ROOM if is_small else 2 * self._octets

    def lay(self) -> None:
        """Reserve the space where there is plenty; without it things merely get tighter."""
        needed = self.room_needed
        if self.is_laid() or needed < self._octets or self.free_bytes < needed:
            return
        with contextlib.suppress(OSError):
            handle = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, PRIVATE)
            try:
                os.posix_fallocate(handle, 0, self._octets)
            except OSError:
                self._path.unlink()
            finally:
                os.close(handle)

    def give_up(self) -> None:
        """Free the space."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def full_words(path: Path) -> str:
    """Say that the disk under a store is full, and when it will do again."""
    disk = Ballast(path)
    free, needed = disk.free_bytes // 1024**2, disk.room_needed // 1024**2
    return (
        f"the disk under {path} is full: {free} MiB free, "
        f"{needed} MiB needed before mail is taken again"
    )


def is_out_of_room(folder: Path) -> bool:
    """Ask the disk itself whether a write fails for want of space (ENOSPC, quota).

    SQLite calls a quota, or a shared-memory file that cannot grow, an I/O error.
    """
    probe = folder / f".syncd-probe-{os.getpid()}"
    try:
        handle = os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, PRIVATE)
        try:
            os.write(handle, bytes(64 * 1024))
        finally:
            os.close(handle)
            probe.unlink()
    except OSError as exc:
        return exc.errno in {errno.ENOSPC, errno.EDQUOT}
    return False
