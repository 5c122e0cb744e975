"""Byte counters in front of a server, run beside the benchmark in a thread of their own."""

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Self

from tests.support.proxy import Proxy, Way


class Wire:
    """Proxies on fixed ports; `count` returns what passed since it was asked last."""

    def __init__(
        self, host: str, ports: Mapping[int, int], *, delay: timedelta = timedelta(0)
    ) -> None:
        self._proxies = [
            Proxy(host, target, host=host, port=port, delay=delay)
            for port, target in ports.items()
        ]
        self._seen = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise TimeoutError("the byte counters did not start")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def count(self) -> int:
        """Return the payload octets in both directions since the last call."""
        total = sum(proxy.passed(way) for proxy in self._proxies for way in Way)
        fresh, self._seen = total - self._seen, total
        return fresh

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as open_ports:
            for proxy in self._proxies:
                await open_ports.enter_async_context(proxy)
            self._ready.set()
            await self._over.wait()
