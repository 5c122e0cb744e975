"""The ways to write a secret, and the rule that nobody else may read it.

A secret is a plain text, or one of `{encrypted: v1:…}` (stays sealed; the vault opens it),
`{file: PATH}`, `{env: NAME}` and `{credential: NAME}` (of systemd).

Rule 1: no sentence of this module repeats a secret, not even a wrong one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syncd.config.files import (
    FileForbidden,
    FileUnreadable,
    Identity,
    read_regular,
    why_exposed,
)
from syncd.config.values import Unfit, found_kind
from syncd.errors import SecretUnreadable
from syncd.model.secret import SealedSecret, Secret, UnreadSecret
from syncd.vault.keys import parse_key_line

LONGEST_SECRET: Final = 16 * 1024
"""Octets: room for every password and token; a service account's key has its own place."""

CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
"""Where systemd puts what `LoadCredential=` names (systemd.exec(5))."""

_MUST_BE: Final = {
    "encrypted": "what `syncd secret encrypt` printed (v1:…)",
    "file": "a file's path",
    "env": "a variable's name",
    "credential": "a credential's name",
}
_SEALED: Final = re.compile(r"v[0-9]+:[\x21-\x7e]+")
_CREDENTIAL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


@dataclass(frozen=True, slots=True)
class SecretReading:
    """What reading secrets needs to know of the world: pydantic's validation context."""

    environ: Mapping[str, str]
    identity: Identity
    merely_looking: bool = False
    """For commands that need no secret: what only the daemon can read is left unread."""


def read_secret(
    value: object, reading: SecretReading, *, beside: Path | None, spellings: Sequence[str]
) -> Secret | SealedSecret:
    """Return the secret that was written; a relative file is meant `beside` its YAML file.

    Raises Unfit with the sentence: unknown spelling, nothing there, or exposed.
    """
    allowed = ", ".join(f"{{{spelling}: …}}" for spelling in spellings)
    match value:
        case str():
            return _secret(value, "the text")
        case {**keys} if len(keys) == 1 and keys.keys() <= set(spellings):
            ((spelling, where),) = keys.items()
        case _:
            hint = "; put it in quotes" if isinstance(value, int | float) else ""
            raise Unfit(f"must be text, or one of {allowed}; {found_kind(value)}{hint}")
    if not isinstance(where, str) or not where:
        what = "found empty text" if where == "" else found_kind(where)
        raise Unfit(f"{spelling}: must be {_MUST_BE[str(spelling)]}; {what}")
    match spelling:
        case "encrypted":
            return _sealed(where)
        case "file":
            return _from_file(where, beside, reading)
        case "env":
            return _from_environment(where, reading)
        case _:
            return _from_credential(where, reading)


def require_key_line(secret: Secret | SealedSecret) -> None:
    """Raise Unfit unless a secret that was read is a line of `syncd secret new-key`."""
    if isinstance(secret, Secret) and not isinstance(secret, UnreadSecret):
        try:
            parse_key_line(secret.reveal())
        except SecretUnreadable as exc:
            raise Unfit(str(exc)) from None


def _sealed(text: str) -> SealedSecret:
    if not _SEALED.fullmatch(text):
        raise Unfit(f"encrypted: must be {_MUST_BE['encrypted']}")
    return SealedSecret(text)


def _from_file(name: str, beside: Path | None, reading: SecretReading) -> Secret:
    path = Path(name) if beside is None else beside / name
    if not path.is_absolute() and beside is None:
        raise Unfit(f"file: {name} must be an absolute path here")
    try:
        file = read_regular(path, longest=LONGEST_SECRET)
    except FileForbidden as exc:
        if reading.merely_looking:
            return UnreadSecret(f"{{file: {name}}}: {path} {exc}")
        raise Unfit(f"file: {path} {exc}") from exc
    except FileUnreadable as exc:
        raise Unfit(f"file: {path} {exc}") from exc
    exposed = why_exposed(file.status, path, reading.identity)
    if exposed:
        raise Unfit(f"file: {path} holds a secret that others can read: {exposed}")
    return _of_octets(file.content, f"file: {path}")


def _from_environment(name: str, reading: SecretReading) -> Secret:
    if name not in reading.environ:
        if reading.merely_looking:
            return UnreadSecret(f"{{env: {name}}}: this environment has no variable {name}")
        raise Unfit(f"env: the environment has no variable {name}")
    return _secret(reading.environ[name], f"env: the variable {name}")


def _from_credential(name: str, reading: SecretReading) -> Secret:
    directory = reading.environ.get(CREDENTIALS_DIRECTORY)
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise Unfit(f"credential: {name} is not a credential's name")
    if not directory:
        if reading.merely_looking:
            return UnreadSecret(
                f"{{credential: {name}}}: systemd gives it to the service only"
                f" ({CREDENTIALS_DIRECTORY} is not set here)"
            )
        raise Unfit(
            f"credential: {name} cannot be had: systemd gave this process no credentials"
            f" ({CREDENTIALS_DIRECTORY} is not set; see LoadCredential= in systemd.exec)"
        )
    path = Path(directory) / name
    try:
        # No rule about modes: systemd made this directory for this process alone.
        file = read_regular(path, longest=LONGEST_SECRET)
    except FileUnreadable as exc:
        raise Unfit(f"credential: {path} {exc}") from exc
    return _of_octets(file.content, f"credential: {path}")


def _of_octets(content: bytes, source: str) -> Secret:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        # `from None`: the exception holds the octets.
        raise Unfit(f"{source} is not UTF-8") from None
    # Editors and `echo` end a file with a line end; it is not part of the password.
    return _secret(text.removesuffix("\n").removesuffix("\r"), source)


def _secret(text: str, source: str) -> Secret:
    if not text:
        raise Unfit(f"{source} is empty")
    if any(character in text for character in "\r\n\0"):
        # On the wire it would end the command and begin another one.
        raise Unfit(f"{source} must be one line")
    return Secret(text)
