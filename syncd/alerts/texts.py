"""What the wall says: every alert's words, in one place. Facts in, an Alert out.

An alert names what happened, how often where that matters, and what to do. Failures bring
their own words (`mailboxes.failure_texts`, `providers`); here they get an object and a level.
"""

from syncd.model.alert import Alert, AlertLevel
from syncd.model.failure import Failure, Scope
from syncd.model.mailbox import Direction, MailboxId

STORE = "store"
"""The store as the object of an alert."""


def of_mailbox(mailbox_id: MailboxId, direction: Direction | None = None) -> str:
    """Name a mailbox, or one direction of it, as the object of an alert."""
    return f"mailbox:{mailbox_id}" + (f":{direction}" if direction else "")


def of_server(place: str) -> str:
    """Name a server (host:port) as the object of an alert."""
    return f"server:{place}"


def of_profile(name: str, direction: Direction) -> str:
    """Name one side of a profile as the object of an alert."""
    return f"profile:{name}:{direction}"


def object_of(
    failure: Failure, mailbox_id: MailboxId, direction: Direction, profile: str | None
) -> str:
    """Name what a failure is about: its server, its profile, the store, or the mailbox."""
    match failure.scope:
        case Scope.SERVER if failure.server is not None:
            return of_server(failure.server)
        case Scope.PROFILE if profile is not None:
            return of_profile(profile, direction)
        case Scope.STORE:
            return STORE
        case _:
            return of_mailbox(mailbox_id, direction)


def stopped(
    failure: Failure, mailbox_id: MailboxId, address: str, direction: Direction
) -> Alert:
    """A direction of a mailbox does not work any more until somebody acts."""
    return Alert(
        code=failure.code,
        object=of_mailbox(mailbox_id, direction),
        level=AlertLevel.ERROR,
        text=f"{direction.capitalize()} mail of {address} has stopped. {_told(failure)}",
        remedy=failure.remedy,
    )


def failing(
    failure: Failure,
    mailbox_id: MailboxId,
    address: str,
    direction: Direction,
    profile: str | None = None,
) -> Alert:
    """Something has not worked for a while; syncd goes on trying."""
    match failure.scope:
        case Scope.SERVER:
            seen_by = f"{address}, profile {profile}" if profile else address
            what = f"{failure.server} cannot be used (seen by {seen_by})"
        case Scope.PROFILE if profile is not None:
            what = f"{direction.capitalize()} mail of profile {profile} does not move"
            what += f" (seen by {address})"
        case Scope.STORE:
            what = "The store cannot be written"
        case _:
            what = f"{direction.capitalize()} mail of {address} does not move"
    return Alert(
        code=failure.code,
        object=object_of(failure, mailbox_id, direction, profile),
        level=AlertLevel.ERROR if failure.scope is Scope.STORE else AlertLevel.WARNING,
        text=f"{what}; it is tried again by itself. {_told(failure)}",
        remedy=failure.remedy,
    )


def messages_recognised(mailbox_id: MailboxId, address: str, server: str, count: int) -> Alert:
    """The messages of a mailbox came under new names (contract 7.0)."""
    return Alert(
        code="messages_recognised",
        object=of_mailbox(mailbox_id),
        level=AlertLevel.INFORMATION,
        text=(
            f"{count} messages of {server} were recognised again by their headers: {address} "
            "lists them under new names (UIDL). None of them was downloaded twice."
        ),
        remedy="Nothing to do. If you did not expect it, ask the provider what was moved.",
    )


def message_too_large(
    mailbox_id: MailboxId, address: str, octets: int | None, limit: int
) -> Alert:
    """A message was left on the server because of its size."""
    size = "More than the limit" if octets is None else f"{octets} octets"
    return Alert(
        code="message_too_large",
        object=of_mailbox(mailbox_id),
        level=AlertLevel.WARNING,
        text=f"A message of {address} was left on its server: {size}, allowed are {limit}.",
        remedy="Read it there. Raise limits.max_message_size to let later ones in.",
    )


def message_quarantined(mailbox_id: MailboxId, address: str, reason: str) -> Alert:
    """A message could not be taken."""
    return Alert(
        code="message_quarantined",
        object=of_mailbox(mailbox_id),
        level=AlertLevel.WARNING,
        text=f"A message of {address} could not be taken: {reason}. The others go on.",
        remedy="`syncd quarantine list` shows it; replay it, or drop it.",
    )


def _told(failure: Failure) -> str:
    where = f" ({failure.server}: {failure.words})" if failure.server else f" ({failure.words})"
    return failure.cause + (where if failure.words else "")
