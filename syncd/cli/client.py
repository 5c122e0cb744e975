"""How commands reach the facts: the daemon's local socket, or the store itself.

Both ways answer the same routes with the same JSON: without a daemon the same application
is run in this process over the store, read-only. So a reading command has one code path.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx2

from syncd.cli.exits import DaemonUnreachable, RequestFailed
from syncd.cli.output import JsonValue, remark
from syncd.errors import Refused

REQUEST_SECONDS = 3600.0
"""A poll asked for by hand may last as long as a session may (session_timeout); the daemon
ends it, not the command line."""


Parameter = str | int | list[str] | None
"""A query parameter; a list is said several times, None not at all."""


@dataclass(slots=True)
class Road:
    """An open way to the routes."""

    http: httpx2.AsyncClient

    async def get(self, path: str, **parameters: Parameter) -> JsonValue:
        """GET a route and return its JSON."""
        return await self._json("GET", path, parameters)

    async def post(
        self,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **parameters: Parameter,
    ) -> JsonValue:
        """POST to a route and return its JSON."""
        return await self._json("POST", path, parameters, body, headers)

    async def pages(self, path: str, **parameters: Parameter) -> AsyncIterator[JsonValue]:
        """Walk a list route to its end, item by item."""
        after: str | int | None = None
        while True:
            page = await self.get(path, after=after, **parameters)
            for item in page["items"]:
                yield item
            after = page["next"]
            if after is None:
                return

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """GET a route whose answer is bytes, chunk by chunk."""
        async with _told_if_lost(), self.http.stream("GET", path) as response:
            if response.status_code >= 400:
                await response.aread()
                raise RequestFailed(response.status_code, _problem(response))
            yield response.aiter_bytes()

    async def _json(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, Parameter],
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> JsonValue:
        async with _told_if_lost():
            response = await self.http.request(
                method,
                path,
                params={name: _texts(v) for name, v in parameters.items() if v is not None},
                content=body,
                headers=dict(headers or {}),
            )
        if response.status_code >= 400:
            raise RequestFailed(response.status_code, _problem(response))
        return response.json()


def mailbox_path(address: str, verb: str = "") -> str:
    """Return the route of one mailbox; raises Refused for what cannot be an address."""
    if not address.strip(". ") or not address.isprintable():
        raise Refused("ADDRESS", f"{address!r} is no address; `syncd mailbox list` names them")
    return f"/api/v1/mailboxes/{quote(address, safe='@')}" + (f"/{verb}" if verb else "")


@asynccontextmanager
async def open_road(
    config: Path, *, needs_daemon: bool, writes: bool = False
) -> AsyncIterator[Road]:
    """Open the daemon's socket; else, for commands that need none, the store itself."""
    from syncd.cli.environment import environment
    from syncd.config.load import find_socket, load_settings

    socket = await asyncio.to_thread(find_socket, config, environ=environment())
    transport = httpx2.AsyncHTTPTransport(uds=str(socket))
    async with _client(transport) as daemon:
        if await _answers(daemon):
            yield Road(daemon)
            return
    if needs_daemon:
        raise DaemonUnreachable(
            f"no daemon answers on {socket}; start it (`syncd run`, or `systemctl start syncd`)"
        )
    from syncd.daemon.offline import offline_app

    settings = await asyncio.to_thread(
        load_settings, config, environ=environment(), merely_looking=True
    )
    doing = "writing into" if writes else "reading"
    remark(f"syncd: no daemon answers on {socket}: {doing} the store itself")
    async with (
        offline_app(settings, environment(), writes=writes) as app,
        _client(httpx2.ASGITransport(app=app)) as store,
    ):
        yield Road(store)


@asynccontextmanager
async def _told_if_lost() -> AsyncIterator[None]:
    """Say in words that the daemon went away in the middle of a request."""
    try:
        yield
    except httpx2.TransportError as exc:
        raise DaemonUnreachable(
            f"the daemon went away before it had answered ({type(exc).__name__}); what was "
            "asked for may have been done: look before you ask again"
        ) from exc


def _client(transport: httpx2.AsyncBaseTransport) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=transport,
        base_url="http://syncd",
        timeout=httpx2.Timeout(REQUEST_SECONDS, connect=5),
    )


async def _answers(client: httpx2.AsyncClient) -> bool:
    """Whether a daemon is at the other end; PermissionError is told, not hidden."""
    try:
        await client.get("/healthz", timeout=5)
    except httpx2.TransportError as exc:
        if "Permission denied" in str(exc):
            raise DaemonUnreachable(
                "the daemon's socket may not be opened by this user; "
                "join the group `syncd` or use sudo"
            ) from exc
        return False
    return True


def _texts(parameter: str | int | list[str]) -> str | list[str]:
    return parameter if isinstance(parameter, list) else str(parameter)


def _problem(response: httpx2.Response) -> Mapping[str, JsonValue]:
    try:
        problem = response.json()
    except ValueError:
        return {"detail": response.text}
    return problem if isinstance(problem, Mapping) else {"detail": str(problem)}
