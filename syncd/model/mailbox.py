"""A mailbox: one address of a user or a queue, and what the operator wants of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType, assert_never

from syncd.model.profile import Endpoint, Profile
from syncd.model.secret import SealedSecret, Secret

MailboxId = NewType("MailboxId", int)


class MailboxType(StrEnum):
    """Whose address it is: a person's, or a shared work inbox."""

    USER = "user"
    QUEUE = "queue"


class Direction(StrEnum):
    """Which way mail goes, seen from the application."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"


class Approval(StrEnum):
    """Whether an administrator lets syncd touch this address."""

    EMPTY = "empty"
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class TestStatus(StrEnum):
    """What the last Test & Enable of a direction found."""

    __test__ = False  # pytest would take the name for a test class

    NOT_RUN = "not_run"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A name and a password for one server."""

    username: str
    password: Secret | SealedSecret
    authorize_as: str | None = None
    """SASL authorization identity, where it differs from the login (impersonation)."""
    of_profile: bool = False
    """Whether the profile holds it: a sealed password is bound to the profile's name then,
    else to the mailbox's address."""
    servers: tuple[str, ...] = ()
    """Host names that it is for. A sealed password is bound to all of them together: nobody
    who may change one of a profile's servers learns a password that way (faults 70)."""
    is_separate_outgoing: bool = False
    """Whether it is the outgoing half of separate credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """What the configuration says of one mailbox, its profile resolved."""

    address: str
    name: str
    type: MailboxType
    profile: Profile
    incoming: bool
    outgoing: bool
    incoming_login: Login | None
    outgoing_login: Login | None
    owner: str | None = None
    tenant: str | None = None
    send_as: tuple[str, ...] = ()
    delete_after_processing: bool = False
    process_email_from: datetime | None = None
    enabled: bool = True
    needs_approval: bool = True
    """False when `process_only_approved_users` (or queues) is off."""

    def login(self, direction: Direction) -> Login | None:
        """Return the login of one direction; None where it is not synchronised."""
        match direction:
            case Direction.INCOMING:
                return self.incoming_login if self.incoming else None
            case Direction.OUTGOING:
                return self.outgoing_login if self.outgoing else None
            case _:
                assert_never(direction)

    def endpoint(self, direction: Direction) -> Endpoint | None:
        """Return the server of one direction."""
        match direction:
            case Direction.INCOMING:
                return self.profile.incoming
            case Direction.OUTGOING:
                return self.profile.outgoing
            case _:
                assert_never(direction)


def address_key(address: str) -> str:
    """Fold an address for comparison: both parts without case (contract 7.4)."""
    return address.strip().casefold()
