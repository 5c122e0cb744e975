"""Reading headers: total, bounded and quick. No MIME tree, no body.

Rule 1: nothing raises, whatever the bytes are; what cannot be understood is None or text
with marks of replacement. The exact bytes are in the store anyhow.
Rule 2: every list and every value has a limit, so that no message costs more than another by
orders of magnitude. The standard library's parser needs 30 us a message on its quick path,
499 us on the correct one, and on hostile input minutes and gigabytes (faults.md M16).
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz
from hashlib import sha256

from syncd.incoming.encoded_words import decode_words
from syncd.model.mail import Headers

HEAD_OCTETS = 256 * 1024
"""What is looked at of a header section; Postfix takes 102,400 octets (faults.md 1)."""

_VALUE_OCTETS = 4096
"""Of one text (a subject, a sender): four times RFC 5322's longest line."""

_LIST_OCTETS = 64 * 1024
"""Of one list of addresses or of references."""

_MOST_ADDRESSES = 200
_MOST_REFERENCES = 50
_MOST_TEXTS = 10

_WANTED = re.compile(
    rb"(?i)\n(message-id|in-reply-to|references|subject|from|to|cc|date|received|auto-submitted"
    rb"|delivered-to|x-original-to|x-syncd-loop)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)"
)

_DATE = re.compile(
    rb"(\d{1,2})[ -]+([A-Za-z]{3})[ -]+(\d{4}),? +(\d{1,2}):(\d\d)(?::(\d\d))?"
    rb"[ \t]*(?:([+-])(\d\d)(\d\d)|GMT|UTC?|Z|$)"
)
_MONTHS = {
    name: number
    for number, name in enumerate(
        b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1
    )
}

_FIRST_YEAR = 1982
"""RFC 822's: an earlier date is a clock that never was set."""
_LAST_YEAR = 2099

_ID = re.compile(rb"<[^<>\s]{1,996}>")
_MARKS = re.compile(r'[",\\()]')
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")

_LISTS = frozenset({b"to", b"cc", b"delivered-to", b"x-original-to", b"x-syncd-loop"})
"""Headers whose repetitions are read too; of others the first counts."""

_Again = dict[bytes, list[bytes]]


def head_of(raw: bytes) -> bytes:
    """Cut the header section off a message, or off its beginning."""
    if raw.startswith((b"\r\n", b"\n")):
        return b""
    end = raw.find(b"\n\r\n", 0, HEAD_OCTETS)
    bare = raw.find(b"\n\n", 0, HEAD_OCTETS if end < 0 else end)
    return raw[: bare if bare >= 0 else end if end >= 0 else HEAD_OCTETS]


def shows_body(raw: bytes) -> bool:
    """Tell whether something follows the header section."""
    head = head_of(raw)
    return len(head) < HEAD_OCTETS and bool(raw[len(head) :].strip())


def parse_headers(raw: bytes) -> Headers:
    """Read the headers of a message, given whole, from its beginning, or as TOP shows it."""
    head = head_of(raw)
    if b"\n" not in head:
        head = head.replace(b"\r", b"\n")
    first: dict[bytes, bytes] = {}
    again: dict[bytes, list[bytes]] = {}
    hops = 0
    for name, value in _WANTED.findall(b"\n" + head):
        key = name.lower()
        if key == b"received":
            hops += 1
        if key not in first:
            first[key] = value
        elif key in _LISTS:
            again.setdefault(key, []).append(value)
    get = first.get
    return Headers(
        message_id=_message_id(get(b"message-id", b"")),
        in_reply_to=_first_id(get(b"in-reply-to", b"")),
        references=_ids(get(b"references", b"")),
        subject=_text(get(b"subject", b"")),
        sender=_text(get(b"from", b"")),
        to=_addresses(b"to", first, again),
        cc=_addresses(b"cc", first, again),
        date=parse_date(get(b"date", b"")),
        received_at=parse_date(get(b"received", b"").rpartition(b";")[2]),
        auto_submitted=_keyword(get(b"auto-submitted", b"")),
        delivered_to=(
            *_texts(b"delivered-to", first, again),
            *_texts(b"x-original-to", first, again),
        ),
        hops=hops,
        loop_marks=_texts(b"x-syncd-loop", first, again),
        digest=_digest(first),
    )


def header_digest(raw: bytes) -> bytes | None:
    """Return what `parse_headers` calls the digest, alone."""
    return parse_headers(raw).digest


def parse_date(raw: bytes) -> datetime | None:
    """Read the date of a Date or Received header; None where it is unknown or absurd."""
    match = _DATE.search(raw)
    if match is None:
        return _parse_odd_date(raw)
    day, month, year, hour, minute, second, ahead, zone_hours, zone_minutes = match.groups()
    number = _MONTHS.get(month)
    if number is None:
        return _parse_odd_date(raw)
    if not _FIRST_YEAR <= int(year) <= _LAST_YEAR:
        return None
    try:
        # A leap second (60) is no second to datetime.
        local = datetime(
            int(year), number, int(day), int(hour), int(minute),
            min(int(second or 0), 59), 0, UTC,
        )  # fmt: skip
    except ValueError:
        return None
    if ahead is not None:
        zone = timedelta(0, 3600 * int(zone_hours) + 60 * int(zone_minutes))
        return local - zone if ahead == b"+" else local + zone
    return local


def _parse_odd_date(raw: bytes) -> datetime | None:
    """Read what real mail holds besides RFC 5322: names of zones, two-digit years, asctime."""
    parts = parsedate_tz(raw[-200:].decode("latin-1")) if raw else None
    if parts is None or not _FIRST_YEAR <= parts[0] <= _LAST_YEAR:
        return None
    try:
        return datetime(*parts[:6], tzinfo=UTC) - timedelta(seconds=parts[9] or 0)
    except (ValueError, OverflowError):
        return None


def _text(raw: bytes) -> str:
    """Decode one unstructured value: unfolded, without control characters."""
    text = _characters(raw[:_VALUE_OCTETS])
    return _decoded(text) if "=?" in text else text


def _characters(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        # Eight bits without a word about the charset: what is not UTF-8 is mostly Latin-1.
        text = raw.decode("latin-1")
    text = " ".join(text.split())
    return text if text.isprintable() else _CONTROLS.sub(" ", text)


def _decoded(text: str) -> str:
    return " ".join(_CONTROLS.sub(" ", decode_words(text)).split())


def _texts(key: bytes, first: dict[bytes, bytes], again: _Again) -> tuple[str, ...]:
    if key not in first:
        return ()
    values = (first[key], *again.get(key, ()))[:_MOST_TEXTS]
    return tuple(text for value in values if (text := _text(value)))


def _addresses(key: bytes, first: dict[bytes, bytes], again: _Again) -> tuple[str, ...]:
    """Cut lists of addresses apart; each is decoded after the cut (a comma may be encoded)."""
    if key not in first:
        return ()
    found: list[str] = []
    for value in (first[key], *again.get(key, ())):
        for piece in _split_list(_characters(value[:_LIST_OCTETS])):
            if len(found) >= _MOST_ADDRESSES:
                return tuple(found)
            entry = piece.strip()[:_VALUE_OCTETS]
            if entry:
                found.append(_decoded(entry) if "=?" in entry else entry)
    return tuple(found)


def _split_list(text: str) -> list[str]:
    if "," not in text:
        return [text]
    if '"' not in text and "(" not in text:
        return text.split(",")
    return _split_outside_quotes(text)


def _split_outside_quotes(text: str) -> list[str]:
    """Split at the commas that stand neither in a quoted string nor in a comment."""
    pieces: list[str] = []
    start, quoted, depth, escaped_at = 0, False, 0, -1
    for mark in _MARKS.finditer(text):
        at = mark.start()
        if at == escaped_at:
            continue
        match mark.group():
            case "\\":
                escaped_at = at + 1
            case '"' if depth == 0:
                quoted = not quoted
            case "(" if not quoted:
                depth += 1
            case ")" if depth > 0:
                depth -= 1
            case "," if not quoted and depth == 0:
                pieces.append(text[start:at])
                start = at + 1
            case _:
                pass
    pieces.append(text[start:])
    return pieces


def _message_id(raw: bytes) -> str | None:
    """Return the id with its brackets; servers that forget these still mean it."""
    return _first_id(raw) or _characters(raw[:998]) or None


def _first_id(raw: bytes) -> str | None:
    match = _ID.search(raw, 0, _VALUE_OCTETS) if raw else None
    return _characters(match.group()) if match else None


def _ids(raw: bytes) -> tuple[str, ...]:
    """Read the last references: the nearest ancestors stand at the end (RFC 5322 3.6.4)."""
    if not raw:
        return ()
    last = _ID.findall(raw[-_LIST_OCTETS:])[-_MOST_REFERENCES:]
    return tuple([_characters(one) for one in last])


def _keyword(raw: bytes) -> str | None:
    return (_characters(raw.partition(b";")[0][:64]).lower() or None) if raw else None


def _digest(first: dict[bytes, bytes]) -> bytes | None:
    """Sum up what names a message, so that folding and blanks make no difference."""
    if b"message-id" not in first and b"date" not in first:
        return None
    get = first.get
    named = b"\n\0".join(
        (get(b"message-id", b""), get(b"date", b""), get(b"from", b""), get(b"subject", b""))
    )
    return sha256(b" ".join(named.split())).digest()[:16]
