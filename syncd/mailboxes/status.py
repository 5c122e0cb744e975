"""What a cycle does to a direction's status: fields, and alerts to open or resolve. Pure.

Rule 1: an unchanged success changes nothing but times; nothing here asks for a write of its
own.
Rule 2: a failure about a single message is no failure of the mailbox.
Rule 3: whoever tries before the planned moment, and fails, neither lengthens the back-off nor
shortens it; refused logins count all the same, or providers would lock the account.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from syncd.alerts import texts
from syncd.mailboxes.health import SHORTEST_INTERVAL, Retry, Stop, judge_failure
from syncd.model.alert import Alert
from syncd.model.direction import DirectionRecord, LastError
from syncd.model.failure import Failure, FailureHistory, Lasting, Scope
from syncd.model.mailbox import TestStatus
from syncd.model.poll import PollOutcome

PROBE_EVERY = timedelta(hours=1)
PROBE_EVERY_LATER = timedelta(days=1)
"""A stopped direction is tried once an hour for a day, then once a day: it heals by itself, and
no provider locks an account for one login an hour (contract 3)."""

PROBE_SLOWER_AFTER = timedelta(days=1)

_PUNCTUAL = timedelta(seconds=5)
"""So much earlier than planned, by a clock that was set, a try is still the planned one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose status it is, and how often it is polled."""

    address: str
    server: str | None
    """host:port; its alerts are resolved by the first success behind it."""
    profile: str | None
    """Its profile's name; alerts are resolved alike."""
    interval: timedelta


@dataclass(frozen=True, slots=True)
class Recorded:
    """A direction's new status, and what the wall should say."""

    record: DirectionRecord
    opened: tuple[Alert, ...] = ()
    resolved: tuple[str, ...] = ()
    """Objects of alerts about which nothing is wrong any more."""


def record_poll(
    record: DirectionRecord,
    outcome: PollOutcome,
    place: Place,
    *,
    next_at: datetime,
    now: datetime,
    dice: float,
) -> Recorded:
    """Note one poll; `next_at` is when the next is due if all went well."""
    record = replace(
        record,
        last_started_at=outcome.started_at,
        last_duration=outcome.duration,
        taken_total=record.taken_total + outcome.taken,
        failed_total=record.failed_total + outcome.quarantined,
    )
    if outcome.failure is None or outcome.failure.scope is Scope.MESSAGE:
        # What waits for another try stands in the quarantine, for as long as it does.
        found = None if outcome.refused else outcome.remark
        return record_success(record, place, next_at=next_at, now=now, found=found)
    return record_failure(record, outcome.failure, place, now=now, dice=dice)


def record_success(
    record: DirectionRecord,
    place: Place,
    *,
    next_at: datetime | None,
    now: datetime,
    found: str | None = None,
) -> Recorded:
    """Note that a direction works; the first time, that its test has succeeded.

    `found` is what an operator should know of it; it stays until the next test.
    """
    is_news = record.status is not TestStatus.SUCCESS or not record.enabled
    resolved: tuple[str, ...] = ()
    if record.last_error is not None:
        resolved = (texts.of_mailbox(record.mailbox_id, record.direction),)
        resolved += (texts.of_server(place.server),) if place.server else ()
        if place.profile:
            resolved += (texts.of_profile(place.profile, record.direction),)
        resolved += (texts.STORE,) if record.last_error.code.startswith(texts.STORE) else ()
    return Recorded(
        replace(
            record,
            enabled=True,
            status=TestStatus.SUCCESS,
            status_at=now if is_news else record.status_at,
            status_text=found or (None if is_news else record.status_text),
            next_at=next_at,
            postponed_until=None,
            postponed_why=None,
            last_success_at=now,
            last_error=None,
            stopped_at=None,
            consecutive_failures=0,
            refused_logins=0,
            first_refused_at=None,
        ),
        resolved=resolved,
    )


def record_failure(
    record: DirectionRecord, failure: Failure, place: Place, *, now: datetime, dice: float
) -> Recorded:
    """Note a failure and what follows from it."""
    planned = _planned(record, now)
    history = history_of(record)
    if planned is not None:
        history = replace(history, consecutive=record.consecutive_failures - 1)
    verdict = judge_failure(failure, history, place.interval, now, dice)
    is_permanent = failure.lasting is Lasting.PERMANENT
    failed = replace(
        record,
        last_error=LastError(
            code=failure.code,
            level="error" if is_permanent else "warning",
            words=failure.words,
            remedy=failure.remedy,
        ),
        consecutive_failures=history.consecutive + 1,
        refused_logins=record.refused_logins + failure.suspect,
        first_refused_at=record.first_refused_at or (now if failure.suspect else None),
    )
    whose = (record.mailbox_id, place.address, record.direction)
    match verdict:
        case Stop(why=why):
            stopped_at = record.stopped_at or now
            return Recorded(
                replace(
                    _until_probe(failed, stopped_at, now),
                    enabled=False,
                    status=TestStatus.FAILURE,
                    status_at=stopped_at,
                    status_text=why,
                    stopped_at=stopped_at,
                ),
                opened=(texts.stopped(failure, *whose),),
            )
        case Retry() if record.stopped_at is not None:
            # A probe that did not get as far as the login: it has its own, slow pace.
            return Recorded(_until_probe(failed, record.stopped_at, now))
        case Retry(at=at, alert=alert):
            if planned is not None:
                soonest = now + max(place.interval, SHORTEST_INTERVAL)
                at = max(planned, at if failure.suspect else soonest)
            waits = replace(failed, next_at=at, postponed_until=at, postponed_why=failure.cause)
            if record.last_success_at is None:  # the first connection was the test
                waits = replace(
                    waits, status=TestStatus.FAILURE, status_at=now, status_text=failure.cause
                )
            told = (texts.failing(failure, *whose, place.profile),) if alert else ()
            return Recorded(waits, opened=told)
        case _:
            assert_never(verdict)


def _planned(record: DirectionRecord, now: datetime) -> datetime | None:
    """Return the try after a failure that is planned and that somebody has forestalled."""
    planned = record.postponed_until
    if planned is None or not record.consecutive_failures or now >= planned - _PUNCTUAL:
        return None
    return planned


def _until_probe(
    record: DirectionRecord, stopped_at: datetime, now: datetime
) -> DirectionRecord:
    """Let what has stopped wait for its next probe, whoever asks and whatever restarts."""
    is_fresh = now - stopped_at < PROBE_SLOWER_AFTER
    at = now + (PROBE_EVERY if is_fresh else PROBE_EVERY_LATER)
    return replace(record, next_at=at, postponed_until=at, postponed_why=record.status_text)


def history_of(record: DirectionRecord) -> FailureHistory:
    """Return what is remembered of a direction's failures."""
    return FailureHistory(
        consecutive=record.consecutive_failures,
        refused_logins=record.refused_logins,
        first_refused_at=record.first_refused_at,
        last_success_at=record.last_success_at,
    )
