"""Passwords into proofs: each mechanism as what it answers to the server's challenges.

A mechanism is a generator. Its first value is the initial response, None where the server
speaks first; each challenge sent in gives the next response. It ends when it has nothing
more to say. Responses are raw octets; base64 is the profile's business (RFC 5034, 4954).
"""

import hashlib
import hmac
from collections.abc import Generator

Mechanism = Generator[bytes | None, bytes, None]

FORBIDDEN = "\r\n\0"


def unspeakable(text: str) -> bool:
    """Tell whether a name or password could not be said without saying something else."""
    return any(character in text for character in FORBIDDEN)


def plain(username: str, password: str, authorize_as: str | None = None) -> Mechanism:
    """Answer PLAIN (RFC 4616), for somebody else where `authorize_as` names one."""
    yield "\0".join((authorize_as or "", username, password)).encode()


def login(username: str, password: str) -> Mechanism:
    """Answer LOGIN: the name to the first challenge, the password to the second."""
    yield None
    yield username.encode()
    yield password.encode()


def cram_md5(username: str, password: str) -> Mechanism:
    """Answer CRAM-MD5 (RFC 2195)."""
    challenge = yield None
    digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
    yield f"{username} {digest}".encode()


def apop_digest(timestamp: str, password: str) -> str:
    """Return APOP's digest of the banner's timestamp (RFC 1939, 7)."""
    proof = (timestamp + password).encode()
    return hashlib.md5(proof, usedforsecurity=False).hexdigest()
