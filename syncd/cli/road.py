"""Running a command's coroutine over an open road, for command modules."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import typer

from syncd.cli.client import Road, open_road
from syncd.cli.exits import Exit, RequestFailed
from syncd.cli.output import JsonValue, plain, remark
from syncd.errors import Refused

T = TypeVar("T")


def over_road(config: Path, work: Callable[[Road], Awaitable[T]], *, needs_daemon: bool) -> T:
    """Open the road, run `work` over it, close it, return what it brought."""

    async def walk() -> T:
        async with open_road(config, needs_daemon=needs_daemon) as road:
            return await work(road)

    return asyncio.run(walk())


@dataclass(slots=True)
class Results:
    """What came of asking the same of several objects: one failure stops only itself."""

    items: list[JsonValue] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def end(self) -> None:
        """Say what failed, and exit with status 1 if anything did."""
        for failure in self.failures:
            remark(f"syncd: {plain(failure)}")
        if self.failures:
            raise typer.Exit(Exit.FAILED)


async def ask_each(names: Iterable[str], ask: Callable[[str], Awaitable[JsonValue]]) -> Results:
    """Ask for one object after the other; what is refused does not stop the rest."""
    results = Results()
    for name in names:
        try:
            results.items.append(await ask(name))
        except (RequestFailed, Refused) as error:
            results.failures.append(f"{name}: {error}")
    return results
