"""What several keys, objects and files must agree on.

Each rule is a function that yields its findings; `check` lists them all. They run on
whatever part of the configuration is well-formed in itself, so that one typo does not hide
the rest.
"""

import difflib
from collections import Counter
from collections.abc import Iterator
from typing import Final

from syncd.config import schema
from syncd.config.draft import Draft
from syncd.config.files import FileUnreadable, read_regular
from syncd.config.problems import Finding, Loc
from syncd.config.schema import CredentialSource, Settings, Synchronization
from syncd.config.values import AUTHORIZE
from syncd.model.mailbox import MailboxType, address_key
from syncd.model.profile import Authentication, IpVersion, Security
from syncd.model.secret import SealedSecret

LONGEST_BUNDLE: Final = 16 << 20
"""Octets of a file with authorities; the system's own takes about 200 KiB."""

SENDS_THE_PASSWORD: Final = (
    Authentication.USER_PASS,
    Authentication.PLAIN,
    Authentication.LOGIN,
)
"""Mechanisms that put the password on the wire. `auto` does so under TLS only."""


def check(draft: Draft) -> Iterator[Finding]:
    """Yield everything that does not fit together."""
    yield from _profile_names(draft)
    yield from _default_profile(draft)
    for n, profile in enumerate(draft.settings.profiles):
        loc: Loc = ("profiles", n)
        yield from _sides(profile, loc, draft)
        yield from _profile_credentials(profile, loc, draft)
        yield from _retry(profile.retry, (*loc, "retry"), draft)
    yield from _impersonation_is_needed(draft)
    yield from _addresses(draft)
    for n, mailbox in enumerate(draft.settings.mailboxes):
        loc = ("mailboxes", n)
        if draft.sound((*loc, "type")):
            yield from _deletion(mailbox, loc)
        yield from _mailbox_profile(mailbox, loc, draft)
    yield from _keys(draft)


def default_profile(settings: Settings) -> str | None:
    """Return the name of the profile that mailboxes get which name none."""
    named = settings.email_settings.profile
    return named or next((p.name for p in settings.profiles if p.default), None)


def _profile_names(draft: Draft) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for n, profile in enumerate(draft.settings.profiles):
        if not draft.sound(("profiles", n, "name")):
            continue
        other = first.setdefault(profile.name.casefold(), n)
        if other != n:
            where = draft.where(("profiles", other, "name"))
            message = f"a profile of this name stands already at {where}"
            yield Finding(("profiles", n, "name"), message)


def _default_profile(draft: Draft) -> Iterator[Finding]:
    profiles = draft.settings.profiles
    named = draft.settings.email_settings.profile
    marked = [
        n
        for n, profile in enumerate(profiles)
        if profile.default and draft.sound(("profiles", n, "name"))
    ]
    for n in marked[1:]:
        where = draft.where(("profiles", marked[0], "default"))
        yield Finding(
            ("profiles", n, "default"),
            f"only one profile can be the default one, and {profiles[marked[0]].name} is"
            f" already ({where})",
        )
    loc: Loc = ("email_settings", "profile")
    if named and not _exists(named, draft):
        yield Finding(loc, _unknown_profile(named, draft))
    elif named and marked and profiles[marked[0]].name != named:
        where = draft.where(("profiles", marked[0], "default"))
        yield Finding(
            loc,
            f"{named} cannot be the default profile, because {profiles[marked[0]].name} says"
            f" default: true ({where}); keep one of the two",
        )


def _sides(profile: schema.Profile, loc: Loc, draft: Draft) -> Iterator[Finding]:
    if profile.incoming is None and profile.outgoing is None and draft.sound(loc):
        yield Finding(loc, "a profile needs incoming:, outgoing:, or both")
    for name, side in (("incoming", profile.incoming), ("outgoing", profile.outgoing)):
        where: Loc = (*loc, name)
        if side is not None:
            yield from _authorities(side, where)
        if side is not None and draft.sound(where):
            yield from _security(side, side.authentication, where)
            yield from _addresses_agree(side, where)
            yield from _port(side, where, draft.settings.network)


def _security(side: schema.Side, authentication: Authentication, loc: Loc) -> Iterator[Finding]:
    if side.security is not Security.NONE:
        return
    if authentication in SENDS_THE_PASSWORD and not side.allow_plaintext_login:
        yield Finding(
            (*loc, "security"),
            f"none would send the password readable over the network (authentication:"
            f" {authentication}); write tls or starttls, or authentication: cram-md5, or, on a"
            " road that nobody else can listen to, allow_plaintext_login: true",
        )
    for key in ("tls_ca", "tls_server_name", "tls_pin"):
        if getattr(side, key) is not None:
            yield Finding((*loc, key), "has no meaning with security: none")


def _addresses_agree(side: schema.Side, loc: Loc) -> Iterator[Finding]:
    if side.source_address and side.ip is not IpVersion.AUTO:
        version = IpVersion.IPV6 if ":" in side.source_address else IpVersion.IPV4
        if version is not side.ip:
            yield Finding(
                (*loc, "source_address"),
                f"{side.source_address} is an address of IPv{version}, and ip: {side.ip} allows"
                f" IPv{side.ip} only",
            )


def _authorities(side: schema.Side, loc: Loc) -> Iterator[Finding]:
    if side.tls_ca is None:
        return
    try:
        bundle = read_regular(side.tls_ca, longest=LONGEST_BUNDLE).content
    except FileUnreadable as exc:
        yield Finding((*loc, "tls_ca"), f"{side.tls_ca} {exc}")
    else:
        if b"-----BEGIN " not in bundle:
            yield Finding((*loc, "tls_ca"), f"{side.tls_ca} holds no certificate in PEM form")


def _port(side: schema.Side, loc: Loc, network: schema.Network) -> Iterator[Finding]:
    allowed = network.allowed_ports
    if allowed and side.filled_port not in allowed.ports:
        written = "" if side.port else f" (filled in for security: {side.security})"
        yield Finding(
            (*loc, "port"),
            f"port {side.filled_port}{written} is not one of network.allowed_ports ({allowed})",
        )


def _profile_credentials(profile: schema.Profile, loc: Loc, draft: Draft) -> Iterator[Finding]:
    credentials, where = profile.credentials, (*loc, "credentials")
    if not draft.sound(where):
        return
    yield from _login(credentials, where)
    if credentials.outgoing is not None:
        yield from _login(credentials.outgoing, (*where, "outgoing"))
    if profile.incoming is not None and draft.sound((*loc, "incoming")):
        yield from _authorizing(credentials, profile.incoming, (*loc, "incoming"))
    if profile.outgoing is not None and draft.sound((*loc, "outgoing")):
        held = credentials.outgoing or credentials
        yield from _authorizing(held, profile.outgoing, (*loc, "outgoing"))


def _authorizing(
    held: schema.ProfileCredentials | schema.OutgoingCredentials,
    side: schema.Incoming | schema.Outgoing,
    loc: Loc,
) -> Iterator[Finding]:
    if held.impersonation == AUTHORIZE and side.authentication is not Authentication.PLAIN:
        yield Finding(
            (*loc, "authentication"),
            "impersonation: authzid needs authentication: plain, because no other mechanism of"
            f" this version carries it; found {side.authentication}",
        )


def _login(
    held: schema.ProfileCredentials | schema.OutgoingCredentials, loc: Loc
) -> Iterator[Finding]:
    match held.source:
        case CredentialSource.MAILBOX:
            for key in ("username", "password", "impersonation"):
                if getattr(held, key) is not None:
                    yield Finding(
                        (*loc, key),
                        "belongs to source: profile; with source: mailbox each mailbox has its"
                        " own login",
                    )
        case CredentialSource.PROFILE:
            for key in ("username", "password"):
                if getattr(held, key) is None:
                    yield Finding((*loc, key), "is required with source: profile")


def _retry(retry: schema.Retry, loc: Loc, draft: Draft) -> Iterator[Finding]:
    for shorter, longer in (("first", "longest"), ("longest", "lifetime")):
        # A lost key may have been one of the two, misspelt; unless both are there.
        certain = draft.sound(loc) or draft.has((*loc, shorter), (*loc, longer))
        if certain and getattr(retry, shorter) > getattr(retry, longer):
            yield Finding((*loc, shorter), f"must not be longer than retry.{longer}")


def _impersonation_is_needed(draft: Draft) -> Iterator[Finding]:
    """Several mailboxes on one login and no impersonation: one maildrop, read several times."""
    settings = draft.settings
    readers = Counter(
        mailbox.profile or default_profile(settings)
        for mailbox in settings.mailboxes
        if _flows(mailbox.incoming, settings.email_settings.incoming)
    )
    for n, profile in enumerate(settings.profiles):
        credentials = profile.credentials
        if (
            profile.incoming is not None
            and credentials.source is CredentialSource.PROFILE
            and credentials.impersonation is None
            and readers[profile.name] > 1
            and draft.sound(("profiles", n, "credentials"))
        ):
            yield Finding(
                ("profiles", n, "credentials", "impersonation"),
                f"is required, because {readers[profile.name]} mailboxes pull mail with this"
                " login and would all read the same maildrop; write how the login names a"
                ' mailbox, such as "{address}*{username}"',
            )


def _addresses(draft: Draft) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for n, mailbox in enumerate(draft.settings.mailboxes):
        if not draft.sound(("mailboxes", n, "address")):
            continue
        other = first.setdefault(address_key(mailbox.address), n)
        if other != n:
            where = draft.where(("mailboxes", other, "address"))
            message = f"a mailbox of this address stands already at {where}"
            yield Finding(("mailboxes", n, "address"), message)


def _deletion(mailbox: schema.Mailbox, loc: Loc) -> Iterator[Finding]:
    if mailbox.delete_after_processing and mailbox.type is MailboxType.USER:
        yield Finding(
            (*loc, "delete_after_processing"),
            "is for queues only, because a person's mail is never deleted from their mailbox;"
            " remove it, or write type: queue if this is a shared inbox",
        )


def _mailbox_profile(mailbox: schema.Mailbox, loc: Loc, draft: Draft) -> Iterator[Finding]:
    settings = draft.settings
    name = mailbox.profile or default_profile(settings)
    if name is None:
        if draft.sound(loc) and _default_is_clear(draft):
            yield Finding(
                loc,
                "names no profile, and there is no default one; write profile: here, or"
                " email_settings.profile, or default: true on a profile",
            )
        return
    n = next((n for n, p in enumerate(settings.profiles) if p.name == name), None)
    if n is not None:
        yield from _missing_sides(mailbox, loc, n, draft)
        yield from _mailbox_credentials(mailbox, loc, n, draft)
    elif mailbox.profile and not _exists(name, draft):
        yield Finding((*loc, "profile"), _unknown_profile(name, draft))


def _missing_sides(
    mailbox: schema.Mailbox, loc: Loc, n: int, draft: Draft
) -> Iterator[Finding]:
    profile, defaults = draft.settings.profiles[n], draft.settings.email_settings
    if not draft.sound(loc, ("profiles", n), ("email_settings",)):
        return
    for direction, flows, side in (
        ("incoming", _flows(mailbox.incoming, defaults.incoming), profile.incoming),
        ("outgoing", _flows(mailbox.outgoing, defaults.outgoing), profile.outgoing),
    ):
        if flows and side is None:
            yield Finding(
                (*loc, direction),
                f"must be none, because the profile {profile.name} has no {direction} server",
            )


def _mailbox_credentials(
    mailbox: schema.Mailbox, loc: Loc, n: int, draft: Draft
) -> Iterator[Finding]:
    profile, defaults = draft.settings.profiles[n], draft.settings.email_settings
    profile_loc: Loc = ("profiles", n)
    if not draft.sound(
        loc, (*profile_loc, "name"), (*profile_loc, "credentials"), ("email_settings",)
    ):
        return
    held = profile.credentials
    wanted = set()
    if _flows(mailbox.incoming, defaults.incoming):
        wanted.add(held.source)
    if _flows(mailbox.outgoing, defaults.outgoing):
        wanted.add((held.outgoing or held).source)
    if mailbox.credentials is None and CredentialSource.MAILBOX in wanted:
        yield Finding(
            (*loc, "credentials"),
            f"are required, because the profile {profile.name} takes the login from each"
            " mailbox; write credentials: {username: …, password: …}",
        )
    elif mailbox.credentials is not None and wanted == {CredentialSource.PROFILE}:
        yield Finding(
            (*loc, "credentials"),
            f"would never be used, because the profile {profile.name} holds the login"
            " (credentials.source: profile); remove them",
        )


def _keys(draft: Draft) -> Iterator[Finding]:
    if draft.settings.encryption.keys or not draft.sound(("encryption",)):
        return
    sealed: list[Loc] = [
        (*loc, "password")
        for loc, password in _passwords(draft.settings)
        if isinstance(password, SealedSecret)
    ]
    if sealed:
        yield Finding(
            ("encryption", "keys"),
            f"a key is required, because {len(sealed)} secret(s) are written as {{encrypted: …}},"
            f" the first at {draft.where(sealed[0])}",
        )


def _passwords(settings: Settings) -> Iterator[tuple[Loc, object]]:
    for n, profile in enumerate(settings.profiles):
        loc: Loc = ("profiles", n, "credentials")
        yield loc, profile.credentials.password
        if profile.credentials.outgoing is not None:
            yield (*loc, "outgoing"), profile.credentials.outgoing.password
    for n, mailbox in enumerate(settings.mailboxes):
        if mailbox.credentials is not None:
            yield ("mailboxes", n, "credentials"), mailbox.credentials.password


def _flows(said: Synchronization | None, default: Synchronization) -> bool:
    return (said or default) is Synchronization.SYNC


def _default_is_clear(draft: Draft) -> bool:
    profiles = range(len(draft.settings.profiles))
    flags: list[Loc] = [("profiles", n, "default") for n in profiles]
    return draft.sound(("email_settings", "profile"), *flags)


def _exists(name: str, draft: Draft) -> bool:
    return any(profile.name == name for profile in draft.settings.profiles)


def _unknown_profile(name: str, draft: Draft) -> str:
    names = {
        profile.name
        for n, profile in enumerate(draft.settings.profiles)
        if draft.sound(("profiles", n, "name"))
    }
    close = difflib.get_close_matches(name, names, n=1)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    known = ", ".join(sorted(names)) or "none"
    return f'there is no profile "{name}"; there are: {known}{hint}'
