"""An email server profile: where a hosting provider's servers are and how to treat them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
"""`process_email_from: all`, as a moment: earlier than every mail."""


class MailProtocol(StrEnum):
    """What is spoken on a connection."""

    POP3 = "pop3"
    SMTP = "smtp"


class Security(StrEnum):
    """When TLS begins: with the connection, after STLS/STARTTLS, or never."""

    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"


class Authentication(StrEnum):
    """How a login proves itself; exactly one mechanism is tried, once."""

    AUTO = "auto"
    USER_PASS = "user-pass"  # noqa: S105 - a mechanism's name
    APOP = "apop"
    PLAIN = "plain"
    LOGIN = "login"
    CRAM_MD5 = "cram-md5"


class IpVersion(StrEnum):
    """Which addresses of a server may be used."""

    AUTO = "auto"
    IPV4 = "4"
    IPV6 = "6"


class OutcomePolicy(StrEnum):
    """What follows when the answer to the final dot was lost."""

    RETRY = "retry"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server of a profile: a place and the way to speak to it."""

    protocol: MailProtocol
    server: str
    port: int
    security: Security = Security.TLS
    authentication: Authentication = Authentication.AUTO
    tls_ca: Path | None = None
    tls_server_name: str | None = None
    tls_pin: str | None = None
    """SHA-256 of the server certificate (DER), hex, colons allowed."""
    allow_plaintext_login: bool = False
    ip: IpVersion = IpVersion.AUTO
    source_address: str | None = None

    @property
    def place(self) -> str:
        """Return host:port, as errors and metrics name this server."""
        return f"{self.server}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long an outgoing message is tried: patience measured by age, not by attempts."""

    first: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=1)
    lifetime: timedelta = timedelta(days=5)
    warn_after: timedelta = timedelta(hours=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything the mailboxes of one provider have in common."""

    name: str
    incoming: Endpoint | None
    outgoing: Endpoint | None
    description: str = ""
    owner: str | None = None
    tenant: str | None = None
    enabled: bool = True
    shares_login: bool = False
    """True when the profile holds the credentials: its connections are then counted over
    the whole profile, not per mailbox (contract 7.2)."""
    process_email_from: datetime | None = None
    minimum_polling_interval: timedelta = timedelta(minutes=5)
    max_concurrent_connections: int = 10
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    outcome_unknown: OutcomePolicy = OutcomePolicy.RETRY
