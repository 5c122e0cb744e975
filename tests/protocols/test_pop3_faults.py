"""What servers and networks do to a POP3 session (numbers of the fault list in each docstring).

Short exchanges that read as text are dialogues in `pop3/`; here is what takes size, time or TLS.
"""

import asyncio
import contextlib
import hashlib
import ssl
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from syncd.clock import SystemClock
from syncd.connections.budget import ByteBudget
from syncd.connections.pop3 import CapabilityMemory, Pop3Source, SourceLimits
from syncd.errors import (
    BytesBeforeTls,
    ConnectionLost,
    LimitExceeded,
    LoginRefused,
    NoGreeting,
    Phase,
    ProtocolViolated,
    ServerError,
    TimedOut,
    TlsFailed,
    TlsFailure,
    TlsNotOffered,
    WrongProtocol,
)
from syncd.model.mail import CHUNK_OCTETS, Listed
from syncd.model.profile import Endpoint, Security
from tests.servers.certificates import self_signed
from tests.support.pop3_client import (
    GREETING,
    LIMITS,
    LOGIN,
    PASSWORD,
    bodies,
    hasty,
    pop3_endpoint,
    pop3_session,
    retrieval,
    wanted,
)
from tests.support.scripted import (
    HOST,
    Drip,
    Drop,
    Flood,
    Hang,
    Hear,
    Say,
    Script,
    Step,
    Upgrade,
    scripted,
)

MIB = 2**20


async def log_in(
    endpoint: Endpoint,
    limits: SourceLimits = LIMITS,
    memory: CapabilityMemory | None = None,
) -> None:
    """Open a session and leave."""
    async with pop3_session(endpoint, limits=limits, memory=memory):
        pass


async def _whole(content: bytes | None) -> AsyncIterator[bytes]:
    assert content is not None
    yield content


# A whole session: three messages, of which one is larger than a chunk.
MESSAGES = [b"one\r\n..\r\n", b"two " * 70_000 + b"\r\n", b"three\r\n.\r\n"]


def on_the_wire(message: bytes) -> bytes:
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    return b"+OK\r\n" + (b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n"


SESSION: list[Step] = [
    *GREETING,
    *LOGIN,
    Hear(b"UIDL\r\nLIST\r\n"),
    Say(b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n"),
    Say(b"+OK\r\n1 9\r\n2 280002\r\n3 10\r\n.\r\n"),
    *retrieval([1, 2, 3]),
    Say(b"".join(map(on_the_wire, MESSAGES))),
    Hang(),
]


def cut(script: Script, after: int) -> list[Step]:
    """Let a server say so many bytes of its script and then drop the connection."""
    steps: list[Step] = []
    for step in script:
        if isinstance(step, Say):
            steps.append(Say(step.data[:after]))
            if len(step.data) > after:
                return [*steps, Drop()]
            after -= len(step.data)
        else:
            steps.append(step)
    return [*steps[:-1], Drop()]


def said(script: Script) -> int:
    return sum(len(step.data) for step in script if isinstance(step, Say))


def whole_messages(after: int) -> int:
    """Count the messages that came whole before the cut."""
    behind = said(SESSION)
    ends = []
    for message in reversed(MESSAGES):
        ends.append(behind)
        behind -= len(on_the_wire(message))
    return sum(after >= end for end in ends)


def cuts() -> list[int]:
    """Every offset, but for the even middle of the large message."""
    whole = said(SESSION)
    begin_of_two = whole - sum(len(on_the_wire(m)) for m in MESSAGES[1:]) + 50
    end_of_two = whole - len(on_the_wire(MESSAGES[2])) - 50
    return [
        *range(begin_of_two),
        *range(begin_of_two, end_of_two, 9_999),
        *range(end_of_two, whole),
    ]


async def test_a_cut_anywhere_leaves_whole_messages_and_deletes_nothing() -> None:
    """Faults 4: at every offset of a session's bytes."""
    offsets = cuts()
    assert len(offsets) > 250
    async with scripted(*(cut(SESSION, after) for after in offsets)) as server:
        for after in offsets:
            got: list[bytes] = []
            with contextlib.suppress(ConnectionLost):
                async with pop3_session(server.port) as source:
                    async for message in bodies(source, await source.list_all()):
                        got.append(message)  # noqa: PERF401 - what came before the error counts
                    assert not await source.quit()
            assert got == MESSAGES[: whole_messages(after)], f"cut after {after} bytes"
    assert len(server.heard) == len(offsets)
    assert not any(b"DELE" in heard for heard in server.heard)


# TLS.


@dataclass(frozen=True, slots=True)
class Chain:
    """A server's context, the authority its client trusts, the SHA-256 of the certificate."""

    server: ssl.SSLContext
    authority: Path
    fingerprint: str


def chain_of(kind: TlsFailure | None, folder: Path) -> Chain:
    """Make a server whose certificate has this flaw."""
    trusted = trustme.CA()
    issuer = trustme.CA() if kind is TlsFailure.UNKNOWN_AUTHORITY else trusted
    name = "elsewhere.example" if kind is TlsFailure.WRONG_NAME else HOST
    past = datetime(2001, 1, 1, tzinfo=UTC) if kind is TlsFailure.EXPIRED else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if kind is TlsFailure.SELF_SIGNED:
        own = self_signed()
        (folder / "own.pem").write_bytes(own.chain + own.key)
        context.load_cert_chain(folder / "own.pem")
        certificate = own.chain
    else:
        before = past - timedelta(days=1) if past else None
        leaf = issuer.issue_cert(name, not_after=past, not_before=before)
        leaf.configure_cert(context)
        certificate = leaf.cert_chain_pems[0].bytes()
    authority = folder / "ca.pem"
    authority.write_bytes(trusted.cert_pem.bytes())
    der = ssl.PEM_cert_to_DER_cert(certificate.decode())
    return Chain(context, authority, hashlib.sha256(der).hexdigest())


def tls_endpoint(port: int, chain: Chain, security: Security = Security.TLS) -> Endpoint:
    return replace(pop3_endpoint(port, security), tls_ca=chain.authority)


FLAWS = [
    TlsFailure.EXPIRED,
    TlsFailure.WRONG_NAME,
    TlsFailure.SELF_SIGNED,
    TlsFailure.UNKNOWN_AUTHORITY,
]


@pytest.mark.parametrize("flaw", FLAWS)
async def test_each_flaw_of_a_certificate_has_its_own_error_and_gets_no_password(
    flaw: TlsFailure, tmp_path: Path
) -> None:
    """Faults 18."""
    chain = chain_of(flaw, tmp_path)
    async with scripted([*GREETING, *LOGIN, Hang()], tls=chain.server) as server:
        with pytest.raises(TlsFailed) as failed:
            await log_in(tls_endpoint(server.port, chain))
    assert (failed.value.kind, failed.value.phase) == (flaw, Phase.TLS)
    assert server.heard == []


@pytest.mark.parametrize("flaw", FLAWS)
async def test_stls_forgives_no_flaw_either(flaw: TlsFailure, tmp_path: Path) -> None:
    """Faults 18."""
    chain = chain_of(flaw, tmp_path)
    script = [*GREETING, Hear(b"STLS\r\n"), Say(b"+OK\r\n"), Upgrade(chain.server), *LOGIN]
    async with scripted(script) as server:
        with pytest.raises(TlsFailed) as failed:
            await log_in(tls_endpoint(server.port, chain, Security.STARTTLS))
    assert (failed.value.kind, failed.value.phase) == (flaw, Phase.TLS)
    assert server.heard == [b"STLS\r\n"]


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
async def test_a_good_certificate_is_taken(security: Security, tmp_path: Path) -> None:
    chain = chain_of(None, tmp_path)
    stls = [*GREETING, Hear(b"STLS\r\n"), Say(b"+OK\r\n"), Upgrade(chain.server)]
    script = [*(GREETING if security is Security.TLS else stls), *LOGIN]
    tls = chain.server if security is Security.TLS else None
    async with scripted(script, tls=tls) as server:
        await log_in(tls_endpoint(server.port, chain, security))


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
async def test_a_certificate_that_is_not_the_pinned_one_gets_no_password(
    security: Security, tmp_path: Path
) -> None:
    chain = chain_of(None, tmp_path)
    stls = [*GREETING, Hear(b"STLS\r\n"), Say(b"+OK\r\n"), Upgrade(chain.server)]
    script = [*(GREETING if security is Security.TLS else stls), Hang()]
    tls = chain.server if security is Security.TLS else None
    endpoint = replace(tls_endpoint(0, chain, security), tls_pin="00" * 32)
    async with scripted(script, tls=tls) as server:
        with pytest.raises(TlsFailed) as failed:
            await log_in(replace(endpoint, port=server.port))
    assert failed.value.kind is TlsFailure.PIN_MISMATCH
    assert chain.fingerprint in failed.value.words
    assert not any(b"USER" in heard for heard in server.heard)


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
@pytest.mark.parametrize("flaw", FLAWS)
async def test_the_pinned_certificate_is_taken_whoever_signed_it_and_for_whom(
    flaw: TlsFailure, security: Security, tmp_path: Path
) -> None:
    chain = chain_of(flaw, tmp_path)
    stls = [*GREETING, Hear(b"STLS\r\n"), Say(b"+OK\r\n"), Upgrade(chain.server)]
    script = [*(GREETING if security is Security.TLS else stls), *LOGIN]
    tls = chain.server if security is Security.TLS else None
    async with scripted(script, tls=tls) as server:
        pinned = replace(pop3_endpoint(server.port, security), tls_pin=chain.fingerprint)
        await log_in(pinned)


async def test_a_server_that_speaks_no_tls_is_told_apart(tmp_path: Path) -> None:
    chain = chain_of(None, tmp_path)
    async with scripted([*GREETING, Hang()]) as server:
        with pytest.raises(TlsFailed) as failed:
            await log_in(tls_endpoint(server.port, chain))
    assert failed.value.kind is TlsFailure.NOT_TLS


async def test_a_connection_cut_in_the_handshake_is_lost(tmp_path: Path) -> None:
    chain = chain_of(None, tmp_path)
    async with scripted([Drop()]) as server:
        with pytest.raises(ConnectionLost) as lost:
            await log_in(tls_endpoint(server.port, chain))
    assert lost.value.phase is Phase.TLS


INJECTION = b"+OK begin TLS\r\n+OK INJECTED\r\n"


async def test_bytes_injected_before_tls_end_the_session(tmp_path: Path) -> None:
    """Faults 49, M1: what came in clear would pass for the first encrypted answer."""
    chain = chain_of(None, tmp_path)
    script = [*GREETING, Hear(b"STLS\r\n"), Say(INJECTION), Upgrade(chain.server)]
    async with scripted(script) as server:
        with pytest.raises(BytesBeforeTls):
            await log_in(tls_endpoint(server.port, chain, Security.STARTTLS))
    assert server.heard == [b"STLS\r\n"]


async def test_the_librarys_own_streams_would_take_the_injection(tmp_path: Path) -> None:
    """Faults 49: the same server, and why `stream.py` is no asyncio.StreamReader."""
    chain = chain_of(None, tmp_path)
    script = [*GREETING, Hear(b"STLS\r\n"), Say(INJECTION), Upgrade(chain.server), Hang()]
    async with scripted(script) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        await reader.readline()
        writer.write(b"STLS\r\n")
        await reader.readline()
        trusted = ssl.create_default_context(cafile=chain.authority)
        await writer.start_tls(trusted, server_hostname=HOST)
        assert await reader.readline() == b"+OK INJECTED\r\n", "said in clear, read as TLS"
        writer.transport.abort()


async def test_stls_that_is_refused_costs_the_session_not_the_password() -> None:
    """Faults 48; a server that hides STLS in CAPA is not even asked for CAPA."""
    script = [*GREETING, Hear(b"STLS\r\n"), Say(b"-ERR unknown command\r\n")]
    async with scripted(script) as server:
        with pytest.raises(TlsNotOffered, match="unknown command"):
            await log_in(pop3_endpoint(server.port, Security.STARTTLS))


async def test_after_stls_everything_is_asked_again(tmp_path: Path) -> None:
    """What was said in clear about PIPELINING or the timestamp counts no more."""
    chain = chain_of(None, tmp_path)
    script = [
        Say(b"+OK <injected@challenge>\r\n"),
        Hear(b"STLS\r\n"),
        Say(b"+OK\r\n"),
        Upgrade(chain.server),
        *LOGIN,
    ]
    async with scripted(script) as server:
        endpoint = tls_endpoint(server.port, chain, Security.STARTTLS)
        async with pop3_session(endpoint) as source:
            assert source._conversation.session.timestamp is None


# Slow and silent servers.


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        ([Drip(b"+OK ready and waiting", 0.02)], Phase.GREETING),
        ([Hang()], Phase.GREETING),
        ([*GREETING, *LOGIN[:-1], Drip(b"+OK come in slowly" * 9, 0.02)], Phase.LOGIN),
        ([*GREETING, *LOGIN[:-1], Hang()], Phase.LOGIN),
        ([*GREETING, *LOGIN, Hear(b"UIDL\r\nLIST\r\n"), Drip(b"+OK\r\n1 a\r\n" * 9, 0.02)], Phase.LIST),
        ([*GREETING, *LOGIN, Hear(b"UIDL\r\nLIST\r\n"), Hang()], Phase.LIST),
    ],
)  # fmt: skip
async def test_a_server_that_drips_is_given_up_in_the_time_of_a_command(
    script: Script, phase: Phase
) -> None:
    """Faults 24: one byte after the other moves no deadline."""
    async with scripted(script) as server:
        with pytest.raises(TimedOut) as given_up:
            async with pop3_session(server.port, limits=hasty(0.2)) as source:
                await source.list_all()
        server.problems.clear()
    assert given_up.value.phase is phase


async def test_a_port_that_says_nothing_in_clear_may_be_a_tls_port(tmp_path: Path) -> None:
    chain = chain_of(None, tmp_path)
    async with scripted([Hang()], tls=chain.server) as server:
        for security in (Security.NONE, Security.STARTTLS):
            with pytest.raises(NoGreeting):
                await log_in(pop3_endpoint(server.port, security), hasty(0.05))
        with pytest.raises(TimedOut) as slow:
            await log_in(tls_endpoint(server.port, chain), hasty(0.05))
    assert not isinstance(slow.value, NoGreeting)


@pytest.mark.parametrize(
    ("greeting", "who"),
    [
        (b"220 mx.contoso.com ESMTP Postfix\r\n", "an SMTP server"),
        (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", "an IMAP server"),
    ],
)
async def test_a_server_of_another_kind_is_known_by_its_greeting(
    greeting: bytes, who: str
) -> None:
    async with scripted([Say(greeting), Hang()]) as server:
        with pytest.raises(WrongProtocol) as wrong:
            await log_in(pop3_endpoint(server.port))
    assert (wrong.value.who, wrong.value.words) == (who, greeting.decode().strip())
    assert server.heard == [b""]


async def test_a_greeting_that_nobody_knows_breaks_the_protocol() -> None:
    async with scripted([Say(b"SSH-2.0-OpenSSH_9.6\r\n"), Hang()]) as server:
        with pytest.raises(ProtocolViolated) as odd:
            await log_in(pop3_endpoint(server.port))
    assert not isinstance(odd.value, WrongProtocol)


async def test_a_body_that_drips_is_given_up_too() -> None:
    """Faults 24."""
    script = [*GREETING, *LOGIN, *retrieval([1]), Drip(b"+OK\r\n" + b"x" * 1000, 0.02)]
    async with (
        scripted(script) as server,
        pop3_session(server.port, limits=hasty(0.2)) as source,
    ):
        with pytest.raises(TimedOut):
            await anext(source.fetch(wanted(1)))


async def test_a_handshake_that_never_ends_is_given_up(tmp_path: Path) -> None:
    """Faults 24."""
    chain = chain_of(None, tmp_path)
    limits = replace(LIMITS, connect_timeout=timedelta(seconds=0.2))
    async with scripted([Hang()]) as server:
        with pytest.raises(TimedOut) as given_up:
            await log_in(tls_endpoint(server.port, chain), limits)
    assert given_up.value.phase is Phase.TLS
    async with scripted([*GREETING, Hear(b"STLS\r\n"), Say(b"+OK\r\n"), Hang()]) as server:
        with pytest.raises(TimedOut) as given_up:
            await log_in(tls_endpoint(server.port, chain, Security.STARTTLS), limits)
    assert given_up.value.phase is Phase.TLS


# Servers that send too much.


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        ([Flood(b"+OK" * 10_000)], Phase.GREETING),
        ([*GREETING, *LOGIN, Hear(b"UIDL\r\nLIST\r\n"), Say(b"+OK\r\n"), Flood(b"1 a\r\n" * 10_000)], Phase.LIST),
        ([*GREETING, *LOGIN, Hear(b"UIDL\r\nLIST\r\n"), Say(b"+OK\r\n"), Flood(b"u" * 65_536)], Phase.LIST),
    ],
    ids=["a line without end", "a listing without end", "a listing of one line without end"],
)  # fmt: skip
async def test_what_never_ends_is_cut_in_bounded_memory(script: Script, phase: Phase) -> None:
    """Faults 51."""
    async with scripted(script) as server:
        with memory_below(64 * MIB), pytest.raises(LimitExceeded) as cut_off:
            async with pop3_session(server.port) as source:
                await source.list_all()
        server.problems.clear()
    assert cut_off.value.phase is phase


async def test_a_message_without_end_is_cut_at_the_limit_in_constant_memory() -> None:
    """Faults 23, 51: LIST said 100 octets, a gigabyte would come; the first message is kept."""
    script = [
        *GREETING,
        *LOGIN,
        *retrieval([1, 2]),
        Say(on_the_wire(b"small\r\n") + b"+OK 100 octets\r\n"),
        Flood(b"never ends " * 6000),
    ]
    limits = replace(LIMITS, max_message_size=100 * MIB)
    got: list[int] = []

    async def count(source: Pop3Source) -> None:
        async for batch in source.fetch(wanted(2)):
            for fetched in batch:
                got.append(0)
                async for chunk in fetched.chunks or _whole(fetched.body):
                    got[-1] += len(chunk)

    async with scripted(script) as server:
        with memory_below(8 * MIB):
            async with pop3_session(server.port, limits=limits) as source:
                with pytest.raises(LimitExceeded):
                    await count(source)
    assert got[0] == 7
    assert 99 * MIB <= got[1] <= 100 * MIB


async def test_a_listing_of_200_000_messages_is_taken() -> None:
    """The limit on listings is above what real maildrops hold."""
    uids = b"".join(b"%d %070d\r\n" % (n, n) for n in range(1, 200_001))
    sizes = b"".join(b"%d 1234\r\n" % n for n in range(1, 200_001))
    script = [
        *GREETING,
        *LOGIN,
        Hear(b"UIDL\r\nLIST\r\n"),
        Say(b"+OK\r\n" + uids + b".\r\n+OK\r\n" + sizes + b".\r\n"),
    ]
    async with scripted(script) as server, pop3_session(server.port) as source:
        listed = await source.list_all()
    assert len(listed) == 200_000
    assert listed[-1] == Listed(200_000, f"{200_000:070}", 1234)


# Back-pressure.


async def test_a_large_message_is_read_no_faster_than_it_is_taken() -> None:
    """Faults 73: the reader dawdles, the server has to wait, memory stays flat."""
    size = 40 * MIB
    script = [*GREETING, *LOGIN, *retrieval([1]), Say(on_the_wire(b"x" * size + b"\r\n"))]
    budget = ByteBudget(64 * MIB)
    most = taken = 0
    async with scripted(script) as server:
        async with pop3_session(server.port, budget=budget) as source:
            async for batch in source.fetch(wanted(1, size)):
                assert batch[0].chunks is not None
                async for chunk in batch[0].chunks:
                    taken += len(chunk)
                    assert len(chunk) <= 2 * CHUNK_OCTETS
                    await SystemClock().sleep(0)
                    most = max(most, budget.used)
        server.problems.clear()
    assert taken == size + 2
    assert most < 6 * MIB


async def test_a_hundred_large_messages_at_once_stay_within_the_budget() -> None:
    """Faults 73."""
    size = 2 * MIB
    large = on_the_wire(b"x" * size + b"\r\n")
    script = [*GREETING, *LOGIN, *retrieval([1, 2]), Say(large + large)]
    limit = 48 * MIB
    budget = ByteBudget(limit)
    most = 0

    async def pull(port: int) -> int:
        nonlocal most
        octets = 0
        async with pop3_session(port, budget=budget) as source:
            async for batch in source.fetch(wanted(2, size)):
                for fetched in batch:
                    async for chunk in fetched.chunks or _whole(fetched.body):
                        octets += len(chunk)
                        most = max(most, budget.used)
                        await SystemClock().sleep(0)
        return octets

    async with scripted(script) as server, asyncio.TaskGroup() as group:
        pulls = [group.create_task(pull(server.port)) for _ in range(100)]
    assert {task.result() for task in pulls} == {2 * (size + 2)}
    assert most <= limit + 100 * MIB // 4, "one chunk for each may come on top"
    assert budget.used == 0


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_session_goes_on_when_the_budget_is_used_up(
    encrypted: bool, tmp_path: Path
) -> None:
    """Faults 73: whoever has nothing to hand over may read; nobody waits for ever."""
    chain = chain_of(None, tmp_path)
    body_of_two = b"x" * 3 * CHUNK_OCTETS + b"\r\n"
    script = [
        *GREETING,
        *LOGIN,
        *retrieval([1, 2]),
        Say(on_the_wire(b"one\r\n") + on_the_wire(body_of_two)),
    ]
    async with scripted(script, tls=chain.server if encrypted else None) as server:
        plain = pop3_endpoint(server.port)
        endpoint = tls_endpoint(server.port, chain) if encrypted else plain
        async with pop3_session(endpoint, budget=ByteBudget(0)) as source:
            got = [message async for message in bodies(source, wanted(2))]
    assert got == [b"one\r\n", body_of_two]


async def test_a_reader_that_stops_early_can_still_quit() -> None:
    """What was asked for and is still coming is read and dropped; QUIT's answer is its own."""
    wire = b"".join(on_the_wire(b"message %d\r\n" % n) for n in range(1, 5))
    large = on_the_wire(b"y" * CHUNK_OCTETS * 3 + b"\r\n")
    script = [
        *GREETING,
        *LOGIN,
        *retrieval(range(1, 6)),
        Say(wire[:25]),
        Hear(b"DELE 1\r\n"),
        Say(wire[25:] + large + b"+OK deleted\r\n"),
        Hear(b"QUIT\r\n"),
        Say(b"+OK bye\r\n"),
    ]
    async with scripted(script) as server, pop3_session(server.port) as source:
        async for batch in source.fetch(wanted(5)):
            assert batch[0].body == b"message 1\r\n"
            break
        assert await source.delete(wanted(1)) == []
        assert await source.quit()


async def test_a_large_message_that_nobody_reads_to_its_end_is_skipped() -> None:
    size = 3 * CHUNK_OCTETS
    large = on_the_wire(b"x" * size + b"\r\n")
    script = [*GREETING, *LOGIN, *retrieval([1, 2]), Say(large + on_the_wire(b"two\r\n"))]
    async with scripted(script) as server, pop3_session(server.port) as source:
        got: list[bytes | None] = [
            fetched.body async for batch in source.fetch(wanted(2)) for fetched in batch
        ]
    assert got == [None, b"two\r\n"]


# What is remembered of a server.


async def test_a_server_is_asked_for_its_capabilities_once() -> None:
    memory = CapabilityMemory(SystemClock())
    stat: list[Step] = [Hear(b"STAT\r\nUIDL 1\r\n"), Say(b"+OK 1 2\r\n+OK 1 a\r\n")]
    quit_: list[Step] = [Hear(b"QUIT\r\n"), Say(b"+OK\r\n")]
    first = [*GREETING, *LOGIN, *stat, *quit_]
    later = [*GREETING, *LOGIN[2:], *stat, *quit_]
    async with scripted(first, later) as server:
        for _ in range(3):
            async with pop3_session(server.port, memory=memory) as source:
                assert (await source.glance(1)).uid == "a"
                assert await source.quit()
        assert server.connections == 3


async def test_what_went_wrong_is_asked_again() -> None:
    memory = CapabilityMemory(SystemClock())
    script = [*GREETING, *LOGIN, Hear(b"STAT\r\n"), Drop()]
    async with scripted(script) as server:
        for _ in range(2):
            async with pop3_session(server.port, memory=memory) as source:
                with pytest.raises(ConnectionLost):
                    await source.glance(None)


async def test_a_refused_login_says_nothing_about_the_server() -> None:
    memory = CapabilityMemory(SystemClock())
    refusal = [*LOGIN[:-1], Say(b"-ERR [AUTH] no\r\n")]
    async with scripted([*GREETING, *refusal], [*GREETING, *refusal[2:]]) as server:
        for _ in range(2):
            with pytest.raises(LoginRefused):
                await log_in(pop3_endpoint(server.port), memory=memory)


# The poisoned session.


async def test_a_cancelled_command_ends_the_session() -> None:
    """Else its late answer would be taken for the next one's."""
    script = [*GREETING, *LOGIN, Hear(b"STAT\r\n"), Hang()]
    async with scripted(script) as server, pop3_session(server.port) as source:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await source.glance(None)
        with pytest.raises(ConnectionLost):
            await source.glance(None)


async def test_an_error_of_a_megabyte_is_cut_to_a_line() -> None:
    """Faults 66: the words that are kept are one line of 512 characters at most."""
    refusal = b"-ERR no\x1b[31m " + b"x" * 2000 + b"\r\n"
    async with scripted([*GREETING, *LOGIN[:-1], Say(refusal)]) as server:
        with pytest.raises(LoginRefused) as refused:
            await log_in(pop3_endpoint(server.port))
    assert len(refused.value.words) == 512
    assert refused.value.words.isprintable()


@pytest.mark.parametrize("answer", [b"PASS %b\r\n", b"+ PASS %b\r\n", b"-ERR PASS %b\r\n"])
async def test_a_password_that_a_server_repeats_is_in_no_error(answer: bytes) -> None:
    """Whatever it is taken for: a refusal, a challenge, or nothing that POP3 knows."""
    echo = Say(answer % PASSWORD.encode())
    async with scripted([*GREETING, *LOGIN[:-1], echo]) as server:
        with pytest.raises(ServerError) as caught:
            await log_in(pop3_endpoint(server.port))
    assert caught.value.words.endswith("PASS ***")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


async def test_a_password_that_a_server_repeats_after_the_login_is_in_no_error() -> None:
    late = Say(b"what is %b?\r\n" % PASSWORD.encode())
    async with (
        scripted([*GREETING, *LOGIN, Hear(b"STAT\r\n"), late]) as server,
        pop3_session(server.port) as source,
    ):
        with pytest.raises(ProtocolViolated, match="what is \\*\\*\\*"):
            await source.glance(None)


@contextlib.contextmanager
def memory_below(octets: int) -> Iterator[None]:
    """Fail when more than this was allocated at any moment, client and server together."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < octets, f"{(peak - before) / MIB:.1f} MiB"
