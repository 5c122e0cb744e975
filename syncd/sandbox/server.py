"""The sandbox itself: two listeners over one post office.

async with Sandbox() as sandbox:
    sandbox.open("ann@demo.example", "secret")
    sandbox.deposit("ann@demo.example", b"Subject: hello\r\n\r\nHi.\r\n")
    sandbox.misbehave(Misbehaviour(on="RETR", act=Drop(), times=1))
    ...  # sandbox.pop3_port, sandbox.smtp_port
"""

import asyncio
import ssl
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from syncd.clock import Clock, SystemClock
from syncd.sandbox.connection import Connection
from syncd.sandbox.dialogue import Dialogue, House
from syncd.sandbox.maildrops import Mail, Maildrop, PostOffice
from syncd.sandbox.misbehaviour import Misbehaviour, Rules
from syncd.sandbox.pop3 import Pop3Dialogue
from syncd.sandbox.smtp import SmtpDialogue
from syncd.sandbox.witness import Service, Unwatched, Witness

BACKLOG = 1024
"""Connections that may wait to be accepted: a thousand mailboxes can come due at once."""


class Security(StrEnum):
    """How TLS comes about; with STARTTLS nobody may log in before it."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where a sandbox listens and what it offers; port 0 takes a free one."""

    host: str = "127.0.0.1"
    pop3_port: int = 0
    smtp_port: int = 0
    security: Security = Security.NONE
    tls: ssl.SSLContext | None = None
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN", "CRAM-MD5")
    largest_message: int = 256 * 1024 * 1024
    lax_dot: bool = False


class Sandbox:
    """A POP3 server and a submission server in this process, for as long as it is entered."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        witness: Witness | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.office = PostOffice()
        self.witness: Witness = witness or Unwatched()
        self._house = House(
            office=self.office,
            rules=Rules(),
            witness=self.witness,
            clock=clock or SystemClock(),
            offer_tls=self.settings.security is Security.STARTTLS,
            mechanisms=self.settings.mechanisms,
            largest_message=self.settings.largest_message,
            lax_dot=self.settings.lax_dot,
        )
        self._connections: dict[Service, set[Connection]] = {s: set() for s in Service}
        self._servers: list[asyncio.Server] = []
        self.host = self.settings.host
        self.pop3_port = self.settings.pop3_port
        self.smtp_port = self.settings.smtp_port
        self.most_open: dict[Service, int] = dict.fromkeys(Service, 0)
        """The most connections that were ever open at once."""

    # ------------------------------------------------------------ maildrops and misbehaviour

    def open(self, address: str, password: str, username: str | None = None) -> Maildrop:
        """Make a maildrop; the login name is the address unless another is given."""
        return self.office.open(address, password, username)

    def deposit(self, address: str, body: bytes, uid: str | None = None) -> Mail:
        """Put a message into a maildrop, seen by sessions that log in from now on."""
        drop = self.drop(address)
        mail = drop.deposit(body, uid)
        self.witness.deposited(drop.address, mail)
        return mail

    def drop(self, address: str) -> Maildrop:
        """Return the maildrop of a local address; KeyError where there is none."""
        drop = self.office.at(address)
        if drop is None:
            raise KeyError(address)
        return drop

    def misbehave(self, *rules: Misbehaviour) -> None:
        """Put rules in force, for connections that are open too."""
        for rule in rules:
            self._house.rules.add(rule)

    def behave(self) -> None:
        """Take all rules out of force."""
        self._house.rules.forget()

    def open_now(self, service: Service) -> int:
        """Count the connections of the moment."""
        return len(self._connections[service])

    def hang_up(self) -> None:
        """Drop every connection, as a server that is restarted does; go on listening."""
        for connections in self._connections.values():
            for connection in connections.copy():
                connection.abort()

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        """Listen; OSError where a port is taken."""
        self.pop3_port = await self._listen(Service.POP3, self.pop3_port)
        self.smtp_port = await self._listen(Service.SMTP, self.smtp_port)

    async def close(self) -> None:
        """Stop listening, drop every connection. Maildrops stay, and `start` works again."""
        for server in self._servers:
            server.close()
        self.hang_up()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _listen(self, service: Service, port: int) -> int:
        server = await asyncio.get_running_loop().create_server(
            lambda: self._connect(service), self.host, port, backlog=BACKLOG
        )
        self._servers.append(server)
        chosen: int = server.sockets[0].getsockname()[1]
        return chosen

    def _connect(self, service: Service) -> Connection:
        connections = self._connections[service]
        connection = Connection(
            self._dialogue(service),
            self.settings.tls,
            lambda gone: self._forget(service, gone),
            implicit_tls=self.settings.security is Security.TLS,
        )
        connections.add(connection)
        self._house.open_now[service] = len(connections)
        self.most_open[service] = max(self.most_open[service], len(connections))
        return connection

    def _dialogue(self, service: Service) -> Dialogue:
        kind = Pop3Dialogue if service is Service.POP3 else SmtpDialogue
        return kind(self._house)

    def _forget(self, service: Service, gone: Connection) -> None:
        self._connections[service].discard(gone)
        self._house.open_now[service] = len(self._connections[service])


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Read a certificate chain and its key from files, TLS 1.2 and later."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
