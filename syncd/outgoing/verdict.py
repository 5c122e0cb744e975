"""What a reply or an error means for the recipients it concerns. The only place that decides.

Rule 1: what is known of a provider's texts comes first (`providers.smtp_texts`), then the
enhanced code's class, then the three digits. Where those two disagree the patient one wins,
and what nobody knows is temporary.
Rule 2: trouble with the login or the account's limits fails no message: it holds the
mailbox's queue.
Rule 3: silence after the final dot is neither success nor failure (RFC 5321 6.1).
Rule 4: only the answer to the final dot can say that a message is sent; a 2yz anywhere else,
or one that was raised as an error, says that this server cannot be followed.
"""

from dataclasses import dataclass
from typing import assert_never

from syncd.errors import CommandRefused, LoginRefused, Phase, ServerError
from syncd.model.failure import Failure, Lasting, Scope
from syncd.protocols.smtp_replies import SmtpReply
from syncd.providers.smtp_texts import Meaning, ReplyRule, known_reply


@dataclass(frozen=True, slots=True)
class Sent:
    """The server has taken responsibility for the message."""

    reply: SmtpReply


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now; `reply` is None where the connection failed rather than the server refused."""

    words: str
    reply: SmtpReply | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Never: this recipient is not tried again."""

    reply: SmtpReply


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """The dot went out and no answer came: it may have been sent."""

    words: str


@dataclass(frozen=True, slots=True)
class MailboxTrouble:
    """The account, not the message: the mailbox's queue waits and nothing fails."""

    failure: Failure
    reply: SmtpReply


UNNAMED_LOGIN_TROUBLE = ReplyRule(
    meaning=Meaning.LOGIN,
    name="login_refused",
    cause="The server does not accept this login.",
    remedy="Read the server's words; check user name and password of the mailbox.",
)
"""What any other refusal of the login means."""

FIRST_REFUSAL = 400
"""The lowest reply code that refuses something."""

Verdict = Sent | Deferred | Refused | OutcomeUnknown | MailboxTrouble


def judge_delivery(server: str, phase: Phase, answer: SmtpReply | ServerError) -> Verdict:
    """Judge the last answer that the recipients concerned got, or what came instead of it."""
    match answer:
        case SmtpReply():
            return _judge_reply(server, phase, answer)
        case LoginRefused() | CommandRefused() if (answer.reply_code or 0) >= FIRST_REFUSAL:
            reply = SmtpReply(answer.reply_code or 0, answer.enhanced, answer.words)
            return _judge_reply(server, answer.phase, reply)
        case _ if answer.phase is Phase.AFTER_DOT:
            return OutcomeUnknown(answer.words)
        case _:
            return Deferred(answer.words)


def _judge_reply(server: str, phase: Phase, reply: SmtpReply) -> Verdict:
    if reply.is_positive:
        return Sent(reply) if phase is Phase.AFTER_DOT else Deferred(f"out of turn: {reply}")
    rule = known_reply(phase, reply.code, reply.enhanced, reply.words)
    if rule is not None:
        return _judge_known(server, phase, reply, rule)
    if phase is Phase.LOGIN:
        return _hold(server, phase, reply, UNNAMED_LOGIN_TROUBLE)
    says_never = reply.code >= 500 and not (reply.enhanced or "5").startswith("4")
    return Refused(reply) if says_never else Deferred(str(reply), reply)


def _judge_known(server: str, phase: Phase, reply: SmtpReply, rule: ReplyRule) -> Verdict:
    match rule.meaning:
        case Meaning.LATER:
            return Deferred(str(reply), reply)
        case Meaning.LOGIN | Meaning.LOGIN_FORBIDDEN | Meaning.NEEDS_TLS | Meaning.QUOTA:
            return _hold(server, phase, reply, rule)
        case _:
            assert_never(rule.meaning)


def _hold(server: str, phase: Phase, reply: SmtpReply, rule: ReplyRule) -> MailboxTrouble:
    # A quota ends by itself, and 4yz is the server's own word for "later".
    passes = rule.meaning is Meaning.QUOTA or reply.code < 500
    failure = Failure(
        code=rule.name,
        lasting=Lasting.TRANSIENT if passes else Lasting.PERMANENT,
        scope=Scope.PROFILE if rule.meaning is Meaning.NEEDS_TLS else Scope.MAILBOX,
        server=server,
        phase=phase,
        words=str(reply),
        cause=rule.cause,
        remedy=rule.remedy,
        suspect=rule.meaning is Meaning.LOGIN and not passes,
    )
    return MailboxTrouble(failure, reply)
