"""Keys that seal secrets: made, written as one line, told apart, kept in a ring.

The first key of a ring seals, all of them open, so a new key is put in front and the old one
stays until nothing is sealed with it any more.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from syncd.errors import SecretUnreadable
from syncd.store.database import Transaction
from syncd.store.facts import KEY_CHECK, read_fact, write_fact

_PREFIX = "syncd-key-v1:"
_KEY_OCTETS = 32
"""AES-256."""

KEY_ID_OCTETS = 8


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """One 32-byte key; prints as its id, which gives nothing of it away."""

    material: bytes

    @property
    def id(self) -> bytes:
        """Return eight bytes that tell this key from others: a hash, not a part of it."""
        return hashlib.sha256(b"syncd key id|" + self.material).digest()[:KEY_ID_OCTETS]

    def __repr__(self) -> str:
        return f"<Key {self.id.hex()}>"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The configured keys, in their order; never empty."""

    keys: tuple[Key, ...]

    def __post_init__(self) -> None:
        if not self.keys:
            raise ValueError("a key ring holds at least one key")

    @property
    def first(self) -> Key:
        """Return the key that seals."""
        return self.keys[0]

    def find(self, key_id: bytes) -> Key | None:
        """Return the key of that id, if it is in the ring."""
        return next((key for key in self.keys if key.id == key_id), None)


class KeyFit(StrEnum):
    """How a ring compares with the key that the store remembers."""

    FIRST_USE = "first_use"
    KNOWN = "known"
    REPLACED = "replaced"
    """The remembered key is gone: what it sealed cannot be opened."""


def new_key_line() -> str:
    """Make a key and return the one line that a key file holds."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_OCTETS)).decode()


def parse_key_line(line: str) -> Key:
    """Read the line of a key file, or raise SecretUnreadable without repeating it."""
    text = line.strip()
    if not text.startswith(_PREFIX):
        raise SecretUnreadable(
            f"this is no syncd key: it does not begin with {_PREFIX!r}. "
            "`syncd secret new-key` writes one; an existing key comes from its backup."
        )
    try:
        material = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        material = b""
    if len(material) != _KEY_OCTETS:
        raise SecretUnreadable(
            f"this syncd key is damaged: behind {_PREFIX!r} stand {_KEY_OCTETS} bytes in base64"
        )
    return Key(material)


def make_ring(lines: Sequence[str]) -> KeyRing | None:
    """Read key lines in their order; None when there are none."""
    keys = tuple(parse_key_line(line) for line in lines)
    return KeyRing(keys) if keys else None


async def recognise(tx: Transaction, ring: KeyRing | None) -> KeyFit:
    """Compare a ring with the key that the store remembers, and remember its first.

    Raises SecretUnreadable when the store remembers a key and none is configured: somebody
    lost it, and going on would let a new one be made over what the old one sealed.
    """
    remembered = await read_fact(tx, KEY_CHECK)
    if ring is None:
        if remembered is None:
            return KeyFit.FIRST_USE
        raise SecretUnreadable(
            f"the store was used with the encryption key {remembered}, and no key is "
            "configured now. Restore the key file from its backup and name it under "
            "encryption: keys. No new key was made, and the store was not touched."
        )
    first = ring.first.id.hex()
    if remembered != first:
        await write_fact(tx, KEY_CHECK, first)
    if remembered is None:
        return KeyFit.FIRST_USE
    is_known = ring.find(bytes.fromhex(remembered)) is not None
    return KeyFit.KNOWN if is_known else KeyFit.REPLACED
