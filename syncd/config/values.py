"""What one value of the configuration may look like: from YAML's words to ours.

Each function takes what YAML said and returns our value, or raises Unfit with the whole sentence:
what must stand here and what was found. The durations, sizes and rates have their
way back beside them, for `config show` and the schema's defaults.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from syncd.model.profile import BEGINNING

VERSION: Final = "0.1"
"""What `not_yet` calls this version; a test holds it to the project file."""

LONGEST_SHOWN: Final = 60
"""Characters of a wrong value that an error repeats."""

US_GOVERNMENT: Final = (80, 443, 465, 995)
"""Outbound ports of Power Apps US Government (the seed, "Network ports")."""

PRESETS_OF_PORTS: Final[Mapping[str, tuple[int, ...]]] = {"us-government": US_GOVERNMENT}

DURATION: Final = re.compile(r"([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?")
_SECONDS: Final[Mapping[str, int]] = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
SIZE: Final = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB)")
_OCTETS: Final[Mapping[str, int]] = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
RATE: Final = re.compile(r"([0-9]{1,9})/([0-9a-z]+)")
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_LABEL: Final = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")
_LOCAL_PART: Final = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,64}")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
INSTANCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PIN: Final = re.compile(r"[0-9a-f]{64}")

PLACEHOLDERS: Final = ("address", "local_part", "domain", "username")
AUTHORIZE: Final = "authzid"
"""`impersonation: authzid`: the mailbox is named by SASL's authorization identity."""


class Unfit(ValueError):
    """A value does not fit its place; the message is the sentence, less the place."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so long."""

    count: int
    period: timedelta


@dataclass(frozen=True, slots=True)
class AllowedPorts:
    """The ports that may be connected to, and under which name that was written."""

    ports: tuple[int, ...]
    preset: str | None = None

    def __str__(self) -> str:
        ports = ", ".join(map(str, self.ports))
        return f"{self.preset}: {ports}" if self.preset else ports


@dataclass(frozen=True, slots=True)
class Include:
    """A pattern of files to read as well; `optional` lets it match none."""

    pattern: str
    optional: bool = False


def not_yet(what: str, remedy: str = "remove the key") -> str:
    """Say that something is known but comes with a later version."""
    return f"not supported by this version of syncd ({VERSION}), which has no {what}; {remedy}"


def found(value: object) -> str:
    """Name a wrong value in an error."""
    match value:
        case None:
            return "found nothing"
        case bool():
            return f"found {str(value).lower()}"
        case str():
            shown = value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}…"
            return f'found "{shown}"'
        case dict() | list():
            return found_kind(value)
        case _:
            return f"found {value}"


def found_kind(value: object) -> str:
    """Name only the kind of a wrong value: what it says may be a secret."""
    match value:
        case None:
            return "found nothing"
        case bool():
            return "found true or false"
        case str():
            return "found text"
        case dict():
            return "found a mapping"
        case list():
            return "found a list"
        case _:
            return "found a number"


def parse_text(value: object, *, longest: int = 200) -> str:
    """Take a line of text."""
    if not isinstance(value, str):
        hint = "; put it in quotes" if isinstance(value, int | float) else ""
        raise Unfit(f"must be text, {found(value)}{hint}")
    if not value.strip():
        raise Unfit("must not be empty")
    if len(value) > longest:
        raise Unfit(f"must be at most {longest} characters, found {len(value)}")
    if not value.isprintable():
        raise Unfit("must be one line of printable characters")
    return value


def parse_flag(value: object) -> bool:
    """Take true or false."""
    if isinstance(value, bool):
        return value
    hint = ""
    if isinstance(value, str) and value.lower() in {"yes", "no", "on", "off", "true", "false"}:
        meant = "true" if value.lower() in {"yes", "on", "true"} else "false"
        hint = f"; write {meant}, without quotes"
    raise Unfit(f"must be true or false, {found(value)}{hint}")


def parse_whole(value: object, *, least: int, most: int) -> int:
    """Take a whole number within bounds."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    hint = "; remove the quotes" if isinstance(value, str) and value.isdecimal() else ""
    raise Unfit(f"must be a whole number from {least} to {most}, {found(value)}{hint}")


def parse_duration(value: object, *, least: timedelta, most: timedelta) -> timedelta:
    """Take a duration such as `90s`, `5m`, `1h30m` or `5d`."""
    expected = (
        "must be a duration such as 30s, 5m, 2h or 1d,"
        f" from {format_duration(least)} to {format_duration(most)}"
    )
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Unfit(f"{expected}; {found(value)}: a unit is missing")
    duration = _duration(value) if isinstance(value, str) else None
    if duration is None or not least <= duration <= most:
        raise Unfit(f"{expected}; {found(value)}")
    return duration


def parse_polling_interval(value: object) -> timedelta:
    """Take `minimum_polling_interval`: a bare number is minutes, as in the seed."""
    shortest, longest = timedelta(seconds=10), timedelta(days=1)
    interval: timedelta | None = None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1440:
        interval = timedelta(minutes=value)
    elif isinstance(value, str):
        interval = _duration(value)
    if interval is None or (interval and not shortest <= interval <= longest):
        raise Unfit(
            f"must be minutes from 0 to 1440, or a duration from 10s to 1d; {found(value)}"
        )
    return interval


def format_duration(duration: timedelta) -> str:
    """Write a duration as the configuration does: `1h30m`."""
    rest = int(duration.total_seconds())
    parts = []
    for unit, seconds in _SECONDS.items():
        count, rest = divmod(rest, seconds)
        parts.append(f"{count}{unit}" if count else "")
    return "".join(parts) or "0s"


def parse_size(value: object, *, least: int, most: int) -> int:
    """Take a number of octets such as `256MiB`."""
    match = SIZE.fullmatch(value) if isinstance(value, str) else None
    octets = int(match[1]) * _OCTETS[match[2]] if match else -1
    if not least <= octets <= most:
        hint = ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            hint = ": a unit is missing"
        elif isinstance(value, str) and not match and value[:1].isdecimal():
            hint = ": the units are KiB, MiB and GiB, without a space"
        raise Unfit(
            f"must be a size such as 256MiB, from {format_size(least)} to {format_size(most)};"
            f" {found(value)}{hint}"
        )
    return octets


def format_size(octets: int) -> str:
    """Write a size as the configuration does, in the largest unit that fits it exactly."""
    for unit, size in _OCTETS.items():
        if octets and octets % size == 0:
            return f"{octets // size}{unit}"
    return "0B"


def parse_rate(value: object) -> Rate:
    """Take a rate such as `20/1s`: twenty within any second."""
    match = RATE.fullmatch(value) if isinstance(value, str) else None
    period = _duration(match[2]) if match else None
    if not match or not period or not int(match[1]):
        raise Unfit(f"must be a rate such as 20/1s or 1000/1h, {found(value)}")
    return Rate(int(match[1]), period)


def format_rate(rate: Rate) -> str:
    """Write a rate as the configuration does."""
    return f"{rate.count}/{format_duration(rate.period)}"


def parse_process_email_from(value: object) -> datetime:
    """Take a date and time with its zone, or `all`; return it in UTC."""
    if value == "all":
        return BEGINNING
    expected = (
        f"must be a date and time with its zone, such as 2026-01-01T00:00:00Z, or all;"
        f" {found(value)}"
    )
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise Unfit(expected)
    if not match["zone"]:
        raise Unfit(f"{expected}: the zone is missing (Z, or such as +01:00)")
    try:
        return datetime.fromisoformat(match[0].upper()).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise Unfit(f"{expected}: there is no such day or time") from exc


def format_process_email_from(moment: datetime) -> str:
    """Write a moment as the configuration does."""
    return "all" if moment == BEGINNING else moment.isoformat().replace("+00:00", "Z")


def parse_server(value: object) -> str:
    """Take a host name or an IP address; no port, no scheme."""
    server = parse_text(value, longest=255).strip()
    if "://" in server:
        raise Unfit(f"must be a host name alone, without ://; {found(value)}")
    bare = server.removeprefix("[").removesuffix("]")
    if _is_ip(bare):
        return bare
    if re.fullmatch(r"[^:]+:[0-9]+", server):
        raise Unfit(f"must be a host name alone, {found(value)}; write the port as port:")
    labels = server.removesuffix(".").split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise Unfit(f"must be a host name or an IP address, {found(value)}")
    return server.removesuffix(".")


def parse_ip_address(value: object) -> str:
    """Take an IPv4 or IPv6 address."""
    if isinstance(value, str) and _is_ip(value):
        return value
    raise Unfit(f"must be an IP address of this machine, {found(value)}")


def parse_address(value: object) -> str:
    """Take a bare email address: `ann@contoso.com`."""
    if isinstance(value, str):
        local_part, at, domain = value.rpartition("@")
        labels = domain.split(".")
        if (
            at
            and len(value.encode("utf-8", "replace")) <= 254  # RFC 5321 4.5.3.1.3, less <>
            and _LOCAL_PART.fullmatch(local_part)
            and all(_LABEL.fullmatch(label) for label in labels)
        ):
            return value
    raise Unfit(f"must be an email address such as ann@contoso.com, {found(value)}")


def parse_instance(value: object) -> str:
    """Take the name of this installation."""
    name = parse_text(value, longest=64)
    if not INSTANCE.fullmatch(name):
        raise Unfit(f"must be letters, digits, dots, hyphens and underscores, {found(value)}")
    return name


def parse_path(value: object) -> Path:
    """Take an absolute path."""
    path = Path(parse_text(value, longest=4096))
    if not path.is_absolute():
        raise Unfit(f"must be an absolute path, {found(value)}")
    return path


def parse_socket_path(value: object) -> Path:
    """Take an absolute path that the kernel accepts for a Unix socket."""
    path = parse_path(value)
    if len(str(path).encode()) > 107:  # sun_path has 108 octets, the last is NUL
        raise Unfit(f"must be at most 107 octets long for a socket, {found(value)}")
    return path


def parse_store_url(value: object) -> str:
    """Take `sqlite:////absolute/path`."""
    url = parse_text(value, longest=4096)
    if url.startswith(("postgresql:", "postgres:")):
        raise Unfit(not_yet("PostgreSQL", "write sqlite:////var/lib/syncd/syncd.db"))
    if not re.match(r"sqlite:////[^/]", url):
        # Another scheme's URL may hold a password: only its beginning is repeated.
        shown = url if url.startswith("sqlite:") else f"{url.partition(':')[0]}:…"
        raise Unfit(
            "must be sqlite: and an absolute path, such as sqlite:////var/lib/syncd/syncd.db"
            f" (four slashes); {found(shown)}"
        )
    return url


def parse_allowed_ports(value: object) -> AllowedPorts:
    """Take a list of ports, or the name of a preset."""
    if isinstance(value, str) and value in PRESETS_OF_PORTS:
        return AllowedPorts(PRESETS_OF_PORTS[value], preset=value)
    if not isinstance(value, list):
        presets = ", ".join(PRESETS_OF_PORTS)
        raise Unfit(
            f"must be null (any port), a list of ports, or a preset ({presets}); {found(value)}"
        )
    if not value:
        raise Unfit("must not be empty: no server could be reached; null allows any port")
    return AllowedPorts(tuple(parse_whole(port, least=1, most=65535) for port in value))


def parse_include(value: object) -> Include:
    """Take a pattern, or `{path: PATTERN, optional: true}`."""
    match value:
        case str() if value.strip():
            return Include(value)
        case {"path": str(pattern), **rest} if pattern.strip() and rest.keys() <= {"optional"}:
            return Include(pattern, optional=parse_flag(rest.get("optional", False)))
        case _:
            raise Unfit(
                "must be a pattern of files, or {path: PATTERN, optional: true};"
                f" {found(value)}"
            )


def parse_no_synchronization(value: object) -> str:
    """Take `none`, the only thing that appointments, contacts and tasks can be."""
    if value == "none":
        return "none"
    raise Unfit(
        "must be none, because POP3, IMAP, SMTP and Gmail profiles carry mail only and do not"
        f" support appointments, contacts and tasks; {found(value)}"
    )


def parse_delete_after_processing(value: object) -> bool:
    """Take true or false; what else the key can say comes later."""
    match value:
        case "acknowledged":
            raise Unfit(not_yet("application to wait for", "write true or false"))
        case {"destination": _}:
            raise Unfit(not_yet("destinations", "write true or false"))
        case _:
            return parse_flag(value)


def parse_pin(value: object) -> str:
    """Take the SHA-256 of a certificate (DER) in hex, colons allowed; return it without."""
    pin = value.replace(":", "").lower() if isinstance(value, str) else ""
    if not _PIN.fullmatch(pin):
        raise Unfit(
            f"must be the SHA-256 of the server's certificate, 64 hex digits; {found(value)}"
        )
    return pin


def parse_impersonation(value: object) -> str:
    """Take a template of login names, or `authzid`."""
    template = parse_text(value)
    if template == AUTHORIZE:
        return template
    names = _PLACEHOLDER.findall(template)
    unknown = [name for name in names if name not in PLACEHOLDERS]
    allowed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    if unknown or _PLACEHOLDER.sub("", template).strip("{}") != _PLACEHOLDER.sub("", template):
        raise Unfit(f"may hold {allowed} and text around them; {found(value)}")
    if not {"address", "local_part"} & set(names):
        raise Unfit(
            "must name the mailbox by {address} or {local_part}, such as"
            f' "{{address}}*{{username}}", or be authzid; {found(value)}'
        )
    return template


def fill_impersonation(template: str, *, address: str, username: str) -> str:
    """Return the login name that stands for a mailbox."""
    local_part, _, domain = address.rpartition("@")
    words = {
        "address": address,
        "local_part": local_part,
        "domain": domain,
        "username": username,
    }
    return _PLACEHOLDER.sub(lambda match: words[match[1]], template)


def _duration(text: str) -> timedelta | None:
    match = DURATION.fullmatch(text)
    if not match or not text:
        return None
    parts = [part for part in match.groups() if part]
    return timedelta(seconds=sum(int(part[:-1]) * _SECONDS[part[-1]] for part in parts))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
