"""The sandbox mail server in this process, for tests that want a server with a ledger.

async with sandbox_running() as sandbox:
    ann = sandbox.open("ann@sandbox.example", "secret")
    sandbox.deposit(ann.address, letter("hello"))
    ...
    assert sandbox.journal.deletions == []
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trustme

from syncd.clock import Clock
from syncd.sandbox.server import Sandbox, Security, Settings
from syncd.sandbox.witness import Journal


class JournalledSandbox(Sandbox):
    """A sandbox whose witness is a journal that the test can read."""

    def __init__(self, settings: Settings | None = None, clock: Clock | None = None) -> None:
        self.journal = Journal()
        super().__init__(settings, witness=self.journal, clock=clock)


@asynccontextmanager
async def sandbox_running(
    settings: Settings | None = None, clock: Clock | None = None
) -> AsyncIterator[JournalledSandbox]:
    """Run a sandbox on free loopback ports."""
    async with JournalledSandbox(settings, clock) as sandbox:
        yield sandbox


@asynccontextmanager
async def tls_sandbox_running(
    security: Security, authority: trustme.CA, host: str = "localhost"
) -> AsyncIterator[JournalledSandbox]:
    """Run a sandbox that speaks TLS with a certificate of `authority` for `host`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    settings = Settings(security=security, tls=context)
    async with sandbox_running(settings) as sandbox:
        yield sandbox


def letter(subject: str, body: str = "Hi.\r\n", **headers: str) -> bytes:
    """Write a small message; keyword headers replace the usual ones (`message_id=…`)."""
    fields = {
        "From": "carol@elsewhere.example",
        "To": "ann@sandbox.example",
        "Subject": subject,
        "Message-ID": f"<{subject.replace(' ', '.')}@elsewhere.example>",
        "Date": "Mon, 02 Feb 2026 10:00:00 +0000",
    }
    fields |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{head}\r\n{body}".encode()
