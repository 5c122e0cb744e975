"""RFC 2047: `=?charset?encoding?text?=` back into characters. Total, and linear in length."""

import binascii
import re

_WORD = re.compile(r"=\?([!-)+->@-~]{1,40})(?:\*[!->@-~]{0,40})?\?([bBqQ])\?([^?\s]*)\?=")

_MOST_WORDS = 200
"""Of one value: what follows stays as it stands there."""

_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")


def decode_words(text: str) -> str:
    """Decode every encoded word; blanks between two of them vanish (RFC 2047 6.2).

    Neighbours of one charset are joined before they are decoded: real mail cuts characters
    of several bytes in two.
    """
    out: list[str] = []
    held = b""
    held_charset = ""
    end = 0
    for word in _words(text):
        between = text[end : word.start()]
        charset = word[1].lower()
        if held_charset and (between.strip() or charset != held_charset):
            out.append(_characters(held, held_charset))
            held = b""
        if between.strip() or not held_charset:
            out.append(between)
        held += _octets(word[2], word[3])
        held_charset = charset
        end = word.end()
    if held_charset:
        out.append(_characters(held, held_charset))
    out.append(text[end:])
    return "".join(out)


def _words(text: str) -> list[re.Match[str]]:
    found = []
    for word in _WORD.finditer(text):
        found.append(word)
        if len(found) == _MOST_WORDS:
            break
    return found


def _octets(encoding: str, text: str) -> bytes:
    raw = text.encode("latin-1", "replace")
    if encoding in "qQ":
        return _HEX.sub(lambda pair: bytes.fromhex(pair[1].decode()), raw.replace(b"_", b" "))
    try:
        return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
    except binascii.Error:
        return raw


def _characters(raw: bytes, charset: str) -> str:
    try:
        text = raw.decode(charset, "replace")
    except (LookupError, ValueError):
        # An unknown charset, or a codec that is none (`hex`, `idna`).
        text = raw.decode("latin-1")
    # UTF-7 and `unicode_escape` can make halves of surrogate pairs, which no store takes.
    return text.encode("utf-8", "replace").decode()
