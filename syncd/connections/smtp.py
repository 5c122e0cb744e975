"""The one door to aiosmtplib: an authenticated SMTP session, phase by phase.

aiosmtplib's protocol waits for replies, refuses control characters in commands and upgrades
the transport. Its client class is left alone: that one gives TCP, TLS and greeting a single
time-out, checks the certificate against no name but the server's own, tries one mechanism
after another with a wrong password, and hides how far a message came (faults M2, M3, M9).

Rule 1: TLS when the profile says so or no session at all; no byte of a login before it.
Rule 2: one mechanism, chosen before, tried once.
Rule 3: every reply is one reply. More bytes than that, or bytes that nobody asked for, end
the session: a later command would take them for its own answer.
Rule 4: whatever goes wrong drops the connection, cancellation included (libraries.md 0.3).
"""

import asyncio
import base64
import binascii
import re
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import cast

from aiosmtplib.errors import SMTPException, SMTPResponseException
from aiosmtplib.protocol import SMTPProtocol

from syncd.connections.seams import EnvelopeReplies, UnlockedLogin
from syncd.connections.smtp_login import begin_proof, choose_mechanism
from syncd.connections.stream import connect, tls_failure
from syncd.connections.tls import check_pin, context_for, server_name
from syncd.connections.unsaid import Unsaid
from syncd.errors import (
    BytesBeforeTls,
    CommandRefused,
    ConnectionLost,
    LoginRefused,
    NoGreeting,
    Phase,
    ProtocolViolated,
    ServerError,
    TimedOut,
    TlsFailed,
    TlsNotOffered,
    WrongProtocol,
)
from syncd.model.profile import Authentication, Endpoint, Security
from syncd.observe.edges import reached
from syncd.protocols import sasl
from syncd.protocols.dot_stuffing import DotStuffer
from syncd.protocols.greetings import who_greets
from syncd.protocols.smtp_replies import (
    Capabilities,
    SmtpReply,
    read_capabilities,
    split_reply,
)

OUR_NAME = b"[127.0.0.1]"
"""What we call ourselves in EHLO. Always the same: it tells nothing about the inside of the
operator's network (it ends up in Received), costs no DNS (getfqdn may take 30 s), and as an
address literal it passes the checks that refuse `localhost` as no full name."""

_MOST_UNASKED = 64 * 1024
"""Octets kept of what a server says; aiosmtplib gives up on a reply of half of that."""

_MOST_CHALLENGES = 3
"""LOGIN asks twice, and one more may be answered by giving up."""

_SPEAKABLE = re.compile(
    r'("(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*"|[^\s<>"\x00-\x1f\x7f]+)@[^\s<>"\x00-\x1f\x7f]+'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds to wait in each phase: RFC 5321 4.5.3.2, and the operator's connect_timeout."""

    connect: float = 20
    greeting: float = 300
    command: float = 300
    """EHLO, STARTTLS, AUTH, MAIL, RCPT, RSET."""
    data: float = 120
    block: float = 180
    """For one piece of the message to leave."""
    after_dot: float = 600
    """A shorter wait is what makes duplicates (RFC 5321 4.5.3.2.6)."""
    quit: float = 10
    """Nothing depends on this answer."""


async def open_smtp(
    endpoint: Endpoint, login: UnlockedLogin, *, patience: Patience | None = None
) -> "SmtpSender":
    """Connect, secure, log in; raises ServerError."""
    patience = patience or Patience()
    conversation = await _connect(endpoint, patience)
    session = _Session(endpoint, conversation, patience)
    try:
        await session.greet()
        capabilities = await session.hello()
        if endpoint.security is Security.STARTTLS:
            await session.start_tls(capabilities)
            capabilities = await session.hello()
        await session.log_in(login, capabilities)
    except BaseException:
        session.abort()
        raise
    return SmtpSender(session, capabilities)


class SmtpSender:
    """One authenticated session: any number of messages (`seams.MailSender`)."""

    def __init__(self, session: "_Session", capabilities: Capabilities) -> None:
        self._session = session
        self._offers = capabilities
        self._patience = session.patience

    @property
    def place(self) -> str:
        """host:port, for errors."""
        return self._session.place

    async def envelope(
        self,
        sender: str,
        recipients: Sequence[str],
        octets: int,
        *,
        eight_bit: bool = False,
        utf8: bool = False,
    ) -> EnvelopeReplies:
        """MAIL FROM and RCPT TO; a refusal is in the replies, not raised.

        What this server cannot take is refused here without asking: such replies are ours.
        """
        mail = self._foreseen(sender, octets, utf8=utf8)
        if mail is None:
            wants_utf8 = utf8 or not all(map(str.isascii, (sender, *recipients)))
            words = [b"FROM:" + _path(sender), *self._options(octets, eight_bit, wants_utf8)]
            mail = await self._ask(Phase.MAIL, b"MAIL", *words)
        if not mail.is_positive:
            return EnvelopeReplies(mail, ())
        return EnvelopeReplies(
            mail, tuple([await self._rcpt(address) for address in recipients])
        )

    async def body(self, chunks: AsyncIterable[bytes]) -> SmtpReply | None:
        """DATA and the message, all but the final dot; the reply if DATA was refused."""
        reply = await self._session.ask(Phase.DATA, self._patience.data, b"DATA")
        if reply.code >= 400:
            return reply
        if reply.code != 354:
            raise self._session.violated(Phase.DATA, reply)
        stuffer = DotStuffer()
        try:
            async for chunk in chunks:
                await self._session.push(stuffer.feed(chunk))
            await self._session.push(stuffer.finish())
        except BaseException:
            self.abort()  # the chunks may fail too: a message cut short must never get a dot
            raise
        return None

    async def dot(self) -> SmtpReply:
        """Send the final dot and wait for the answer, up to 10 minutes."""
        return await self._session.dot()

    async def reset(self) -> None:
        """RSET: forget the envelope, keep the session."""
        reply = await self._ask(Phase.MAIL, b"RSET")
        if not reply.is_positive:
            raise self._session.violated(Phase.MAIL, reply)

    async def quit(self) -> None:
        """Say goodbye; what the server answers does not matter."""
        with suppress(ServerError):
            await self._session.ask(Phase.QUIT, self._patience.quit, b"QUIT")
        self._session.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._session.abort()

    async def _rcpt(self, address: str) -> SmtpReply:
        if not _SPEAKABLE.fullmatch(address):
            return _refused_by_us(501, _UNSPEAKABLE)
        if not (address.isascii() or self._offers.smtputf8):
            return _refused_by_us(553, _NO_UTF8)
        return await self._ask(Phase.RCPT, b"RCPT", b"TO:" + _path(address))

    def _foreseen(self, sender: str, octets: int, *, utf8: bool) -> SmtpReply | None:
        """Return the refusal that the server's capabilities already are."""
        limit = self._offers.size_limit
        if not _SPEAKABLE.fullmatch(sender):
            return _refused_by_us(501, _UNSPEAKABLE)
        if limit is not None and octets > limit:
            takes = f"this server takes at most {limit} octets (SIZE)"
            return _refused_by_us(552, f"{takes}, the message has {octets}")
        if (utf8 or not sender.isascii()) and not self._offers.smtputf8:
            return _refused_by_us(553, _NO_UTF8)
        return None

    def _options(self, octets: int, eight_bit: bool, utf8: bool) -> list[bytes]:  # noqa: FBT001
        offers = self._offers
        options = [
            (offers.offers_size, b"SIZE=%d" % octets),
            # Where 8BITMIME is not offered the octets go out as they are: to turn them into
            # quoted-printable would break signatures, and "just send 8" arrives.
            (offers.eight_bit_mime and (eight_bit or utf8), b"BODY=8BITMIME"),
            (offers.smtputf8 and utf8, b"SMTPUTF8"),
        ]
        return [option for is_wanted, option in options if is_wanted]

    async def _ask(self, phase: Phase, *words: bytes) -> SmtpReply:
        reply = await self._session.ask(phase, self._patience.command, *words)
        if 300 <= reply.code < 400:
            raise self._session.violated(phase, reply)
        return reply


_NO_UTF8 = "this server does not offer SMTPUTF8, and the address or header is not ASCII"
_UNSPEAKABLE = "syncd does not speak such an address"


def _refused_by_us(code: int, words: str) -> SmtpReply:
    """Make the reply that the server would have given, as our own."""
    return SmtpReply(code, None, words, is_ours=True)


class _Conversation(SMTPProtocol):
    """aiosmtplib's reader of replies, which also keeps all that was heard since the question."""

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.heard = bytearray()

    def data_received(self, data: bytes) -> None:
        """Keep the bytes (a bounded number of them) and pass them on."""
        self.heard += data[: max(0, _MOST_UNASKED - len(self.heard))]
        super().data_received(data)

    def abort(self) -> None:
        """Drop the connection; nothing that is still buffered leaves."""
        if self.transport is not None:
            # A cast, because uvloop's transports are instances of none of asyncio's classes.
            cast(asyncio.WriteTransport, self.transport).abort()


class _Session:
    """Questions and answers on one connection; every error is one of ours, and final."""

    def __init__(
        self, endpoint: Endpoint, conversation: _Conversation, patience: Patience
    ) -> None:
        self.place = endpoint.place
        self.patience = patience
        self._endpoint = endpoint
        self._conversation = conversation
        self._blank: Callable[[str], str] = str
        """Takes the secrets of the login out of a server's words."""

    async def greet(self) -> None:
        """Read the greeting."""
        async with self._at(Phase.GREETING, self.patience.greeting):
            try:
                await self._conversation.read_response()
            except SMTPResponseException as exc:
                greeting = bytes(self._conversation.heard).decode("utf-8", "replace")
                if who := who_greets(greeting):
                    raise WrongProtocol(self.place, greeting, who) from exc
                raise
        reply = self._only_reply(Phase.GREETING)
        if not reply.is_positive:
            raise self._refused(Phase.GREETING, reply)

    async def hello(self) -> Capabilities:
        """EHLO; read anew what the server offers."""
        async with self._at(Phase.HELLO, self.patience.command):
            self._begin(Phase.HELLO)
            response = await self._conversation.execute_command(b"EHLO", OUR_NAME)
        reply = self._only_reply(Phase.HELLO)
        if not reply.is_positive:
            raise self._refused(Phase.HELLO, reply)
        return read_capabilities(response.message)

    async def start_tls(self, capabilities: Capabilities) -> None:
        """STARTTLS; whatever came readable beside the one reply is an injection (faults 49)."""
        if not capabilities.starttls:
            raise TlsNotOffered(self.place, Phase.STARTTLS, "EHLO did not offer STARTTLS")
        conversation = self._conversation
        async with self._at(Phase.STARTTLS, self.patience.command):
            self._begin(Phase.STARTTLS)
            try:
                await conversation.start_tls(
                    context_for(self._endpoint),
                    server_hostname=server_name(self._endpoint),
                    timeout=self.patience.connect,
                )
            except SMTPResponseException as exc:
                found = split_reply(bytes(conversation.heard))
                if found is None:
                    raise
                raise self._refused(Phase.STARTTLS, found[0]) from exc
            except ssl.SSLError as exc:
                raise tls_failure(exc, self._endpoint) from exc
        found = split_reply(bytes(conversation.heard))
        if found is None or found[1]:
            self.abort()
            raise BytesBeforeTls(
                self.place, Phase.STARTTLS, "bytes arrived before the handshake"
            )
        conversation.heard.clear()
        _check_pin(self._endpoint, conversation)

    async def log_in(self, login: UnlockedLogin, capabilities: Capabilities) -> None:
        """AUTH, once, with the one mechanism chosen."""
        mechanism = choose_mechanism(self._endpoint, capabilities.mechanisms)
        proof = begin_proof(self.place, mechanism, login)
        unsaid = Unsaid(login)
        self._blank = unsaid.blank
        with unsaid.kept():
            await self._prove(mechanism, proof, unsaid)

    async def _prove(
        self, mechanism: Authentication, proof: sasl.Mechanism, unsaid: Unsaid
    ) -> None:
        initial = next(proof)
        words = [b"AUTH", mechanism.value.upper().encode()]
        if initial is not None:
            unsaid.note(initial)
            words.append(base64.b64encode(initial))
        reply = await self.ask(Phase.LOGIN, self.patience.command, *words)
        for _ in range(_MOST_CHALLENGES):
            if reply.code == 334:
                response = self._response(proof, reply, unsaid)
                reply = await self.ask(Phase.LOGIN, self.patience.command, response)
        if 300 <= reply.code < 400:
            raise self.violated(Phase.LOGIN, reply)
        if not reply.is_positive:
            raise LoginRefused(
                self.place, reply.words, reply_code=reply.code, enhanced=reply.enhanced
            )

    def _response(self, proof: sasl.Mechanism, reply: SmtpReply, unsaid: Unsaid) -> bytes:
        """Answer a challenge; `*` gives up when the mechanism has nothing more to say."""
        try:
            answer = proof.send(base64.b64decode(reply.words)) or b""
        except (StopIteration, binascii.Error):
            return b"*"
        unsaid.note(answer)
        return base64.b64encode(answer)

    async def ask(self, phase: Phase, seconds: float, *words: bytes) -> SmtpReply:
        """Send one command and return its reply."""
        async with self._at(phase, seconds):
            self._begin(phase)
            await self._conversation.execute_command(*words)
        return self._only_reply(phase)

    async def push(self, piece: bytes) -> None:
        """Send a piece of the message and wait until most of it has left."""
        async with self._at(Phase.BODY, self.patience.block):
            self._refuse_unasked(Phase.BODY)
            self._conversation.write(piece)
            await self._conversation._drain_helper()  # noqa: SLF001 - libraries.md 2
            self._refuse_unasked(Phase.BODY)

    async def dot(self) -> SmtpReply:
        """Send the dot; whatever is raised once it may have left has phase AFTER_DOT."""
        async with self._at(Phase.BODY, self.patience.block):
            self._begin(Phase.BODY)
            if not self._conversation.is_connected:
                raise ConnectionLost(self.place, Phase.BODY, "closed before the final dot")
        async with self._at(Phase.AFTER_DOT, self.patience.after_dot):
            self._conversation.write(b".\r\n")
            reached("outgoing.dot_sent")
            await self._conversation.read_response()
        reply = self._only_reply(Phase.AFTER_DOT)
        if 300 <= reply.code < 400:
            raise self.violated(Phase.AFTER_DOT, reply)
        return reply

    def close(self) -> None:
        """Close in peace."""
        transport = self._conversation.transport
        # The server's own goodbye may have closed it already. Python 3.11.2 (Debian 12) takes a
        # TLS transport apart when it is closed again, and then cannot abort it.
        if transport is not None and not transport.is_closing():
            transport.close()

    def abort(self) -> None:
        """Drop the connection; nothing that is still buffered leaves."""
        self._conversation.abort()
        self._conversation.heard.clear()

    def violated(self, phase: Phase, reply: SmtpReply) -> ServerError:
        """Drop the connection over a reply that has no place here; return the error."""
        self.abort()
        return ProtocolViolated(self.place, phase, self._blank(f"answered {reply}"))

    def _refused(self, phase: Phase, reply: SmtpReply) -> ServerError:
        """Make an error of a reply that is not the one wanted; 2yz and 3yz refuse nothing."""
        if reply.code < 400:
            return self.violated(phase, reply)
        return CommandRefused(
            self.place, phase, reply.words, reply_code=reply.code, enhanced=reply.enhanced
        )

    def _begin(self, phase: Phase) -> None:
        """Make ready for a reply; a server that has hung up meanwhile has said why."""
        self._refuse_unasked(phase)
        self._conversation.heard.clear()

    def _refuse_unasked(self, phase: Phase) -> None:
        if self._conversation.heard:
            raise self._unasked(phase)

    def _unasked(self, phase: Phase) -> ServerError:
        words = "the server spoke without being asked"
        return self._refusal_heard(phase) or ProtocolViolated(self.place, phase, words)

    def _last_words(self, phase: Phase) -> ServerError:
        """Say why the server hung up, if it did."""
        words = "the server closed the connection"
        return self._refusal_heard(phase) or ConnectionLost(self.place, phase, words)

    def _refusal_heard(self, phase: Phase) -> ServerError | None:
        found = split_reply(bytes(self._conversation.heard))
        return self._refused(phase, found[0]) if found and found[0].code >= 400 else None

    def _only_reply(self, phase: Phase) -> SmtpReply:
        found = split_reply(bytes(self._conversation.heard))
        if found is None or found[1]:
            self.abort()
            raise ProtocolViolated(self.place, phase, "more, or less, than one reply")
        self._conversation.heard.clear()
        return found[0]

    @asynccontextmanager
    async def _at(self, phase: Phase, seconds: float) -> AsyncIterator[None]:
        """Limit a step in time; drop the connection and say in our words what went wrong."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except ServerError:
            self.abort()
            raise
        except SMTPResponseException as exc:
            self.abort()
            # Without its cause: that one has the server's line, whatever stands in it.
            raise ProtocolViolated(self.place, phase, self._blank(exc.message)) from None
        except TimeoutError as exc:
            is_silent = phase is Phase.GREETING and not self._conversation.heard
            is_clear = self._endpoint.security is not Security.TLS
            kind = NoGreeting if is_silent and is_clear else TimedOut
            self.abort()
            raise kind(self.place, phase, f"no answer within {seconds:g} s") from exc
        except (SMTPException, OSError) as exc:
            error = self._last_words(phase)
            self.abort()
            raise error from exc
        except BaseException:
            self.abort()
            raise


async def _connect(endpoint: Endpoint, patience: Patience) -> _Conversation:
    """TCP, and TLS where it begins with the connection."""
    is_tls = endpoint.security is Security.TLS

    async def wrap(sock: socket.socket) -> _Conversation:
        try:
            _, conversation = await asyncio.get_running_loop().create_connection(
                _Conversation,
                sock=sock,
                ssl=context_for(endpoint) if is_tls else None,
                server_hostname=server_name(endpoint) if is_tls else None,
            )
        except BaseException:
            sock.close()
            raise
        return conversation

    conversation = await connect(endpoint, patience.connect, wrap)
    if is_tls:
        _check_pin(endpoint, conversation)
    return conversation


def _check_pin(endpoint: Endpoint, conversation: _Conversation) -> None:
    if conversation.transport is None:
        return
    try:
        check_pin(endpoint, conversation.transport.get_extra_info("ssl_object"))
    except TlsFailed:
        conversation.abort()
        raise


def _path(address: str) -> bytes:
    return b"<" + address.encode() + b">"
