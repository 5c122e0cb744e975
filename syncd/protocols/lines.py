"""Lines and blocks of lines as POP3 sends them: where they end, dots undone, nothing per line.

A block is what follows a status line in a multi-line reply (RFC 1939, 3): lines, then one
with a lone dot. Lines of the block that begin with a dot carry one dot more on the wire.

Rule 1: the bytes of a block are the server's own. Bare CR, bare LF and NUL stay where they are.
Rule 2: only a server whose status line ended with a bare LF may end a block with one. To take
        LF.LF from any server would let the sender of a message end it early and write the next
        reply himself.
"""

from dataclasses import dataclass

STATUS_OCTETS = 2048
"""Octets of a status line. RFC 2449 allows 512; providers with long excuses send more."""


class LineTooLong(Exception):
    """No line end came within the limit."""


@dataclass(frozen=True, slots=True)
class LineEnds:
    """How a server ends its lines, and what follows from it for a block."""

    eol: bytes
    ends: tuple[bytes, ...]
    """What may end a block: the end of its last line, the dot, a line end."""
    stuffed: bytes
    """A line end and the dot that was added to the next line."""
    unfinished: tuple[bytes, ...]
    """How data may stop in the middle of one of `ends`; the longest first."""


CRLF = LineEnds(b"\r\n", (b"\r\n.\r\n",), b"\r\n.", (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r"))
BARE_LF = LineEnds(b"\n", (b"\n.\n", b"\n.\r\n"), b"\n.", (b"\n.\r", b"\n.", b"\n"))


def find_line_end(data: bytes, start: int, limit: int = STATUS_OCTETS) -> int:
    """Return where the LF of the line at `start` is, -1 while there is none.

    Raises LineTooLong when `limit` octets hold no line end.
    """
    found = data.find(b"\n", start, start + limit)
    if found < 0 and len(data) - start >= limit:
        raise LineTooLong
    return found


class Block:
    """One block on its way in.

    It is fed from the status line's own line end on: the end of an empty block, and a dot at
    the very beginning, are then found like every other.
    """

    __slots__ = ("_begun", "_ends", "_pieces", "_rest", "held", "octets")

    def __init__(self, ends: LineEnds) -> None:
        self._ends = ends
        self._pieces: list[bytes] = []
        self._rest = b""  # may be the beginning of the end
        self._begun = False
        self.octets = 0
        """How much of the block has come, dots undone."""
        self.held = 0
        """How much of that waits to be taken."""

    def feed(self, data: bytes, start: int = 0) -> int:
        """Take what belongs to the block of data[start:]; return where it ended, or -1."""
        begin, shift = start, 0
        if self._rest:
            begin, shift = 0, start - len(self._rest)
            data = self._rest + data[start:]
            self._rest = b""
        end, length = self._find_end(data, begin)
        if end >= 0:
            self._keep(data, begin, end + len(self._ends.eol))
            return end + length + shift
        stop = len(data)
        if data.endswith(self._ends.unfinished, begin):
            stop -= next(len(u) for u in self._ends.unfinished if data.endswith(u, begin))
        self._keep(data, begin, stop)
        self._rest = data[stop:]
        return -1

    def take(self, most: int | None = None) -> bytes:
        """Return what has come since it was last asked for, or only the first `most` octets."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        if most is not None and len(taken) > most:
            self._pieces.append(taken[most:])
            taken = taken[:most]
        self.held -= len(taken)
        return taken

    def _find_end(self, data: bytes, start: int) -> tuple[int, int]:
        """Find the earliest end: where its last line's own end begins, and how long it is."""
        found, length = -1, 0
        for end in self._ends.ends:
            at = data.find(end, start, found + len(end) - 1 if found >= 0 else len(data))
            if at >= 0:
                found, length = at, len(end)
        return found, length

    def _keep(self, data: bytes, start: int, stop: int) -> None:
        if start >= stop:
            return
        if not self._begun:
            self._begun = True
            start += len(self._ends.eol)
            if start < stop and data.startswith(b".", start):
                start += 1
        piece = undone(data[start:stop], self._ends.stuffed)
        self.octets += len(piece)
        self.held += len(piece)
        self._pieces.append(piece)


def undone(piece: bytes, stuffed: bytes = CRLF.stuffed) -> bytes:
    """Take the added dots out of `piece`, which neither begins nor ends in the middle of one."""
    # One search and two copies; bytes.replace searches twice, and searching is what costs.
    lines = piece.split(stuffed)
    return piece if len(lines) == 1 else stuffed[:-1].join(lines)
