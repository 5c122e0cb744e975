"""How the command line ends: exit statuses of sysexits.h, and one place that maps errors."""

import sys
from enum import IntEnum

from syncd.cli.output import plain
from syncd.config.problems import ConfigError
from syncd.errors import StoreBusy, StoreFull, SyncdError


class Exit(IntEnum):
    """Exit statuses (contract 4)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 69
    TRY_LATER = 75
    CONFIGURATION = 78


class DaemonUnreachable(SyncdError):
    """No daemon answers on the local socket, and the command needs one."""


def exit_status(error: SyncdError) -> Exit:
    """Return the exit status that tells a script what kind of failure this was."""
    match error:
        case ConfigError():
            return Exit.CONFIGURATION
        case DaemonUnreachable():
            return Exit.UNREACHABLE
        case StoreBusy() | StoreFull():
            return Exit.TRY_LATER
        case _:
            return Exit.FAILED


def complain(error: SyncdError) -> None:
    """Print an error for a person, on standard error."""
    sys.stderr.write("".join(f"syncd: {plain(line)}\n" for line in str(error).splitlines()))
