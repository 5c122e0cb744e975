"""What there is to say of a configuration that was checked and found good.

Settings that contradict what everybody else does are doubtful, not wrong: some providers do
have odd ports. Secrets that only the daemon can read were not looked at.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from syncd.config.anatomy import secrets_written
from syncd.config.problems import Finding, Loc, Problem, in_order
from syncd.config.schema import Incoming, Settings, Side
from syncd.config.sentences import located
from syncd.model.profile import Security
from syncd.model.secret import UnreadSecret


@dataclass(frozen=True, slots=True)
class _Custom:
    """What the world uses a port for."""

    protocol: str
    security: tuple[Security, ...]
    """None of them: the port is not for mail clients at all."""
    meaning: str


# RFC 8314 (465, 993, 995), RFC 6409 (587), RFC 5321 (25), RFC 1939 (110), RFC 9051 (143).
_CUSTOMS: Final[Mapping[int, _Custom]] = {
    25: _Custom(
        "SMTP",
        (),
        "mail from one provider's server to another's, without a login; mail is handed in at"
        " 465 (tls) or 587 (starttls)",
    ),
    110: _Custom("POP3", (Security.STARTTLS, Security.NONE), "POP3 with starttls or none"),
    143: _Custom("IMAP", (), "IMAP, which this version does not speak"),
    465: _Custom("SMTP", (Security.TLS,), "SMTP with security: tls"),
    587: _Custom("SMTP", (Security.STARTTLS, Security.NONE), "SMTP with security: starttls"),
    993: _Custom("IMAP", (), "IMAP, which this version does not speak"),
    995: _Custom("POP3", (Security.TLS,), "POP3 with security: tls"),
}


def warnings(settings: Settings) -> tuple[Problem, ...]:
    """Return what is allowed and probably not meant."""
    return in_order(located(finding, settings.written) for finding in _odd_ports(settings))


def unread(settings: Settings) -> tuple[Problem, ...]:
    """Return the secrets that were not looked at, because only the daemon can read them."""
    return in_order(
        located(Finding(loc, value.why), settings.written)
        for loc in secrets_written(settings.written)
        if isinstance(value := _value_at(settings, loc), UnreadSecret)
    )


def _odd_ports(settings: Settings) -> Iterator[Finding]:
    for n, profile in enumerate(settings.profiles):
        for name, side in (("incoming", profile.incoming), ("outgoing", profile.outgoing)):
            if side is not None:
                yield from _odd_port(side, ("profiles", n, name, "port"))


def _odd_port(side: Side, loc: Loc) -> Iterator[Finding]:
    custom = _CUSTOMS.get(side.filled_port)
    protocol = "POP3" if isinstance(side, Incoming) else "SMTP"
    if custom is None or (custom.protocol == protocol and (side.security in custom.security)):
        return
    yield Finding(
        loc,
        f"port {side.filled_port} usually means {custom.meaning}; found {protocol} with"
        f" security: {side.security}, whose usual port is {side.standard_ports[side.security]}",
    )


def _value_at(settings: Settings, loc: Loc) -> object:
    value: object = settings
    for step in loc:
        if isinstance(step, int):
            value = value[step] if isinstance(value, tuple) else None
        else:
            value = getattr(value, step, None)
    return value
