"""Sealing a secret for an object of the configuration, with the daemon's key or a key file."""

from pathlib import Path

from syncd.cli.environment import environment
from syncd.config.load import load_settings
from syncd.config.resolve import bound_servers
from syncd.config.rules import default_profile
from syncd.config.schema import CredentialSource, Profile, Settings
from syncd.errors import Refused, SecretUnreadable
from syncd.model.mailbox import Direction, address_key
from syncd.model.secret import Secret
from syncd.vault.credentials import Binding, seal
from syncd.vault.keys import KeyRing, make_ring
from syncd.vault.logins import bind


def seal_for(
    name: str, clear: str, *, config: Path, key_file: Path | None, outgoing: bool
) -> str:
    """Seal a secret for a mailbox's address or a profile's name; raises SyncdError."""
    if not clear:
        raise Refused("secret", "is empty; type it at the prompt or give it on standard input")
    settings = load_settings(config, environ=environment(), merely_looking=key_file is not None)
    return seal(
        _ring(settings, key_file), Secret(clear), _binding(settings, name, outgoing=outgoing)
    )


def _ring(settings: Settings, key_file: Path | None) -> KeyRing:
    if key_file is not None:
        lines = [key_file.read_text()]
    else:
        lines = [key.reveal() for key in settings.encryption.keys]
    ring = make_ring(lines)
    if ring is None:
        raise SecretUnreadable(
            "no key is configured under encryption: keys, and no --key-file was given; "
            "`syncd secret new-key` prints one"
        )
    return ring


def _binding(settings: Settings, name: str, *, outgoing: bool) -> Binding:
    direction = Direction.OUTGOING if outgoing else Direction.INCOMING
    profiles = {profile.name: profile for profile in settings.profiles}
    for mailbox in settings.mailboxes:
        if address_key(mailbox.address) == address_key(name):
            profile = profiles[mailbox.profile or default_profile(settings) or ""]
            return _of_mailbox(mailbox.address, profile)
    if name in profiles:
        return bind(
            "profile",
            name,
            bound_servers(profiles[name], direction),
            is_separate_outgoing=outgoing,
        )
    raise Refused("--for", f"{name} is no mailbox and no profile of the configuration")


def _of_mailbox(address: str, profile: Profile) -> Binding:
    held = profile.credentials
    if held.source is CredentialSource.MAILBOX:
        direction = Direction.INCOMING
    elif held.outgoing is not None and held.outgoing.source is CredentialSource.MAILBOX:
        direction = Direction.OUTGOING
    else:
        raise Refused(
            "--for",
            f"{address} has no credentials of its own: profile {profile.name} holds them; "
            f"use --for {profile.name}",
        )
    return bind(
        "mailbox", address, bound_servers(profile, direction), is_separate_outgoing=False
    )
