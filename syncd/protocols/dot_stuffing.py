"""A message as it crosses SMTP's DATA: CRLF line ends, dots doubled, piece by piece.

RFC 5321 4.5.2 (transparency) and 2.3.8 (no bare CR or LF). A line end that a lax server would
take for one is made a real one first, so that no server can find the end of the message
where we do not (SMTP smuggling, faults 61).
"""


def with_crlf(text: bytes) -> bytes:
    """Make every bare CR and every bare LF a CRLF."""
    # Counting is faster still than replacing, and stored messages are clean.
    if text.count(b"\r\n") == text.count(b"\n") == text.count(b"\r"):
        return text
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


class DotStuffer:
    """Turns pieces of a message, cut anywhere, into pieces for the wire.

    The final dot is not among them: it is the sender's own step.
    """

    __slots__ = ("_at_line_start", "_held")

    def __init__(self) -> None:
        self._at_line_start = True
        self._held = b""  # a CR at a piece's end: only the next piece tells whether it is bare

    def feed(self, piece: bytes) -> bytes:
        """Return what may be sent of all that was fed so far."""
        piece = self._held + piece
        self._held = b"\r" if piece.endswith(b"\r") else b""
        return self._encode(piece[: len(piece) - len(self._held)])

    def finish(self) -> bytes:
        """Return the rest, so that the whole ends with CRLF."""
        rest = self._encode(self._held)
        self._held = b""
        return rest if self._at_line_start else rest + b"\r\n"

    def _encode(self, piece: bytes) -> bytes:
        if not piece:
            return piece
        piece = with_crlf(piece)
        starts_line, self._at_line_start = self._at_line_start, piece.endswith(b"\r\n")
        stuffed = piece.replace(b"\r\n.", b"\r\n..")
        return b"." + stuffed if starts_line and stuffed.startswith(b".") else stuffed
