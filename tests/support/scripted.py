"""A server that follows a script: says these bytes, wants to hear those, drops, hangs, upgrades.

    script = [Say(b"+OK ready\r\n"), Hear(b"QUIT\r\n"), Say(b"+OK\r\n")]
    async with scripted(script) as server:
        ...                                  # connect to server.port
    # leaving raises AssertionError if the client did not follow the script

Dialogues are the same as text: `S: +OK ready`, `C: QUIT`. It knows no protocol: lines come
and go, whatever they mean. Each connection gets the next script; the last one serves all others.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from syncd.clock import SystemClock

HOST = "127.0.0.1"
_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Say:
    """Send bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Flood:
    """Send the same bytes until the client is gone."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Drip:
    """Send one byte after the other, with a pause before each, until the client is gone."""

    data: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait for exactly these bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Do the server's side of a TLS handshake."""

    context: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing more, but stay; the script ends when the client leaves."""


Step = Say | Flood | Drip | Hear | Upgrade | Drop | Hang
Script = Sequence[Step]


@dataclass(slots=True)
class ScriptedServer:
    """What a test may ask of the server while it runs and afterwards."""

    scripts: Sequence[Script]
    port: int = 0
    byte_by_byte: bool = False
    heard: list[bytes] = field(default_factory=list)
    """What each connection said, one entry for each, in the order they came."""
    problems: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has gone."""

    @property
    def connections(self) -> int:
        """Count the connections there were."""
        return len(self.heard)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Follow the script of this connection."""
        number = len(self.heard)
        self.heard.append(b"")
        script = self.scripts[min(number, len(self.scripts) - 1)]
        try:
            for step in script:
                await self._follow(step, number, reader, writer)
            self._note(number, rest := await reader.read())
            if rest:
                self.problems.append(f"after the end of the script: {rest!r}")
        except (ConnectionError, ssl.SSLError):
            pass  # the client left in the middle: the test says whether it may
        except _OffScript as exc:
            self.problems.append(str(exc))
        finally:
            self.left.set()
            writer.transport.abort()

    async def _follow(
        self,
        step: Step,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        match step:
            case Say(data):
                await self._say(data, writer)
            case Flood(data):
                while True:
                    await self._say(data, writer)
            case Drip(data, seconds):
                for octet in data:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(seconds):
                            if not await reader.read(1):
                                raise ConnectionResetError
                    await self._say(bytes([octet]), writer)
            case Hear(data):
                await self._hear(data, number, reader)
            case Upgrade(context):
                await writer.start_tls(context)
            case Drop():
                raise ConnectionResetError
            case Hang():
                self._note(number, await reader.read())

    async def _say(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        pieces = [bytes([octet]) for octet in data] if self.byte_by_byte else [data]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await _CLOCK.sleep(0)  # the client shall read this before there is more

    async def _hear(self, wanted: bytes, number: int, reader: asyncio.StreamReader) -> None:
        heard = b""
        while heard != wanted and wanted.startswith(heard):
            octets = await reader.read(len(wanted) - len(heard))
            if not octets:
                raise _OffScript(f"the client left instead of saying {wanted!r}")
            self._note(number, octets)
            heard += octets
        if heard != wanted:
            raise _OffScript(f"heard {heard!r} instead of {wanted!r}")

    def _note(self, number: int, octets: bytes) -> None:
        self.heard[number] += octets


class _OffScript(Exception):
    """The client did not follow the script."""


@contextlib.asynccontextmanager
async def scripted(
    *scripts: Script, byte_by_byte: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedServer]:
    """Run a scripted server on a free port of loopback."""
    state = ScriptedServer(scripts, byte_by_byte=byte_by_byte)
    failure: Exception | None = None
    async with asyncio.TaskGroup() as connections:
        tasks: list[asyncio.Task[None]] = []

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if server.is_serving():
                tasks.append(connections.create_task(state.serve(reader, writer)))
            else:
                writer.transport.abort()  # came in, through TLS, when the test was over

        server = await asyncio.start_server(accept, HOST, 0, ssl=tls)
        state.port = server.sockets[0].getsockname()[1]
        try:
            yield state
        except Exception as exc:  # noqa: BLE001 - raised below, not wrapped in a group
            failure = exc
            for task in tasks:
                task.cancel()
        finally:
            server.close()
    if failure is not None:
        raise failure
    assert not state.problems, "\n".join(state.problems)


def read_script(lines: Iterable[str]) -> list[Step]:
    r"""Read a dialogue: `S: line`, `C: line`, `S| raw\r\n` and `C| raw` (escaped), `S! close`."""
    steps: list[Step] = []
    for line in lines:
        mark, text = line[:2], line[2:].strip()
        match mark:
            case "S:":
                steps.append(Say(text.encode() + b"\r\n"))
            case "C:":
                steps.append(Hear(text.encode() + b"\r\n"))
            case "S|":
                steps.append(Say(_unescaped(text)))
            case "C|":
                steps.append(Hear(_unescaped(text)))
            case "S!" if text == "close":
                steps.append(Drop())
            case "S!" if text == "hang":
                steps.append(Hang())
            case _:
                raise ValueError(f"not a line of a dialogue: {line!r}")
    return steps


def _unescaped(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def dialogues(folder: Path) -> list[Path]:
    """List the dialogue files of a folder."""
    return sorted(folder.glob("*.dialogue"))
