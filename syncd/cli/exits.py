"""How the command line ends: exit statuses of sysexits.h, and one place that maps errors."""

import sys
from collections.abc import Mapping
from enum import IntEnum

from syncd.cli.output import JsonValue, plain
from syncd.config.problems import ConfigError
from syncd.errors import StoreBusy, StoreFull, StoreHeld, SyncdError


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


class RequestFailed(SyncdError):
    """The daemon answered with a problem (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, JsonValue]) -> None:
        self.status = status
        self.problem = problem
        detail = problem.get("detail") or problem.get("title") or f"HTTP status {status}"
        super().__init__(str(detail))


def exit_status(error: SyncdError) -> Exit:
    """Return the exit status that tells a script what kind of failure this was."""
    match error:
        case ConfigError():
            return Exit.CONFIGURATION
        case DaemonUnreachable():
            return Exit.UNREACHABLE
        case StoreBusy() | StoreFull() | StoreHeld() | RequestFailed(status=503 | 507):
            return Exit.TRY_LATER
        case _:
            return Exit.FAILED


def complain(error: SyncdError) -> None:
    """Print an error for a person, on standard error."""
    sys.stderr.write("".join(f"syncd: {plain(line)}\n" for line in str(error).splitlines()))
