"""The SMTP door against a scripted server: every phase, every way to go wrong."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from syncd.connections.seams import UnlockedLogin
from syncd.connections.smtp import Patience, SmtpSender, open_smtp
from syncd.errors import (
    BytesBeforeTls,
    CommandRefused,
    ConnectionLost,
    LoginRefused,
    MechanismNotOffered,
    NameNotFound,
    Phase,
    PlaintextLoginForbidden,
    ProtocolViolated,
    TimedOut,
    TlsFailed,
    TlsFailure,
    TlsNotOffered,
    Unreachable,
)
from syncd.model.profile import Authentication, Endpoint, MailProtocol, Security
from syncd.model.secret import Secret
from tests.support.smtp_sink import Cut, Drop, Hang, Say, SmtpSink, running

ANN = UnlockedLogin(username="ann", password=Secret("wonderland"))
SHORT = Patience(connect=5, greeting=0.2, command=0.2, data=0.2, block=0.5, after_dot=0.2, quit=0.2)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def endpoint(sink: SmtpSink, security: Security = Security.NONE, **changes: object) -> Endpoint:
    plain = Endpoint(
        protocol=MailProtocol.SMTP,
        server="localhost",
        port=sink.port,
        security=security,
        allow_plaintext_login=True,
    )
    return replace(plain, **changes)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def send(sender: SmtpSender, *parts: bytes, to: str = "bob@example.org") -> str:
    replies = await sender.envelope("ann@example.com", [to], sum(map(len, parts)))
    assert replies.mail.is_positive
    assert replies.recipients[0].is_positive
    assert await sender.body(pieces(*parts)) is None
    return str(await sender.dot())


async def test_a_message_crosses_phase_by_phase() -> None:
    async with running(SmtpSink()) as sink:
        sender = await open_smtp(endpoint(sink), ANN)
        assert await send(sender, b"Subject: x\r\n\r\n", b".dot\r\n", b"..\r\n") == "250 2.0.0 Ok: queued as 0"
        await sender.quit()
    assert sink.commands == ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]
    (taken,) = sink.taken
    assert taken.sender == "ann@example.com"
    assert taken.recipients == ("bob@example.org",)
    assert taken.data == b"Subject: x\r\n\r\n.dot\r\n..\r\n"
