"""Secrets that are easy to find again, whatever has been done to them.

    hits = find_markers(MARKERS, {"the log": log, "status": printed})
    assert hits == []

A marker is looked for as it is, escaped as JSON and Python and URLs write it, in hexadecimal,
and in base64 at each of the three offsets that it may have within a longer text: `AUTH PLAIN`
sends it after two other words.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus


def disguises(marker: str) -> Iterator[bytes]:
    """Yield every form in which a secret is looked for."""
    octets = marker.encode()
    yield octets
    yield marker.encode("utf-16-le")
    yield octets.hex().encode()
    yield octets.hex().upper().encode()
    for written in (
        json.dumps(marker)[1:-1],
        json.dumps(marker, ensure_ascii=False)[1:-1],
        repr(marker)[1:-1],
        repr(octets)[2:-1],
        quote(marker, safe=""),
        quote(marker),
        quote_plus(marker),
    ):
        yield written.encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            yield _at_offset(encode(bytes(before) + octets), before, len(octets))


def _at_offset(encoded: bytes, before: int, octets: int) -> bytes:
    """Leave those characters that depend on nothing but the marker."""
    first = -(-before * 8 // 6)
    last = (before + octets) * 8 // 6
    return encoded[first:last]


def find_markers(markers: Iterable[str], heaps: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return (marker, heap) wherever a secret, in whatever form, lies in a heap."""
    return [
        (marker, name)
        for marker in markers
        for name, heap in heaps.items()
        if any(form in heap for form in disguises(marker))
    ]
