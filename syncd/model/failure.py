"""A failure on its two axes: how lasting it is, and how much it concerns (contract 3)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Lasting(StrEnum):
    """Whether waiting can help."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"


class Scope(StrEnum):
    """What it concerns; everything outside of it goes on at full speed."""

    MESSAGE = "message"
    MAILBOX = "mailbox"
    PROFILE = "profile"
    SERVER = "server"
    STORE = "store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure, classified, in words a person can act on."""

    code: str
    """A stable short name: `login_refused`, `maildrop_locked`, `tls_expired`, …"""
    lasting: Lasting
    scope: Scope
    server: str | None
    phase: str | None
    words: str
    """The server's own words."""
    cause: str
    remedy: str
    suspect: bool = False
    """A refused login that may yet be the provider's trouble (contract 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureHistory:
    """What is remembered of a direction's failures since its last success."""

    consecutive: int = 0
    refused_logins: int = 0
    first_refused_at: datetime | None = None
    last_success_at: datetime | None = None
