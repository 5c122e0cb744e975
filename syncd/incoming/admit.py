"""May a message come in? By date (contract 7.1) and by the marks of a mail loop."""

from dataclasses import dataclass
from datetime import datetime

from syncd.model.mail import Headers

MOST_HOPS = 50
"""Received headers of a mail that goes in circles: Postfix' hopcount_limit."""

BEFORE_DATE = "before process_email_from"
TOO_LARGE = "too large"


@dataclass(frozen=True, slots=True)
class Admit:
    """It is taken."""


@dataclass(frozen=True, slots=True)
class Filter:
    """It is stored, marked with the reason, and the application is told so."""

    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """It is left on the server and noted in the ledger, nothing else."""

    reason: str


Admission = Admit | Filter | Skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a mailbox lets in."""

    own_mark: str
    """What this mailbox writes into X-Syncd-Loop: its address, folded."""
    not_before: datetime | None = None
    """Only for mail that was there before the mailbox was joined: live mail has no date limit,
    or a late or moved message would be lost (contract 7.1)."""


ADMITTED = Admit()


def arrival(headers: Headers) -> datetime | None:
    """Tell when a message arrived: topmost Received, else Date, else unknown."""
    return headers.received_at or headers.date


def admit(headers: Headers, rules: Rules) -> Admission:
    """Judge one message by its headers; an unknown date is no reason to leave it."""
    if rules.not_before is not None:
        arrived_at = arrival(headers)
        if arrived_at is not None and arrived_at < rules.not_before:
            return Skip(BEFORE_DATE)
    if headers.hops > MOST_HOPS:
        return Filter(f"mail loop: {headers.hops} Received headers")
    if any(mark.casefold() == rules.own_mark for mark in headers.loop_marks):
        return Filter("mail loop: this mailbox sent it")
    return ADMITTED
