"""A POP3 session on a stream: commands go out, events wait here until a coroutine takes them.

Back-pressure: while events wait and they are many, or the byte budget is tight, the stream is
not read. A coroutine that waits with nothing to take always reads, so nobody can be stuck.
"""

from collections import deque
from collections.abc import Callable, Sequence

from syncd.connections.budget import ByteBudget
from syncd.connections.stream import Patience, Stream
from syncd.errors import (
    BytesBeforeTls,
    CommandRefused,
    LimitExceeded,
    Phase,
    ProtocolViolated,
    ServerError,
)
from syncd.model.profile import Endpoint
from syncd.protocols.pop3_commands import Command, State
from syncd.protocols.pop3_session import (
    Challenged,
    Chunk,
    Event,
    Pop3Session,
    Refused,
    Violated,
)

READ_AHEAD_OCTETS = 2 * 2**20
"""A connection that has this much waiting stops reading (performance b: 50 MB in memory with
4 MiB, 63 MB with 16). With 2 MiB a pull of 10 MB messages stays at 70 MB, all imports counted."""


class Conversation:
    """One session with one server; whoever sees it fail calls `abort` and drops it."""

    def __init__(
        self, endpoint: Endpoint, patience: Patience, session: Pop3Session, budget: ByteBudget
    ) -> None:
        self.endpoint = endpoint
        self.session = session
        self.stream = Stream(endpoint, patience, self._take)
        self._budget = budget
        self.inbox: deque[Event] = deque()
        """What came and was not taken, the oldest first; say `note_taken` after taking."""
        self._waiting = 0  # octets behind the events in the inbox
        self._handed = 0  # octets whose events were taken, and may be in use
        self._stale = 0  # answers to come that nobody wants any more
        self.blank: Callable[[str], str] = str
        """Takes the secrets of the login out of words that have no place in the protocol."""

    async def connect(self) -> None:
        """Open the connection (and TLS, where it comes first)."""
        await self.stream.open()
        self.stream.phase = Phase.GREETING

    def begin(self, phase: Phase) -> None:
        """Begin something new; answers that nobody waited for are dropped when they come."""
        if self.stream.failure is not None:
            raise self.stream.failure
        self.stream.phase = phase
        self._stale = self.session.withdraw()
        self._empty()

    def ask(self, commands: Sequence[Command]) -> None:
        """Send commands as far as the window allows, the others as answers come in."""
        self.session.ask(*commands)
        self.stream.write(self.session.bytes_to_send())

    def respond(self, response: bytes) -> None:
        """Answer a challenge."""
        self.session.respond(response)
        self.stream.write(self.session.bytes_to_send())

    async def answers(self, phase: Phase, *commands: Command) -> list[Event]:
        """Ask, and return one answer each, in order."""
        self.begin(phase)
        self.ask(commands)
        return [await self.next_event() for _ in commands]

    async def next_event(self) -> Event:
        """Return the oldest event that was not taken; raise what ended the connection."""
        await self.arrival()
        event = self.inbox.popleft()
        self.note_taken()
        return event

    async def arrival(self) -> None:
        """Wait until the inbox holds something; whoever comes back is done with what he took."""
        self._budget.release(self._handed)
        self._handed = 0
        while not self.inbox:
            await self.stream.arrival()

    def note_taken(self) -> None:
        """Read on, if the inbox was emptied; what was in it is now in use."""
        if self.inbox:
            return
        self._handed += self._waiting
        self._waiting = 0
        if not self._budget.tight:
            self.stream.resume()

    def refusal(self, event: Refused) -> CommandRefused:
        """Make an error of -ERR."""
        return CommandRefused(
            self.endpoint.place, self.stream.phase, event.words, response_code=event.code
        )

    def unexpected(self, words: str) -> ProtocolViolated:
        """Make an error of an answer that cannot be used."""
        return ProtocolViolated(self.endpoint.place, self.stream.phase, self.blank(words))

    def abort(self) -> None:
        """Drop the connection at once."""
        self.stream.abort()
        self._empty()

    def _empty(self) -> None:
        self.inbox.clear()
        self._budget.release(self._handed + self._waiting)
        self._handed = self._waiting = 0

    def _take(self, data: bytes) -> bool:
        """Take what the stream read: what it makes whole waits for `next_event`."""
        events = self.session.receive(data)
        if answer := self.session.bytes_to_send():
            self.stream.write(answer)
        self._waiting += len(data)
        self._budget.hold(len(data))
        if not events:
            return False
        if isinstance(events[-1], Violated):
            self.stream.fail(self._violation(events.pop()))
        if self._stale:
            events = [event for event in events if not self._is_stale(event)]
        self.inbox.extend(events)
        if self.inbox and (self._waiting >= READ_AHEAD_OCTETS or self._budget.tight):
            self.stream.pause()
        return True

    def _is_stale(self, event: Event) -> bool:
        if not self._stale:
            return False
        if not isinstance(event, Chunk | Challenged):
            self._stale -= 1
        return True

    def _violation(self, event: Event) -> ServerError:
        assert isinstance(event, Violated)  # noqa: S101 - the caller looked
        if self.session.state is State.TLS:
            kind: type[ServerError] = BytesBeforeTls
        else:
            kind = LimitExceeded if event.limit else ProtocolViolated
        return kind(self.endpoint.place, self.stream.phase, self.blank(event.words))
