"""One connection to one server: found, opened, secured, watched, cut.

Bytes that arrive are handed on at once, in the event loop's own call; a coroutine only wakes
up when something whole has come. Time is counted by the wall: a server that drips one byte a
second moves no deadline, because only a whole answer, or 64 KiB of one, counts as progress.
There is no TCP keepalive: whoever waits here waits at most for the time of a command, which is
shorter, and the four calls would cost a poll more than the parsing of all its answers.
"""

import asyncio
import contextlib
import errno
import itertools
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from syncd.connections.tls import (
    check_pin,
    classify_tls_error,
    context_for,
    describe_tls_error,
    server_name,
)
from syncd.errors import (
    ConnectionLost,
    NameNotFound,
    NoGreeting,
    Phase,
    ServerError,
    TimedOut,
    TlsFailed,
    Unreachable,
)
from syncd.model.profile import Endpoint, IpVersion, Security

T = TypeVar("T")

PROGRESS_OCTETS = 64 * 1024
"""So much within the time of a command is progress, whole or not: 1 KiB a second at least."""
ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried beside the last one (RFC 8305, 5)."""

_FAMILIES = {
    IpVersion.AUTO: socket.AF_UNSPEC,
    IpVersion.IPV4: socket.AF_INET,
    IpVersion.IPV6: socket.AF_INET6,
}

Address = tuple[int, Any]  # a family, and an address as that family writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server may take: to connect (TCP and TLS), for one answer, for everything."""

    connect: timedelta
    command: timedelta
    session: timedelta


class Stream(asyncio.Protocol):
    """One connection. After the first failure it stays failed, with the same error."""

    def __init__(
        self, endpoint: Endpoint, patience: Patience, take: Callable[[bytes], bool]
    ) -> None:
        self._endpoint = endpoint
        self._take = take
        """Takes what arrives; tells whether something whole came with it."""
        self._loop = asyncio.get_running_loop()
        self._connect_seconds = patience.connect.total_seconds()
        self._command_seconds = patience.command.total_seconds()
        self._ends_at = self._loop.time() + patience.session.total_seconds()
        self._due = float("inf")
        self._unfinished = 0  # octets since the last progress
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self.failure: ServerError | None = None
        self.phase = Phase.CONNECT
        """What the conversation is at, for errors."""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to watch the clock."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - no other is made here
        self._transport = transport
        if self._timer is None:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Hand on what arrived; wake who waits, if it was something whole."""
        if self.failure is not None:
            return
        whole = self._take(data)
        if self._waiter is None or self._waiter.done():
            return  # nobody waits, so no time runs
        self._unfinished += len(data)
        if whole:
            self._waiter.set_result(None)
        elif self._unfinished >= PROGRESS_OCTETS:
            self._unfinished = 0
            self._due = self._loop.time() + self._command_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the connection, unless it was ours."""
        if self.failure is None:
            words = describe(exc) if exc else "the server closed the connection"
            self.fail(ConnectionLost(self._endpoint.place, self.phase, words))
        self._transport = None
        self._take = bool  # lets go of the conversation, which holds us: no circle is left

    # What the conversation calls.

    async def open(self) -> None:
        """Connect, and do the TLS handshake where it comes first; raises what `connect` does."""
        await connect(self._endpoint, self._connect_seconds, self._join)

    def write(self, data: bytes) -> None:
        """Send; what cannot go out yet is kept."""
        if data and self._transport is not None and self.failure is None:
            self._transport.write(data)

    async def arrival(self) -> None:
        """Wait until something whole has come, or the connection ended; raise if it had before.

        What came with the end is so taken first.
        """
        if self.failure is not None:
            raise self.failure
        self.resume()
        self._unfinished = 0
        self._due = self._loop.time() + self._command_seconds
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.abort()  # somebody else could take our answer for his
            raise
        finally:
            self._waiter = None
            self._due = float("inf")

    def pause(self) -> None:
        """Stop reading: the kernel's buffers fill, and the server waits."""
        if not self._paused and self._transport is not None and self.failure is None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self._transport is not None and self.failure is None:
            self._paused = False
            self._transport.resume_reading()

    async def start_tls(self) -> None:
        """Do the handshake on a connection that began in clear.

        The caller has made sure that nothing has arrived since the server agreed: what is
        kept of before would pass for encrypted after (faults M1).
        """
        if self.failure is not None:
            raise self.failure
        assert self._transport is not None  # noqa: S101 - failed otherwise
        self.phase = Phase.TLS
        context = context_for(self._endpoint)
        try:
            async with asyncio.timeout(self._connect_seconds):
                self._transport = await self._loop.start_tls(
                    self._transport, self, context, server_hostname=server_name(self._endpoint)
                )
        except BaseException as exc:
            self.abort()
            if isinstance(exc, OSError):
                raise tls_failure(exc, self._endpoint) from exc
            raise
        self._check_pin()

    def _check_pin(self) -> None:
        """Drop the connection if the server's certificate is not the one that is pinned."""
        if self._transport is None:
            return
        try:
            check_pin(self._endpoint, self._transport.get_extra_info("ssl_object"))
        except TlsFailed as exc:
            self.fail(exc)
            raise

    def fail(self, error: ServerError) -> None:
        """End the connection for this reason; the first one counts."""
        if self.failure is not None:
            return
        self.failure = error
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            # No close_notify, no waiting for the peer's: after QUIT there is nothing that
            # could be cut off, and before it nothing that could be believed.
            self._transport.abort()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def abort(self) -> None:
        """Drop the connection at once."""
        if self.failure is None:
            self.fail(ConnectionLost(self._endpoint.place, self.phase, "dropped by us"))

    async def _join(self, sock: socket.socket) -> None:
        """Take over a connected socket."""
        tls = self._endpoint.security is Security.TLS
        try:
            await self._loop.create_connection(
                lambda: self,
                sock=sock,
                ssl=context_for(self._endpoint) if tls else None,
                server_hostname=server_name(self._endpoint) if tls else None,
            )
        except BaseException:
            self.abort()
            sock.close()
            raise
        if tls:
            self._check_pin()

    def _no_answer(self) -> TimedOut:
        is_silent = self.phase is Phase.GREETING and not self._unfinished
        is_clear = self._endpoint.security is not Security.TLS
        kind = NoGreeting if is_silent and is_clear else TimedOut
        words = f"no answer within {self._command_seconds:g} s"
        return kind(self._endpoint.place, self.phase, words)

    def _watch(self) -> None:
        """Look at the deadlines, and again when the next one may have passed.

        One timer for all of them, moved only when it fires: a poll costs one timer.
        """
        now = self._loop.time()
        if now >= self._ends_at:
            words = "the session took longer than it may"
            self.fail(TimedOut(self._endpoint.place, self.phase, words))
        elif now >= self._due:
            self.fail(self._no_answer())
        else:
            next_look = min(self._due, self._ends_at, now + self._command_seconds)
            self._timer = self._loop.call_at(next_look, self._watch)


async def connect(
    endpoint: Endpoint, seconds: float, wrap: Callable[[socket.socket], Awaitable[T]]
) -> T:
    """Find and reach a server; `wrap` puts a protocol, and TLS where it comes first, on top.

    Raises NameNotFound, Unreachable, TlsFailed, TimedOut, ConnectionLost; Refused for an
    authority file that cannot be read.
    """
    phase = Phase.RESOLVE
    try:
        async with asyncio.timeout(seconds):
            addresses = await find_addresses(endpoint)
            phase = Phase.CONNECT
            sock = await connect_any(addresses, endpoint.source_address)
            phase = Phase.TLS
            return await wrap(sock)
    except TimeoutError as exc:
        if phase is Phase.TLS:
            words = f"no TLS handshake within {seconds:g} s"
            raise TimedOut(endpoint.place, phase, words) from exc
        raise Unreachable(endpoint.place, phase, f"no connection within {seconds:g} s") from exc
    except (socket.gaierror, UnicodeError) as exc:
        raise NameNotFound(endpoint.place, Phase.RESOLVE, describe(exc)) from exc
    except OSError as exc:
        if phase is Phase.TLS:
            raise tls_failure(exc, endpoint) from exc
        raise Unreachable(endpoint.place, Phase.CONNECT, describe(exc)) from exc


async def find_addresses(endpoint: Endpoint) -> list[Address]:
    """Resolve the server's name; the families take turns (RFC 8305, 4)."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, endpoint.server)
        except OSError:
            continue
        return [(family, (endpoint.server, endpoint.port))]
    found = await asyncio.get_running_loop().getaddrinfo(
        endpoint.server,
        endpoint.port,
        family=_FAMILIES[endpoint.ip],
        type=socket.SOCK_STREAM,
    )
    addresses: list[Address] = [(family, address) for family, _, _, _, address in found]
    first = [a for a in addresses if a[0] == addresses[0][0]]
    second = [a for a in addresses if a[0] != addresses[0][0]]
    turns = itertools.zip_longest(first, second)
    return [address for turn in turns for address in turn if address is not None]


async def connect_any(addresses: Sequence[Address], source: str | None) -> socket.socket:
    """Connect to whichever address answers first; each gets a head start over the next.

    Raises the first address's error when none answers.
    """
    if len(addresses) == 1:
        return await _connect(addresses[0], source)
    connected: list[socket.socket] = []
    errors: list[OSError] = []
    stirred = asyncio.Event()

    async def attempt(address: Address) -> None:
        try:
            connected.append(await _connect(address, source))
        except OSError as exc:
            errors.append(exc)
        stirred.set()

    try:
        async with asyncio.TaskGroup() as attempts:
            tasks = []
            for address in addresses:
                stirred.clear()
                tasks.append(attempts.create_task(attempt(address)))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ATTEMPT_DELAY):
                        await stirred.wait()
                if connected:
                    break
            while not connected and len(errors) < len(addresses):
                stirred.clear()
                await stirred.wait()
            for task in tasks:
                task.cancel()
        if not connected:
            raise errors[0]
        return connected.pop(0)
    finally:
        for loser in connected:
            loser.close()


async def _connect(address: Address, source: str | None) -> socket.socket:
    family, target = address
    # With the protocol named, asyncio sets TCP_NODELAY; without, Nagle's algorithm holds every
    # small packet but the first for the peer's delayed ACK, 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the library's signature
        if source is not None:
            sock.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    return sock


def tls_failure(error: OSError, endpoint: Endpoint) -> ServerError:
    """Say what became of a handshake; ssl.SSLError is an OSError."""
    if isinstance(error, TimeoutError):
        return TimedOut(endpoint.place, Phase.TLS, "no TLS handshake in time")
    if isinstance(error, ssl.SSLError):
        kind, words = classify_tls_error(error), describe_tls_error(error)
        return TlsFailed(endpoint.place, Phase.TLS, words, kind)
    return ConnectionLost(endpoint.place, Phase.TLS, describe(error))


def describe(error: BaseException) -> str:
    """Return the system's own words for an error."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number in errno.errorcode:
        return os.strerror(number)  # asyncio writes "Connect call failed" over it
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
