"""What the system tests share."""

import pytest

from tests.servers.debian import NotAvailable, tool


@pytest.fixture(scope="session")
def strace() -> list[str]:
    """The command line of strace, following every thread, writing to /dev/null."""
    try:
        return [*tool("strace"), "-f", "-qq", "-o", "/dev/null"]
    except NotAvailable as exc:
        pytest.skip(str(exc))
