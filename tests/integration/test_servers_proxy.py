"""The proxy that other tests cut and delay with does exactly that, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from syncd.clock import SystemClock
from tests.support.proxy import Ending, Proxy, Way

BLOCK = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
async def echo() -> AsyncIterator[tuple[str, int]]:
    """A server that says back what it hears, and ends when its client does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[:2]


async def exchange(proxy: Proxy, sent: bytes) -> tuple[bytes, bool]:
    """Send, say that this is all, and return what came back and whether the connection was reset."""
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    got, reset = bytearray(), False
    async with asyncio.TaskGroup() as both:
        both.create_task(send(writer, sent))
        try:
            while chunk := await reader.read(65536):
                got += chunk
        except ConnectionResetError:
            reset = True
    writer.close()
    return bytes(got), reset


async def send(writer: asyncio.StreamWriter, sent: bytes) -> None:
    try:
        writer.write(sent)
        await writer.drain()
        writer.write_eof()
    except OSError:
        return


async def test_bytes_pass_unchanged_and_are_counted(echo: tuple[str, int]) -> None:
    async with Proxy(*echo) as road:
        assert await exchange(road, BLOCK) == (BLOCK, False)
        assert await exchange(road, b"x") == (b"x", False)
        assert road.passed(Way.TO_SERVER) == road.passed(Way.TO_CLIENT) == len(BLOCK) + 1
        assert road.connections == 2


@pytest.mark.parametrize("after", [0, 1, 5, 65536, 65537, len(BLOCK) - 1])
@pytest.mark.parametrize("ending", Ending)
async def test_the_client_gets_exactly_the_bytes_before_the_cut(
    echo: tuple[str, int], after: int, ending: Ending
) -> None:
    async with Proxy(*echo) as road:
        road.cut_next(Way.TO_CLIENT, after=after, ending=ending)
        got, reset = await exchange(road, BLOCK)
        assert got == BLOCK[:after]
        if ending is Ending.RESET:
            assert reset
        assert await exchange(road, BLOCK) == (BLOCK, False)


async def test_the_server_gets_exactly_the_bytes_before_the_cut(echo: tuple[str, int]) -> None:
    async with Proxy(*echo) as road:
        road.cut_next(Way.TO_SERVER, after=1000)
        await exchange(road, BLOCK)
        assert road.passed(Way.TO_SERVER) == 1000


async def test_a_delay_holds_both_ways_without_narrowing_the_road(
    echo: tuple[str, int],
) -> None:
    clock = SystemClock()
    async with Proxy(*echo, delay=timedelta(milliseconds=100)) as road:
        started = clock.monotonic()
        assert await exchange(road, BLOCK) == (BLOCK, False)
        assert 0.2 <= clock.monotonic() - started < 2  # 16 chunks one after the other: over 3 s


async def test_swallowed_bytes_reach_nobody_and_the_connection_stays(
    echo: tuple[str, int],
) -> None:
    async with Proxy(*echo) as road:
        reader, writer = await asyncio.open_connection(road.host, road.port)
        writer.write(b"heard")
        assert await reader.readexactly(5) == b"heard"
        road.swallow()
        writer.write(b"lost")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)
        road.let_through()
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        writer.close()


async def test_dropping_ends_what_is_open(echo: tuple[str, int]) -> None:
    async with Proxy(*echo) as road:
        reader, writer = await asyncio.open_connection(road.host, road.port)
        writer.write(b"x")
        await reader.readexactly(1)
        road.drop_all()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()


async def test_nobody_behind_the_proxy_ends_the_connection(
    unused_tcp_port: int,
) -> None:
    async with Proxy("127.0.0.1", unused_tcp_port) as road:
        assert (await exchange(road, b""))[0] == b""
