"""Our POP3 client as tests set it up, and the wire of an ordinary session to script it with."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from syncd.clock import SystemClock
from syncd.connections.budget import ByteBudget
from syncd.connections.pop3 import CapabilityMemory, Pop3Source, SourceLimits, open_pop3
from syncd.connections.seams import Fetched, UnlockedLogin
from syncd.model.mail import Listed
from syncd.model.profile import Authentication, Endpoint, MailProtocol, Security
from syncd.model.secret import Secret
from tests.support.scripted import HOST, Hear, Say, Step

PASSWORD = "sesame-4711"
LIMITS = SourceLimits(
    connect_timeout=timedelta(seconds=5),
    command_timeout=timedelta(seconds=5),
    session_timeout=timedelta(seconds=30),
    max_message_size=2**30,
)
CAPABILITIES = b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nSTLS\r\nPIPELINING\r\n.\r\n"
GREETING: list[Step] = [Say(b"+OK ready\r\n")]
LOGIN: list[Step] = [
    Hear(b"CAPA\r\n"),
    Say(CAPABILITIES),
    Hear(b"USER ada\r\n"),
    Say(b"+OK\r\n"),
    Hear(f"PASS {PASSWORD}\r\n".encode()),
    Say(b"+OK logged in\r\n"),
]


def pop3_endpoint(port: int, security: Security = Security.NONE) -> Endpoint:
    """Describe a server on loopback."""
    return Endpoint(
        protocol=MailProtocol.POP3,
        server=HOST,
        port=port,
        security=security,
        authentication=Authentication.USER_PASS,
        allow_plaintext_login=True,
    )


@asynccontextmanager
async def pop3_session(
    where: int | Endpoint,
    *,
    limits: SourceLimits = LIMITS,
    budget: ByteBudget | None = None,
    memory: CapabilityMemory | None = None,
    login: UnlockedLogin | None = None,
) -> AsyncIterator[Pop3Source]:
    """Log in, and drop the connection at the end."""
    own = ByteBudget(2**28)
    source = await open_pop3(
        pop3_endpoint(where) if isinstance(where, int) else where,
        login or UnlockedLogin(username="ada", password=Secret(PASSWORD)),
        limits=limits,
        budget=budget or own,
        memory=memory or CapabilityMemory(SystemClock()),
    )
    try:
        yield source
    finally:
        source.abort()
        assert own.used == 0, "a closed session holds no bytes"


def hasty(seconds: float, limits: SourceLimits = LIMITS) -> SourceLimits:
    """Make a client that gives up a command soon."""
    return replace(limits, command_timeout=timedelta(seconds=seconds))


def wanted(count: int, octets: int = 100) -> list[Listed]:
    """List messages 1 to `count`."""
    return [Listed(number, f"uid{number}", octets) for number in range(1, count + 1)]


def retrieval(numbers: Sequence[int]) -> list[Step]:
    """Hear that these messages are asked for."""
    return [Hear(b"RETR %d\r\n" % number) for number in numbers]


async def bodies(source: Pop3Source, listed: Sequence[Listed]) -> AsyncIterator[bytes]:
    """Fetch messages and put each together."""
    async for batch in source.fetch(listed):
        for fetched in batch:
            yield await body(fetched)


async def body(fetched: Fetched) -> bytes:
    """Put one message together."""
    if fetched.chunks is not None:
        return b"".join([chunk async for chunk in fetched.chunks])
    assert fetched.body is not None
    return fetched.body
