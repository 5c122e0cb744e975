"""The server's side of logging in: PLAIN, LOGIN, CRAM-MD5 and APOP.

A mechanism is a generator: it yields challenges, is sent responses, returns the login name and
whether the password was right. It never raises on what a client sends.
"""

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from dataclasses import dataclass

from syncd.sandbox.maildrops import Maildrop, PostOffice


@dataclass(frozen=True, slots=True)
class Attempt:
    """A complete login: the name given, and the maildrop it opens if all was right."""

    username: str
    drop: Maildrop | None


Exchange = Generator[bytes, bytes, Attempt]


def check_password(office: PostOffice, username: bytes, password: bytes) -> Attempt:
    """Compare a name and a password given in clear."""
    drop = office.of(username)
    right = drop is not None and hmac.compare_digest(drop.password.encode(), password)
    return Attempt(username.decode("utf-8", "replace"), drop if right else None)


def check_apop(office: PostOffice, username: bytes, digest: bytes, stamp: bytes) -> Attempt:
    """Compare the digest of greeting stamp and password (RFC 1939 section 7)."""
    drop = office.of(username)
    right = drop is not None and hmac.compare_digest(
        hashlib.md5(stamp + drop.password.encode(), usedforsecurity=False).hexdigest().encode(),
        digest.lower(),
    )
    return Attempt(username.decode("utf-8", "replace"), drop if right else None)


def plain(office: PostOffice, _stamp: bytes) -> Exchange:
    """RFC 4616: authorization identity, name, password, with NULs between."""
    response = yield b""
    parts = response.split(b"\0")
    if len(parts) != 3:
        return Attempt("", None)
    return check_password(office, parts[1], parts[2])


def login(office: PostOffice, _stamp: bytes) -> Exchange:
    """The two questions that every server asks and no RFC describes."""
    username = yield b"Username:"
    password = yield b"Password:"
    return check_password(office, username, password)


def cram_md5(office: PostOffice, stamp: bytes) -> Exchange:
    """RFC 2195: name and keyed digest of the challenge."""
    response = yield stamp
    username, _, digest = response.rpartition(b" ")
    drop = office.of(username)
    right = drop is not None and hmac.compare_digest(
        hmac.new(drop.password.encode(), stamp, "md5").hexdigest().encode(), digest.lower()
    )
    return Attempt(username.decode("utf-8", "replace"), drop if right else None)


MECHANISMS: dict[str, Callable[[PostOffice, bytes], Exchange]] = {
    "PLAIN": plain,
    "LOGIN": login,
    "CRAM-MD5": cram_md5,
}


def decode(response: bytes) -> bytes | None:
    """Undo base64; None where it is none. A lone `=` is an empty response (RFC 4954)."""
    if response == b"=":
        return b""
    try:
        return b64decode(response, validate=True)
    except binascii.Error:
        return None


def encode(challenge: bytes) -> bytes:
    """Write a challenge as base64."""
    return b64encode(challenge)
