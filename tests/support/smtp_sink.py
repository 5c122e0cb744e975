"""A small SMTP server that does what a test tells it, and remembers all it heard and took.

Every visit of a step takes the next act planned for it; with none left it behaves well:
`sink.plan("rcpt", Say("550 5.1.1 nobody"))` refuses the next recipient only. Steps: greeting,
ehlo, starttls, auth, mail, rcpt, data, body, dot, rset, quit, and unknown for any other line.
"""

import asyncio
import base64
import hmac
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trustme


@dataclass(frozen=True, slots=True)
class Say:
    """Answer this instead of the usual; bytes are sent as they are."""

    reply: str | bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection instead of answering."""


@dataclass(frozen=True, slots=True)
class Swallow:
    """In the step `dot`: take responsibility for the message, and close without a word."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Answer only after `until`, then as usual."""

    until: asyncio.Event


@dataclass(frozen=True, slots=True)
class Cut:
    """In the step `body`: say something (or nothing) after so many octets, and close."""

    after: int
    words: bytes = b""


Act = Say | Drop | Swallow | Hang | Cut


@dataclass(frozen=True, slots=True)
class Taken:
    """A message for which this server has taken responsibility."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes


class _Hangup(Exception):
    """Leave the conversation."""


@dataclass(slots=True, kw_only=True)
class SmtpSink:
    """The server's manners, and its memory."""

    username: str = "ann"
    password: str = "wonderland"
    mechanisms: str = "PLAIN LOGIN CRAM-MD5"
    extensions: tuple[str, ...] = (
        "SIZE 50000000",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
    )
    offers_starttls: bool = False
    lax: bool = False
    """Takes a bare LF or CR for a line end, as smuggling needs it."""
    keeps_bodies: bool = True
    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    """Every command line of every connection, without CRLF."""
    connections: int = 0
    octets: int = 0
    """Received between DATA and dot, dots included."""
    wire: bytearray = field(default_factory=bytearray)
    """The last message as it crossed the wire, dot-stuffed, final dot included."""
    tls: ssl.SSLContext | None = None
    stepped: defaultdict[str, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )
    """Set as soon as a step was reached."""
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _plans: defaultdict[str, deque[Act | None]] = field(
        default_factory=lambda: defaultdict(deque)
    )

    def plan(self, step: str, *acts: Act | None) -> None:
        """Plan the next visits of a step; None means to behave well."""
        self._plans[step].extend(acts)

    def plan_first(self, step: str, act: Act | None) -> None:
        """Put an act before all that is planned."""
        self._plans[step].appendleft(act)

    @property
    def commands(self) -> list[str]:
        """The verbs heard, in order."""
        return [
            line.split(b" ")[0].split(b":")[0].decode("utf-8", "replace").upper()
            for line in self.heard
        ]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client until it leaves or is thrown out."""
        self.connections += 1
        self._writers.append(writer)
        try:
            await _Conversation(self, reader, writer).run()
        except (_Hangup, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def hang_up(self, words: bytes) -> None:
        """Say something to the last client, and close; returns when it left this side."""
        writer = self._writers[-1]
        writer.write(words)
        writer.close()
        await writer.wait_closed()

    def next_act(self, step: str) -> Act | None:
        """Take the act planned for this visit."""
        self.stepped[step].set()
        plan = self._plans[step]
        return plan.popleft() if plan else None


class _Conversation:
    def __init__(
        self, sink: SmtpSink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.sink, self.reader, self.writer = sink, reader, writer
        self.encrypted = writer.get_extra_info("ssl_object") is not None
        self.sender = ""
        self.recipients: list[str] = []

    async def run(self) -> None:
        await self.step("greeting", "220 sink ESMTP")
        while line := await self.reader.readline():
            self.sink.heard.append(line.rstrip(b"\r\n"))
            verb = line.split()[0].upper().decode("utf-8", "replace") if line.split() else ""
            await self.obey(verb, line.decode("utf-8", "replace").strip())

    async def obey(self, verb: str, line: str) -> None:
        match verb:
            case "EHLO":
                await self.step("ehlo", self.capabilities())
            case "STARTTLS":
                await self.start_tls()
            case "AUTH":
                await self.auth(line)
            case "MAIL":
                if await self.step("mail", "250 2.1.0 Ok"):
                    self.sender, self.recipients = _address(line), []
            case "RCPT":
                if await self.step("rcpt", "250 2.1.5 Ok"):
                    self.recipients.append(_address(line))
            case "DATA":
                await self.data()
            case "RSET":
                self.recipients = []
                await self.step("rset", "250 2.0.0 Ok")
            case "QUIT":
                await self.step("quit", "221 2.0.0 Bye")
                raise _Hangup
            case _:
                await self.step("unknown", "500 5.5.2 What?")

    async def step(self, name: str, usual: str) -> bool:
        """Do what is planned, else the usual; tell whether the usual was said."""
        match self.sink.next_act(name):
            case Say(reply):
                await self.say(reply)
                return isinstance(reply, str) and reply[0] in "23"
            case Drop() | Cut() | Swallow():
                raise _Hangup
            case Hang(until):
                await until.wait()
            case None:
                pass
        await self.say(usual)
        return True

    async def say(self, reply: str | bytes) -> None:
        self.writer.write(reply if isinstance(reply, bytes) else reply.encode() + b"\r\n")
        await self.writer.drain()

    def capabilities(self) -> str:
        offers = ["sink", *self.sink.extensions]
        if self.sink.offers_starttls and not self.encrypted:
            offers.append("STARTTLS")
        if self.sink.mechanisms:
            offers.append(f"AUTH {self.sink.mechanisms}")
        return "\r\n".join([*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"])

    async def start_tls(self) -> None:
        if await self.step("starttls", "220 2.0.0 Go on") and self.sink.tls is not None:
            await self.writer.start_tls(self.sink.tls)
            self.encrypted = True

    async def auth(self, line: str) -> None:
        words = line.split()[1:]
        match words:
            case ["PLAIN", initial]:
                _, name, password = base64.b64decode(initial).decode().split("\0")
            case ["LOGIN"]:
                name = await self.challenge(b"Username:")
                password = await self.challenge(b"Password:")
            case ["CRAM-MD5"]:
                name, digest = (await self.challenge(b"<1@sink>")).split()
                expected = hmac.new(self.sink.password.encode(), b"<1@sink>", "md5").hexdigest()
                password = self.sink.password if digest == expected else ""
            case _:
                await self.say("504 5.5.4 Which?")
                return
        known = (name, password) == (self.sink.username, self.sink.password)
        await self.step("auth", "235 2.7.0 Ok" if known else "535 5.7.8 Who are you?")

    async def challenge(self, words: bytes) -> str:
        await self.say(b"334 " + base64.b64encode(words) + b"\r\n")
        return base64.b64decode(await self.reader.readline()).decode()

    async def data(self) -> None:
        if not await self.step("data", "354 Go on"):
            return
        act = self.sink.next_act("body")
        if isinstance(act, Hang):
            await act.until.wait()
        wire = await self.read_message(act)
        self.sink.wire = wire
        await self.answer_dot(wire)

    async def answer_dot(self, wire: bytearray) -> None:
        match self.sink.next_act("dot"):
            case Swallow():
                self.take(wire)
                raise _Hangup
            case act:
                self.sink.plan_first("dot", act)
        if await self.step("dot", f"250 2.0.0 Ok: queued as {len(self.sink.taken)}"):
            self.take(wire)

    def take(self, wire: bytearray) -> None:
        data = bytes(wire[:-3]).replace(b"\r\n..", b"\r\n.")
        data = data[1:] if data.startswith(b"..") else data
        kept = data if self.sink.keeps_bodies else b""
        self.sink.taken.append(Taken(self.sender, tuple(self.recipients), kept))

    async def read_message(self, act: Act | None) -> bytearray:
        wire = bytearray()
        strict = (b"\r\n.\r\n",)
        ends = (*strict, b"\n.\n", b"\n.\r\n", b"\r.\r") if self.sink.lax else strict
        tail = b"\r\n"
        while not tail.endswith(ends):
            piece = await self.read_piece()
            self.sink.octets += len(piece)
            tail = (tail + piece)[-8:]
            if self.sink.keeps_bodies:
                wire += piece
            if isinstance(act, Cut) and self.sink.octets >= act.after:
                await self.say(act.words)
                raise _Hangup
        return wire

    async def read_piece(self) -> bytes:
        if self.sink.lax:
            return await self.reader.readexactly(1)
        return await self.reader.readuntil(b"\n")


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


@asynccontextmanager
async def running(
    sink: SmtpSink, *, authority: trustme.CA | None = None, implicit_tls: bool = False
) -> AsyncIterator[SmtpSink]:
    """Serve on a free port of 127.0.0.1; with an authority TLS is there for `localhost`."""
    if authority is not None:
        sink.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(sink.tls)
    server = await asyncio.start_server(
        sink.serve, "127.0.0.1", sink.port, ssl=sink.tls if implicit_tls else None, limit=2**20
    )
    sink.port = server.sockets[0].getsockname()[1]
    async with server:
        yield sink
