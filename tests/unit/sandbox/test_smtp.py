"""The sandbox's submission server against the standard library's client."""

import asyncio
import smtplib
import ssl
from collections.abc import Callable
from typing import TypeVar

import pytest
import trustme

from syncd.sandbox.server import Security, Settings
from tests.support.sandbox import letter, sandbox_running, tls_sandbox_running

T = TypeVar("T")
ANN = "ann@sandbox.example"
BOB = "bob@sandbox.example"
CAROL = "carol@elsewhere.example"


async def with_client(port: int, story: Callable[[smtplib.SMTP], T]) -> T:
    """Let the standard library talk to the sandbox, in a thread beside the loop."""

    def talk() -> T:
        client = smtplib.SMTP("127.0.0.1", port, timeout=10)
        try:
            client.ehlo()
            return story(client)
        finally:
            client.close()

    return await asyncio.to_thread(talk)


def logged_in(client: smtplib.SMTP) -> smtplib.SMTP:
    client.login(ANN, "secret")
    return client


async def test_mail_to_a_local_address_lands_in_its_maildrop() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        sandbox.open(BOB, "secret")
        body = letter("hello", ".dotted\r\n..twice\r\n")
        await with_client(
            sandbox.smtp_port,
            lambda client: logged_in(client).sendmail(ANN, [BOB, CAROL], body),
        )
        (accepted,) = sandbox.journal.acceptances
        assert accepted.sender == ANN
        assert accepted.recipients == (BOB, CAROL)
        assert accepted.body == body
        (mail,) = sandbox.drop(BOB).mails
        assert mail.body.endswith(body)
        assert mail.body.startswith(b"Return-Path: <ann@sandbox.example>\r\nReceived: ")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
async def test_each_mechanism_logs_in_and_refuses(mechanism: str) -> None:
    async with sandbox_running(Settings(mechanisms=(mechanism,))) as sandbox:
        sandbox.open(ANN, "secret")
        await with_client(sandbox.smtp_port, logged_in)
        sandbox.drop(ANN).password = "changed"

        def refused(client: smtplib.SMTP) -> int:
            with pytest.raises(smtplib.SMTPAuthenticationError) as error:
                logged_in(client)
            return error.value.smtp_code

        assert await with_client(sandbox.smtp_port, refused) == 535


async def test_nobody_sends_without_logging_in() -> None:
    async with sandbox_running() as sandbox:
        code, _ = await with_client(sandbox.smtp_port, lambda client: client.mail(ANN))
        assert code == 530


async def test_size_and_smtputf8_are_enforced() -> None:
    async with sandbox_running(Settings(largest_message=1000)) as sandbox:
        sandbox.open(ANN, "secret")

        def story(client: smtplib.SMTP) -> list[int]:
            logged_in(client)
            return [
                client.docmd("MAIL", f"FROM:<{ANN}> SIZE=1001")[0],
                client.docmd("MAIL", "FROM:<ann@sandbox.example> SIZE=1000 BODY=8BITMIME")[0],
                client.docmd("RCPT", f"TO:<{CAROL}>")[0],
                client.data(b"x" * 1001)[0],
            ]

        assert await with_client(sandbox.smtp_port, story) == [552, 250, 250, 552]
        assert sandbox.journal.acceptances == []


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b".\r\n", b""),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n"),
        (b"a\r\n..b\r\n.\r\n", b"a\r\n.b\r\n"),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
async def test_octets_arrive_however_they_are_cut(wire: bytes, body: bytes, step: int) -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.smtp_port)
        writer.write(
            b"AUTH PLAIN AGFubkBzYW5kYm94LmV4YW1wbGUAc2VjcmV0\r\n"
            b"MAIL FROM:<ann@sandbox.example>\r\nRCPT TO:<carol@elsewhere.example>\r\nDATA\r\n"
        )
        await reader.readuntil(b"354 go ahead\r\n")
        for start in range(0, len(wire), step):
            writer.write(wire[start : start + step])
            await writer.drain()
        writer.write(b"QUIT\r\n")
        assert (await reader.read(-1)).endswith(b"221 2.0.0 bye\r\n")
        assert [message.body for message in sandbox.journal.acceptances] == [body]
        writer.close()


@pytest.mark.parametrize(("lax", "messages"), [(False, 1), (True, 2)])
async def test_only_a_lax_server_can_be_smuggled_to(lax: bool, messages: int) -> None:
    async with sandbox_running(Settings(lax_dot=lax)) as sandbox:
        sandbox.open(ANN, "secret")
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.smtp_port)
        writer.write(
            b"AUTH PLAIN AGFubkBzYW5kYm94LmV4YW1wbGUAc2VjcmV0\r\n"
            b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
            b"one\n.\r\nMAIL FROM:<x@y.example>\r\nRCPT TO:<z@d.example>\r\nDATA\r\n"
            b"two\r\n.\r\nQUIT\r\n"
        )
        await reader.read(-1)
        assert len(sandbox.journal.acceptances) == messages
        writer.close()


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
async def test_tls_both_ways(security: Security) -> None:
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with tls_sandbox_running(security, authority) as sandbox:
        sandbox.open(ANN, "secret")

        def talk() -> None:
            if security is Security.TLS:
                client: smtplib.SMTP = smtplib.SMTP_SSL(
                    "localhost", sandbox.smtp_port, context=trust
                )
            else:
                client = smtplib.SMTP("localhost", sandbox.smtp_port)
                client.ehlo()
                assert not client.has_extn("AUTH")
                assert client.docmd("AUTH", "PLAIN AAAA")[0] == 538
                client.starttls(context=trust)
            logged_in(client).sendmail(ANN, CAROL, letter("hello"))
            client.quit()

        await asyncio.to_thread(talk)
        assert len(sandbox.journal.acceptances) == 1


async def test_one_session_carries_many_pipelined_messages() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        envelope = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.smtp_port)
        writer.write(b"AUTH PLAIN AGFubkBzYW5kYm94LmV4YW1wbGUAc2VjcmV0\r\n")
        for n in range(50):
            writer.write(envelope + f"{n}\r\n.\r\n".encode())
        writer.write(b"QUIT\r\n")
        await reader.read(-1)
        bodies = [message.body for message in sandbox.journal.acceptances]
        assert bodies == [f"{n}\r\n".encode() for n in range(50)]
        writer.close()
