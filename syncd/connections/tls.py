"""TLS towards mail servers: contexts made once, failures told apart.

Chain and name are verified; a profile may bring its own authority (`tls_ca`) and another name
(`tls_server_name`). A pinned certificate (`tls_pin`) is a verification of its own, stricter
than both: neither chain nor name nor date is asked then, only whether it is this certificate.
"""

import hashlib
import hmac
import ssl
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from syncd.errors import Phase, Refused, TlsFailed, TlsFailure
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
_WRONG_NAME_CODES = frozenset(
    code for code, kind in _VERIFY_CODES.items() if kind is TlsFailure.WRONG_NAME
)
_MOST_NAMES = 10  # of a certificate that is shown; some hold a hundred
_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}
    | {"RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE"}
)


def context_for(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the context for a server, shared by all that trust the same authorities.

    For a pinned server it verifies nothing: whoever connects calls `check_pin` before he says
    a word. Raises Refused when the authority file cannot be used.
    """
    if endpoint.tls_pin is not None:
        return _pinned_context()
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
    context.sslobject_class = _Telling
    return context


@lru_cache(maxsize=1)
def _pinned_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # `check_pin` verifies
    return context


class _Telling(ssl.SSLObject):
    """A handshake that notes on its failure whose certificate it was shown."""

    def do_handshake(self) -> None:
        """Shake hands; a certificate for another name is told with the names it is for."""
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as exc:
            names = _names_shown(self) if exc.verify_code in _WRONG_NAME_CODES else []
            if names:
                exc.add_note(f"the certificate is for {', '.join(names)}")
            raise


def _names_shown(handshake: ssl.SSLObject) -> list[str]:
    """Return the names of the certificate that was refused; none where Python hides them."""
    # Public only as DER, and only from Python 3.13 on.
    chain_of = getattr(getattr(handshake, "_sslobj", None), "get_unverified_chain", None)
    chain = chain_of() if chain_of else None
    alternatives = chain[0].get_info().get("subjectAltName", ()) if chain else ()
    return [name for _, name in alternatives][:_MOST_NAMES]


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
        told = (error.verify_message.rstrip("."), *getattr(error, "__notes__", ()))
        return f"certificate verify failed: {'; '.join(told)}"
    reason = getattr(error, "reason", None)  # OpenSSL's name for it
    return str(reason or error) or type(error).__name__


def check_pin(endpoint: Endpoint, handshake: ssl.SSLObject) -> None:
    """Raise TlsFailed unless the server showed the certificate that is pinned, if one is."""
    if endpoint.tls_pin is None:
        return
    wanted = endpoint.tls_pin.replace(":", "").strip().lower()
    found = hashlib.sha256(handshake.getpeercert(binary_form=True) or b"").hexdigest()
    if not hmac.compare_digest(found, wanted):
        words = f"the certificate's SHA-256 is {found}, tls_pin wants {wanted}"
        raise TlsFailed(endpoint.place, Phase.TLS, words, TlsFailure.PIN_MISMATCH)
