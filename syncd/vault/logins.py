"""What a mailbox's login is sealed for, and its opening."""

from syncd.connections.seams import UnlockedLogin
from syncd.model.mailbox import Direction, Login, Mailbox
from syncd.vault.credentials import Binding, unlock
from syncd.vault.keys import KeyRing

PASSWORD = "password"  # noqa: S105 - a field's name
OUTGOING_PASSWORD = "outgoing password"  # noqa: S105 - a field's name


def bind(
    kind: str, name: str, servers: tuple[str, ...], *, is_separate_outgoing: bool
) -> Binding:
    """Say what a password is sealed for: all the servers it is used at, together."""
    return Binding(
        kind=kind,
        name=name,
        server=",".join(server.rstrip(".").lower() for server in servers),
        field=OUTGOING_PASSWORD if is_separate_outgoing else PASSWORD,
    )


def binding_of(mailbox: Mailbox, login: Login) -> Binding:
    """Say what a configured login's password is sealed for."""
    return bind(
        "profile" if login.of_profile else "mailbox",
        mailbox.profile.name if login.of_profile else mailbox.address,
        login.servers,
        is_separate_outgoing=login.is_separate_outgoing and login.of_profile,
    )


def unlock_mailbox(
    ring: KeyRing | None, mailbox: Mailbox, direction: Direction
) -> UnlockedLogin:
    """Open the login of one direction; raises SecretUnreadable."""
    login = mailbox.login(direction)
    if login is None:  # the lifecycle lets no such direction connect
        raise ValueError(f"{mailbox.address} has no {direction} login")
    return unlock(login, ring, binding_of(mailbox, login))
