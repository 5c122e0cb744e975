"""The outgoing queue against a real Postfix that delivers into a real Dovecot."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.clock import SystemClock
from syncd.connections.seams import UnlockedLogin
from syncd.model.profile import Endpoint, MailProtocol, Security
from syncd.model.secret import Secret
from tests.servers.dovecot import Dovecot, User
from tests.servers.fixtures import NewUser, StartPostfix
from tests.servers.postfix import Postfix, PostfixOptions
from tests.support.outgoing import Outbox, an_outbox

pytestmark = [pytest.mark.servers, pytest.mark.root]


def road(server: Postfix, ca: Path, security: Security) -> Endpoint:
    ports = {
        Security.TLS: server.ports.smtps,
        Security.STARTTLS: server.ports.submission,
        Security.NONE: server.ports.plain,
    }
    return Endpoint(
        protocol=MailProtocol.SMTP,
        server=server.host,
        port=ports[security],
        security=security,
        tls_ca=ca,
        allow_plaintext_login=security is Security.NONE,
    )


@asynccontextmanager
async def sending(
    server: Postfix, user: User, folder: Path, security: Security = Security.STARTTLS
) -> AsyncIterator[Outbox]:
    endpoint = road(server, server.authority.write(folder), security)
    async with an_outbox(folder, endpoint, user.address) as outbox:
        outbox.login = UnlockedLogin(username=user.address, password=Secret(user.password))
        yield outbox


def message(sender: User, to: User, body: bytes) -> bytes:
    return f"From: {sender.address}\r\nTo: {to.address}\r\nSubject: x\r\n\r\n".encode() + body


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a real server has done its part."""
    async with asyncio.timeout(60):
        while not condition():
            await SystemClock().sleep(0.05)


@pytest.mark.parametrize("security", Security)
async def test_a_message_arrives_with_every_octet(
    dovecot: Dovecot, postfix: Postfix, new_user: NewUser, tmp_path: Path, security: Security
) -> None:
    ann, bob = new_user("ann"), new_user("bob")
    body = b".\r\n..\r\n.dot\r\nfrom here\r\nFrom there\r\n8 bit \xe4\xff\r\n \r\n\r\n"
    async with sending(postfix, ann, tmp_path, security) as outbox:
        queued = await outbox.queue(message(ann, bob, body))
        await outbox.send()
        assert await outbox.states(queued.id) == ("sent", ["sent"])
    await eventually(lambda: bool(dovecot.maildrop(bob)))
    (arrived,) = dovecot.maildrop(bob)
    assert arrived.endswith(b"\r\n\r\n" + body)
    assert queued.message_id.encode() in arrived


async def test_unknown_users_are_refused_and_busy_ones_tried_again(
    dovecot: Dovecot, start_postfix: StartPostfix, new_user: NewUser, tmp_path: Path
) -> None:
    server = start_postfix(dovecot)
    ann, bob, cy = new_user("ann"), new_user("bob"), new_user("cy")
    server.answer(cy.address, "451 4.7.1 come back later")
    async with sending(server, ann, tmp_path) as outbox:
        recipients = [bob.address, "nobody@example.test", cy.address]
        queued = await outbox.queue(message(ann, bob, b"hello\r\n"), to=recipients)
        await outbox.send()
        row = await outbox.show(queued.id)
        assert [r.state for r in row.recipients] == ["sent", "refused", "deferred"]
        assert (row.recipients[1].reply_code, row.recipients[1].enhanced) == (550, "5.1.1")
        server.forget_answers()
        outbox.clock.forward(timedelta(minutes=1))
        await outbox.send()
        assert await outbox.states(queued.id) == ("sent", ["sent", "refused", "sent"])
    await eventually(lambda: bool(dovecot.maildrop(bob)) and bool(dovecot.maildrop(cy)))
    assert len(dovecot.maildrop(bob)) == len(dovecot.maildrop(cy)) == 1


async def test_a_thousand_messages_share_one_session(
    dovecot: Dovecot, start_postfix: StartPostfix, new_user: NewUser, tmp_path: Path
) -> None:
    server = start_postfix(dovecot)
    ann, bob = new_user("ann"), new_user("bob")
    async with sending(server, ann, tmp_path) as outbox:
        for n in range(1000):
            await outbox.queue(message(ann, bob, b"number %d\r\n" % n))
        outcome = await outbox.send()
        assert outcome.settled["outgoing.sent"] == 1000
        assert outcome.error is None
    await eventually(lambda: len(dovecot.maildrop(bob)) == 1000)
    numbers = {int(arrived.split()[-1]) for arrived in dovecot.maildrop(bob)}
    assert numbers == set(range(1000))
    assert (
        "ehlo=2 starttls=1 auth=1 mail=1000 rcpt=1000 data=1000 quit=1"
        in server.log.read_text()
    )


async def test_a_large_message_arrives_whole(
    dovecot: Dovecot, postfix: Postfix, new_user: NewUser, tmp_path: Path
) -> None:
    ann, bob = new_user("ann"), new_user("bob")
    body = b"".join(b".%09d %s\r\n" % (n, b"x" * 60) for n in range(280_000))
    async with sending(postfix, ann, tmp_path) as outbox:
        queued = await outbox.queue(message(ann, bob, body))
        await outbox.send()
        assert await outbox.states(queued.id) == ("sent", ["sent"])
    await eventually(lambda: bool(dovecot.maildrop(bob)))
    arrived = dovecot.maildrop(bob)[0].partition(b"\r\n\r\n")[2]
    assert len(arrived) == len(body) > 20_000_000
    assert hashlib.sha256(arrived).digest() == hashlib.sha256(body).digest()


async def test_a_message_above_the_servers_limit_fails_without_being_sent(
    dovecot: Dovecot, start_postfix: StartPostfix, new_user: NewUser, tmp_path: Path
) -> None:
    server = start_postfix(dovecot, PostfixOptions(message_size_limit=100_000))
    ann, bob = new_user("ann"), new_user("bob")
    async with sending(server, ann, tmp_path) as outbox:
        large = await outbox.queue(message(ann, bob, b"x" * 70 + b"\r\n" * 50_000))
        small = await outbox.queue(message(ann, bob, b"x\r\n"))
        await outbox.send()
        assert await outbox.states(large.id) == ("failed", ["refused"])
        refused = (await outbox.show(large.id)).recipients[0]
        assert refused.reply_code is None  # our own reason: the server was not even asked
        assert "this server takes at most 100000 octets (SIZE)" in (refused.words or "")
        assert await outbox.states(small.id) == ("sent", ["sent"])


async def test_a_wrong_password_holds_the_queue(
    postfix: Postfix, new_user: NewUser, tmp_path: Path
) -> None:
    ann, bob = new_user("ann"), new_user("bob")
    async with sending(postfix, ann, tmp_path) as outbox:
        right, outbox.login = outbox.login, replace(outbox.login, password=Secret("wrong"))
        queued = await outbox.queue(message(ann, bob, b"x\r\n"))
        outcome = await outbox.send()
        assert outcome.trouble is not None
        assert (outcome.trouble.code, outcome.trouble.suspect) == ("login_refused", True)
        assert await outbox.states(queued.id) == ("pending_send", ["pending"])
        outbox.login = right
        await outbox.send()
        assert await outbox.states(queued.id) == ("sent", ["sent"])
