"""What `syncd run` runs: polling, sending, and the local socket, over the wired parts."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.metadata import version
from typing import Any

from syncd.api.app import build_app
from syncd.api.server import LocalServer
from syncd.api.views import moment
from syncd.config.schema import Settings
from syncd.daemon.wire import Parts, open_parts
from syncd.mailboxes.lifecycle import State
from syncd.model.mailbox import Direction
from syncd.scheduler.book import Entry
from syncd.scheduler.janitor import Janitor
from syncd.store.database import Database


@asynccontextmanager
async def open_daemon(
    settings: Settings, environ: Mapping[str, str]
) -> AsyncIterator["Daemon"]:
    """Open everything that `syncd run` runs."""
    async with open_parts(settings, environ) as parts:
        daemon = Daemon(parts)
        daemon.listen()
        yield daemon


class Daemon:
    """The running whole: poller, dispatcher, keeper, janitor, local socket."""

    def __init__(self, parts: Parts) -> None:
        self.book = parts.book
        self.poller = parts.poller
        self.dispatcher = parts.dispatcher
        self._parts = parts
        self._started_at = parts.clock.now()
        self._janitor = Janitor(parts.db, parts.clock)
        self._server = LocalServer(build_app(self, version("syncd")), parts.plan.socket)

    def introduce(self) -> Mapping[str, Any]:
        """Say who runs here, for the log."""
        waiting = sum(
            e.standing(Direction.INCOMING).state is State.UNAPPROVED for e in self.book
        )
        parked = sum(entry.mailbox is None for entry in self.book)
        return {
            "version": version("syncd"),
            "instance": self._parts.plan.instance,
            "process": os.getpid(),
            "store": str(self._parts.plan.store),
            "socket": str(self._parts.plan.socket),
            "mailboxes": len(self.book) - parked,
            "waiting_for_approval": waiting,
            "parked": parked,
        }

    def listen(self) -> None:
        """Take the local socket; raises SocketUnusable before anything has begun."""
        self._server.open()

    async def work(self) -> None:
        """Poll, send and serve until `stop`, then return when what was begun has ended."""
        await self.poller.plan_all()
        await self.dispatcher.plan_all()
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(self._parts.keeper.run()),
                tasks.create_task(self._janitor.run()),
            ]
            serving = tasks.create_task(self._server.run())
            async with asyncio.TaskGroup() as rounds:
                rounds.create_task(self.poller.run())
                rounds.create_task(self.dispatcher.run())
            self._server.stop()
            await serving
            for task in background:
                task.cancel()

    def stop(self) -> None:
        """Start nothing new."""
        self.poller.stop()
        self.dispatcher.stop()

    # -- what the routes need (api.desk.Desk) ----------------------------------------------

    @property
    def db(self) -> Database:
        """The store."""
        return self._parts.db

    @property
    def largest_message(self) -> int:
        """Octets of the largest message that may be queued."""
        return self._parts.plan.max_message_size

    def now(self) -> datetime:
        """Return the present moment."""
        return self._parts.clock.now()

    async def facts(self) -> Mapping[str, Any]:
        """Show the process itself."""
        health = self._parts.db.health()
        return {
            "version": version("syncd"),
            "instance": self._parts.plan.instance,
            "daemon": True,
            "started_at": moment(self._started_at),
            "polling": self.poller.running,
            "sending": self.dispatcher.running,
            "connections": self._parts.tools.dialer.slots.in_use(),
            "store": {
                "path": str(health.path),
                "bytes": health.store_bytes,
                "free_bytes": health.free_bytes,
                "full": health.full,
            },
        }

    async def poll(self, entry: Entry) -> Mapping[str, Any]:
        """Poll one mailbox now, or join the poll under way."""
        return await self.poller.poll_now(entry)

    async def approval_changed(self, entry: Entry) -> None:
        """Let an approved mailbox start; one that is not any more stops with its cycle."""
        self.poller.plan_now(entry)
        self.dispatcher.wake(entry.record.id)

    def outgoing_changed(self, entry: Entry) -> None:
        """Look after this mailbox's queue."""
        self.dispatcher.wake(entry.record.id)

    def listing_doubted(self, entry: Entry) -> None:
        """Look at this mailbox anew, and soon."""
        self.poller.forget_listing(entry.record.id)
        self.poller.plan_now(entry)
