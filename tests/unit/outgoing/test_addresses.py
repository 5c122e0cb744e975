"""Addresses: what is read, what is refused, what never comes out."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.errors import Refused
from syncd.outgoing.addresses import parse_address, parse_address_list


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ann@example.com", "ann@example.com"),
        (" ann@example.com\t", "ann@example.com"),
        ("Ann.O'Hara+x@Example.COM", "Ann.O'Hara+x@Example.COM"),
        ('"ann lee"@example.com', '"ann lee"@example.com'),
        (r'"a\"b"@example.com', r'"a\"b"@example.com'),
        ("änn@example.com", "änn@example.com"),
        ("ann@münchen.example", "ann@xn--mnchen-3ya.example"),
        ("ann@MÜNCHEN.example", "ann@xn--mnchen-3ya.example"),
        ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
        ("ann@[IPv6:2001:db8::1]", "ann@[IPv6:2001:db8::1]"),
        ("ann@localhost", "ann@localhost"),
        ("ann.@docomo.example", "ann.@docomo.example"),
        ("ann(the boss)@example.com", None),
        ("ann@example.com (the boss)", "ann@example.com"),
        ("", None),
        ("ann", None),
        ("@example.com", None),
        ("ann@", None),
        ("ann@@example.com", None),
        ("<ann@example.com>", None),
        ("ann@example.com bob@example.com", None),
        ("ann@example.com,bob@example.com", None),
        ("ann @example.com", None),
        ("ann@ example.com", None),
        ("ann lee@example.com", None),
        ("ann@example..com", None),
        ("ann@-example.com", None),
        ("ann@example.com.", None),
        ("ann@exam_ple.com", "ann@exam_ple.com"),
        ("ann@" + "x" * 64 + ".com", None),
        ("ann@ex ample.com", None),
        ("ann@[not an address]", None),
        ("ann@[1.2.3]", None),
        ("[x]@example.com", None),
        ("ann@ü..example", None),
        ("a" * 65 + "@example.com", None),
        ("a" * 60 + "@" + "b." * 100 + "com", None),
        ('"ann@example.com', None),
        ("ann\\@example.com", None),
        ("ann@example.com\r\nRCPT TO:<eve@example.com>", None),
        ("ann\x00@example.com", None),
        ("ann\x7f@example.com", None),
        ("ann\x85@example.com", None),
        ("ann\u2028@example.com", None),
        ("ann@example.com(", None),
        ("@a.example:ann@example.com", None),
    ],
)  # fmt: skip
def test_one_address_is_read_strictly(text: str, address: str | None) -> None:
    if address is not None:
        assert parse_address(text, "To") == address
    else:
        with pytest.raises(Refused) as caught:
            parse_address(text, "To")
        assert caught.value.field == "To"


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", []),
        ("ann@a.example, bob@b.example", ["ann@a.example", "bob@b.example"]),
        ("Ann <ann@a.example>,,<bob@b.example>,", ["ann@a.example", "bob@b.example"]),
        ('"Lee, Ann" <ann@a.example>', ["ann@a.example"]),
        ("John Q. Public <john@a.example>", ["john@a.example"]),
        ("=?utf-8?q?J=C3=BCrgen?= <j@a.example>", ["j@a.example"]),
        ("Jürgen <j@a.example>", ["j@a.example"]),
        ("[List] x <l@a.example>", ["l@a.example"]),
        ("friends: ann@a.example, Bob <bob@b.example>;, eve@e.example", ["ann@a.example", "bob@b.example", "eve@e.example"]),
        ("undisclosed-recipients:;", []),
        (r"ann@a.example (she (is) the \) boss)", ["ann@a.example"]),
        (r"(\() ann@a.example", ["ann@a.example"]),
        ("ann@a.example bob@b.example", None),
        ("Ann", None),
        ("Ann Lee", None),
        ("<ann@a.example", None),
        ("<>", None),
        ("Ann <ann@a.example> x", None),
        ("friends: ann@a.example", None),
        ("friends: more: ann@a.example;;", None),
        (": ann@a.example;", None),
        ("ann@a.example;", None),
        ("ann@a.example>", None),
        ("((((((((((((((((((((( deep", None),
        ("(" * 30 + ")" * 30 + "ann@a.example", None),
    ],
)  # fmt: skip
def test_a_list_is_read_strictly(text: str, addresses: list[str] | None) -> None:
    if addresses is not None:
        assert parse_address_list(text, "Cc") == addresses
    else:
        with pytest.raises(Refused, match="Cc"):
            parse_address_list(text, "Cc")


ANYTHING = st.text(
    st.one_of(st.sampled_from('<>:;@,"()[]\\ \t\r\n\x00.ab'), st.characters()), max_size=60
)


@given(ANYTHING)
def test_whatever_is_written_an_address_that_comes_out_is_one_word_on_the_wire(
    text: str,
) -> None:
    """Nothing that is returned can end the path it is put in, or begin another command."""
    try:
        addresses = parse_address_list(text, "To")
    except Refused:
        return
    for address in addresses:
        assert not re.search("[\x00-\x1f\x7f-\x9f]", address)
        local, _, domain = address.rpartition("@")
        assert re.fullmatch(r"[A-Za-z0-9._-]+|\[[A-Za-z0-9:.]+\]", domain)
        assert re.fullmatch(r'"(?:[^"\\]|\\.)*"|[^<>\s",;:@()\[\]\\]+', local)
        assert parse_address(address, "To") == address


@given(ANYTHING)
def test_one_address_is_read_alike_alone_and_in_a_list(text: str) -> None:
    try:
        alone = parse_address(text, "To")
    except Refused:
        return
    assert parse_address_list(text, "To") == [alone]
