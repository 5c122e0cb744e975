"""Reading files together with what the kernel says of them, and who else could read them."""

import grp
import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SERVICE_GROUP: Final = "syncd"
"""The packaged service's group: root, checking a configuration by hand, trusts it as well."""


class FileUnreadable(Exception):
    """A file could not be read; the message says why, without the file's name."""


class FileForbidden(FileUnreadable):
    """This user may not read the file; another one may."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """A regular file's octets, and the status of exactly what was read."""

    path: Path
    content: bytes
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom this process reads: its user, and the groups that may read secrets with it."""

    user: int
    groups: frozenset[int]

    @classmethod
    def of_this_process(cls) -> "Identity":
        """Ask the kernel."""
        user, groups = os.geteuid(), {os.getegid()}
        if user == 0:
            groups |= {g.gr_gid for g in grp.getgrall() if g.gr_name == SERVICE_GROUP}
        return cls(user, frozenset(groups))


def read_regular(path: Path, *, longest: int) -> FileContent:
    """Read a file of at most `longest` octets; FileUnreadable for whatever prevents it."""
    try:
        # Opened first, examined afterwards, so that both speak of the same file; not
        # blocking, so that a FIFO in its place cannot hold up the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise FileUnreadable("is not a regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(longest + 1)
        finally:
            os.close(descriptor)
    except PermissionError as exc:
        raise FileForbidden(f"cannot be read: {exc.strerror}") from exc
    except OSError as exc:
        raise FileUnreadable(f"cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise FileUnreadable("cannot be a file's name") from exc
    if len(content) > longest:
        raise FileUnreadable(f"is larger than {longest} octets")
    return FileContent(path, content, status)


def why_exposed(status: os.stat_result, path: Path, identity: Identity) -> str | None:
    """Say who else could read (or replace) a file with secrets, and what to type."""
    mode = stat.S_IMODE(status.st_mode)
    name = shlex.quote(str(path))
    if status.st_uid not in (0, identity.user):
        return f"it belongs to the user {status.st_uid}; type: chown {identity.user} {name}"
    strangers = mode & 0o007 or mode & 0o030
    if strangers or (mode & 0o040 and status.st_gid not in identity.groups):
        return f"its mode is {mode:04o}; type: chmod 600 {name}"
    return None
