"""Each misbehaviour does what it says, and only where its rule says so."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from syncd.sandbox.misbehaviour import (
    Act,
    Cut,
    Delay,
    Drip,
    Drop,
    Flood,
    Hide,
    Inject,
    Instead,
    ListAs,
    Misbehaviour,
    TooMany,
)
from syncd.sandbox.server import Security
from syncd.sandbox.witness import Service
from tests.support.sandbox import (
    JournalledSandbox,
    letter,
    sandbox_running,
    tls_sandbox_running,
)

ANN = "ann@sandbox.example"
LOGIN = f"USER {ANN}\r\nPASS secret\r\n"
SUBMIT = (
    "AUTH PLAIN AGFubkBzYW5kYm94LmV4YW1wbGUAc2VjcmV0\r\n"
    f"MAIL FROM:<{ANN}>\r\nRCPT TO:<carol@elsewhere.example>\r\nDATA\r\n"
)


@asynccontextmanager
async def a_sandbox(*rules: Misbehaviour) -> AsyncIterator[JournalledSandbox]:
    """Run a sandbox with Ann's three messages and some rules."""
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        for n in range(3):
            sandbox.deposit(ANN, letter(f"number {n}"))
        sandbox.misbehave(*rules)
        yield sandbox


async def say(port: int, words: str) -> bytes:
    """Say everything at once and return all that came until the server hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(words.encode())
        async with asyncio.timeout(10):
            return await reader.read(-1)
    finally:
        writer.close()


def lines(wire: bytes) -> list[str]:
    return wire.decode("latin-1").splitlines()


async def pop3(act: Act, on: str, words: str, **rule: object) -> bytes:
    """Return what a session says while one rule is in force."""
    async with a_sandbox(Misbehaviour(on=on, act=act, **rule)) as sandbox:  # type: ignore[arg-type]
        return await say(sandbox.pop3_port, words)


async def test_drop_ends_the_connection_before_the_command_is_carried_out() -> None:
    async with a_sandbox(Misbehaviour(on="QUIT", act=Drop())) as sandbox:
        said = await say(sandbox.pop3_port, f"{LOGIN}DELE 1\r\nQUIT\r\n")
        assert lines(said)[-1] == "+OK marked"
        assert len(sandbox.drop(ANN).mails) == 3
        assert sandbox.journal.deletions == []


async def test_drop_can_reset() -> None:
    async with a_sandbox(Misbehaviour(on="STAT", act=Drop(reset=True))) as sandbox:
        with pytest.raises(ConnectionResetError):
            await say(sandbox.pop3_port, f"{LOGIN}STAT\r\n")


async def test_cut_carries_out_and_breaks_the_answer_off() -> None:
    async with a_sandbox(Misbehaviour(on="QUIT", act=Cut(2))) as sandbox:
        said = await say(sandbox.pop3_port, f"{LOGIN}DELE 1\r\nQUIT\r\n")
        assert lines(said)[-1] == "+O"
        assert len(sandbox.drop(ANN).mails) == 2
        assert len(sandbox.journal.deletions) == 1


async def test_a_message_that_is_cut_was_not_handed_out() -> None:
    async with a_sandbox(Misbehaviour(on="RETR", act=Cut(50), argument="2")) as sandbox:
        said = await say(sandbox.pop3_port, f"{LOGIN}RETR 1\r\nRETR 2\r\nRETR 3\r\n")
        first, second = sandbox.drop(ANN).mails[:2]
        assert [entry.mail for entry in sandbox.journal.handouts] == [first]
        assert said.endswith((f"+OK {len(second.body)} octets\r\n".encode() + second.body)[:50])


async def test_a_lost_dot_is_a_message_taken_and_never_answered() -> None:
    async with a_sandbox(Misbehaviour(on="DOT", act=Cut(0))) as sandbox:
        said = await say(sandbox.smtp_port, f"{SUBMIT}hello\r\n.\r\n")
        assert lines(said)[-1] == "354 go ahead"
        assert [message.body for message in sandbox.journal.acceptances] == [b"hello\r\n"]


async def test_a_connection_dropped_at_the_dot_took_nothing() -> None:
    async with a_sandbox(Misbehaviour(on="DOT", act=Drop())) as sandbox:
        await say(sandbox.smtp_port, f"{SUBMIT}hello\r\n.\r\n")
        assert sandbox.journal.acceptances == []


async def test_a_connection_breaks_within_the_message() -> None:
    async with a_sandbox(Misbehaviour(on="BODY", act=Drop(after=4), times=1)) as sandbox:
        await say(sandbox.smtp_port, f"{SUBMIT}hello\r\n.\r\n")
        assert sandbox.journal.acceptances == []
        await say(sandbox.smtp_port, f"{SUBMIT}hello\r\n.\r\nQUIT\r\n")
        assert len(sandbox.journal.acceptances) == 1


async def test_instead_says_something_else_and_does_nothing() -> None:
    act = Instead("-ERR [SYS/TEMP] try later", close=True)
    said = await pop3(act, "LOGIN", LOGIN, user=ANN)
    assert lines(said)[1:] == ["+OK", "-ERR [SYS/TEMP] try later"]


async def test_a_dele_can_be_ignored() -> None:
    rule = Misbehaviour(on="DELE", act=Instead("+OK marked"))
    async with a_sandbox(rule) as sandbox:
        await say(sandbox.pop3_port, f"{LOGIN}DELE 1\r\nQUIT\r\n")
        assert len(sandbox.drop(ANN).mails) == 3


async def test_one_message_is_refused_by_its_uidl() -> None:
    async with a_sandbox() as sandbox:
        uid = sandbox.drop(ANN).mails[1].uid
        sandbox.misbehave(Misbehaviour(on="RETR", argument=uid, act=Instead("-ERR virus")))
        said = await say(sandbox.pop3_port, f"{LOGIN}RETR 1\r\nRETR 2\r\nRETR 3\r\nQUIT\r\n")
        assert said.count(b" octets\r\n") == 2
        assert said.count(b"-ERR virus\r\n") == 1


async def test_a_greylist_refuses_each_recipient_once() -> None:
    rule = Misbehaviour(
        on="RCPT", act=Instead("450 4.7.1 greylisted"), times=1, each=True, service=Service.SMTP
    )
    async with a_sandbox(rule) as sandbox:
        said = await say(
            sandbox.smtp_port,
            SUBMIT.removesuffix("DATA\r\n")
            + "RCPT TO:<dave@elsewhere.example>\r\nRCPT TO:<carol@elsewhere.example>\r\nQUIT\r\n",
        )
        assert [line[:3] for line in lines(said)[3:-1]] == ["450", "450", "250"]


async def test_skip_lets_the_first_pass() -> None:
    said = await pop3(
        Instead("-ERR no"), "NOOP", f"{LOGIN}NOOP\r\nNOOP\r\nNOOP\r\nQUIT\r\n", skip=1, times=1
    )
    assert lines(said)[3:-1] == ["+OK", "-ERR no", "+OK"]


async def test_a_rule_of_one_user_or_service_leaves_the_others_alone() -> None:
    rules = (
        Misbehaviour(on="STAT", act=Instead("-ERR no"), user="bob@sandbox.example"),
        Misbehaviour(on="QUIT", act=Instead("-ERR no"), service=Service.SMTP),
    )
    async with a_sandbox(*rules) as sandbox:
        said = lines(await say(sandbox.pop3_port, f"{LOGIN}STAT\r\nQUIT\r\n"))
        assert said[-2].startswith("+OK 3 ")
        assert said[-1] == "+OK bye"


async def test_behave_takes_every_rule_back() -> None:
    async with a_sandbox(Misbehaviour(on="CONNECT", act=Drop())) as sandbox:
        assert await say(sandbox.pop3_port, "QUIT\r\n") == b""
        sandbox.behave()
        assert lines(await say(sandbox.pop3_port, "QUIT\r\n"))[-1] == "+OK bye"


async def test_delay_answers_late_and_does_it_at_once() -> None:
    async with a_sandbox(Misbehaviour(on="DOT", act=Delay(math.inf))) as sandbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.smtp_port)
        writer.write(f"{SUBMIT}hello\r\n.\r\n".encode())
        await reader.readuntil(b"354 go ahead\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        assert len(sandbox.journal.acceptances) == 1
        writer.close()


async def test_after_a_delay_the_conversation_goes_on() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    said = await pop3(Delay(0.1), "NOOP", f"{LOGIN}NOOP\r\nNOOP\r\nQUIT\r\n")
    assert loop.time() - begun >= 0.2
    assert lines(said)[-1] == "+OK bye"


async def test_drip_sends_a_few_octets_at_a_time() -> None:
    async with a_sandbox(Misbehaviour(on="CONNECT", act=Drip(3, 0.001))) as sandbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.pop3_port)
        assert await reader.read(4096) == b"+OK"
        assert (await reader.readuntil(b"\r\n")).startswith(b" sandbox ready <")
        writer.close()


async def test_flood_says_lines_without_end_but_not_into_memory() -> None:
    async with a_sandbox(Misbehaviour(on="UIDL", act=Flood(line=b"1 x\r\n"))) as sandbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.pop3_port)
        writer.write(f"{LOGIN}UIDL\r\n".encode())
        line = b""
        for _ in range(200_000):
            line = await reader.readuntil(b"\r\n")
        assert line == b"1 x\r\n"
        writer.close()


async def test_flood_can_end() -> None:
    said = await pop3(
        Flood(head=b"+OK ", line=b"x", times=100_000), "STAT", f"{LOGIN}STAT\r\nQUIT\r\n"
    )
    assert lines(said)[-1] == "+OK " + "x" * 100_000 + "+OK bye"


@pytest.mark.parametrize(
    ("on", "command", "template", "expected"),
    [
        ("LIST", "LIST", "{number} 0", ["+OK", "1 0", "2 0", "3 0", "."]),
        ("LIST", "LIST 2", "{number} -1", ["+OK 2 -1"]),
        ("UIDL", "UIDL", "{number} twin", ["+OK", "1 twin", "2 twin", "3 twin", "."]),
        ("UIDL", "UIDL 3", "{number}", ["+OK 3"]),
        ("STAT", "STAT", "{number} 18446744073709551616", ["+OK 3 18446744073709551616"]),
    ],
)
async def test_listings_can_lie(
    on: str, command: str, template: str, expected: list[str]
) -> None:
    said = await pop3(ListAs(template), on, f"{LOGIN}{command}\r\nQUIT\r\n")
    assert lines(said)[3:-1] == expected


async def test_a_capability_is_hidden_in_both_protocols() -> None:
    act = Hide(frozenset({"PIPELINING", "AUTH", "SASL"}))
    rules = (Misbehaviour(on="CAPA", act=act), Misbehaviour(on="EHLO", act=act))
    async with a_sandbox(*rules) as sandbox:
        capa = lines(await say(sandbox.pop3_port, "CAPA\r\nQUIT\r\n"))
        ehlo = lines(await say(sandbox.smtp_port, "EHLO me\r\nQUIT\r\n"))
    assert "PIPELINING" not in capa
    assert "TOP" in capa
    assert "." in capa
    assert ehlo[-2] == "250 ENHANCEDSTATUSCODES"
    assert not any("AUTH" in line or "PIPELINING" in line for line in ehlo)


async def test_octets_are_injected_before_the_handshake() -> None:
    rules = (
        Misbehaviour(on="STLS", act=Inject(b"+OK injected\r\n")),
        Misbehaviour(on="STARTTLS", act=Inject(b"250 injected\r\n")),
    )
    async with tls_sandbox_running(Security.STARTTLS, trustme.CA()) as sandbox:
        sandbox.misbehave(*rules)
        pop3_said = await say(sandbox.pop3_port, "STLS\r\nnot a handshake")
        smtp_said = await say(sandbox.smtp_port, "STARTTLS\r\nnot a handshake")
    assert b"+OK begin TLS\r\n+OK injected\r\n" in pop3_said
    assert b"220 2.0.0 begin TLS\r\n250 injected\r\n" in smtp_said


async def test_the_handshake_itself_can_be_dropped_or_never_come() -> None:
    async with tls_sandbox_running(Security.TLS, trustme.CA()) as sandbox:
        sandbox.misbehave(Misbehaviour(on="TLS", act=Drop(), times=1))
        assert await say(sandbox.pop3_port, "") == b""
        sandbox.misbehave(Misbehaviour(on="TLS", act=Delay(math.inf)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await say(sandbox.pop3_port, "\x16\x03\x01")


async def test_too_many_connections_are_turned_away() -> None:
    rule = Misbehaviour(
        on="CONNECT", act=TooMany(1, "-ERR [IN-USE] too many"), service=Service.POP3
    )
    async with a_sandbox(rule) as sandbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.pop3_port)
        await reader.readuntil(b"\r\n")
        assert await say(sandbox.pop3_port, "") == b"-ERR [IN-USE] too many\r\n"
        assert sandbox.most_open[Service.POP3] == 2
        writer.close()


async def test_all_uidls_change_when_a_server_is_migrated() -> None:
    async with a_sandbox() as sandbox:
        before = lines(await say(sandbox.pop3_port, f"{LOGIN}UIDL\r\nQUIT\r\n"))[4:7]
        sandbox.drop(ANN).renumber("new-")
        after = lines(await say(sandbox.pop3_port, f"{LOGIN}UIDL\r\nQUIT\r\n"))[4:7]
        assert [line.replace(" new-", " ") for line in after] == before
        assert not set(before) & set(after)


async def test_hanging_up_ends_sessions_and_keeps_listening() -> None:
    async with a_sandbox() as sandbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.pop3_port)
        writer.write(LOGIN.encode())
        await reader.readuntil(b"messages\r\n")
        sandbox.hang_up()
        assert await reader.read(-1) == b""
        writer.close()
        assert lines(await say(sandbox.pop3_port, f"{LOGIN}QUIT\r\n"))[-1] == "+OK bye"


async def test_a_client_that_does_not_read_costs_no_memory_and_loses_nothing() -> None:
    async with sandbox_running() as sandbox:
        sandbox.open(ANN, "secret")
        for n in range(40):
            sandbox.deposit(ANN, f"{n}\r\n".encode() + b"x" * 1_000_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.pop3_port)
        commands = "".join(f"RETR {n}\r\n" for n in range(1, 41))
        writer.write(f"{LOGIN}{commands}QUIT\r\n".encode())
        await reader.readuntil(b"+OK 40 messages\r\n")
        assert len(sandbox.journal.handouts) < 40
        rest = await reader.read(-1)
        assert rest.count(b" octets\r\n") == 40
        assert len(sandbox.journal.handouts) == 40
        writer.close()


async def test_a_line_without_end_is_refused() -> None:
    async with a_sandbox() as sandbox:
        said = await say(sandbox.pop3_port, "x" * 20_000)
        assert lines(said)[-1] == "-ERR line too long"
