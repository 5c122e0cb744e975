"""One client's connection: moves octets between the wire and a dialogue, carries out steps.

Steps are carried out in order; while one of them waits (for time, or for a client that does
not read) nothing further is taken from what the client has sent, and the client is not read
once that has piled up. There is no task here: timers and the transport's own callbacks drive
everything, so that 100,000 sessions are cheap.
"""

import asyncio
import math
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from typing import cast

from syncd.sandbox.dialogue import Dialogue
from syncd.sandbox.steps import Close, Step, Steps, Upgrade, Wait
from syncd.sandbox.tls import TlsLayer

FLUSH_AT = 64 * 1024
"""Octets of answers that are gathered for one write."""
PILE = 256 * 1024
"""Octets a client may send ahead while it has to wait."""


class Connection(asyncio.Protocol):
    """A transport on one side, a dialogue on the other."""

    __slots__ = (
        "_blocked",
        "_closed",
        "_context",
        "_dialogue",
        "_forget",
        "_full",
        "_gathered",
        "_gathered_octets",
        "_held_back",
        "_implicit_tls",
        "_received",
        "_steps",
        "_timer",
        "_tls",
        "_transport",
    )

    def __init__(
        self,
        dialogue: Dialogue,
        context: ssl.SSLContext | None,
        forget: Callable[["Connection"], None],
        *,
        implicit_tls: bool,
    ) -> None:
        self._dialogue = dialogue
        self._context = context
        self._implicit_tls = implicit_tls
        self._forget = forget
        self._transport: asyncio.Transport | None = None
        self._tls: TlsLayer | None = None
        self._received = bytearray()
        self._steps: Iterator[Step] | None = None
        self._blocked = False  # by a Wait
        self._timer: asyncio.TimerHandle | None = None
        self._full = False  # the client does not read
        self._held_back = False  # we do not read the client
        self._gathered: list[bytes] = []
        self._gathered_octets = 0
        self._closed = False

    # ------------------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: with the handshake, or with the greeting."""
        self._transport = cast(asyncio.Transport, transport)  # start_server makes no other
        self._start((Upgrade(),) if self._implicit_tls else self._dialogue.greet())

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._tls is None:
            self._received += data
        else:
            self._decrypt(self._tls, data)
        self._go_on()

    def pause_writing(self) -> None:
        """Note that the client does not keep up with what we send."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._full = False
        self._go_on()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tidy up, whoever ended it."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._dialogue.lost()
        self._forget(self)

    def abort(self) -> None:
        """End it at once, without a word."""
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------ steps

    def _start(self, steps: Steps) -> None:
        self._steps = iter(steps)
        self._go_on()

    def _go_on(self) -> None:
        """Carry out steps and take commands until something has to be waited for."""
        while not (self._closed or self._blocked or self._full):
            if self._steps is None:
                if self._tls is not None and not self._tls.established:
                    break
                steps = self._dialogue.next(self._received)
                if steps is None:
                    break
                self._steps = iter(steps)
            step = next(self._steps, None)
            if step is None:
                self._steps = None
            else:
                self._carry_out(step)
        self._flush()
        self._mind_the_pile()

    def _carry_out(self, step: Step) -> None:
        match step:
            case bytes():
                self._gather(step)
            case Wait():
                self._wait(step.seconds)
            case Upgrade():
                self._upgrade()
            case Close():
                self._close(reset=step.reset)
            case _:
                self._flush()
                step()

    def _gather(self, data: bytes) -> None:
        self._gathered.append(data)
        self._gathered_octets += len(data)
        if self._gathered_octets >= FLUSH_AT:
            self._flush()

    def _flush(self) -> None:
        if not self._gathered or self._closed or self._transport is None:
            return
        data = b"".join(self._gathered)
        self._gathered.clear()
        self._gathered_octets = 0
        self._transport.write(data if self._tls is None else self._tls.send(data))

    def _wait(self, seconds: float) -> None:
        self._flush()
        self._blocked = True
        if seconds < math.inf:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._blocked = False
        self._go_on()

    def _close(self, *, reset: bool) -> None:
        self._flush()
        self._closed = True
        if self._transport is None:
            return
        if reset:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
            return
        if self._tls is not None:
            self._transport.write(self._tls.close())
        self._transport.close()

    def _mind_the_pile(self) -> None:
        """Stop reading a client that sends ahead while it has to wait; begin again after."""
        if self._closed or self._transport is None:
            return
        too_much = self._steps is not None and len(self._received) > PILE
        if too_much and not self._held_back:
            self._transport.pause_reading()
        elif self._held_back and not too_much:
            self._transport.resume_reading()
        self._held_back = too_much

    # ------------------------------------------------------------ TLS

    def _upgrade(self) -> None:
        """Begin TLS; what a script says of the handshake comes first."""
        self._flush()
        if self._context is None:
            self._close(reset=False)
            return
        self._steps = iter((*self._dialogue.begin_tls(), self._shake_hands))

    def _shake_hands(self) -> None:
        """From here on everything on the wire is TLS, what came early included."""
        if self._context is None or self._closed:
            return
        self._tls = TlsLayer(self._context)
        early = bytes(self._received)
        self._received.clear()
        self._decrypt(self._tls, early)

    def _decrypt(self, tls: TlsLayer, data: bytes) -> None:
        if self._transport is None or self._closed:
            return
        was_established = tls.established
        try:
            self._received += tls.receive(data)
        except ssl.SSLError:
            self._transport.write(tls.to_wire())
            self._close(reset=False)
            return
        self._transport.write(tls.to_wire())
        if tls.established and not was_established:
            self._dialogue.secured()
            if self._implicit_tls:
                self._steps = iter(self._dialogue.greet())
