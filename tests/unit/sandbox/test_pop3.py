"""The sandbox's POP3 server against the standard library's client."""

import asyncio
import poplib
import ssl
from collections.abc import Callable
from typing import TypeVar

import pytest
import trustme

from syncd.sandbox.server import Security, Settings
from syncd.sandbox.witness import Service
from tests.support.sandbox import letter, sandbox_running, tls_sandbox_running

T = TypeVar("T")
ANN = "ann@sandbox.example"


async def with_client(port: int, story: Callable[[poplib.POP3], T]) -> T:
    """Let the standard library talk to the sandbox, in a thread beside the loop."""

    def talk() -> T:
        client = poplib.POP3("127.0.0.1", port, timeout=10)
        try:
            return story(client)
        finally:
            client.close()

    return await asyncio.to_thread(talk)


def logged_in(client: poplib.POP3) -> poplib.POP3:
    client.user(ANN)
    client.pass_("secret")
    return client


async def test_a_session_lists_reads_and_deletes() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        bodies = [letter(f"number {n}") for n in range(3)]
        mails = [sandbox.deposit(ANN, body) for body in bodies]

        def story(client: poplib.POP3) -> tuple[object, ...]:
            logged_in(client)
            status = client.stat()
            listing, uids = client.list()[1], client.uidl()[1]
            one = client.retr(2)[1]
            head = client.top(1, 0)[1]
            client.dele(2)
            left = client.uidl()[1]
            client.quit()
            return status, listing, uids, one, head, left

        status, listing, uids, one, head, left = await with_client(sandbox.pop3_port, story)
        assert status == (3, sum(map(len, bodies)))
        assert listing == [f"{n} {len(body)}".encode() for n, body in enumerate(bodies, 1)]
        assert uids == [f"{n} {mail.uid}".encode() for n, mail in enumerate(mails, 1)]
        assert one == bodies[1].removesuffix(b"\r\n").split(b"\r\n")
        assert head == [*bodies[0].partition(b"\r\n\r\n")[0].split(b"\r\n"), b""]
        assert left == [uids[0], uids[2]]
        assert sandbox.drop(ANN).mails == [mails[0], mails[2]]
        assert [entry.mail for entry in sandbox.journal.handouts] == [mails[1]]
        assert [entry.mail for entry in sandbox.journal.deletions] == [mails[1]]


async def test_without_quit_nothing_is_deleted_and_the_lock_is_released() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        sandbox.deposit(ANN, letter("stays"))
        await with_client(sandbox.pop3_port, lambda client: logged_in(client).dele(1))
        count = await with_client(sandbox.pop3_port, lambda client: logged_in(client).stat()[0])
        assert count == 1
        assert sandbox.journal.deletions == []


async def test_rset_unmarks() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        sandbox.deposit(ANN, letter("stays"))

        def story(client: poplib.POP3) -> None:
            logged_in(client).dele(1)
            client.rset()
            client.quit()

        await with_client(sandbox.pop3_port, story)
        assert len(sandbox.drop(ANN).mails) == 1


async def test_a_second_session_finds_the_maildrop_in_use() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")

        def story(client: poplib.POP3) -> str:
            logged_in(client)
            second = poplib.POP3("127.0.0.1", sandbox.pop3_port, timeout=10)
            with pytest.raises(poplib.error_proto) as refused:
                logged_in(second)
            second.close()
            return str(refused.value)

        assert "[IN-USE]" in await with_client(sandbox.pop3_port, story)


async def test_mail_that_comes_during_a_session_is_seen_by_the_next() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        late = asyncio.run_coroutine_threadsafe
        loop = asyncio.get_running_loop()

        async def deposit() -> None:
            sandbox.deposit(ANN, letter("late"))

        def story(client: poplib.POP3) -> tuple[int, int]:
            logged_in(client)
            late(deposit(), loop).result(10)
            return client.stat()[0], len(client.uidl()[1])

        assert await with_client(sandbox.pop3_port, story) == (0, 0)
        assert len(sandbox.drop(ANN).mails) == 1


async def test_a_wrong_password_is_refused_with_its_code() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")

        def story(client: poplib.POP3) -> str:
            client.user(ANN)
            with pytest.raises(poplib.error_proto) as refused:
                client.pass_("wrong")
            return str(refused.value)

        assert "[AUTH]" in await with_client(sandbox.pop3_port, story)
        assert sandbox.journal.refusals == {(Service.POP3, ANN): 1}


async def test_apop_logs_in() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        reply = await with_client(sandbox.pop3_port, lambda client: client.apop(ANN, "secret"))
        assert reply.startswith(b"+OK")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b".\r\n",
        b"..\r\n.\r\n",
        b"a\r\n.b\r\n..c\r\n",
        b"bare\n.\nlf and \0 nul\r\n",
        b"\r\n.\r\n.\r\n",
        b"x" * 100_000 + b"\r\n.\r\n",
        b"a\r\n." * 200_000 + b"\r\n",
    ],
    ids=["empty", "dot", "dots", "stuffed", "bare", "only dots", "long line", "over a slice"],
)
async def test_octets_come_out_as_they_went_in(body: bytes) -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        sandbox.deposit(ANN, body)
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.pop3_port)
        writer.write(f"USER {ANN}\r\nPASS secret\r\nRETR 1\r\nQUIT\r\n".encode())
        answers = await reader.read(-1)
        wire = answers.split(b" octets\r\n", 1)[1].removesuffix(b".\r\n+OK bye\r\n")
        assert (b"\r\n" + wire).replace(b"\r\n.", b"\r\n") == b"\r\n" + body
        assert b"\r\n.\r\n" not in b"\r\n" + wire
        writer.close()


async def test_a_message_without_its_last_crlf_gets_one() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        assert sandbox.deposit(ANN, b"Subject: x\r\n\r\nno end").body.endswith(b"no end\r\n")


async def test_pipelined_commands_are_answered_in_order() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        bodies = [letter(f"n{n}", "x" * 5000 + "\r\n") for n in range(300)]
        for body in bodies:
            sandbox.deposit(ANN, body)
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.pop3_port)
        commands = "".join(f"RETR {n}\r\n" for n in range(1, 301))
        writer.write(f"USER {ANN}\r\nPASS secret\r\n{commands}QUIT\r\n".encode())
        answers = (await reader.read(-1)).split(b"\r\n.\r\n")
        assert [
            answer.partition(b" octets\r\n")[2] + b"\r\n" for answer in answers[:-1]
        ] == bodies
        writer.close()


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
async def test_tls_both_ways(security: Security) -> None:
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with tls_sandbox_running(security, authority) as sandbox:
        sandbox.open(ANN, "secret")
        sandbox.deposit(ANN, letter("big", "x" * 70 + "\r\n" * 20_000))

        def talk() -> tuple[int, list[bytes]]:
            client: poplib.POP3
            if security is Security.TLS:
                client = poplib.POP3_SSL("localhost", sandbox.pop3_port, context=trust)
            else:
                client = poplib.POP3("localhost", sandbox.pop3_port)
                with pytest.raises(poplib.error_proto):
                    client.user(ANN)
                assert "STLS" in client.capa()
                client.stls(trust)
                assert "STLS" not in client.capa()
            count = logged_in(client).stat()[0]
            lines = client.retr(1)[1]
            client.quit()
            return count, lines

        count, lines = await asyncio.to_thread(talk)
        assert count == 1
        assert b"\r\n".join(lines) + b"\r\n" == sandbox.drop(ANN).mails[0].body


async def test_only_the_mechanisms_that_are_set_are_offered() -> None:
    async with sandbox_running(Settings(mechanisms=("CRAM-MD5",))) as sandbox:
        offers = await with_client(sandbox.pop3_port, lambda client: client.capa())
        assert offers["SASL"] == ["CRAM-MD5"]
        assert "PIPELINING" in offers


async def test_after_a_restart_mail_and_ports_are_the_same() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        sandbox.deposit(ANN, letter("stays"))
        port = sandbox.pop3_port
        await sandbox.close()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
        await sandbox.start()
        assert sandbox.pop3_port == port
        assert (await with_client(port, lambda client: logged_in(client).stat()))[0] == 1
