"""Finding and opening a connection: each way to fail has its own error, none takes for ever."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.connections.stream import (
    ATTEMPT_DELAY,
    Address,
    Patience,
    Stream,
    connect_any,
    find_addresses,
)
from syncd.errors import ConnectionLost, NameNotFound, Phase, TimedOut, Unreachable
from syncd.model.profile import IpVersion
from tests.support.pop3_client import pop3_endpoint
from tests.support.scripted import HOST, Drip, Hang, Hear, Say, scripted

PATIENCE = Patience(
    connect=timedelta(seconds=5), command=timedelta(seconds=5), session=timedelta(seconds=30)
)
QUICK = replace(PATIENCE, command=timedelta(seconds=0.1))
V4, V6 = socket.AF_INET, socket.AF_INET6


@asynccontextmanager
async def opened(
    port: int, take: Callable[[bytes], bool] = bool, patience: Patience = PATIENCE
) -> AsyncIterator[Stream]:
    connection = Stream(pop3_endpoint(port), patience, take)
    await connection.open()
    try:
        yield connection
    finally:
        connection.abort()


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


# Opening.


async def test_a_refused_connection_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="Connection refused"):
        await Stream(pop3_endpoint(unused_port()), PATIENCE, bool).open()


@pytest.mark.parametrize("name", ["no-such-name.invalid", "x" * 70 + ".example", "a..b"])
async def test_a_name_without_an_address_is_not_found(name: str) -> None:
    endpoint = replace(pop3_endpoint(110), server=name)
    with pytest.raises(NameNotFound) as found:
        await Stream(endpoint, PATIENCE, bool).open()
    assert found.value.phase is Phase.RESOLVE
    assert found.value.words


async def test_a_server_that_never_accepts_is_unreachable_in_time() -> None:
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:  # fill the queue of connections nobody accepts
            each.setblocking(False)
            each.connect_ex((HOST, port))
        quick = replace(PATIENCE, connect=timedelta(seconds=0.1))
        with pytest.raises(Unreachable, match=r"no connection within 0\.1 s"):
            await Stream(pop3_endpoint(port), quick, bool).open()
        for each in waiting:
            each.close()


async def test_a_source_address_that_is_not_ours_is_unreachable() -> None:
    endpoint = replace(pop3_endpoint(unused_port()), source_address="192.0.2.1")
    with pytest.raises(Unreachable):
        await Stream(endpoint, PATIENCE, bool).open()


async def test_the_source_address_is_the_one_asked_for() -> None:
    async with scripted([Hang()]) as server:
        endpoint = replace(pop3_endpoint(server.port), source_address="127.0.0.3")
        connection = Stream(endpoint, PATIENCE, bool)
        await connection.open()
        assert connection._transport is not None
        assert connection._transport.get_extra_info("sockname")[0] == "127.0.0.3"
        connection.abort()


# Addresses.


async def test_an_address_is_not_looked_up() -> None:
    assert await find_addresses(pop3_endpoint(110)) == [(V4, (HOST, 110))]
    six = replace(pop3_endpoint(110), server="::1")
    assert await find_addresses(six) == [(V6, ("::1", 110))]


async def test_only_addresses_of_the_version_asked_for_are_used() -> None:
    endpoint = replace(pop3_endpoint(110), server="localhost", ip=IpVersion.IPV4)
    assert {family for family, _ in await find_addresses(endpoint)} == {V4}


async def test_the_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lookup(
        *_: object, **__: object
    ) -> list[tuple[socket.AddressFamily, int, int, str, str]]:
        return [(V6, 0, 0, "", name) for name in "ab"] + [
            (V4, 0, 0, "", name) for name in "xyz"
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
    found = await find_addresses(replace(pop3_endpoint(110), server="dual.example"))
    assert [address for _, address in found] == ["a", "x", "b", "y", "z"]


async def test_a_dead_address_hands_over_to_the_next_at_once() -> None:
    """Faults 83: round robin with one dead node."""
    async with scripted([]) as server:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        addresses: list[Address] = [(V4, (HOST, unused_port())), (V4, (HOST, server.port))]
        connection = await connect_any(addresses, None)
        assert connection.getpeername()[1] == server.port
        assert loop.time() - begun < ATTEMPT_DELAY
        connection.close()


async def test_a_silent_address_hands_over_after_its_head_start() -> None:
    """Faults 82: an IPv6 that is a black hole costs a quarter of a second."""
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex((HOST, port))
        async with scripted([]) as server:
            addresses: list[Address] = [(V4, (HOST, port)), (V4, (HOST, server.port))]
            connection = await connect_any(addresses, None)
            assert connection.getpeername()[1] == server.port
            connection.close()
        for each in waiting:
            each.close()


async def test_when_no_address_answers_the_first_ones_error_counts() -> None:
    addresses: list[Address] = [(V4, (HOST, unused_port())), (V6, ("192.0.2.1", 1))]
    with pytest.raises(ConnectionRefusedError):
        await connect_any(addresses, None)


# Deadlines.


async def test_silence_ends_at_the_time_of_a_command() -> None:
    async with scripted([Hang()]) as server, opened(server.port, patience=QUICK) as connection:
        with pytest.raises(TimedOut, match=r"no answer within 0\.1 s"):
            await wait_for_failure(connection)


async def test_a_drip_moves_no_deadline() -> None:
    """Faults 24: bytes keep coming, nothing whole comes."""
    async with (
        scripted([Drip(b"x" * 1000, seconds=0.01)]) as server,
        opened(server.port, take=lambda _: False, patience=QUICK) as connection,
    ):
        with pytest.raises(TimedOut, match="no answer"):
            await wait_for_failure(connection)


async def test_what_is_large_and_keeps_coming_is_waited_for() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(5):
            writer.write(bytes(70_000))
            await writer.drain()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.06):
                    await asyncio.Event().wait()
        writer.write(b"end")
        writer.close()

    def whole(data: bytes) -> bool:
        return data.endswith(b"end")

    server = await asyncio.start_server(trickle, HOST, 0)
    async with server, opened(server.sockets[0].getsockname()[1], whole, QUICK) as connection:
        await connection.arrival()


async def test_a_session_ends_in_time_even_if_every_answer_comes() -> None:
    patience = replace(PATIENCE, session=timedelta(seconds=0.2))
    async with (
        scripted([Drip(b"x" * 1000, seconds=0.01)]) as server,
        opened(server.port, patience=patience) as connection,
    ):
        with pytest.raises(TimedOut, match="the session took longer"):
            await wait_for_failure(connection)


async def test_nobody_who_is_busy_elsewhere_is_timed_out() -> None:
    """The command's clock runs while somebody waits for an answer, not while he stores one."""
    async with (
        scripted([Hear(b"?"), Say(b"!"), Hang()]) as server,
        opened(server.port, patience=QUICK) as connection,
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asyncio.Event().wait()
        connection.write(b"?")
        await connection.arrival()


async def test_nobody_who_has_not_taken_what_came_is_timed_out() -> None:
    """An answer that came while he was busy starts no clock either."""
    async with (
        scripted([Say(b"one"), Hear(b"?"), Say(b"two"), Hang()]) as server,
        opened(server.port, patience=QUICK) as connection,
    ):
        await connection.arrival()
        connection.write(b"?")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asyncio.Event().wait()
        assert connection.failure is None


# The end.


async def test_a_lost_connection_stays_lost() -> None:
    async with scripted([Say(b"bye"), Hang()]) as server, opened(server.port) as connection:
        await connection.arrival()
        connection.phase = Phase.FETCH
        connection.abort()
        connection.write(b"into the void")
        connection.pause()
        connection.resume()
        for _ in range(2):
            with pytest.raises(ConnectionLost, match="fetch: dropped by us"):
                await connection.arrival()


async def test_a_cancelled_wait_drops_the_connection() -> None:
    async with scripted([Hang()]) as server, opened(server.port) as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await connection.arrival()
        assert connection.failure is not None
        await server.left.wait()


async def wait_for_failure(connection: Stream) -> None:
    while True:
        await connection.arrival()
