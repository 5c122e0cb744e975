"""The SMTP door against a scripted server: every phase, every way to go wrong."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from syncd.clock import SystemClock
from syncd.connections.seams import UnlockedLogin
from syncd.connections.smtp import Patience, SmtpSender, open_smtp
from syncd.errors import (
    BytesBeforeTls,
    CommandRefused,
    ConnectionLost,
    LoginRefused,
    MechanismNotOffered,
    NameNotFound,
    NoGreeting,
    Phase,
    PlaintextLoginForbidden,
    ProtocolViolated,
    Refused,
    ServerError,
    TimedOut,
    TlsFailed,
    TlsFailure,
    TlsNotOffered,
    Unreachable,
    WrongProtocol,
)
from syncd.model.profile import Authentication, Endpoint, IpVersion, MailProtocol, Security
from syncd.model.secret import Secret
from tests.support.smtp_sink import Cut, Drop, Hang, Say, SmtpSink, running

ANN = UnlockedLogin(username="ann", password=Secret("wonderland"))
SHORT = Patience(
    connect=5, greeting=0.2, command=0.2, data=0.2, block=0.5, after_dot=0.2, quit=0.2
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def at(
    sink: SmtpSink,
    security: Security = Security.NONE,
    *,
    authentication: Authentication = Authentication.AUTO,
    allow_plaintext_login: bool = True,
    tls_ca: Path | None = None,
    tls_server_name: str | None = None,
    tls_pin: str | None = None,
) -> Endpoint:
    return Endpoint(
        protocol=MailProtocol.SMTP,
        server="localhost",
        port=sink.port,
        security=security,
        authentication=authentication,
        allow_plaintext_login=allow_plaintext_login,
        tls_ca=tls_ca,
        tls_server_name=tls_server_name,
        tls_pin=tls_pin,
        ip=IpVersion.IPV4,
    )


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
        sender = await open_smtp(at(sink), ANN)
        assert (
            await send(sender, b"Subject: x\r\n\r\n", b".dot\r\n", b"..\r\n")
            == "250 2.0.0 Ok: queued as 0"
        )
        await sender.quit()
    assert sink.commands == ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]
    (taken,) = sink.taken
    assert taken.sender == "ann@example.com"
    assert taken.recipients == ("bob@example.org",)
    assert taken.data == b"Subject: x\r\n\r\n.dot\r\n..\r\n"


async def noticed_the_end(sender: SmtpSender) -> None:
    """Wait until the client's side of the connection has seen the server's close."""
    async with asyncio.timeout(10):
        while sender._session._conversation.is_connected:
            await SystemClock().sleep(0.001)


# -- envelope ---------------------------------------------------------------------------


async def test_some_recipients_are_refused_and_the_others_get_the_message() -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("rcpt", None, Say("550 5.1.1 nobody"), Say("450 4.2.0 busy"), None)
        sender = await open_smtp(at(sink), ANN)
        replies = await sender.envelope("ann@example.com", [f"{n}@x.org" for n in range(4)], 8)
        assert [reply.code for reply in replies.recipients] == [250, 550, 450, 250]
        assert replies.recipients[1].enhanced == "5.1.1"
        await sender.body(pieces(b"a: b\r\n\r\n"))
        await sender.dot()
        sender.abort()
    assert sink.taken[0].recipients == ("0@x.org", "3@x.org")


async def test_a_refused_sender_costs_no_rcpt_and_no_session() -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("mail", Say("550 5.7.60 not you"))
        sender = await open_smtp(at(sink), ANN)
        replies = await sender.envelope("ann@example.com", ["bob@x.org"], 8)
        assert (replies.mail.code, replies.recipients) == (550, ())
        await sender.reset()
        assert (await send(sender, b"a: b\r\n\r\n")).startswith("250")
        sender.abort()
    assert sink.commands == ["EHLO", "AUTH", "MAIL", "RSET", "MAIL", "RCPT", "DATA"]


async def test_what_the_server_cannot_take_is_refused_without_asking() -> None:
    async with running(SmtpSink(extensions=("SIZE 1000",))) as sink:
        sender = await open_smtp(at(sink), ANN)
        too_large = await sender.envelope("ann@example.com", ["bob@x.org"], 1001)
        assert (too_large.mail.code, too_large.mail.is_ours) == (552, True)
        words = "this server takes at most 1000 octets (SIZE), the message has 1001"
        assert str(too_large.mail) == words
        not_ascii = await sender.envelope("änn@example.com", ["bob@x.org"], 10)
        assert (not_ascii.mail.code, not_ascii.mail.is_ours) == (553, True)
        headers = await sender.envelope("ann@example.com", ["bob@x.org"], 10, utf8=True)
        assert (headers.mail.code, headers.mail.is_ours) == (553, True)
        assert "MAIL" not in sink.commands
        one = await sender.envelope("ann@example.com", ["böb@x.org", "bob@x.org"], 10)
        assert [reply.code for reply in one.recipients] == [553, 250]
        sender.abort()


@pytest.mark.parametrize(
    ("extensions", "eight_bit", "utf8", "options"),
    [
        (("SIZE 999", "8BITMIME", "SMTPUTF8"), True, False, b" SIZE=9 BODY=8BITMIME"),
        (("SIZE 999", "8BITMIME", "SMTPUTF8"), False, False, b" SIZE=9"),
        (("8BITMIME", "SMTPUTF8"), False, True, b" BODY=8BITMIME SMTPUTF8"),
        (("SIZE",), True, False, b" SIZE=9"),
        ((), True, False, b""),
    ],
)
async def test_extensions_are_used_where_they_are_offered_and_needed(
    extensions: tuple[str, ...], eight_bit: bool, utf8: bool, options: bytes
) -> None:
    async with running(SmtpSink(extensions=extensions)) as sink:
        sender = await open_smtp(at(sink), ANN)
        await sender.envelope(
            "ann@example.com", ["bob@x.org"], 9, eight_bit=eight_bit, utf8=utf8
        )
        sender.abort()
    assert sink.heard[2] == b"MAIL FROM:<ann@example.com>" + options


@pytest.mark.parametrize(
    "address",
    [
        "bob@x.org>\r\nRCPT TO:<eve@x.org",
        "bob@x.org> SIZE=1",
        "bob\x00@x.org",
        "bob",
        "<bob@x.org>",
    ],
)
async def test_an_address_that_would_say_more_than_itself_never_reaches_the_wire(
    address: str,
) -> None:
    async with running(SmtpSink()) as sink:
        sender = await open_smtp(at(sink), ANN)
        as_recipient = await sender.envelope("ann@example.com", [address], 9)
        as_sender = await sender.envelope(address, ["bob@x.org"], 9)
        sender.abort()
    assert [reply.code for reply in as_recipient.recipients] == [501]
    assert as_sender.mail.code == 501
    assert sink.commands == ["EHLO", "AUTH", "MAIL"]


async def test_a_quoted_local_part_is_spoken_as_it_is() -> None:
    async with running(SmtpSink()) as sink:
        sender = await open_smtp(at(sink), ANN)
        replies = await sender.envelope("ann@example.com", ['"b > o"@x.org'], 9)
        sender.abort()
    assert replies.recipients[0].code == 250
    assert sink.heard[3] == b'RCPT TO:<"b > o"@x.org>'


# -- body and dot ---------------------------------------------------------------------


async def test_a_large_message_is_streamed_as_it_is() -> None:
    line = b"." + b"x" * 76 + b"\r\n"
    chunk = line * 3500
    async with running(SmtpSink(keeps_bodies=False)) as sink:
        sender = await open_smtp(at(sink), ANN)
        assert (await send(sender, *[chunk] * 80)).startswith("250")
        sender.abort()
    assert sink.octets == 80 * (len(chunk) + 3500) + 3


@pytest.mark.parametrize("is_lax", [False, True])
async def test_a_smuggled_end_of_message_ends_no_message_at_any_server(is_lax: bool) -> None:
    smuggled = b"Subject: one\r\n\r\nhello%s.%sMAIL FROM:<eve@x.org>%sRCPT TO:<bob@x.org>%s"
    ends = [
        (b"\n", b"\r\n"),
        (b"\n", b"\n"),
        (b"\r", b"\r"),
        (b"\r\n", b"\n"),
        (b"\r", b"\r\n"),
    ]
    async with running(SmtpSink(lax=is_lax)) as sink:
        sender = await open_smtp(at(sink), ANN)
        for before, after in ends:
            whole = smuggled % (before, after, after, after)
            for cut in range(len(whole)):
                await send(sender, whole[:cut], whole[cut:])
        sender.abort()
    assert {taken.sender for taken in sink.taken} == {"ann@example.com"}
    assert len(sink.taken) == sum(len(smuggled % (b, a, a, a)) for b, a in ends)
    assert {
        taken.data.count(b"\r\n.\r\nMAIL FROM:<eve@x.org>\r\n") for taken in sink.taken
    } == {1}


async def test_refused_data_leaves_the_session_usable() -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("data", Say("554 5.7.1 no"))
        sender = await open_smtp(at(sink), ANN)
        await sender.envelope("ann@example.com", ["bob@x.org"], 9)
        refusal = await sender.body(pieces(b"never"))
        assert refusal is not None
        assert refusal.code == 554
        await sender.reset()
        assert (await send(sender, b"a: b\r\n\r\n")).startswith("250")
        sender.abort()
    assert sink.octets == len(b"a: b\r\n\r\n.\r\n")


async def test_a_refusal_in_the_middle_of_the_body_is_heard() -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("body", Cut(after=100_000, words=b"552 5.3.4 too large\r\n"))
        sender = await open_smtp(at(sink), ANN)
        await sender.envelope("ann@example.com", ["bob@x.org"], 9)
        with pytest.raises(CommandRefused) as caught:
            await sender.body(pieces(*[b"x" * 998 + b"\r\n"] * 100_000))
    assert (caught.value.phase, caught.value.enhanced) == (Phase.BODY, "5.3.4")
    assert sink.taken == []


async def test_a_connection_lost_in_the_body_says_so() -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("body", Cut(after=100_000))
        sender = await open_smtp(at(sink), ANN)
        await sender.envelope("ann@example.com", ["bob@x.org"], 9)
        with pytest.raises(ConnectionLost) as caught:
            await sender.body(pieces(*[b"x" * 998 + b"\r\n"] * 100_000))
        assert caught.value.phase is Phase.BODY
        with pytest.raises(ConnectionLost) as after:
            await sender.dot()
        assert after.value.phase is Phase.BODY


async def test_a_server_that_takes_nothing_in_any_more_is_given_up() -> None:
    never = asyncio.Event()
    async with running(SmtpSink()) as sink:
        sink.plan("body", Hang(never))
        sender = await open_smtp(at(sink), ANN, patience=SHORT)
        await sender.envelope("ann@example.com", ["bob@x.org"], 9)
        with pytest.raises(TimedOut) as caught:
            await sender.body(pieces(*[b"x" * 262_144] * 400))
        never.set()
    assert caught.value.phase is Phase.BODY
    assert sink.taken == []


async def test_a_message_whose_source_fails_gets_no_dot() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"Subject: x\r\n"
        raise OSError("the disk is gone")

    async with running(SmtpSink()) as sink:
        sender = await open_smtp(at(sink), ANN)
        await sender.envelope("ann@example.com", ["bob@x.org"], 9)
        with pytest.raises(OSError, match="the disk is gone"):
            await sender.body(broken())
        with pytest.raises(ConnectionLost):
            await sender.dot()
    assert sink.taken == []


async def test_a_late_answer_to_the_dot_is_waited_for() -> None:
    answer = asyncio.Event()
    async with running(SmtpSink()) as sink, asyncio.TaskGroup() as tasks:
        sink.plan("dot", Hang(answer))
        sender = await open_smtp(at(sink), ANN, patience=Patience(command=0.01))
        sending = tasks.create_task(send(sender, b"a: b\r\n\r\n"))
        await sink.stepped["dot"].wait()
        assert not sending.done()
        answer.set()
        assert (await sending).startswith("250")
        sender.abort()
    assert len(sink.taken) == 1


@pytest.mark.parametrize("act", [Drop(), Hang(asyncio.Event()), Say("what"), Say("334 more")])
async def test_no_answer_to_the_dot_is_told_from_everything_else(
    act: Drop | Hang | Say,
) -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("dot", act)
        sender = await open_smtp(at(sink), ANN, patience=SHORT)
        with pytest.raises((ConnectionLost, TimedOut, ProtocolViolated)) as caught:
            await send(sender, b"a: b\r\n\r\n")
        if isinstance(act, Hang):
            act.until.set()
    assert caught.value.phase is Phase.AFTER_DOT


async def test_a_refusal_after_the_dot_is_an_answer() -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("dot", Say("554 5.6.0 spam"))
        sender = await open_smtp(at(sink), ANN)
        assert await send(sender, b"a: b\r\n\r\n") == "554 5.6.0 spam"
        assert (await send(sender, b"a: b\r\n\r\n")).startswith("250")
        sender.abort()


# -- replies --------------------------------------------------------------------------


async def test_a_second_reply_in_one_flight_is_never_taken_for_the_next_answer() -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("mail", Say(b"250 2.1.0 Ok\r\n250 2.0.0 queued as lies\r\n"))
        sender = await open_smtp(at(sink), ANN)
        with pytest.raises(ProtocolViolated):
            await sender.envelope("ann@example.com", ["bob@x.org"], 9)
        with pytest.raises(ConnectionLost):
            await sender.reset()


async def test_an_answer_that_comes_before_its_question_ends_the_session() -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("data", Say(b"354 Go on\r\n250 2.0.0 queued already\r\n"))
        sender = await open_smtp(at(sink), ANN)
        await sender.envelope("ann@example.com", ["bob@x.org"], 9)
        with pytest.raises(ProtocolViolated):
            await sender.body(pieces(b"a: b\r\n\r\n"))
    assert sink.taken == []


async def test_a_server_that_hangs_up_between_messages_has_said_why() -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("dot", Say(b"250 2.0.0 Ok\r\n"))
        sender = await open_smtp(at(sink), ANN)
        await send(sender, b"a: b\r\n\r\n")
        await sink.hang_up(b"421 4.4.2 idle too long\r\n")
        await noticed_the_end(sender)
        with pytest.raises(CommandRefused) as caught:
            await sender.envelope("ann@example.com", ["bob@x.org"], 9)
    assert caught.value.reply_code == 421


@pytest.mark.parametrize(
    "reply",
    [
        b"what?\r\n",
        b"250" + b"x" * 9000 + b"\r\n",
        b"".join(b"250-%06d\r\n" % n for n in range(9000)),
        b"250-never ends\r\n354 but so\r\nnonsense\r\n",
        b"+50 ok\r\n",
        b"350 go on\r\n",
    ],
)
async def test_what_is_no_reply_ends_the_session(reply: bytes) -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("mail", Say(reply))
        sender = await open_smtp(at(sink), ANN, patience=SHORT)
        with pytest.raises(ProtocolViolated) as caught:
            await sender.envelope("ann@example.com", ["bob@x.org"], 9)
        with pytest.raises(ConnectionLost):
            await sender.reset()
    assert caught.value.phase is Phase.MAIL


async def test_the_words_of_a_server_cannot_forge_or_flood_a_log() -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("greeting", Say(b'554 no\x1b[2J\x00"level":"info"\t' + b"y" * 7000 + b"\r\n"))
        with pytest.raises(CommandRefused) as caught:
            await open_smtp(at(sink), ANN)
    assert caught.value.words.startswith('no [2J "level":"info" yyy')
    assert len(caught.value.words) == 512
    assert str(caught.value).isprintable()


async def test_cancelling_drops_the_connection() -> None:
    never = asyncio.Event()
    async with running(SmtpSink()) as sink:
        sink.plan("dot", Hang(never))
        sender = await open_smtp(at(sink), ANN)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(send(sender, b"a: b\r\n\r\n"))
            await sink.stepped["dot"].wait()
            sending.cancel()
        never.set()
        with pytest.raises(ConnectionLost):
            await sender.reset()


# -- opening --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "act", "error", "phase"),
    [
        ("greeting", Say("554 5.3.2 not for you"), CommandRefused, Phase.GREETING),
        ("greeting", Drop(), ConnectionLost, Phase.GREETING),
        ("greeting", Hang(asyncio.Event()), NoGreeting, Phase.GREETING),
        ("greeting", Say("+OK POP3 here"), WrongProtocol, Phase.GREETING),
        ("greeting", Say("SSH-2.0-OpenSSH_9.6"), ProtocolViolated, Phase.GREETING),
        ("ehlo", Say("502 5.5.1 never heard"), CommandRefused, Phase.HELLO),
        ("ehlo", Drop(), ConnectionLost, Phase.HELLO),
        ("ehlo", Say("421 4.3.2 closing"), CommandRefused, Phase.HELLO),
        ("auth", Say("454 4.7.0 later"), LoginRefused, Phase.LOGIN),
        ("auth", Drop(), ConnectionLost, Phase.LOGIN),
    ],
)
async def test_each_step_of_opening_fails_with_its_phase(
    step: str, act: Say | Drop | Hang, error: type[Exception], phase: Phase
) -> None:
    async with running(SmtpSink()) as sink:
        sink.plan(step, act)
        with pytest.raises(error) as caught:
            await open_smtp(at(sink), ANN, patience=SHORT)
        if isinstance(act, Hang):
            act.until.set()
    assert getattr(caught.value, "phase", None) is phase


@pytest.mark.parametrize(
    ("greeting", "who"),
    [("+OK POP3 here", "a POP3 server"), ("* OK IMAP4rev1 ready", "an IMAP server")],
)
async def test_a_server_of_another_kind_is_known_by_its_greeting(
    greeting: str, who: str
) -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("greeting", Say(greeting))
        with pytest.raises(WrongProtocol) as caught:
            await open_smtp(at(sink), ANN)
    assert (caught.value.who, caught.value.words) == (who, greeting)
    assert sink.heard == []


async def test_waiting_for_the_greeting_ends_at_once_when_it_is_cancelled() -> None:
    """RFC 5321 4.5.3.2.1 asks for five minutes: nobody who stops the daemon waits for them."""
    never = asyncio.Event()
    async with running(SmtpSink()) as sink, asyncio.timeout(5):
        sink.plan("greeting", Hang(never))
        async with asyncio.TaskGroup() as tasks:
            opening = tasks.create_task(open_smtp(at(sink, Security.STARTTLS), ANN))
            await sink.stepped["greeting"].wait()
            opening.cancel()
        never.set()
    assert opening.cancelled()


async def test_a_name_without_address_and_a_port_without_server_are_told_apart() -> None:
    async with running(SmtpSink()) as sink:
        gone = at(sink)
    with pytest.raises(Unreachable):
        await open_smtp(gone, ANN)
    nowhere = Endpoint(protocol=MailProtocol.SMTP, server="no.such.invalid", port=25)
    with pytest.raises(NameNotFound):
        await open_smtp(nowhere, ANN)


async def test_a_wrong_password_is_tried_once_and_named_by_the_servers_words() -> None:
    wrong = UnlockedLogin(username="ann", password=Secret("hunter2-marker"))
    async with running(SmtpSink()) as sink:
        with pytest.raises(LoginRefused) as caught:
            await open_smtp(at(sink), wrong)
    assert sink.commands == ["EHLO", "AUTH"]
    assert (caught.value.reply_code, caught.value.enhanced) == (535, "5.7.8")
    assert "hunter2" not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize(
    ("wish", "offered", "used"),
    [
        (Authentication.AUTO, "PLAIN LOGIN CRAM-MD5", b"AUTH CRAM-MD5"),
        (Authentication.AUTO, "LOGIN PLAIN", b"AUTH PLAIN AGFubgB3b25kZXJsYW5k"),
        (Authentication.AUTO, "LOGIN", b"AUTH LOGIN"),
        (Authentication.LOGIN, "LOGIN PLAIN CRAM-MD5", b"AUTH LOGIN"),
        (Authentication.CRAM_MD5, "LOGIN PLAIN CRAM-MD5", b"AUTH CRAM-MD5"),
    ],
)
async def test_one_mechanism_is_chosen_before(
    wish: Authentication, offered: str, used: bytes
) -> None:
    async with running(SmtpSink(mechanisms=offered)) as sink:
        sender = await open_smtp(at(sink, authentication=wish), ANN)
        sender.abort()
    assert sink.heard[1] == used


async def test_challenges_without_end_are_not_answered_without_end() -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("auth", Say("334 UGFzc3dvcmQ6"))
        sink.plan("unknown", *[Say("334 UGFzc3dvcmQ6")] * 1000)
        with pytest.raises(ProtocolViolated):
            await open_smtp(at(sink, authentication=Authentication.PLAIN), ANN)
    assert sink.heard[2:] == [b"*", b"*", b"*"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (b"552 5.3.4 too large\r\n", CommandRefused),
        (b"250 2.0.0 queued already\r\n", ProtocolViolated),
        (b"", ConnectionLost),
    ],
)
async def test_what_is_said_between_body_and_dot_keeps_the_dot_here(
    words: bytes, error: type[ServerError]
) -> None:
    async with running(SmtpSink()) as sink:
        sender = await open_smtp(at(sink), ANN)
        await sender.envelope("ann@example.com", ["bob@x.org"], 9)
        await sender.body(pieces(b"a: b\r\n\r\n"))
        await sink.hang_up(words)
        await noticed_the_end(sender)
        with pytest.raises(error) as caught:
            await sender.dot()
    assert caught.value.phase is Phase.BODY
    assert sink.taken == []


@pytest.mark.parametrize("words", ["334 !!!", "334 UGFzc3dvcmQ6"])
async def test_a_challenge_too_many_is_answered_by_giving_up(words: str) -> None:
    async with running(SmtpSink()) as sink:
        sink.plan("auth", Say(words))
        with pytest.raises(LoginRefused):
            await open_smtp(at(sink, authentication=Authentication.PLAIN), ANN)
    assert sink.heard[-1] == b"*"


async def test_a_readable_login_needs_permission() -> None:
    async with running(SmtpSink(mechanisms="PLAIN LOGIN")) as sink:
        with pytest.raises(PlaintextLoginForbidden):
            await open_smtp(at(sink, allow_plaintext_login=False), ANN)
    assert sink.commands == ["EHLO"]


async def test_a_login_without_its_mechanism_is_not_tried() -> None:
    async with running(SmtpSink(mechanisms="GSSAPI")) as sink:
        with pytest.raises(MechanismNotOffered, match="GSSAPI"):
            await open_smtp(at(sink), ANN)
    assert sink.commands == ["EHLO"]


async def test_impersonation_is_spoken_by_plain_and_by_nothing_else() -> None:
    master = UnlockedLogin(username="root", password=Secret("x"), authorize_as="ann")
    async with running(SmtpSink()) as sink:
        with pytest.raises(MechanismNotOffered):
            await open_smtp(at(sink, authentication=Authentication.LOGIN), master)
        with pytest.raises(LoginRefused):
            await open_smtp(at(sink, authentication=Authentication.PLAIN), master)
    assert sink.heard[-1] == b"AUTH PLAIN YW5uAHJvb3QAeA=="


@pytest.mark.parametrize(
    ("username", "password", "field"),
    [("a\0b", "x", "username"), ("ann", "x\r\nRSET", "password")],
)
async def test_a_login_that_would_say_more_than_itself_is_not_spoken(
    username: str, password: str, field: str
) -> None:
    async with running(SmtpSink()) as sink:
        with pytest.raises(Refused) as caught:
            await open_smtp(
                at(sink), UnlockedLogin(username=username, password=Secret(password))
            )
    assert caught.value.field == field
    assert sink.commands == ["EHLO"]


@pytest.mark.parametrize(
    "echo", ["hunter2-marker", "aHVudGVyMi1tYXJrZXI=", "AGFubgBodW50ZXIyLW1hcmtlcg=="]
)
async def test_a_server_that_repeats_the_password_is_not_repeated(echo: str) -> None:
    wrong = UnlockedLogin(username="ann", password=Secret("hunter2-marker"))
    async with running(SmtpSink()) as sink:
        sink.plan("auth", Say(f"535 5.7.8 {echo} is wrong"))
        with pytest.raises(LoginRefused) as caught:
            await open_smtp(at(sink), wrong)
    assert str(caught.value).endswith("login: *** is wrong")


@pytest.mark.parametrize("mechanism", [Authentication.PLAIN, Authentication.LOGIN])
@pytest.mark.parametrize("reply", ["354 you said {}", "AUTH {}", "334 {}", "235-{}\r\n235x"])
@pytest.mark.parametrize("echo", ["hunter2-marker", "AGFubgBodW50ZXIyLW1hcmtlcg=="])
async def test_a_server_that_repeats_the_password_out_of_turn_is_not_repeated(
    echo: str, reply: str, mechanism: Authentication
) -> None:
    wrong = UnlockedLogin(username="ann", password=Secret("hunter2-marker"))
    async with running(SmtpSink()) as sink:
        sink.plan("auth", Say(reply.format(echo)))
        sink.plan("unknown", *[Say(reply.format(echo))] * 5)
        with pytest.raises(ServerError) as caught:
            await open_smtp(at(sink, authentication=mechanism), wrong)
    told = "".join(traceback.format_exception(caught.value))
    assert "hunter2-marker" not in told
    assert "AGFubgBodW50" not in told


# -- TLS ------------------------------------------------------------------------------


async def test_tls_from_the_first_byte(authority: trustme.CA, ca_file: Path) -> None:
    async with running(SmtpSink(), authority=authority, implicit_tls=True) as sink:
        strict = at(sink, Security.TLS, allow_plaintext_login=False, tls_ca=ca_file)
        sender = await open_smtp(strict, ANN)
        assert (await send(sender, b"x" * 70_000, b"\r\n")).startswith("250")
        await sender.quit()
    assert sink.heard[1].startswith(b"AUTH PLAIN ")


async def test_starttls_asks_again_what_is_offered(
    authority: trustme.CA, ca_file: Path
) -> None:
    async with running(SmtpSink(offers_starttls=True), authority=authority) as sink:
        strict = at(sink, Security.STARTTLS, allow_plaintext_login=False, tls_ca=ca_file)
        sender = await open_smtp(strict, ANN)
        assert (await send(sender, b"x" * 70_000, b"\r\n")).startswith("250")
        await sender.quit()
    assert sink.commands == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]


async def test_stripped_starttls_sends_no_login(ca_file: Path) -> None:
    async with running(SmtpSink()) as sink:
        with pytest.raises(TlsNotOffered):
            await open_smtp(at(sink, Security.STARTTLS, tls_ca=ca_file), ANN)
    assert sink.commands == ["EHLO"]


async def test_refused_starttls_sends_no_login(ca_file: Path) -> None:
    async with running(SmtpSink(offers_starttls=True)) as sink:
        sink.plan("starttls", Say("454 4.7.0 not now"))
        with pytest.raises(CommandRefused) as caught:
            await open_smtp(at(sink, Security.STARTTLS, tls_ca=ca_file), ANN)
    assert (caught.value.phase, caught.value.reply_code) == (Phase.STARTTLS, 454)
    assert sink.commands == ["EHLO", "STARTTLS"]


@pytest.mark.parametrize("words", ["250 2.0.0 ok", "354 go on", "221 bye"])
async def test_any_other_yes_to_starttls_is_no_refusal_and_no_handshake(
    ca_file: Path, words: str
) -> None:
    async with running(SmtpSink(offers_starttls=True)) as sink:
        sink.plan("starttls", Say(words))
        with pytest.raises(ProtocolViolated) as caught:
            await open_smtp(at(sink, Security.STARTTLS, tls_ca=ca_file), ANN)
    assert (caught.value.phase, caught.value.words) == (Phase.STARTTLS, f"answered {words}")
    assert sink.commands == ["EHLO", "STARTTLS"]


@pytest.mark.parametrize("step", ["greeting", "ehlo"])
async def test_a_start_that_is_neither_yes_nor_no_breaks_the_protocol(step: str) -> None:
    async with running(SmtpSink()) as sink:
        sink.plan(step, Say("354 go on"))
        with pytest.raises(ProtocolViolated, match="answered 354 go on"):
            await open_smtp(at(sink), ANN)


@pytest.mark.parametrize(
    "injected",
    [b"250 2.7.0 logged in\r\n", b"250-AUTH PLAIN\r\n250 Ok\r\n", b"2", b"\r\n"],
)
async def test_bytes_injected_before_the_handshake_end_the_session(
    authority: trustme.CA, ca_file: Path, injected: bytes
) -> None:
    async with running(SmtpSink(offers_starttls=True), authority=authority) as sink:
        sink.plan("starttls", Say("220 2.0.0 Go on\r\n" + injected.decode()[:-2]))
        with pytest.raises((BytesBeforeTls, TlsFailed)):
            await open_smtp(at(sink, Security.STARTTLS, tls_ca=ca_file), ANN)
    assert sink.commands[:2] == ["EHLO", "STARTTLS"]
    assert "AUTH" not in sink.commands


async def test_the_certificate_must_carry_the_name(
    authority: trustme.CA, ca_file: Path
) -> None:
    async with running(SmtpSink(), authority=authority, implicit_tls=True) as sink:
        other = at(sink, Security.TLS, tls_ca=ca_file, tls_server_name="mail.example.net")
        with pytest.raises(TlsFailed) as caught:
            await open_smtp(other, ANN)
    assert caught.value.kind is TlsFailure.WRONG_NAME
    assert sink.heard == []


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
async def test_an_unknown_authority_gets_no_login(
    authority: trustme.CA, security: Security
) -> None:
    is_implicit = security is Security.TLS
    sink = SmtpSink(offers_starttls=True)
    async with running(sink, authority=authority, implicit_tls=is_implicit):
        with pytest.raises(TlsFailed) as caught:
            await open_smtp(at(sink, security), ANN)
    assert caught.value.kind is TlsFailure.UNKNOWN_AUTHORITY
    assert "AUTH" not in sink.commands


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
async def test_a_certificate_that_is_not_the_pinned_one_gets_no_login(
    authority: trustme.CA, ca_file: Path, security: Security
) -> None:
    is_implicit = security is Security.TLS
    sink = SmtpSink(offers_starttls=True)
    async with running(sink, authority=authority, implicit_tls=is_implicit):
        with pytest.raises(TlsFailed) as caught:
            await open_smtp(at(sink, security, tls_ca=ca_file, tls_pin="00" * 32), ANN)
    assert caught.value.kind is TlsFailure.PIN_MISMATCH
    assert f"tls_pin wants {'00' * 32}" in caught.value.words
    assert "AUTH" not in sink.commands


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
async def test_the_pinned_certificate_is_taken_whoever_signed_it_and_for_whom(
    authority: trustme.CA, security: Security
) -> None:
    is_implicit = security is Security.TLS
    sink = SmtpSink(offers_starttls=True)
    async with running(sink, authority=authority, implicit_tls=is_implicit):
        with pytest.raises(TlsFailed) as caught:
            await open_smtp(at(sink, security, tls_pin="00" * 32), ANN)
        pin = caught.value.words.split(",")[0].rpartition(" ")[2]
        pinned = at(sink, security, tls_pin=pin, tls_server_name="elsewhere.example")
        await (await open_smtp(pinned, ANN)).quit()


async def test_a_server_without_tls_is_named_so(ca_file: Path) -> None:
    async with running(SmtpSink()) as sink:
        with pytest.raises(TlsFailed) as caught:
            await open_smtp(at(sink, Security.TLS, tls_ca=ca_file), ANN)
    assert caught.value.kind is TlsFailure.NOT_TLS
    assert "AUTH" not in sink.commands
