"""What an SMTP server says: replies, enhanced status codes, capabilities.

RFC 5321 4.2 (replies), RFC 2034 and 3463 (enhanced codes), RFC 5321 4.1.1.1 (EHLO), RFC 1870
(SIZE), RFC 4954 (AUTH). Only reading; what a reply means for a message is decided in
`outgoing.verdict`.
"""

import re
from dataclasses import dataclass

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")
_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])([^\r\n]*))?\r?\n")


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """A server's answer: three digits, RFC 3463's x.y.z where given, and its words."""

    code: int
    enhanced: str | None
    words: str
    is_ours: bool = False
    """No server said it: syncd foresaw the refusal, from EHLO or from the address itself."""

    @property
    def is_positive(self) -> bool:
        """True for 2yz: done."""
        return 200 <= self.code < 300

    def __str__(self) -> str:
        """Return the reply on one line, as the server wrote it; what is ours in words alone."""
        if self.is_ours:
            return self.words
        return " ".join(str(part) for part in (self.code, self.enhanced, self.words) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What EHLO offered; asked again after STARTTLS (RFC 3207 4.2)."""

    starttls: bool = False
    eight_bit_mime: bool = False
    smtputf8: bool = False
    size_limit: int | None = None
    """Octets of the largest message; None when SIZE is absent, 0 or not a number: no limit."""
    offers_size: bool = False
    mechanisms: frozenset[str] = frozenset()
    """Names of AUTH mechanisms, upper case."""


def read_reply(code: int, text: str) -> SmtpReply:
    """Take a reply's text apart: the enhanced code stands first in each line (RFC 2034 4)."""
    lines = text.split("\n")
    found = _ENHANCED.match(lines[0])
    if found is None:
        return SmtpReply(code, None, " ".join(lines))
    enhanced = found[0]
    words = (line.removeprefix(enhanced).strip() for line in lines)
    return SmtpReply(code, enhanced, " ".join(word for word in words if word))


def split_reply(data: bytes) -> tuple[SmtpReply, bytes] | None:
    """Cut the first whole reply off; return it and the rest, None if there is no reply.

    A line that is no reply line ends the search: what stands before a reply is no reply.
    """
    words: list[str] = []
    at = 0
    while found := _LINE.match(data, at):
        words.append((found[3] or b"").decode("utf-8", "replace"))
        at = found.end()
        if found[2] != b"-":
            return read_reply(int(found[1]), "\n".join(words)), data[at:]
    return None


def read_capabilities(text: str) -> Capabilities:
    """Read the lines of an EHLO reply; the first one is the server's name and greeting."""
    offers: dict[str, list[str]] = {}
    for line in text.split("\n")[1:]:
        # `AUTH=LOGIN` was written by servers older than RFC 4954 for clients older still.
        keyword, *words = line.upper().replace("AUTH=", "AUTH ", 1).split() or [""]
        offers.setdefault(keyword, []).extend(words)
    return Capabilities(
        starttls="STARTTLS" in offers,
        eight_bit_mime="8BITMIME" in offers,
        smtputf8="SMTPUTF8" in offers,
        size_limit=_size_limit(offers.get("SIZE", [])),
        offers_size="SIZE" in offers,
        mechanisms=frozenset(offers.get("AUTH", [])),
    )


def _size_limit(words: list[str]) -> int | None:
    """Return the number after SIZE; 0 means no fixed limit (RFC 1870 4)."""
    digits = words[0] if words else ""
    return (
        int(digits) or None
        if digits.isascii() and digits.isdecimal() and len(digits) < 20
        else None
    )
