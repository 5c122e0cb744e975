"""An alert: something a person should know of, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class AlertLevel(StrEnum):
    """How much it matters (contract 2, alerts.levels)."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What the wall shows. One is open per code and object; seen again, it is counted."""

    code: str
    object: str
    """What it is about: `mailbox:ID`, `server:host:port`, `profile:NAME`, `store`."""
    level: AlertLevel
    text: str
    remedy: str
