"""Running a command's coroutine over an open road, for command modules."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from syncd.cli.client import Road, open_road

T = TypeVar("T")


def over_road(config: Path, work: Callable[[Road], Awaitable[T]], *, needs_daemon: bool) -> T:
    """Open the road, run `work` over it, close it, return what it brought."""

    async def walk() -> T:
        async with open_road(config, needs_daemon=needs_daemon) as road:
            return await work(road)

    return asyncio.run(walk())
