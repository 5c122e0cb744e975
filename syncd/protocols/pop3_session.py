"""One POP3 session without a socket: commands in, bytes out; bytes in, events out.

    session.ask(stat(), uidl(7))
    transport.write(session.bytes_to_send())
    events = session.receive(data)              # then bytes_to_send() again

Rule 1: `receive` never raises. Whatever the server sends becomes events; what the protocol
        does not allow, or a limit does not, becomes one `Violated`, after which the session
        is deaf. Events of what came before it are whole.
Rule 2: cut the stream anywhere: the events are the same, up to the size of the chunks.
Rule 3: nothing per line. A message costs a few searches, whatever is in it.
Rule 4: the table says what may be asked when; an unlisted pair changes nothing and raises
        LocalProtocolError, which is a bug of ours.
"""

from collections import deque
from dataclasses import dataclass

from syncd.model.mail import CHUNK_OCTETS
from syncd.protocols.lines import BARE_LF, CRLF, Block, LineTooLong, find_line_end
from syncd.protocols.pop3_commands import TRANSITIONS, Command, Reply, State, Verb
from syncd.protocols.pop3_replies import (
    Capabilities,
    Indicator,
    Status,
    as_text,
    find_timestamp,
    read_capabilities,
    read_status,
)


@dataclass(frozen=True, slots=True)
class Greeted:
    """The server's first line; `timestamp` is APOP's challenge."""

    words: str
    timestamp: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """-ERR, to a command or (None) instead of a greeting."""

    command: Command | None
    code: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """+OK and nothing after it."""

    command: Command
    words: bytes


@dataclass(frozen=True, slots=True)
class Challenged:
    """AUTH goes on: answer with `respond`."""

    command: Command
    challenge: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """+OK and a listing, or a header section; dots undone."""

    command: Command
    block: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message of at most CHUNK_OCTETS."""

    command: Command
    body: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a larger message."""

    command: Command
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The larger message is complete."""

    command: Command
    octets: int


@dataclass(frozen=True, slots=True)
class Violated:
    """The server broke the protocol, or (`limit`) sent more than it may."""

    command: Command | None
    words: str
    limit: bool = False


Event = Greeted | Refused | Accepted | Challenged | Listing | Message | Chunk | Ended | Violated

_END = CRLF.ends[0]
_FEW_DOTS = 32  # ordinary mail has fewer lines that begin with a dot; style sheets come near


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How much a server may send; beyond it the session ends."""

    message_octets: int = 150 * 2**20
    listing_octets: int = 24 * 2**20
    """One listing. The longest legal line of UIDL has 83 octets, so 300,000 messages fit;
    with UIDLs as real servers write them (25 to 45 octets a line) over half a million."""
    listing_lines: int = 500_000
    """Lines of a listing: what is built from it costs some 300 octets for each."""
    header_octets: int = CHUNK_OCTETS
    """Header sections are cut to this, not refused: dates and the Message-ID come first."""
    window_octets: int = 16 * 2**20
    """Expected octets of all answers under way. At 40 ms and a gigabit 5 MB are in flight."""
    window_commands: int = 1000
    """Commands under way: more bought nothing, 50 cost five times the time (performance a)."""


class LocalProtocolError(Exception):
    """We asked for what the state does not allow."""


class Pop3Session:
    """The client's side of one session."""

    def __init__(self, limits: SessionLimits | None = None) -> None:
        self.state = State.GREETING
        self.timestamp: str | None = None
        self.capabilities: Capabilities | None = None
        """What CAPA said; the driver may put in what it remembers of this server."""
        self._limits = limits or SessionLimits()
        self._whole = min(CHUNK_OCTETS, self._limits.message_octets)
        self._queue: deque[Command] = deque()
        self._under_way: deque[Command] = deque()
        self._octets_under_way = 0
        self._out: list[bytes] = []
        self._rest = b""  # the beginning of a status line
        self._block: Block | None = None
        self._header = b""  # what is kept of a header section that is too long
        self._in_chunks = False  # the message in `_block` has been handed out in part
        self._deaf = False

    @property
    def pipelining(self) -> bool:
        """Tell whether commands may be sent before the last one is answered (RFC 2449, 6.6)."""
        return self.capabilities is not None and "PIPELINING" in self.capabilities

    @property
    def unanswered(self) -> int:
        """Count the commands that were sent and not answered in full."""
        return len(self._under_way)

    def ask(self, *commands: Command) -> None:
        """Queue commands; `bytes_to_send` lets out what fits the window."""
        for wanted in commands:
            if (self.state, wanted.verb) not in TRANSITIONS:
                raise LocalProtocolError(f"{wanted.verb} in state {self.state}")
        self._queue.extend(commands)

    def respond(self, response: bytes) -> None:
        """Answer a challenge with one line of base64."""
        self._out.append(response + b"\r\n")

    def withdraw(self) -> int:
        """Forget what is queued; return how many answers are still to come."""
        self._queue.clear()
        return len(self._under_way)

    def bytes_to_send(self) -> bytes:
        """Return what may go out now."""
        if self._queue:
            self._fill_window()
        if not self._out:
            return b""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def tls_started(self) -> None:
        """Go on after the handshake; what was said before it is forgotten (RFC 2595, 4)."""
        self.state = State.AUTHORIZATION
        self.capabilities = None
        self.timestamp = None

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the server; return what they complete."""
        events: list[Event] = []
        if self._rest:
            data, self._rest = self._rest + data, b""
        at = 0
        while at < len(data) and not self._deaf:
            if self._block is None:
                at = self._read_reply(data, at, events)
            else:
                at = self._read_block(self._block, data, at, events)
        return events

    def _fill_window(self) -> None:
        limits, under_way = self._limits, self._under_way
        most = limits.window_commands if self.pipelining else 1
        if under_way and under_way[-1].prelude:
            return
        if len(under_way) > most // 2:
            return  # enough to do: a few large writes are cheaper than many small ones
        while self._queue and len(under_way) < most:
            if under_way and self._octets_under_way >= limits.window_octets:
                break
            wanted = self._queue.popleft()
            self._octets_under_way += wanted.octets
            under_way.append(wanted)
            self._out.append(wanted.line)
            if wanted.prelude:
                break

    def _read_reply(self, data: bytes, at: int, events: list[Event]) -> int:
        """Read the status line at `at`, with its message where that lies in `data` whole."""
        if self.state is State.TLS:
            return self._violate(events, "bytes before the TLS handshake", data)
        try:
            lf = find_line_end(data, at)
        except LineTooLong:
            # Of an answer to RETR, a limit is the message's own size.
            is_limit = not self._under_way or self._under_way[0].reply is not Reply.MESSAGE
            return self._violate(events, "a status line without end", data, limit=is_limit)
        if lf < 0:
            self._rest = data[at:]
            return len(data)
        has_cr = lf > at and data.startswith(b"\r", lf - 1)
        if has_cr and data.startswith(b"+OK", at):
            end = self._read_whole_message(data, lf - 1, events)
            if end >= 0:
                return end
        return self._read_status(data, at, lf - has_cr, lf + 1, events)

    def _read_whole_message(self, data: bytes, eol: int, events: list[Event]) -> int:
        """Take the short way of nearly every message; return where it ended, or -1.

        One search finds both the added dots and the end; where dots are many, it gives up, and
        the block's two searches do less work than stopping at each of them.
        """
        if not self._under_way or self._under_way[0].reply is not Reply.MESSAGE:
            return -1
        pieces: list[bytes] = []
        start, at, last = eol + 2, eol, eol + self._whole + len(_END)
        for _ in range(_FEW_DOTS):
            dot = data.find(CRLF.stuffed, at, last)
            if dot < 0:
                return -1
            at = dot + 3
            if data.startswith(b"\r\n", at, last):
                break
            pieces.append(data[start : dot + 2])
            start = at
        else:
            return -1
        body = data[start : dot + 2]
        if pieces:
            pieces.append(body)
            body = b"".join(pieces)
        wanted = self._under_way.popleft()
        self._octets_under_way -= wanted.octets
        events.append(Message(wanted, body))
        return at + 2

    def _read_status(
        self, data: bytes, at: int, eol: int, after: int, events: list[Event]
    ) -> int:
        line = data[at:eol]
        status = read_status(line)
        if status is None:
            return self._violate(events, f"not a POP3 reply: {as_text(line)}", data)
        if self.state is State.GREETING and status.indicator is not Indicator.CHALLENGE:
            self._greet(status, events)
            return after
        if not self._under_way:
            return self._violate(events, f"unasked: {as_text(line)}", data)
        wanted = self._under_way[0]
        match status.indicator:
            case Indicator.ERR:
                self._answered()
                if wanted.prelude and self._queue:
                    self._queue.popleft()
                events.append(Refused(wanted, status.code, as_text(status.words)))
            case Indicator.CHALLENGE if wanted.verb is Verb.AUTH:
                events.append(Challenged(wanted, status.words))
            case Indicator.CHALLENGE:
                return self._violate(events, f"a challenge: {as_text(line)}", data)
            case Indicator.OK if wanted.reply is Reply.LINE:
                self._answered()
                self.state = TRANSITIONS.get((self.state, wanted.verb), self.state)
                self._deaf = self.state is State.UPDATE
                if not wanted.prelude:
                    events.append(Accepted(wanted, status.words))
            case _:  # +OK, and more to come
                self._block = Block(CRLF if eol + 2 == after else BARE_LF)
                return eol
        return after

    def _greet(self, status: Status, events: list[Event]) -> None:
        words = as_text(status.words)
        if status.indicator is Indicator.OK:
            self.state = State.AUTHORIZATION
            self.timestamp = find_timestamp(status.words)
            events.append(Greeted(words, self.timestamp))
        else:
            self._deaf = True
            events.append(Refused(None, status.code, words))

    def _read_block(self, block: Block, data: bytes, at: int, events: list[Event]) -> int:
        """Go on with a multi-line reply; return where it ended, or the end of `data`."""
        end = block.feed(data, at)
        wanted = self._under_way[0]
        if block.octets > self._most_octets(wanted):
            what = f"more than {self._most_octets(wanted)} octets in answer to {wanted.verb}"
            return self._violate(events, what, data, limit=True)
        match wanted.reply:
            case Reply.MESSAGE:
                self._read_message(block, wanted, events, complete=end >= 0)
            case Reply.HEADER:
                self._read_header(block, wanted, events, complete=end >= 0)
            case Reply.LISTING if end >= 0:
                self._read_listing(block, wanted, events)
            case _:
                pass
        if end < 0:
            return len(data)
        self._answered()
        return end

    def _read_message(
        self, block: Block, wanted: Command, events: list[Event], *, complete: bool
    ) -> None:
        if block.octets > self._whole:
            self._in_chunks = True
        if not self._in_chunks:
            if complete:
                events.append(Message(wanted, block.take()))
            return
        while block.held > CHUNK_OCTETS or (complete and block.held):
            events.append(Chunk(wanted, block.take(CHUNK_OCTETS)))
        if complete:
            events.append(Ended(wanted, block.octets))

    def _read_header(
        self, block: Block, wanted: Command, events: list[Event], *, complete: bool
    ) -> None:
        if complete or block.held > self._limits.header_octets:
            self._header = (self._header + block.take())[: self._limits.header_octets]
        if complete:
            events.append(Listing(wanted, self._header))
            self._header = b""

    def _read_listing(self, block: Block, wanted: Command, events: list[Event]) -> None:
        text = block.take()
        lines = text.count(b"\n")
        if lines > self._limits.listing_lines:
            what = f"{lines} lines in answer to {wanted.verb}"
            self._violate(events, what, b"", limit=True)
            return
        if wanted.verb is Verb.CAPA:
            self.capabilities = read_capabilities(text)
        events.append(Listing(wanted, text))

    def _most_octets(self, wanted: Command) -> int:
        if wanted.reply is Reply.LISTING:
            return self._limits.listing_octets
        return self._limits.message_octets

    def _answered(self) -> None:
        self._octets_under_way -= self._under_way.popleft().octets
        self._block = None
        self._in_chunks = False

    def _violate(
        self, events: list[Event], words: str, data: bytes, *, limit: bool = False
    ) -> int:
        self._deaf = True
        wanted = self._under_way[0] if self._under_way else None
        events.append(Violated(wanted, words, limit))
        return len(data)
