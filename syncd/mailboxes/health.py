"""Transient or permanent, and what follows: the only place that decides about a mailbox.

Rule 1: what nobody knows is transient.
Rule 2: only a failure that is surely about this mailbox, and that waiting cannot mend, stops
it. Trouble of a server or of the store stops nothing: whoever waits behind it goes on by
itself when it is over.
Rule 3: a refused login is first of all suspect: providers answer so to everybody during an
outage. Tried again after 1, 4 and 16 intervals, never sooner than 15 minutes, stopped after
three refusals over at least an hour (contract 3).
Rule 4: nothing here makes a mailbox due earlier than its interval.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from syncd.errors import (
    CommandRefused,
    LimitExceeded,
    LoginRefused,
    Phase,
    ServerError,
    TlsFailed,
    WrongProtocol,
    one_line,
)
from syncd.mailboxes.failure_texts import (
    MEANINGS,
    MESSAGE_TOO_LARGE,
    TLS_MEANINGS,
    UNEXPECTED,
    Meaning,
)
from syncd.model.failure import Failure, FailureHistory, Lasting, Scope
from syncd.providers import pop3_texts, smtp_texts

SHORTEST_INTERVAL = timedelta(seconds=10)
"""What an interval of 0 means (contract 7.9)."""

LONGEST_WAIT = timedelta(hours=1)
"""Of a mailbox whose failure is transient; a longer interval counts instead."""

LONGEST_WAIT_FOR_SERVER = timedelta(minutes=15)
"""Shorter: one server's return must not be noticed an hour late by all its mailboxes."""

SHORTEST_SUSPICION = timedelta(minutes=15)
LONGEST_SUSPICION = timedelta(days=1)
"""Between two tries of a suspect login: with a day-long interval, 16 of them are no plan."""
_SUSPICION_FACTORS = (1, 4, 16)
STOP_AFTER_REFUSALS = len(_SUSPICION_FACTORS)
STOP_AFTER = timedelta(hours=1)

JITTER = 0.25
"""Waits grow by up to this part, so that mailboxes that failed together part ways."""

ALERT_AFTER = timedelta(minutes=30)
ALERT_AFTER_FAILURES = 3
"""A transient failure that has lasted for both is worth a person's look."""

_PATIENCE = {"maildrop_locked": timedelta(days=1)}
"""Codes with another patience: a phone that polls is nobody's trouble (faults 20)."""

_AT_ONCE = frozenset({"store_full"})
"""Codes that only a person can mend: while they wait, nothing moves at all (faults 14)."""

_NEVER_SLOWER = frozenset({"maildrop_locked"})
"""Codes whose next try is simply the next interval."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again at `at`; `alert` says whether a person should know by now."""

    at: datetime
    alert: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """This direction stops, with an alert, until a slow probe or a poll by hand succeeds."""

    why: str
    remedy: str


def judge_failure(
    failure: Failure, history: FailureHistory, interval: timedelta, now: datetime, dice: float
) -> Retry | Stop:
    """Decide what follows a failure.

    `history` is what was before it, `interval` the mailbox's polling interval, `dice` is in
    [0, 1).
    """
    interval = max(interval, SHORTEST_INTERVAL)
    if failure.suspect:
        return _judge_suspect(failure, history, interval, now)
    if failure.lasting is Lasting.PERMANENT and failure.scope is Scope.MAILBOX:
        return Stop(failure.cause, failure.remedy)
    wait = _wait(failure, history.consecutive, interval) * (1 + JITTER * dice)
    return Retry(now + wait, alert=_is_worth_an_alert(failure, history, now))


def _judge_suspect(
    failure: Failure, history: FailureHistory, interval: timedelta, now: datetime
) -> Retry | Stop:
    refusals = history.refused_logins + 1
    lasted = now - (history.first_refused_at or now)
    if refusals >= STOP_AFTER_REFUSALS and lasted >= STOP_AFTER:
        return Stop(failure.cause, failure.remedy)
    wait = interval * _SUSPICION_FACTORS[min(refusals, len(_SUSPICION_FACTORS)) - 1]
    if refusals >= STOP_AFTER_REFUSALS:
        # The one that decides comes when the hour is over: never more than three an hour.
        wait = max(wait, STOP_AFTER - lasted)
    longest = max(interval, LONGEST_SUSPICION)
    return Retry(now + min(max(wait, SHORTEST_SUSPICION), longest))


def _wait(failure: Failure, failures_before: int, interval: timedelta) -> timedelta:
    match failure.scope:
        case Scope.MESSAGE | Scope.STORE:
            return interval
        case Scope.SERVER:
            longest = LONGEST_WAIT_FOR_SERVER
        case Scope.MAILBOX | Scope.PROFILE:
            longest = LONGEST_WAIT
        case _:
            assert_never(failure.scope)
    if failure.code in _NEVER_SLOWER:
        return interval
    doubled: int = 2 ** min(failures_before, 20)
    return min(interval * doubled, max(interval, longest))


def _is_worth_an_alert(failure: Failure, history: FailureHistory, now: datetime) -> bool:
    if failure.scope is Scope.MESSAGE:
        return False  # whoever put it aside has said so
    if failure.lasting is Lasting.PERMANENT or failure.code in _AT_ONCE:
        return True
    patience = _PATIENCE.get(failure.code, ALERT_AFTER)
    since = history.last_success_at
    has_lasted = since is None or now - since >= patience
    return has_lasted and history.consecutive + 1 >= ALERT_AFTER_FAILURES


# ---------------------------------------------------------------- classifying

_BEFORE_LOGIN = frozenset(
    {
        Phase.RESOLVE,
        Phase.CONNECT,
        Phase.TLS,
        Phase.GREETING,
        Phase.CAPABILITIES,
        Phase.STARTTLS,
        Phase.HELLO,
    }
)
"""Phases in which the server does not know yet whose mailbox is meant."""


def classify(error: Exception) -> Failure:
    """Put an error on the two axes, with its cause and its remedy in words."""
    meaning = _meaning_of(error)
    if not isinstance(error, ServerError):
        return _failure(meaning, None, None, one_line(str(error)))
    if error.phase in _BEFORE_LOGIN and meaning.scope is Scope.MAILBOX:
        meaning = replace(meaning, scope=Scope.SERVER)
    return _failure(meaning, error.server, error.phase, error.words)


def _meaning_of(error: Exception) -> Meaning:
    match error:
        case LoginRefused(reply_code=int(code)) | CommandRefused(reply_code=int(code)):
            return _meaning_in_smtp(error, code)
        case LoginRefused() | CommandRefused():
            return _meaning_in_pop3(error)
        case TlsFailed():
            return TLS_MEANINGS[error.kind]
        case WrongProtocol():
            return replace(MEANINGS[WrongProtocol], cause=f"This is {error.who}.")
        case LimitExceeded(phase=Phase.FETCH):
            return MESSAGE_TOO_LARGE
        case _:
            ancestry = (MEANINGS[kind] for kind in type(error).__mro__ if kind in MEANINGS)
            return next(ancestry, UNEXPECTED)


def _meaning_in_pop3(error: LoginRefused | CommandRefused) -> Meaning:
    rule = pop3_texts.known_refusal(error.phase, error.response_code, error.words)
    if rule is None:
        return MEANINGS[type(error)]
    return Meaning(rule.code, rule.lasting, rule.scope, rule.cause, rule.remedy, rule.suspect)


def _meaning_in_smtp(error: LoginRefused | CommandRefused, code: int) -> Meaning:
    """Judge what concerns the session; replies to a message are `outgoing.verdict`'s."""
    rule = smtp_texts.known_reply(error.phase, code, error.enhanced, error.words)
    is_final = code >= 500
    if rule is None:
        return MEANINGS[
            LoginRefused if is_final and error.phase is Phase.LOGIN else CommandRefused
        ]
    lasting = Lasting.PERMANENT if is_final else Lasting.TRANSIENT
    match rule.meaning:
        case smtp_texts.Meaning.LATER:
            return replace(MEANINGS[CommandRefused], code=rule.name)
        case smtp_texts.Meaning.QUOTA:
            return Meaning(rule.name, Lasting.TRANSIENT, Scope.MAILBOX, rule.cause, rule.remedy)
        case smtp_texts.Meaning.LOGIN:
            return Meaning(
                rule.name, lasting, Scope.MAILBOX, rule.cause, rule.remedy, suspect=is_final
            )
        case smtp_texts.Meaning.LOGIN_FORBIDDEN:
            return Meaning(rule.name, lasting, Scope.MAILBOX, rule.cause, rule.remedy)
        case smtp_texts.Meaning.NEEDS_TLS:
            return Meaning(rule.name, lasting, Scope.PROFILE, rule.cause, rule.remedy)
        case _:
            assert_never(rule.meaning)


def _failure(meaning: Meaning, server: str | None, phase: Phase | None, words: str) -> Failure:
    return Failure(
        code=meaning.code,
        lasting=meaning.lasting,
        scope=meaning.scope,
        server=server,
        phase=phase,
        words=words,
        cause=meaning.cause,
        remedy=meaning.remedy,
        suspect=meaning.suspect,
    )
