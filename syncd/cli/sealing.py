"""Sealing a secret for an object of the configuration, with the daemon's key or a key file.

Only what the sealed text depends on has to be right: the keys, whose secret it is, and the
servers it is for. The secret itself is what the configuration does not have yet.
"""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from syncd.cli.environment import environment
from syncd.cli.output import plain, remark
from syncd.config.draft import Draft
from syncd.config.load import ConfigError, load_draft
from syncd.config.problems import Loc, Problem
from syncd.config.resolve import bound_servers
from syncd.config.rules import default_profile
from syncd.config.schema import CredentialSource, Profile
from syncd.config.strict_yaml import key_path
from syncd.errors import Refused, SecretUnreadable
from syncd.model.mailbox import Direction, address_key
from syncd.model.secret import Secret, UnreadSecret
from syncd.vault.credentials import Binding, seal
from syncd.vault.keys import KeyRing, make_ring
from syncd.vault.logins import bind

_KEYS_USED: Final[tuple[tuple[Loc, tuple[str, ...]], ...]] = (
    ((), ("name", "incoming", "outgoing", "credentials")),
    (("incoming",), ("server",)),
    (("outgoing",), ("server",)),
    (("credentials",), ("source", "outgoing")),
    (("credentials", "outgoing"), ("source",)),
)
"""What of a profile a sealed text depends on."""


def prepare_sealing(
    name: str, *, config: Path, key_file: Path | None, outgoing: bool
) -> tuple[KeyRing, Binding]:
    """Return what seals a secret for a mailbox's address or a profile's name.

    Problems of the configuration that have no influence on it are remarked. Raises SyncdError.
    """
    draft, problems = load_draft(config, environ=environment())
    own: Loc
    mailbox = _only(_mailboxes_of(draft, name), problems)
    if mailbox is not None:
        own = ("mailboxes", mailbox, "credentials")
        binding = _of_mailbox(mailbox, draft, problems)
    else:
        profile = _only(_profiles_of(draft, name), problems)
        if profile is None:
            _remark(problems)
            raise Refused("--for", f"{name} is no mailbox and no profile of the configuration")
        own = ("profiles", profile, "credentials", *(("outgoing",) if outgoing else ()))
        binding = _of_profile(profile, draft, problems, outgoing=outgoing)
    ring = _ring(draft, problems, key_file)
    # That this very secret is missing is why the command was typed.
    expected = {key_path(draft.tree, own), key_path(draft.tree, (*own, "password"))}
    _remark([problem for problem in problems if problem.key not in expected])
    return ring, binding


def seal_clear(ring: KeyRing, binding: Binding, clear: str) -> str:
    """Seal what was typed; raises Refused where that is nothing."""
    if not clear:
        raise Refused("secret", "is empty; type it at the prompt or give it on standard input")
    return seal(ring, Secret(clear), binding)


def _ring(draft: Draft, problems: Sequence[Problem], key_file: Path | None) -> KeyRing:
    if key_file is not None:
        lines = [_key_line(key_file)]
    else:
        _require(draft, problems, (), ("encryption",))
        _require(draft, problems, ("encryption",), ("keys",))
        for key in draft.settings.encryption.keys:
            if isinstance(key, UnreadSecret):
                raise SecretUnreadable(
                    f"a key cannot be read here: {key.why}. Name the key's file with --key-file."
                )
        lines = [key.reveal() for key in draft.settings.encryption.keys]
    ring = make_ring(lines)
    if ring is None:
        raise SecretUnreadable(
            "no key is configured under encryption: keys, and no --key-file was given; "
            "`syncd secret new-key` prints one"
        )
    return ring


def _key_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as exc:
        raise Refused("--key-file", f"{path} cannot be read: {exc.strerror}") from exc


def _of_mailbox(n: int, draft: Draft, problems: Sequence[Problem]) -> Binding:
    settings = draft.settings
    mailbox = settings.mailboxes[n]
    _require(draft, problems, ("mailboxes", n), ("profile",))
    if mailbox.profile is None:
        _require(draft, problems, (), ("email_settings",))
        _require(draft, problems, ("email_settings",), ("profile",))
        for m in range(len(settings.profiles)):
            _require(draft, problems, ("profiles", m), ("default",))
    name = mailbox.profile or default_profile(settings) or ""
    position = _only(_profiles_of(draft, name), problems)
    if position is None:
        raise ConfigError(problems)
    profile = _usable_profile(position, draft, problems)
    held = profile.credentials
    if held.source is CredentialSource.MAILBOX:
        direction = Direction.INCOMING
    elif held.outgoing is not None and held.outgoing.source is CredentialSource.MAILBOX:
        direction = Direction.OUTGOING
    else:
        raise Refused(
            "--for",
            f"{mailbox.address} has no credentials of its own: profile {profile.name} holds "
            f"them; use --for {profile.name}",
        )
    servers = bound_servers(profile, direction)
    return bind("mailbox", mailbox.address, servers, is_separate_outgoing=False)


def _of_profile(
    n: int, draft: Draft, problems: Sequence[Problem], *, outgoing: bool
) -> Binding:
    profile = _usable_profile(n, draft, problems)
    separate = profile.credentials.outgoing
    if outgoing and separate is None:
        raise Refused(
            "--outgoing",
            f"profile {profile.name} has no separate outgoing credentials "
            "(credentials: outgoing:); without --outgoing the secret is for both servers",
        )
    held = separate if outgoing and separate is not None else profile.credentials
    if held.source is CredentialSource.MAILBOX:
        raise Refused(
            "--for",
            f"profile {profile.name} holds no login here (source: mailbox): each of its "
            "mailboxes has its own; use --for ADDRESS",
        )
    direction = Direction.OUTGOING if outgoing else Direction.INCOMING
    servers = bound_servers(profile, direction)
    return bind("profile", profile.name, servers, is_separate_outgoing=outgoing)


def _mailboxes_of(draft: Draft, address: str) -> Iterator[int]:
    for n, mailbox in enumerate(draft.settings.mailboxes):
        is_certain = draft.sound(("mailboxes", n, "address"))
        if is_certain and address_key(mailbox.address) == address_key(address):
            yield n


def _profiles_of(draft: Draft, name: str) -> Iterator[int]:
    for n, profile in enumerate(draft.settings.profiles):
        if profile.name == name and draft.sound(("profiles", n, "name")):
            yield n


def _usable_profile(n: int, draft: Draft, problems: Sequence[Problem]) -> Profile:
    for below, keys in _KEYS_USED:
        _require(draft, problems, ("profiles", n, *below), keys)
    return draft.settings.profiles[n]


def _only(positions: Iterator[int], problems: Sequence[Problem]) -> int | None:
    """Return the only position, None if there is none; of two, which is meant?"""
    match list(positions):
        case []:
            return None
        case [position]:
            return position
        case _:
            raise ConfigError(problems)


def _require(
    draft: Draft, problems: Sequence[Problem], section: Loc, keys: Sequence[str]
) -> None:
    """Raise ConfigError where one of these keys was wrong, or a wrong one may be one of them."""
    for *around, key in draft.lost:
        if tuple(around) == section and difflib.get_close_matches(str(key), keys, n=1):
            raise ConfigError(problems)


def _remark(problems: Sequence[Problem]) -> None:
    for problem in problems:
        remark(plain(str(problem)))
