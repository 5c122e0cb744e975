"""The demo's application: reads what syncd has stored, answers some of it, over HTTP.

It does what a helpdesk would: it remembers how far it has read, hands replies over under an
idempotency key, and tries again with the same key until the daemon has acknowledged. It uses
the standard library's HTTP client, as an outsider who knows nothing of syncd's inside.
"""

import asyncio
import json
import socket
from collections import deque
from collections.abc import Mapping
from email.utils import parseaddr
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from syncd.cli.demo_ledger import Ledger
from syncd.cli.demo_world import ELSEWHERE, Reply, write_reply
from syncd.clock import Clock

READ_EVERY = 0.5
TRY_AGAIN_AFTER = 0.3
ANSWER_SECONDS = 10
PAGE = 200
PASSING = (429, 500, 503, 507)
"""HTTP statuses after which the same request is simply made again."""

Json = Mapping[str, Any]  # JSON as the daemon sends it


class DaemonAway(Exception):
    """Nobody answers on the socket, or stopped in the middle: killed, or starting."""


class _UnixConnection(HTTPConnection):
    """HTTP over the daemon's local socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket in place of a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_SECONDS)
        self.sock.connect(str(self._path))


async def ask(
    path: Path,
    method: str,
    route: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Json]:
    """Make one request; raises DaemonAway when no whole answer came."""

    def talk() -> tuple[int, Json]:
        connection = _UnixConnection(path)
        try:
            connection.request(method, route, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as exc:
            raise DaemonAway(str(exc)) from exc
        finally:
            connection.close()

    return await asyncio.to_thread(talk)


class Application:
    """Reads and answers; all it remembers is how far it has read and what it has in hand."""

    def __init__(
        self,
        socket_path: Path,
        ledger: Ledger,
        dice: Random,
        clock: Clock,
        answered: asyncio.Event,
    ) -> None:
        self._socket = socket_path
        self._answered = answered
        self._ledger = ledger
        self._dice = dice
        self._clock = clock
        self._read_up_to = 0
        self._to_hand_over: deque[Reply] = deque()
        self.pulled: dict[str, int] = {}
        """How many stored messages it has seen, by mailbox."""
        self.waiting: int | None = 0
        """Messages of the queue that still wait for their last answer; None: not asked yet."""
        self.alerts: tuple[str, ...] = ()
        self.restless = True
        """Whether it still answers what it reads."""

    @property
    def idle(self) -> bool:
        """Whether everything it has written was acknowledged."""
        return not self._to_hand_over

    async def run(self) -> None:
        """Read and answer until cancelled."""
        while True:
            try:
                await self.read()
                await self.hand_over()
                await self.look_around()
                self._answered.set()
            except DaemonAway:
                await self._clock.sleep(TRY_AGAIN_AFTER)
            else:
                await self._clock.sleep(READ_EVERY)

    async def read(self) -> None:
        """Read what was stored since the last time; write replies to some of it."""
        while True:
            route = f"/api/v1/messages?after={self._read_up_to}&limit={PAGE}"
            _, page = await ask(self._socket, "GET", route)
            for item in page["items"]:
                self._read_one(item)
            if len(page["items"]) < PAGE:
                return

    def _read_one(self, item: Json) -> None:
        self._read_up_to = max(self._read_up_to, item["id"])
        address: str = item["address"]
        self.pulled[address] = self.pulled.get(address, 0) + 1
        writer = parseaddr(item["from"])[1]
        from_outside = writer.endswith(f"@{ELSEWHERE}")
        if not (self.restless and from_outside and self._dice.randrange(3)):
            return
        reply = write_reply(
            self._dice,
            self._clock.now(),
            message_id=item["id"],
            mailbox=address,
            to=writer,
            subject=item["subject"],
            in_reply_to=item.get("message_id"),
        )
        self._ledger.offer(reply)
        self._to_hand_over.append(reply)

    async def hand_over(self) -> None:
        """Queue what was written; a reply stays in hand until the daemon acknowledges it."""
        while self._to_hand_over:
            reply = self._to_hand_over[0]
            status, answer = await ask(
                self._socket,
                "POST",
                f"/api/v1/mailboxes/{quote(reply.mailbox, safe='@')}/outgoing",
                reply.octets,
                {"Content-Type": "message/rfc822", "Idempotency-Key": reply.key},
            )
            if status in PASSING:
                raise DaemonAway(str(answer))
            self._to_hand_over.popleft()
            self.waiting = None
            if status == 202:
                self._ledger.acknowledge(reply, answer["id"])
            else:
                self._ledger.turned_down.append(f"{reply.key}: {status} {answer.get('detail')}")

    async def look_around(self) -> None:
        """Ask how many messages wait in the queue, and which alerts are open."""
        _, status = await ask(self._socket, "GET", "/api/v1/status")
        self.waiting = sum(
            n
            for state, n in status["queue"].items()
            if state in {"pending_send", "sending", "outcome_unknown"}
        )
        self.alerts = tuple(alert["text"] for alert in status["alerts"])
