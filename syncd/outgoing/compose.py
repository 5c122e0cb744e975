"""From what an application hands over to the exact bytes that go out, or a refusal.

Rule 1: the stored bytes are final: every attempt sends them unchanged, Message-ID included.
Rule 2: who is blind-copied stands in the envelope only.
Rule 3: what two servers could read differently (a bare CR or LF in the header, a control
character, a line that is no header) is refused with the field's name, never repaired. In the
body, where it can do no harm once it is a line end, a bare CR or LF becomes CRLF.
Rule 4: of a large message there is one copy, the one that was handed over; what goes out is
made from it piece by piece, once to look at it and once to store it.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import format_datetime

from syncd.errors import Refused, one_line
from syncd.model.mail import CHUNK_OCTETS
from syncd.model.mailbox import address_key
from syncd.outgoing.addresses import parse_address, parse_address_list
from syncd.protocols.dot_stuffing import with_crlf

LONGEST_LINE = 998
"""Octets of a header line without its CRLF (RFC 5322 2.1.1)."""

LONGEST_HEADER = 1024 * 1024
"""Octets of a message's header: a thousand recipients need a tenth."""

MOST_RECIPIENTS = 1000
"""Recipients of one message; servers must take 100 at once (RFC 5321 4.5.3.1.8) and answer
452 to more, which defers the rest to the next transaction."""

Raw = bytes | bytearray
"""A message as it was handed over; nobody changes it."""

_NAME = re.compile(rb"[!-9;-~]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")

_ONLY_ONCE = frozenset({"from", "sender", "subject", "date", "message-id"})
"""Headers of which a second one would be read by some and ignored by others."""

_NEVER_LEAVES = frozenset({"bcc", "resent-bcc", "return-path"})
"""Return-Path is written by the last server, from the envelope (RFC 5321 4.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A message ready for the queue."""

    sender: str
    """Envelope sender."""
    recipients: tuple[str, ...]
    message_id: str
    subject: str
    header: bytes
    """As it goes out, the empty line included."""
    octets: int
    """Of the whole as it goes out."""
    sha256: bytes
    eight_bit: bool
    """The body holds octets above 127: BODY=8BITMIME."""
    utf8: bool
    """The headers do: SMTPUTF8 (RFC 6532)."""
    request_digest: bytes
    """SHA-256 of what was handed over: the same idempotency key with another one is refused."""
    body: "Body"

    def chunks(self) -> Iterator[bytes]:
        """Make what goes out, in pieces of CHUNK_OCTETS, the last one shorter."""
        gathered = bytearray(self.header)
        for piece in self.body.pieces():
            gathered += piece
            while len(gathered) > CHUNK_OCTETS:
                yield bytes(gathered[:CHUNK_OCTETS])
                del gathered[:CHUNK_OCTETS]
        yield bytes(gathered)

    @property
    def raw(self) -> bytes:
        """Make what goes out at once: for messages that are small."""
        return b"".join(self.chunks())


@dataclass(frozen=True, slots=True, repr=False)
class Body:
    """The body inside what was handed over."""

    whole: Raw
    at: int

    def pieces(self) -> Iterator[bytes]:
        """Make it as it goes out: CRLF line ends, the last line ended."""
        rest, is_ended = b"", True
        for at in range(self.at, len(self.whole), CHUNK_OCTETS):
            piece = rest + self.whole[at : at + CHUNK_OCTETS]
            # A CR at the end of a piece: only the next one tells whether it is bare.
            rest = b"\r" if piece.endswith(b"\r") else b""
            if piece := with_crlf(piece[: len(piece) - len(rest)]):
                is_ended = piece.endswith(b"\r\n")
                yield piece
        if rest or not is_ended:
            yield b"\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderRules:
    """What a mailbox may send."""

    address: str
    send_as: tuple[str, ...] = ()
    max_octets: int
    max_recipients: int = MOST_RECIPIENTS


@dataclass(frozen=True, slots=True)
class _Field:
    """One header field: its name as written, its lines without their line ends."""

    name: str
    lines: Sequence[bytes]

    @property
    def key(self) -> str:
        return self.name.lower()

    @property
    def value(self) -> str:
        """The unfolded value."""
        return b"".join(self.lines).decode().partition(":")[2].strip(" \t")


def compose(
    raw: Raw,
    rules: SenderRules,
    *,
    now: datetime,
    token: str,
    sender: str | None = None,
    recipients: Sequence[str] | None = None,
) -> Composed:
    """Check an RFC 5322 message and complete it; `token` makes a missing Message-ID unique.

    `raw` must stay as it is for as long as the result is used.
    `sender` and `recipients` are the envelope where it is given; else From (or Sender) and
    To, Cc, Bcc. Raises Refused naming the field.
    """
    if len(raw) > rules.max_octets:
        raise Refused("message", f"has {len(raw)} octets, more than {rules.max_octets}")
    fields, body = _split(raw)
    _refuse_repetition(fields)
    own = parse_address(rules.address, "address")
    envelope_sender = _choose_sender(fields, sender, own, rules.send_as)
    envelope = _choose_recipients(fields, recipients, rules.max_recipients)
    kept = [field for field in fields if field.key not in _NEVER_LEAVES]
    message_id = _value(kept, "message-id")
    if message_id is None:
        message_id = f"<{token}@{own.rpartition('@')[2]}>"
        kept.append(_Field("Message-ID", [b"Message-ID: " + message_id.encode()]))
    elif not _MESSAGE_ID.fullmatch(message_id):
        raise Refused("Message-ID", "is not one identifier in angle brackets")
    if _value(kept, "date") is None:
        kept.append(_Field("Date", [b"Date: " + format_datetime(now).encode()]))
    header = b"".join(line + b"\r\n" for field in kept for line in field.lines)
    facts = _look_through(header + b"\r\n", body)
    return Composed(
        sender=envelope_sender,
        recipients=envelope,
        message_id=message_id,
        subject=_readable(_value(kept, "subject") or ""),
        header=header + b"\r\n",
        octets=facts.octets,
        sha256=facts.sha256,
        eight_bit=not facts.is_ascii,
        utf8=not header.isascii(),
        request_digest=_digest(raw, sender, recipients),
        body=body,
    )


def from_address(raw: Raw) -> str:
    """Return the first address of the From header; raises Refused."""
    fields, _ = _split(raw)
    return _addresses(fields, "from", "From")[0]


def _split(raw: Raw) -> tuple[list[_Field], Body]:
    """Cut a message at its first empty line; the first line's end tells how lines end."""
    newline = b"\r\n" if raw[: raw.find(b"\n") + 1].endswith(b"\r\n") else b"\n"
    end = raw.find(newline * 2)
    if end < 0:
        end = len(raw)
    if end > LONGEST_HEADER:
        raise Refused("message", f"has a header of more than {LONGEST_HEADER} octets")
    header = bytes(raw[:end])
    body = Body(raw, min(end + 2 * len(newline), len(raw)))
    return list(_fields(header.removesuffix(newline).split(newline))), body


def _fields(lines: Sequence[bytes]) -> Iterator[_Field]:
    name, gathered = "", list[bytes]()
    for number, line in enumerate(lines, start=1):
        if not (name and line.startswith((b" ", b"\t"))):
            if name:
                yield _Field(name, gathered)
            name, gathered = _field_name(number, line), []
        _check_line(name, line)
        gathered.append(line)
    yield _Field(name, gathered)


def _field_name(number: int, line: bytes) -> str:
    found = _NAME.match(line)
    if found is None or not line.startswith(b":", found.end()):
        raise Refused(f"line {number}", "is no header field")
    return found[0].decode()


def _check_line(name: str, line: bytes) -> None:
    if _CONTROL.search(line):
        raise Refused(name, "holds a control character, or a CR or LF by itself")
    if len(line) > LONGEST_LINE:
        raise Refused(name, f"has a line of more than {LONGEST_LINE} octets")
    if not line.strip():
        raise Refused(name, "goes on with an empty line, which some take for the header's end")
    try:
        line.decode()
    except UnicodeDecodeError:
        raise Refused(name, "holds octets that are not UTF-8") from None


def _refuse_repetition(fields: Sequence[_Field]) -> None:
    keys = [field.key for field in fields]
    for field in fields:
        if field.key in _ONLY_ONCE and keys.count(field.key) > 1:
            raise Refused(field.name, "stands in the header more than once")


def _choose_sender(
    fields: Sequence[_Field], given: str | None, own: str, send_as: Sequence[str]
) -> str:
    """Check that every address the message claims to come from may be used; choose one."""
    allowed = {address_key(own), *(address_key(parse_address(a, "send_as")) for a in send_as)}
    authors = _addresses(fields, "from", "From")
    acting = _addresses(fields, "sender", "Sender") if _value(fields, "sender") else []
    envelope = [] if given is None else [parse_address(given, "sender")]
    claims = (("From", authors), ("Sender", acting), ("sender", envelope))
    for name, addresses in claims:
        for address in addresses:
            if address_key(address) not in allowed:
                raise Refused(
                    name, f"{address} is neither the mailbox's address nor in send_as"
                )
    return (envelope or acting or authors)[0]


def _choose_recipients(
    fields: Sequence[_Field], given: Sequence[str] | None, most: int
) -> tuple[str, ...]:
    if given is None:
        named = [
            address
            for field in fields
            if field.key in {"to", "cc", "bcc"}
            for address in parse_address_list(field.value, field.name)
        ]
    else:
        named = [parse_address(text, "recipients") for text in given]
    once: dict[str, str] = {}
    for address in named:
        once.setdefault(address_key(address), address)
    if not once:
        raise Refused("recipients", "there are none")
    if len(once) > most:
        raise Refused("recipients", f"there are {len(once)}, more than {most}")
    return tuple(once.values())


def _addresses(fields: Sequence[_Field], key: str, name: str) -> list[str]:
    addresses = parse_address_list(_value(fields, key) or "", name)
    if not addresses:
        raise Refused(name, "holds no address")
    return addresses


def _value(fields: Sequence[_Field], key: str) -> str | None:
    return next((field.value for field in fields if field.key == key), None)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is to be known of a message before any of it is stored."""

    octets: int
    sha256: bytes
    is_ascii: bool
    """The body is."""


def _look_through(header: bytes, body: Body) -> _Facts:
    nul = body.whole.find(b"\x00", body.at)
    if nul >= 0:
        raise Refused("body", f"holds a NUL at octet {nul - body.at}")
    digest, octets, is_ascii = hashlib.sha256(header), len(header), True
    for piece in body.pieces():
        digest.update(piece)
        octets += len(piece)
        is_ascii = is_ascii and piece.isascii()
    return _Facts(octets, digest.digest(), is_ascii)


def _readable(subject: str) -> str:
    """Decode a subject for listings; one that cannot be decoded stays as it is."""
    try:
        return one_line(str(make_header(decode_header(subject))))
    except (HeaderParseError, LookupError, ValueError):
        return one_line(subject)


def _digest(raw: Raw, sender: str | None, recipients: Sequence[str] | None) -> bytes:
    envelope = "\n".join((sender or "", *(recipients or ())))
    digest = hashlib.sha256(envelope.encode() + b"\x00")
    digest.update(raw)
    return digest.digest()
