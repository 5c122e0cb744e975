"""A TCP proxy that counts bytes, cuts connections after exactly n of them, delays and swallows.

    async with Proxy(server.host, server.ports.pop3) as road:
        road.cut_next(Way.TO_CLIENT, after=1234)
        ...                                             # talk to road.host, road.port
        assert road.passed(Way.TO_CLIENT) == 1234

It sees TLS as bytes, so it works for every protocol. Everything can be changed while it runs;
a cut is decided when a connection begins, swallowing with every chunk.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Self

from syncd.clock import Clock, SystemClock

CHUNK = 65536
# What may be under way in one direction; enough for 50 MB/s at 40 ms, and a bound on memory.
IN_FLIGHT = 64


# Makes close() send an RST.
LINGER_NOT = struct.pack("ii", 1, 0)


class Way(StrEnum):
    """The direction of bytes."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


class Ending(StrEnum):
    """How a connection is cut: politely (FIN) or as a crashed peer does it (RST)."""

    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Cut:
    """After how many bytes of which direction a connection ends, and how."""

    way: Way
    after: int
    ending: Ending = Ending.RESET


@dataclass(slots=True)
class Passage:
    """One connection through the proxy: its bytes so far, and both writers."""

    cut: Cut | None
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    bytes_passed: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))

    def end(self, ending: Ending) -> None:
        """Close both sides."""
        for writer in (self.client, self.server):
            if ending is Ending.RESET and not writer.is_closing():
                connected = writer.get_extra_info("socket")
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                writer.transport.abort()
            else:
                writer.close()


class Proxy:
    """A listening port on loopback that passes everything on to another one."""

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        delay: timedelta = timedelta(0),
        clock: Clock | None = None,
    ) -> None:
        self.host = host
        self.port = port  # 0: a free one, known once the proxy runs
        self.target = (target_host, target_port)
        self.delay = delay  # for each way: a round trip takes twice as long
        self.swallowed: set[Way] = set()
        self.every_cut: Cut | None = None
        self.passages: list[Passage] = []
        self._next_cuts: deque[Cut] = deque()
        self._clock = clock or SystemClock()
        self._open = 0
        self._all_closed = asyncio.Event()
        self._server: asyncio.Server | None = None

    # ------------------------------------------------------------ what a test may do

    def cut_next(self, way: Way, *, after: int, ending: Ending = Ending.RESET) -> None:
        """End the next connection after exactly so many bytes; may be called for several in advance."""
        self._next_cuts.append(Cut(way, after, ending))

    def swallow(self, *ways: Way) -> None:
        """Pass on nothing more, but keep the connections open: a peer that vanished without a word."""
        self.swallowed |= set(ways or Way)

    def let_through(self) -> None:
        """End swallowing; what was swallowed stays lost."""
        self.swallowed.clear()

    def drop_all(self, ending: Ending = Ending.RESET) -> None:
        """End every open connection now."""
        for passage in self.passages:
            passage.end(ending)

    def passed(self, way: Way) -> int:
        """Return the bytes handed on in this direction, over all connections."""
        return sum(passage.bytes_passed[way] for passage in self.passages)

    @property
    def connections(self) -> int:
        """Return how many connections there were so far."""
        return len(self.passages)

    # ------------------------------------------------------------ the work

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, limit=CHUNK
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            self.drop_all()
            if self._open:
                await self._all_closed.wait()

    async def _serve(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        self._open += 1
        self._all_closed.clear()
        try:
            async with _closed_at_last(to_client):
                from_server, to_server = await asyncio.open_connection(*self.target)
                async with _closed_at_last(to_server):
                    cut = self._next_cuts.popleft() if self._next_cuts else self.every_cut
                    passage = Passage(cut, to_client, to_server)
                    self.passages.append(passage)
                    async with asyncio.TaskGroup() as both:
                        both.create_task(self._pump(Way.TO_SERVER, from_client, passage))
                        both.create_task(self._pump(Way.TO_CLIENT, from_server, passage))
        except OSError:
            to_client.transport.abort()  # nobody listens behind the proxy
        finally:
            self._open -= 1
            if not self._open:
                self._all_closed.set()

    async def _pump(self, way: Way, source: asyncio.StreamReader, passage: Passage) -> None:
        """Hand bytes on until the source ends, then end the other side the same way."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)
        async with asyncio.TaskGroup() as halves:
            halves.create_task(self._take(source, waiting))
            halves.create_task(self._give(way, waiting, passage))

    async def _take(
        self, source: asyncio.StreamReader, waiting: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        chunk = b"-"
        while chunk:
            try:
                chunk = await source.read(CHUNK)
            except OSError:
                chunk = b""
            await waiting.put((self._clock.monotonic() + self.delay.total_seconds(), chunk))

    async def _give(
        self, way: Way, waiting: asyncio.Queue[tuple[float, bytes]], passage: Passage
    ) -> None:
        target = passage.server if way is Way.TO_SERVER else passage.client
        while True:
            due, chunk = await waiting.get()
            if (early := due - self._clock.monotonic()) > 0:
                await self._clock.sleep(early)
            if not chunk:
                if way in self.swallowed:
                    return
                if not target.is_closing() and target.can_write_eof():
                    with contextlib.suppress(OSError):
                        target.write_eof()
                return
            await self._hand_on(way, chunk, target, passage)

    async def _hand_on(
        self, way: Way, chunk: bytes, target: asyncio.StreamWriter, passage: Passage
    ) -> None:
        if way in self.swallowed or target.is_closing():
            return
        cut = passage.cut if passage.cut and passage.cut.way is way else None
        left = cut.after - passage.bytes_passed[way] if cut else len(chunk)
        target.write(chunk[:left])
        passage.bytes_passed[way] += min(left, len(chunk))
        with contextlib.suppress(OSError):
            await target.drain()
        if cut and left <= len(chunk):
            await self._cut(cut, target, passage)

    async def _cut(self, cut: Cut, target: asyncio.StreamWriter, passage: Passage) -> None:
        """End the connection; the bytes before the cut arrive even when it is a reset."""
        if cut.ending is Ending.RESET:
            # An RST overtakes what still waits in our buffer and in the kernel's.
            target.transport.set_write_buffer_limits(high=0)
            with contextlib.suppress(OSError):
                await target.drain()
                while not target.is_closing() and _unsent(target):
                    await self._clock.sleep(0.001)
        passage.end(cut.ending)


@contextlib.asynccontextmanager
async def _closed_at_last(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _unsent(writer: asyncio.StreamWriter) -> int:
    """Return the bytes the kernel holds that the other side has not acknowledged."""
    answer = fcntl.ioctl(writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int.from_bytes(answer, "little")
