"""TLS over memory: what is said before, during and after the handshake stays in our hands.

asyncio's own start_tls is a coroutine and keeps octets that came before the handshake; a
sandbox that scripts both needs neither a task nor that surprise.
"""

import ssl
from contextlib import suppress

CHUNK = 64 * 1024


class TlsLayer:
    """The server's end of one TLS connection, without a socket."""

    __slots__ = ("_from_wire", "_tls", "_to_wire", "established")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._from_wire = ssl.MemoryBIO()
        self._to_wire = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._from_wire, self._to_wire, server_side=True)
        self.established = False

    def receive(self, data: bytes) -> bytes:
        """Take what the wire brought and return what it means; ssl.SSLError if nothing.

        Before and after the call `to_wire` may have something to send, an alert included.
        """
        self._from_wire.write(data)
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            return self._read_all()
        except ssl.SSLWantReadError:
            return b""

    def send(self, data: bytes) -> bytes:
        """Encrypt, and return what goes on the wire."""
        if data:
            self._tls.write(data)
        return self._to_wire.read()

    def to_wire(self) -> bytes:
        """Return what TLS itself has to say."""
        return self._to_wire.read()

    def close(self) -> bytes:
        """Say close_notify, as a polite server does."""
        with suppress(ssl.SSLError):  # the client's own close_notify is not waited for
            self._tls.unwrap()
        return self._to_wire.read()

    def _read_all(self) -> bytes:
        pieces = []
        # The end of TLS must not swallow what came before it in the same segment.
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while piece := self._tls.read(CHUNK):
                pieces.append(piece)
        return b"".join(pieces)
