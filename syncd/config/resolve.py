"""From what was written to what is meant: model objects, with every default filled in.

Below here nobody knows that YAML exists.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from syncd.config import schema
from syncd.config.rules import default_profile
from syncd.config.schema import CredentialSource, Settings, Synchronization
from syncd.config.values import AUTHORIZE, fill_impersonation
from syncd.model.mailbox import Direction, Login, Mailbox, MailboxType
from syncd.model.profile import Endpoint, MailProtocol, Profile, RetryPolicy
from syncd.model.secret import SealedSecret, Secret

AnySecret = Secret | SealedSecret


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLimits:
    """Limits and patience on the way to the mail servers."""

    max_connections: int
    max_connections_per_server: int
    logins_per_server: int
    """So many logins at one server …"""
    logins_period: timedelta
    """… within this time."""
    connect_timeout: timedelta
    command_timeout: timedelta
    session_timeout: timedelta
    allowed_ports: frozenset[int] | None
    """None: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything the configuration asks for."""

    instance: str
    store: Path
    """The SQLite file."""
    keys: tuple[Secret, ...]
    """Key lines: the first encrypts, all decrypt."""
    socket: Path
    network: NetworkLimits
    memory: int
    """Message octets in flight, over all connections."""
    max_message_size: int
    log_level: str
    log_format: str
    test_new_mailboxes: bool
    profiles: tuple[Profile, ...]
    mailboxes: tuple[Mailbox, ...]


def resolve(settings: Settings) -> Plan:
    """Return what the settings, which were checked, ask for."""
    network = settings.network
    profiles = {profile.name: _profile(profile) for profile in settings.profiles}
    written = {profile.name: profile for profile in settings.profiles}
    default = default_profile(settings)
    mailboxes = []
    for mailbox in settings.mailboxes:
        name = mailbox.profile or default or ""
        mailboxes.append(
            _mailbox(mailbox, profiles[name], written[name], settings.email_settings)
        )
    return Plan(
        instance=settings.instance,
        store=settings.store.path,
        keys=settings.encryption.keys,
        socket=settings.http.socket,
        network=NetworkLimits(
            max_connections=network.max_connections,
            max_connections_per_server=network.max_connections_per_server,
            logins_per_server=network.login_rate_per_server.count,
            logins_period=network.login_rate_per_server.period,
            connect_timeout=network.connect_timeout,
            command_timeout=network.command_timeout,
            session_timeout=network.session_timeout,
            allowed_ports=frozenset(network.allowed_ports.ports)
            if network.allowed_ports
            else None,
        ),
        memory=settings.limits.memory,
        max_message_size=settings.limits.max_message_size,
        log_level=settings.log.level,
        log_format=settings.log.format,
        test_new_mailboxes=settings.email_settings.test_new_mailboxes,
        profiles=tuple(profiles.values()),
        mailboxes=tuple(mailboxes),
    )


def _profile(written: schema.Profile) -> Profile:
    retry = written.retry
    return Profile(
        name=written.name,
        incoming=_endpoint(written.incoming, MailProtocol.POP3),
        outgoing=_endpoint(written.outgoing, MailProtocol.SMTP),
        description=written.description or "",
        owner=written.owner,
        enabled=written.enabled,
        shares_login=written.credentials.source is CredentialSource.PROFILE,
        process_email_from=written.process_email_from,
        minimum_polling_interval=written.minimum_polling_interval,
        max_concurrent_connections=written.max_concurrent_connections,
        retry=RetryPolicy(
            first=retry.first,
            longest=retry.longest,
            lifetime=retry.lifetime,
            warn_after=retry.warn_after,
        ),
        outcome_unknown=written.outcome_unknown,
    )


def _endpoint(
    side: schema.Incoming | schema.Outgoing | None, protocol: MailProtocol
) -> Endpoint | None:
    if side is None:
        return None
    return Endpoint(
        protocol=protocol,
        server=side.server,
        port=side.filled_port,
        security=side.security,
        authentication=side.authentication,
        tls_ca=side.tls_ca,
        tls_server_name=side.tls_server_name,
        tls_pin=side.tls_pin,
        allow_plaintext_login=side.allow_plaintext_login,
        ip=side.ip,
        source_address=side.source_address,
    )


def _mailbox(
    written: schema.Mailbox,
    profile: Profile,
    profile_written: schema.Profile,
    defaults: schema.EmailSettings,
) -> Mailbox:
    incoming = (written.incoming or defaults.incoming) is Synchronization.SYNC
    outgoing = (written.outgoing or defaults.outgoing) is Synchronization.SYNC
    return Mailbox(
        address=written.address,
        name=written.name or written.address,
        type=written.type,
        profile=profile,
        incoming=incoming,
        outgoing=outgoing,
        incoming_login=_login(written, profile_written, Direction.INCOMING)
        if incoming
        else None,
        outgoing_login=_login(written, profile_written, Direction.OUTGOING)
        if outgoing
        else None,
        owner=written.owner,
        send_as=written.send_as,
        delete_after_processing=written.delete_after_processing,
        process_email_from=_later(written.process_email_from, profile.process_email_from),
        enabled=written.enabled,
        needs_approval=_needs_approval(written.type, defaults),
    )


def bound_servers(profile: schema.Profile, direction: Direction) -> tuple[str, ...]:
    """Return the host names that the credentials of a direction are for.

    Separate outgoing credentials are for the outgoing server alone, the others for what is
    left: both servers, where there are no separate ones.
    """
    is_shared = _separate_outgoing(profile) is None
    sides = (
        (Direction.INCOMING, profile.incoming),
        (Direction.OUTGOING, profile.outgoing),
    )
    return tuple(
        side.server
        for its_direction, side in sides
        if side is not None and (is_shared or its_direction is direction)
    )


def _separate_outgoing(profile: schema.Profile) -> schema.OutgoingCredentials | None:
    """Return the credentials of the outgoing side, unless they are the incoming side's."""
    held = profile.credentials
    if held.outgoing is None:
        return None
    # A mailbox has one password: used on both sides, it is bound to both servers.
    of_mailbox = {held.source, held.outgoing.source} == {CredentialSource.MAILBOX}
    return None if of_mailbox else held.outgoing


def _login(
    mailbox: schema.Mailbox, profile: schema.Profile, direction: Direction
) -> Login | None:
    separate = _separate_outgoing(profile) if direction is Direction.OUTGOING else None
    held = separate or profile.credentials
    login = (
        _login_of_mailbox(mailbox)
        if held.source is CredentialSource.MAILBOX
        else _login_of_profile(mailbox.address, held)
    )
    return login and replace(
        login,
        servers=bound_servers(profile, direction),
        is_separate_outgoing=separate is not None,
    )


def _login_of_mailbox(mailbox: schema.Mailbox) -> Login | None:
    own = mailbox.credentials
    if own is None:
        return None
    return Login(username=own.username or mailbox.address, password=own.password)


def _login_of_profile(
    address: str, held: schema.ProfileCredentials | schema.OutgoingCredentials
) -> Login | None:
    if held.username is None or held.password is None:
        return None
    username = held.username
    if held.impersonation is not None and held.impersonation != AUTHORIZE:
        username = fill_impersonation(held.impersonation, address=address, username=username)
    return Login(
        username=username,
        password=held.password,
        authorize_as=address if held.impersonation == AUTHORIZE else None,
        of_profile=True,
    )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return what counts (contract 7.1): the later of the profile's and the mailbox's."""
    if one is None or other is None:
        return one or other
    return max(one, other)


def _needs_approval(mailbox_type: MailboxType, defaults: schema.EmailSettings) -> bool:
    match mailbox_type:
        case MailboxType.USER:
            return defaults.process_only_approved_users
        case MailboxType.QUEUE:
            return defaults.process_only_approved_queues
