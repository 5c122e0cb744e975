"""Which way a POP3 login takes: one mechanism, decided before the first secret byte."""

from dataclasses import dataclass

from syncd.model.profile import Authentication
from syncd.protocols.pop3_replies import Capabilities


@dataclass(frozen=True, slots=True)
class Readable:
    """The password would cross the network readable, and nobody allowed that."""

    why: str


@dataclass(frozen=True, slots=True)
class NotOffered:
    """The server cannot do what is asked for."""

    why: str


Way = Authentication | Readable | NotOffered

_SASL_NAMES = {
    Authentication.PLAIN: "PLAIN",
    Authentication.LOGIN: "LOGIN",
    Authentication.CRAM_MD5: "CRAM-MD5",
}
_SECRET_STAYS_SECRET = frozenset({Authentication.APOP, Authentication.CRAM_MD5})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginFacts:
    """What the choice depends on."""

    asked: Authentication
    encrypted: bool
    allow_plaintext: bool
    has_timestamp: bool
    """The banner holds what APOP needs (RFC 1939, 7)."""
    for_other: bool
    """Somebody else's mailbox is opened: only PLAIN can say so."""
    capabilities: Capabilities | None
    """None where the server knows no CAPA, or was not asked."""


def choose_way(facts: LoginFacts) -> Way:
    """Choose the mechanism to be tried, once, or say why there is none."""
    way = _wanted(facts)
    if facts.for_other and way is not Authentication.PLAIN:
        return NotOffered(
            f"{way.upper()} cannot open a mailbox for another user, only PLAIN can"
        )
    if not (facts.encrypted or facts.allow_plaintext or way in _SECRET_STAYS_SECRET):
        return Readable("no TLS, no CRAM-MD5 on offer, and allow_plaintext_login is not set")
    if way is Authentication.APOP and not facts.has_timestamp:
        return NotOffered("APOP: the server's greeting holds no timestamp")
    if way in _SASL_NAMES and not _offers(facts.capabilities, _SASL_NAMES[way]):
        return NotOffered(f"AUTH {_SASL_NAMES[way]} is not among the server's capabilities")
    return way


def _wanted(facts: LoginFacts) -> Authentication:
    if facts.asked is not Authentication.AUTO:
        return facts.asked
    if facts.for_other:
        return Authentication.PLAIN
    offered = facts.capabilities
    if not facts.encrypted and offered and "CRAM-MD5" in offered.mechanisms:
        return Authentication.CRAM_MD5
    if offered and "USER" not in offered and "PLAIN" in offered.mechanisms:
        return Authentication.PLAIN  # a server without USER and PASS
    return Authentication.USER_PASS


def _offers(capabilities: Capabilities | None, mechanism: str) -> bool:
    # A server without CAPA may still know AUTH (RFC 1734 is the older one): its answer tells.
    return capabilities is None or mechanism in capabilities.mechanisms
