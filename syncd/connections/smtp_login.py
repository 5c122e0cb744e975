"""How an SMTP login proves itself: one mechanism, chosen before, tried once (RFC 4954)."""

from syncd.connections.seams import UnlockedLogin
from syncd.errors import MechanismNotOffered, Phase, PlaintextLoginForbidden, Refused
from syncd.model.profile import Authentication, Endpoint, Security
from syncd.protocols import sasl

_READABLE = (Authentication.PLAIN, Authentication.LOGIN)
_KNOWN = frozenset({*_READABLE, Authentication.CRAM_MD5})


def choose_mechanism(endpoint: Endpoint, offered: frozenset[str]) -> Authentication:
    """Choose the mechanism to try; raises MechanismNotOffered, PlaintextLoginForbidden.

    `offered` holds names in upper case, as EHLO gave them after TLS.
    """
    is_encrypted = endpoint.security is not Security.NONE
    may_be_readable = is_encrypted or endpoint.allow_plaintext_login
    wanted = _wishes(endpoint.authentication, is_encrypted=is_encrypted)
    possible = [m for m in wanted if m in _KNOWN and m.value.upper() in offered]
    allowed = [m for m in possible if may_be_readable or m not in _READABLE]
    if allowed:
        return allowed[0]
    if possible or not (may_be_readable or offered):
        words = "the password would cross the network readable; use TLS, or set allow_plaintext_login"
        raise PlaintextLoginForbidden(endpoint.place, Phase.LOGIN, words)
    wish, offer = ", ".join(wanted), ", ".join(sorted(offered)) or "none"
    raise MechanismNotOffered(endpoint.place, Phase.LOGIN, f"wanted: {wish}; offered: {offer}")


def _wishes(wish: Authentication, *, is_encrypted: bool) -> list[Authentication]:
    """List the mechanisms for `auto`, the best first; else the one that was asked for."""
    match wish:
        case Authentication.AUTO if is_encrypted:
            return [*_READABLE, Authentication.CRAM_MD5]
        case Authentication.AUTO:
            return [Authentication.CRAM_MD5, *_READABLE]
        case _:
            return [wish]


def begin_proof(place: str, mechanism: Authentication, login: UnlockedLogin) -> sasl.Mechanism:
    """Begin to answer the server's challenges; raises MechanismNotOffered, Refused."""
    password = login.password.reveal()
    said = {
        "username": login.username,
        "password": password,
        "authorize_as": login.authorize_as or "",
    }
    for name, text in said.items():
        if sasl.unspeakable(text):
            raise Refused(name, "holds a CR, LF or NUL, which a login cannot carry")
    if mechanism is Authentication.PLAIN:
        return sasl.plain(login.username, password, login.authorize_as)
    if login.authorize_as is not None:
        raise MechanismNotOffered(place, Phase.LOGIN, "impersonation needs PLAIN")
    if mechanism is Authentication.LOGIN:
        return sasl.login(login.username, password)
    return sasl.cram_md5(login.username, password)
