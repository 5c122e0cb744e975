"""The one door to cryptography: AES-256-GCM under a key derived for one binding.

Import this module where it is used, not at a module's top: it costs 7 MB and 40 ms, which a
configuration without sealed secrets need not pay.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def encrypt(material: bytes, binding: bytes, nonce: bytes, clear: bytes) -> bytes:
    """Encrypt and authenticate; `binding` is part of the key and of what is authenticated."""
    return _cipher(material, binding).encrypt(nonce, clear, binding)


def decrypt(material: bytes, binding: bytes, nonce: bytes, box: bytes) -> bytes | None:
    """Decrypt; None when key, binding or bytes are not those of the encryption."""
    try:
        return _cipher(material, binding).decrypt(nonce, box, binding)
    except InvalidTag:
        return None


def _cipher(material: bytes, binding: bytes) -> AESGCM:
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=binding)
    return AESGCM(derive.derive(material))
