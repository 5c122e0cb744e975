"""TLS towards mail servers: contexts made once, failures told apart.

The chain and the name are always verified; a profile may bring its own authority
(`tls_ca`), another name (`tls_server_name`), and pin one certificate on top (`tls_pin`).
"""

import hashlib
import hmac
import ssl
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from syncd.errors import Refused, TlsFailure
from syncd.model.profile import Endpoint

_MOST_CONTEXTS = 256  # one per authority file; each is 0.8 MB and 25 ms of CPU

# OpenSSL's X509_V_ERR_*, as SSLCertVerificationError.verify_code gives them.
_VERIFY_CODES: Mapping[int, TlsFailure] = {
    2: TlsFailure.UNKNOWN_AUTHORITY,  # unable to get issuer certificate
    9: TlsFailure.EXPIRED,  # not valid yet: one of the two clocks is wrong
    10: TlsFailure.EXPIRED,
    18: TlsFailure.SELF_SIGNED,
    19: TlsFailure.UNKNOWN_AUTHORITY,  # the server sent its own root along
    20: TlsFailure.UNKNOWN_AUTHORITY,
    21: TlsFailure.UNKNOWN_AUTHORITY,
    62: TlsFailure.WRONG_NAME,
    64: TlsFailure.WRONG_NAME,  # the address, where the server is named by one
}
_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}
    | {"RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE"}
)


def context_for(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the context for a server, shared by all that trust the same authorities.

    Raises Refused when the authority file cannot be used.
    """
    if endpoint.tls_ca is None:
        return _context(None, 0)
    try:
        # A renewed file gets a context of its own: nobody restarts a daemon for that.
        return _context(endpoint.tls_ca, endpoint.tls_ca.stat().st_mtime_ns)
    except OSError as exc:  # ssl.SSLError is one too: a file without a certificate
        raise Refused("tls_ca", f"{endpoint.tls_ca}: {exc.strerror or exc}") from exc


@lru_cache(maxsize=_MOST_CONTEXTS)
def _context(authorities: Path | None, _changed_ns: int) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def server_name(endpoint: Endpoint) -> str:
    """Return the name that the server's certificate must carry."""
    return endpoint.tls_server_name or endpoint.server


def classify_tls_error(error: BaseException) -> TlsFailure:
    """Say why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_CODES.get(error.verify_code, TlsFailure.OTHER)
    if getattr(error, "reason", None) in _NOT_TLS:
        return TlsFailure.NOT_TLS
    return TlsFailure.OTHER


def describe_tls_error(error: BaseException) -> str:
    """Return the handshake's own words, without Python's file and line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    reason = getattr(error, "reason", None)  # OpenSSL's name for it
    return str(reason or error) or type(error).__name__


def matches_pin(certificate: bytes, pin: str) -> bool:
    """Tell whether a certificate (DER) has this SHA-256, in hex, with or without colons."""
    found = hashlib.sha256(certificate).hexdigest()
    return hmac.compare_digest(found, pin.replace(":", "").strip().lower())
