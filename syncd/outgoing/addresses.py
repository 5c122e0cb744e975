"""Mail addresses as they go on the wire: read strictly, or refused with the field's name.

RFC 5321 4.1.2 (what MAIL and RCPT take), RFC 5322 3.4 (what address headers hold), RFC 6531
(letters beyond ASCII), RFC 5891 (names of domains). Comments, groups and quoted local parts
are understood; source routes and white space inside an address are not: what two programs
could read differently is refused, never repaired.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import idna

from syncd.errors import Refused

_FORBIDDEN = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SPACE = re.compile(r"\s+")  # of every script: a no-break space stands in many a display name
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"'  # a quoted string
    r"|\[[^\[\]\\\s]*\]"  # a domain literal
    r'|[^\s()<>\[\]:;@\\,"]+'  # an atom; dots and letters beyond ASCII included
    r"|[<>:;@,]"
)
_HOST = re.compile(
    r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*"
)
_LITERAL = re.compile(r"\[(IPv6:[0-9A-Fa-f:.]{2,45}|\d{1,3}(\.\d{1,3}){3})\]")

LONGEST_LOCAL_PART = 64
"""Octets (RFC 5321 4.5.3.1.1)."""
LONGEST_ADDRESS = 254
"""Octets: a path is 256, angle brackets included (RFC 5321 4.5.3.1.3)."""
_DEEPEST_COMMENT = 20


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    after_space: bool

    @property
    def is_word(self) -> bool:
        return self.text not in _SPECIALS


_SPECIALS = frozenset("<>:;@,")
_END = _Token("", after_space=False)


def parse_address(text: str, field: str) -> str:
    """Read one bare address (`local@domain`); the domain comes back in ASCII (IDNA).

    Raises Refused naming `field`.
    """
    tokens = _Tokens(field, text)
    address = tokens.address()
    tokens.expect_end()
    return address


def parse_address_list(text: str, field: str) -> list[str]:
    """Read the unfolded value of an address header: every address in it, groups opened.

    Raises Refused naming `field`.
    """
    tokens = _Tokens(field, text)
    found = list(tokens.addresses())
    tokens.expect_end()
    return found


class _Tokens:
    """A reader over one header value: one token of look-ahead."""

    def __init__(self, field: str, text: str) -> None:
        self._field = field
        if _FORBIDDEN.search(text):
            raise self._refused("holds a control character")
        self._tokens = self._scan(text)
        self._next = next(self._tokens, _END)

    def addresses(self, *, in_group: bool = False) -> Iterator[str]:
        """Read a comma-separated list; empty places in it are allowed (RFC 5322 4.4)."""
        while self._next is not _END:
            if self._next.text == ",":
                self._take()
                continue
            if in_group and self._next.text == ";":
                return
            yield from self._mailbox_or_group(in_group=in_group)
            if self._next.text not in {",", "", ";" if in_group else ""}:
                raise self._refused("holds something after an address")

    def _mailbox_or_group(self, *, in_group: bool) -> Iterator[str]:
        words = [self._take()] if self._next.is_word else []
        while words and self._next.is_word and self._next is not _END:
            words.append(self._take())
        match self._next.text:
            case "<":
                self._take()
                yield self.address()
                self._expect(">")
            case ":" if words and not in_group:
                self._take()
                yield from self.addresses(in_group=True)
                self._expect(";")
            case _ if len(words) == 1:
                yield self._address_after(words[0])
            case _:
                raise self._refused("holds something that is no address")

    def address(self) -> str:
        """Read `local@domain`."""
        return self._address_after(self._take())

    def _address_after(self, local: _Token) -> str:
        if not local.is_word or local.text.startswith("["):
            raise self._refused("holds an address without a local part")
        at = self._expect("@")
        domain = self._take()
        if at.after_space or domain.after_space:
            raise self._refused("holds white space inside an address")
        return self._checked(local.text, self._domain(domain.text))

    def expect_end(self) -> None:
        """Refuse what is left."""
        if self._next is not _END:
            raise self._refused("holds something after the address")

    def _checked(self, local: str, domain: str) -> str:
        address = f"{local}@{domain}"
        if len(local.encode()) > LONGEST_LOCAL_PART or len(address.encode()) > LONGEST_ADDRESS:
            raise self._refused("holds an address that is too long")
        return address

    def _domain(self, text: str) -> str:
        if text.startswith("["):
            ascii_name = text if _LITERAL.fullmatch(text) else ""
        elif text.isascii():
            ascii_name = text if _HOST.fullmatch(text) else ""
        else:
            ascii_name = _to_ascii(text)
        if not ascii_name:
            raise self._refused("holds an address whose domain is not a name")
        return ascii_name

    def _scan(self, text: str) -> Iterator[_Token]:
        at, after_space = 0, False
        while at < len(text):
            if text[at] == "(":
                at, after_space = self._after_comment(text, at), True
            elif space := _SPACE.match(text, at):
                at, after_space = space.end(), True
            elif token := _TOKEN.match(text, at):
                yield _Token(token[0], after_space)
                at, after_space = token.end(), False
            else:
                raise self._refused(f"holds a stray {text[at]!r}")

    def _after_comment(self, text: str, start: int) -> int:
        depth, at = 0, start
        while at < len(text):
            match text[at]:
                case "(":
                    depth += 1
                case ")":
                    depth -= 1
                case "\\":
                    at += 1
                case _:
                    pass
            at += 1
            if depth == 0:
                return at
            if depth > _DEEPEST_COMMENT:
                break
        raise self._refused("holds a comment that does not end")

    def _take(self) -> _Token:
        token, self._next = self._next, next(self._tokens, _END)
        return token

    def _expect(self, special: str) -> _Token:
        if self._next.text != special:
            raise self._refused(f"lacks a {special!r} where one must stand")
        return self._take()

    def _refused(self, why: str) -> Refused:
        return Refused(self._field, why)


def _to_ascii(name: str) -> str:
    """Return the ASCII form of an international name; empty where there is none."""
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except UnicodeError:
        return ""
