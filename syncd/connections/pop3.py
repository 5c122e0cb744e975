"""POP3 mailboxes as mail sources: the door between `seams.MailSource` and the wire.

RFC 1939 (POP3), 2449 (CAPA, pipelining), 2595 (STLS), 5034 (AUTH), 6856 (UTF8).
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from syncd.clock import Clock
from syncd.connections.budget import ByteBudget
from syncd.connections.conversation import Conversation
from syncd.connections.pop3_login import log_in, refuse_unspeakable
from syncd.connections.seams import Fetched, Glance, Head, UnlockedLogin
from syncd.connections.stream import Patience
from syncd.errors import (
    LimitExceeded,
    LoginRefused,
    Phase,
    ProtocolViolated,
    ServerError,
    TlsNotOffered,
    WrongProtocol,
)
from syncd.model.mail import Listed, MaildropStatus
from syncd.model.profile import Endpoint, Security
from syncd.observe.edges import reached
from syncd.protocols.greetings import who_greets
from syncd.protocols.pop3_commands import (
    Verb,
    about,
    everything,
    retrieve,
    single,
    top,
)
from syncd.protocols.pop3_replies import (
    Capabilities,
    pair,
    read_size,
    read_sizes,
    read_stat,
    read_uid,
    read_uids,
)
from syncd.protocols.pop3_session import (
    Accepted,
    Chunk,
    Ended,
    Event,
    Listing,
    Message,
    Pop3Session,
    Refused,
    SessionLimits,
)

MEMORY_SECONDS = 3600.0
"""So long a server's capabilities are believed without asking again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """What one session may take: time, and octets."""

    connect_timeout: timedelta = timedelta(seconds=20)
    command_timeout: timedelta = timedelta(seconds=60)
    session_timeout: timedelta = timedelta(minutes=30)
    max_message_size: int = 150 * 2**20

    @property
    def patience(self) -> Patience:
        """Return the times."""
        return Patience(
            connect=self.connect_timeout,
            command=self.command_timeout,
            session=self.session_timeout,
        )


class CapabilityMemory:
    """What servers answered to CAPA, so that a poll need not ask: a round trip saved."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, Security], tuple[Capabilities, float]] = {}

    def recall(self, endpoint: Endpoint) -> Capabilities | None:
        """Return what this server said within the last hour, in this way of connecting."""
        key = (endpoint.place, endpoint.security)
        capabilities, until = self._known.get(key, (None, 0.0))
        return capabilities if self._clock.monotonic() < until else None

    def note(self, endpoint: Endpoint, capabilities: Capabilities) -> None:
        """Remember an answer."""
        until = self._clock.monotonic() + MEMORY_SECONDS
        self._known[endpoint.place, endpoint.security] = (capabilities, until)

    def forget(self, endpoint: Endpoint) -> None:
        """Ask again next time: a session went wrong, perhaps because the server changed."""
        self._known.pop((endpoint.place, endpoint.security), None)


async def open_pop3(
    endpoint: Endpoint,
    login: UnlockedLogin,
    *,
    limits: SourceLimits,
    budget: ByteBudget,
    memory: CapabilityMemory,
) -> "Pop3Source":
    """Connect and log in; return the open maildrop.

    `memory` is shared by all sessions of the process. Raises the errors of `syncd.errors`,
    none other; nothing stays open then.
    """
    refuse_unspeakable(login)
    session = Pop3Session(SessionLimits(message_octets=limits.max_message_size))
    conversation = Conversation(endpoint, limits.patience, session, budget)
    try:
        await conversation.connect()
        await _greet(conversation)
        if endpoint.security is Security.STARTTLS:
            await _start_tls(conversation)
        asked = await _learn_capabilities(conversation, memory)
        await log_in(conversation, login)
        if asked:
            await _learn_more(conversation, memory)
    except BaseException as exc:
        conversation.abort()
        if not isinstance(exc, LoginRefused):
            memory.forget(endpoint)
        raise
    return Pop3Source(conversation, memory)


async def _greet(conversation: Conversation) -> None:
    try:
        event = await conversation.next_event()
    except ProtocolViolated as exc:
        _, _, greeting = exc.words.partition(": ")
        if who := who_greets(greeting):
            raise WrongProtocol(exc.server, greeting, who) from exc
        raise
    if isinstance(event, Refused):
        raise conversation.refusal(event)


async def _start_tls(conversation: Conversation) -> None:
    """STLS, whatever CAPA would say: who strips it from there refuses it here."""
    (event,) = await conversation.answers(Phase.STARTTLS, single(Verb.STLS))
    if isinstance(event, Refused):
        raise TlsNotOffered(conversation.endpoint.place, Phase.STARTTLS, event.words)
    await conversation.stream.start_tls()
    conversation.session.tls_started()


async def _learn_capabilities(conversation: Conversation, memory: CapabilityMemory) -> bool:
    """Know what the server can do; tell whether it had to be asked."""
    known = memory.recall(conversation.endpoint)
    if known is not None:
        conversation.session.capabilities = known
        return False
    # -ERR: a server from before RFC 2449. That, too, is worth remembering.
    known = await _ask_capabilities(conversation) or Capabilities({})
    conversation.session.capabilities = known
    memory.note(conversation.endpoint, known)
    return True


async def _learn_more(conversation: Conversation, memory: CapabilityMemory) -> None:
    """Ask again after the login: some servers pipeline only from there (RFC 2449, 5)."""
    before = conversation.session.capabilities
    if before is None or not before.tags or "PIPELINING" in before:
        return
    after = await _ask_capabilities(conversation)
    if after is not None:
        known = Capabilities({**after.tags, **before.tags})
        conversation.session.capabilities = known
        memory.note(conversation.endpoint, known)


async def _ask_capabilities(conversation: Conversation) -> Capabilities | None:
    (event,) = await conversation.answers(Phase.CAPABILITIES, everything(Verb.CAPA))
    return conversation.session.capabilities if isinstance(event, Listing) else None


class Pop3Source:
    """An open maildrop: `seams.MailSource` over POP3."""

    def __init__(self, conversation: Conversation, memory: CapabilityMemory) -> None:
        self._conversation = conversation
        self._memory = memory
        self._can_list_uids = True
        self._over = False

    @property
    def place(self) -> str:
        """host:port, for errors."""
        return self._conversation.endpoint.place

    @property
    def can_list_uids(self) -> bool:
        """False once the server has refused UIDL as unknown: identities come from the content."""
        return self._can_list_uids

    async def glance(self, number: int | None) -> Glance:
        """Ask STAT, and with a number its UIDL, in one flight."""
        talk = self._conversation
        if number is None:
            (stat,) = await talk.answers(Phase.LIST, single(Verb.STAT))
            return Glance(self._status(stat), None)
        stat, about_uid = await talk.answers(
            Phase.LIST, single(Verb.STAT), about(Verb.UIDL, number)
        )
        return Glance(self._status(stat), self._uid(about_uid, number))

    async def list_all(self) -> list[Listed]:
        """Ask UIDL and LIST; messages that only one of them names are left for next time."""
        talk = self._conversation
        uidl, sizes = await talk.answers(
            Phase.LIST, everything(Verb.UIDL), everything(Verb.LIST)
        )
        by_size = read_sizes(self._block(sizes))
        if isinstance(uidl, Refused) and self._is_unknown(uidl):
            self._can_list_uids = False
            return [Listed(number, "", octets) for number, octets in sorted(by_size.items())]
        return pair(read_uids(self._block(uidl)), by_size)

    async def list_range(self, first: int, last: int) -> list[Listed]:
        """Ask UIDL n and LIST n for a tail of the maildrop."""
        numbers = range(first, last + 1)
        events = await self._conversation.answers(
            Phase.LIST, *(about(verb, n) for n in numbers for verb in (Verb.UIDL, Verb.LIST))
        )
        listed = []
        for number, about_uid, about_size in zip(
            numbers, events[::2], events[1::2], strict=True
        ):
            uid, octets = self._uid(about_uid, number), self._octets(about_size, number)
            if uid is not None and octets is not None:
                listed.append(Listed(number, uid, octets))
        return listed

    async def heads(self, wanted: Sequence[Listed]) -> AsyncIterator[list[Head]]:
        """Read header sections (TOP n 0), pipelined, in batches, in the order given."""
        talk = self._conversation
        talk.begin(Phase.TOP)
        talk.ask([top(listed.number) for listed in wanted])
        left = iter(wanted)
        asked = len(wanted)
        while asked:
            await talk.arrival()
            batch = [self._head(event, next(left)) for event in talk.inbox]
            talk.inbox.clear()
            talk.note_taken()
            asked -= len(batch)
            yield batch

    async def fetch(self, wanted: Sequence[Listed]) -> AsyncIterator[list[Fetched]]:
        """Retrieve messages, pipelined, in batches, in the order given.

        A batch holds what has arrived since the last one; a message with `chunks` is always
        the last of its batch.
        """
        talk = self._conversation
        inbox = talk.inbox
        talk.begin(Phase.FETCH)
        talk.ask([retrieve(listed.number, listed.octets) for listed in wanted])
        left = iter(wanted)
        asked = len(wanted)
        while asked:
            batch: list[Fetched] = []
            large = None
            try:
                await talk.arrival()
            except LimitExceeded:
                large = _Chunks(
                    talk
                )  # raises it, too: the reader learns which one went too far
            while inbox and large is None:
                if isinstance(inbox[0], Chunk):
                    large = _Chunks(talk)
                else:
                    batch.append(self._fetched(inbox.popleft(), next(left)))
            if large is not None:
                batch.append(Fetched(next(left), chunks=large))
            talk.note_taken()
            asked -= len(batch)
            yield batch
            if large is not None:
                async for _ in large:
                    pass  # what the reader left

    async def delete(self, wanted: Sequence[Listed]) -> list[Listed]:
        """Mark for deletion; return those the server refused. Takes effect with `quit`."""
        events = await self._conversation.answers(
            Phase.DELETE, *(about(Verb.DELE, listed.number) for listed in wanted)
        )
        pairs = zip(wanted, events, strict=True)
        return [listed for listed, event in pairs if isinstance(event, Refused)]

    async def quit(self) -> bool:
        """End the session and let the server delete what was marked.

        Returns whether the server said that it did (RFC 1939, UPDATE state).
        """
        talk = self._conversation
        try:
            talk.begin(Phase.QUIT)
            talk.ask([single(Verb.QUIT)])
            reached("incoming.quitting")
            event = await talk.next_event()
        except ServerError:
            return False  # deleted or not: the next listing tells
        finally:
            self._over = True
            talk.abort()
        return isinstance(event, Accepted)

    def abort(self) -> None:
        """Drop the connection at once, without QUIT: the server deletes nothing."""
        self._conversation.abort()
        if not self._over:
            self._memory.forget(self._conversation.endpoint)

    def _status(self, event: Event) -> MaildropStatus:
        found = read_stat(self._words(event))
        if found is None:
            raise self._conversation.unexpected("an answer to STAT without a count")
        return MaildropStatus(*found)

    def _uid(self, event: Event, number: int) -> str | None:
        """Read UIDL n; None where there is no such message, or none of that UIDL."""
        if isinstance(event, Refused):
            return None
        found = read_uid(self._words(event))
        self._expect_number(found and found[0], number)
        return found[1] if found else None

    def _octets(self, event: Event, number: int) -> int | None:
        """Read LIST n; None where there is no such message."""
        if isinstance(event, Refused):
            return None
        found = read_size(self._words(event))
        self._expect_number(found and found[0], number)
        return found[1] if found else None

    def _expect_number(self, answered: int | None, asked: int) -> None:
        if answered is not None and answered != asked:
            words = f"asked for message {asked}, the answer is about {answered}"
            raise self._conversation.unexpected(words)

    def _words(self, event: Event) -> bytes:
        match event:
            case Accepted(_, words):
                return words
            case Refused():
                raise self._conversation.refusal(event)
            case _:
                raise self._conversation.unexpected(f"an answer of kind {type(event).__name__}")

    def _block(self, event: Event) -> bytes:
        match event:
            case Listing(_, block):
                return block
            case Refused():
                raise self._conversation.refusal(event)
            case _:
                raise self._conversation.unexpected(f"an answer of kind {type(event).__name__}")

    def _head(self, event: Event, listed: Listed) -> Head:
        if isinstance(event, Refused):
            return Head(listed, None, self._conversation.refusal(event))
        return Head(listed, self._block(event))

    def _fetched(self, event: Event, listed: Listed) -> Fetched:
        match event:
            case Message(_, body):
                return Fetched(listed, body)
            case Refused():
                return Fetched(listed, refusal=self._conversation.refusal(event))
            case _:
                raise self._conversation.unexpected(f"an answer of kind {type(event).__name__}")

    def _is_unknown(self, refusal: Refused) -> bool:
        """Tell whether UIDL is not known here, rather than refused this once."""
        capabilities = self._conversation.session.capabilities
        claimed = capabilities is not None and "UIDL" in capabilities
        return refusal.code is None and not claimed


class _Chunks:
    """A large message on its way in: to be read to its end before anything else."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._complete = False

    def __aiter__(self) -> "_Chunks":
        return self

    async def __anext__(self) -> bytes:
        if self._complete:
            raise StopAsyncIteration
        event = await self._conversation.next_event()
        match event:
            case Chunk(_, data):
                return data
            case Ended():
                self._complete = True
                raise StopAsyncIteration
            case _:
                raise self._conversation.unexpected(f"an answer of kind {type(event).__name__}")
