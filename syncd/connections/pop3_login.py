"""Logging in over POP3: USER and PASS, APOP, or AUTH, whichever `protocols.pop3_login` chose.

RFC 1939 (USER, PASS, APOP), 5034 (AUTH), 6856 (UTF8).
"""

import base64
import binascii

from syncd.connections.conversation import Conversation
from syncd.connections.seams import UnlockedLogin
from syncd.connections.unsaid import Unsaid
from syncd.errors import LoginRefused, MechanismNotOffered, Phase, PlaintextLoginForbidden
from syncd.errors import Refused as RefusedByUs
from syncd.model.profile import Authentication, Security
from syncd.protocols import sasl
from syncd.protocols.pop3_commands import Verb, prelude, single
from syncd.protocols.pop3_login import LoginFacts, NotOffered, Readable, choose_way
from syncd.protocols.pop3_session import Challenged, Event, Refused

LONGEST_COMMAND = 255
"""Octets of a command line, CRLF included (RFC 2449, 4): a longer proof waits for `+`."""


def refuse_unspeakable(login: UnlockedLogin) -> None:
    """Raise Refused for a name or password that would say something else."""
    said = {
        "username": login.username,
        "password": login.password.reveal(),
        "authorize_as": login.authorize_as or "",
    }
    for name, text in said.items():
        if sasl.unspeakable(text):
            raise RefusedByUs(name, "holds a CR, LF or NUL, which POP3 cannot carry")


async def log_in(conversation: Conversation, login: UnlockedLogin) -> None:
    """Prove who we are, with one mechanism, once."""
    conversation.begin(Phase.LOGIN)
    unsaid = Unsaid(login)
    conversation.blank = unsaid.blank
    with unsaid.kept():
        event = await _prove(conversation, login, unsaid)
        if isinstance(event, Refused):
            raise LoginRefused(
                conversation.endpoint.place, event.words, response_code=event.code
            )


async def _prove(conversation: Conversation, login: UnlockedLogin, unsaid: Unsaid) -> Event:
    match _choose_way(conversation, login):
        case Authentication.APOP:
            return await _apop(conversation, login, unsaid)
        case Authentication.PLAIN | Authentication.LOGIN | Authentication.CRAM_MD5 as way:
            return await _authenticate(conversation, login, way, unsaid)
        case _:
            return await _user_pass(conversation, login)


def _choose_way(conversation: Conversation, login: UnlockedLogin) -> Authentication:
    endpoint, session = conversation.endpoint, conversation.session
    way = choose_way(
        LoginFacts(
            asked=endpoint.authentication,
            encrypted=endpoint.security is not Security.NONE,
            allow_plaintext=endpoint.allow_plaintext_login,
            has_timestamp=session.timestamp is not None,
            for_other=login.authorize_as is not None,
            capabilities=session.capabilities,
        )
    )
    if isinstance(way, Readable):
        raise PlaintextLoginForbidden(endpoint.place, Phase.LOGIN, way.why)
    if isinstance(way, NotOffered):
        raise MechanismNotOffered(endpoint.place, Phase.LOGIN, way.why)
    return way


async def _user_pass(conversation: Conversation, login: UnlockedLogin) -> Event:
    await _speak_utf8(conversation, login)
    # One after the other, even where pipelining is offered: servers answer the two in two
    # small packets, and Nagle's algorithm holds the second back for our delayed ACK, 40 ms.
    conversation.begin(Phase.LOGIN)
    conversation.ask(
        [prelude(Verb.USER, login.username), single(Verb.PASS, login.password.reveal())]
    )
    return await conversation.next_event()


async def _speak_utf8(conversation: Conversation, login: UnlockedLogin) -> None:
    """Ask for RFC 6856's UTF8 mode, where a name or password cannot be said without it."""
    capabilities = conversation.session.capabilities
    is_ascii = login.username.isascii() and login.password.reveal().isascii()
    if not is_ascii and capabilities is not None and "UTF8" in capabilities:
        await conversation.answers(Phase.LOGIN, single(Verb.UTF8))


async def _apop(conversation: Conversation, login: UnlockedLogin, unsaid: Unsaid) -> Event:
    timestamp = conversation.session.timestamp or ""
    digest = sasl.apop_digest(timestamp, login.password.reveal())
    unsaid.note(digest.encode())
    command = single(Verb.APOP, login.username, digest)
    (event,) = await conversation.answers(Phase.LOGIN, command)
    return event


async def _authenticate(
    conversation: Conversation, login: UnlockedLogin, way: Authentication, unsaid: Unsaid
) -> Event:
    """AUTH (RFC 5034): the proof in base64, at once where it fits the line."""
    mechanism = _proof(login, way)
    first = next(mechanism)
    command = single(Verb.AUTH, way.upper())
    if first is not None:
        unsaid.note(first)
        at_once = single(Verb.AUTH, way.upper(), _in_base64(first))
        if len(at_once.line) <= LONGEST_COMMAND:
            command, first = at_once, None
    (event,) = await conversation.answers(Phase.LOGIN, command)
    while isinstance(event, Challenged):
        if first is None:
            first = _next_response(conversation, mechanism, event)
            unsaid.note(first)
        conversation.respond(_in_base64(first).encode())
        first = None
        event = await conversation.next_event()
    return event


def _proof(login: UnlockedLogin, way: Authentication) -> sasl.Mechanism:
    password = login.password.reveal()
    match way:
        case Authentication.PLAIN:
            return sasl.plain(login.username, password, login.authorize_as)
        case Authentication.LOGIN:
            return sasl.login(login.username, password)
        case _:
            return sasl.cram_md5(login.username, password)


def _next_response(
    conversation: Conversation, mechanism: sasl.Mechanism, event: Challenged
) -> bytes:
    try:
        challenge = base64.b64decode(event.challenge.strip(), validate=True)
        return mechanism.send(challenge) or b""
    except binascii.Error:
        raise conversation.unexpected("a challenge that is not base64") from None
    except StopIteration:
        raise conversation.unexpected("a challenge too many") from None


def _in_base64(response: bytes) -> str:
    return base64.b64encode(response).decode("ascii")
