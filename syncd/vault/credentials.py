"""Secrets sealed for one object and one server; moved anywhere else they do not open.

Sealed text is `v1:` and base64url of key id (8 bytes), nonce (12), AES-256-GCM ciphertext and
tag. The data key comes from the ring's key by HKDF-SHA256 over the binding, so no key ever
meets GCM's limit on random nonces; the binding is the authenticated data as well, so Bob's
password does not open in Alice's row, and none opens for a rogue server (faults 42, 70).
"""

import base64
import binascii
import secrets
from dataclasses import dataclass

from syncd.connections.seams import UnlockedLogin
from syncd.errors import SecretUnreadable
from syncd.model.mailbox import Login, address_key
from syncd.model.secret import SealedSecret, Secret
from syncd.vault.keys import KEY_ID_OCTETS, KeyRing

_PREFIX = "v1:"
_NONCE_OCTETS = 12
_TAG_OCTETS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a secret is sealed for: this field of this object, at this server."""

    kind: str
    """`mailbox` or `profile`."""
    name: str
    """The mailbox's address (without case), or the profile's name."""
    server: str
    """The host name, without port: moving from 110 to 995 keeps a password (contract 7.5)."""
    field: str = "password"

    @property
    def authenticated(self) -> bytes:
        """Return the bytes that ciphertext is tied to; no two bindings share them."""
        name = address_key(self.name) if self.kind == "mailbox" else self.name
        server = self.server.rstrip(".").lower()
        parts = ("syncd", "v1", self.kind, name, self.field, server)
        return "|".join(_escape(part) for part in parts).encode()

    def __str__(self) -> str:
        return f"the {self.field} of {self.kind} {self.name} at {self.server}"


def seal(ring: KeyRing, secret: Secret, binding: Binding) -> str:
    """Encrypt a secret with the ring's first key."""
    from syncd.vault import cipher

    nonce = secrets.token_bytes(_NONCE_OCTETS)
    clear = secret.reveal().encode()
    box = cipher.encrypt(ring.first.material, binding.authenticated, nonce, clear)
    return _PREFIX + base64.urlsafe_b64encode(ring.first.id + nonce + box).decode()


def unseal(ring: KeyRing, text: str, binding: Binding) -> Secret:
    """Decrypt what `seal` made, or raise SecretUnreadable saying why it does not open."""
    from syncd.vault import cipher

    key_id, nonce, box = _take_apart(text, binding)
    key = ring.find(key_id)
    if key is None:
        held = ", ".join(key.id.hex() for key in ring.keys)
        raise SecretUnreadable(
            f"{binding} was sealed with the key {key_id.hex()}, which is not configured "
            f"(configured: {held}). Restore that key, or seal the password anew."
        )
    clear = cipher.decrypt(key.material, binding.authenticated, nonce, box)
    if clear is None:
        raise SecretUnreadable(
            f"{binding} does not open: it was sealed for another object or server, or was "
            "altered. If the server or the address changed, seal the password anew "
            "(`syncd secret encrypt --for`)."
        )
    return Secret(clear.decode())


def unlock(login: Login, ring: KeyRing | None, binding: Binding) -> UnlockedLogin:
    """Make a login ready for the wire; raises SecretUnreadable."""
    password = login.password
    if isinstance(password, SealedSecret):
        if ring is None:
            raise SecretUnreadable(
                f"{binding} is sealed, and no key is configured under encryption: keys"
            )
        password = unseal(ring, password.text, binding)
    return UnlockedLogin(
        username=login.username, password=password, authorize_as=login.authorize_as
    )


def _take_apart(text: str, binding: Binding) -> tuple[bytes, bytes, bytes]:
    """Cut sealed text into key id, nonce and box."""
    try:
        # altchars, not urlsafe_b64decode: that one drops what it does not know.
        raw = base64.b64decode(text.removeprefix(_PREFIX), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    head = KEY_ID_OCTETS + _NONCE_OCTETS
    if not text.startswith(_PREFIX) or len(raw) < head + _TAG_OCTETS:
        raise SecretUnreadable(
            f"{binding}: this is not what `syncd secret encrypt` writes ({_PREFIX}…), "
            "or not all of it"
        )
    return raw[:KEY_ID_OCTETS], raw[KEY_ID_OCTETS:head], raw[head:]


def _escape(part: str) -> str:
    return part.replace("\\", "\\\\").replace("|", "\\|")
