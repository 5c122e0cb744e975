"""What a person asks of a mailbox: what does it do, why not, what then? State in sentences.

A first form: each direction says whether it moves, what went wrong last, and what to do.
"""

from datetime import datetime, timedelta
from typing import assert_never

from syncd.mailboxes.lifecycle import Standing, State
from syncd.model.direction import DirectionRecord, LastError


def explain(
    address: str, record: DirectionRecord, standing: Standing, now: datetime
) -> list[str]:
    """Return sentences about one direction of a mailbox, the most important first."""
    sentences = [_how_it_stands(address, record, standing)]
    if record.last_error is not None:
        sentences += _what_went_wrong(record.last_error, record.postponed_why)
    if record.last_success_at is not None:
        sentences.append(f"It last worked {_ago(now - record.last_success_at)}.")
    if standing.may_connect and record.next_at is not None:
        sentences.append(f"The next try comes {_ahead(record.next_at - now)}.")
    return sentences


def _how_it_stands(address: str, record: DirectionRecord, standing: Standing) -> str:
    mail = f"{record.direction.capitalize()} mail of {address}"
    match standing.state:
        case State.RUNNING if record.last_error is not None:
            times = record.consecutive_failures
            return (
                f"{mail} is enabled and has failed {times} time{'s' * (times != 1)} in a row."
            )
        case State.RUNNING:
            return f"{mail} works."
        case State.TESTING:
            return f"{mail} is being tested: {standing.why}."
        case State.FAILED:
            return f"{mail} has stopped: {standing.why.rstrip('.')}."
        case State.PAUSED:
            return f"{mail} is paused: {standing.why}."
        case State.UNAPPROVED | State.DISABLED:
            return f"{mail} does not move: {standing.why}."
        case _:
            assert_never(standing.state)


def _what_went_wrong(error: LastError, postponed_why: str | None) -> list[str]:
    sentences = [f"The last error was {error.code}: {error.words}"] if error.words else []
    if postponed_why:
        sentences.append(postponed_why)
    return [*sentences, f"What to do: {error.remedy}"]


def _ago(past: timedelta) -> str:
    return "a moment ago" if past < timedelta(minutes=1) else f"{_length(past)} ago"


def _ahead(wait: timedelta) -> str:
    return "at once" if wait <= timedelta(0) else f"in {_length(wait)}"


def _length(time: timedelta) -> str:
    """Write a length of time in its two largest units at most."""
    minutes, seconds = divmod(int(time.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    named = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    shown = [f"{count} {unit}" for count, unit in named if count]
    return " ".join(shown[:2]) or "0 s"
