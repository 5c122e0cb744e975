"""The door to uvicorn: serves the application on the local socket, inside our event loop.

The socket is the local command line's way in: no token, mode 0660, whoever may open it acts
as admin; `scope["client"]` names the Unix user (SO_PEERCRED).
"""

import asyncio
import contextlib
import pwd
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from syncd.errors import SyncdError

SOCKET_MODE = 0o660
_UCRED = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)


class SocketUnusable(SyncdError):
    """The local socket cannot be had."""


class _LocalProtocol(H11Protocol):
    """HTTP on the Unix socket, which knows who is at the other end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn declares the wider type
        """Remember the peer's Unix user as the client's host."""
        super().connection_made(transport)
        self.client = (peer_user(transport.get_extra_info("socket")), 0)


def peer_user(peer: socket.socket) -> str:
    """Return the login name of the process at the other end of a Unix socket."""
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid = _UCRED.unpack(credentials)[1]
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


class _EmbeddedServer(uvicorn.Server):
    """uvicorn without its signal handlers: the daemon has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class LocalServer:
    """The application on one Unix socket, from `open` to `stop`."""

    def __init__(self, app: FastAPI, path: Path) -> None:
        self._path = path
        self._server = _EmbeddedServer(
            uvicorn.Config(
                app,
                http=cast("type[asyncio.Protocol]", _LocalProtocol),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=5,
            )
        )
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Bind the socket: 0660 from the first moment, never over a living daemon's."""
        try:
            self._bind()
        except OSError as error:
            raise SocketUnusable(
                f"{self._path}: cannot listen here: {error.strerror or error}; name another "
                "place under http.socket, or give this user the folder"
            ) from error

    def _bind(self) -> None:
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        refuse_living(self._path)
        self._path.unlink(missing_ok=True)
        # The socket is born unreachable (its directory entry appears with bind) and gets its
        # mode before listen: nobody can connect in between.
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(self._path))
        self._path.chmod(SOCKET_MODE)
        sock.listen(128)
        sock.setblocking(False)  # noqa: FBT003 - the socket module knows no keyword here
        self._socket = sock

    async def run(self) -> None:
        """Serve until `stop`."""
        if self._socket is None:
            self.open()
        try:
            await self._server.serve(sockets=[cast("socket.socket", self._socket)])
        finally:
            self._path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Let requests under way end, then return from `run`."""
        self._server.should_exit = True


def refuse_living(path: Path) -> None:
    """Raise SocketUnusable when another daemon answers on this socket."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1)
    try:
        probe.connect(str(path))
    except OSError:
        return
    finally:
        probe.close()
    raise SocketUnusable(f"{path}: another syncd answers on this socket; stop it first")
