"""Messages on their way through DATA, cut anywhere."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.protocols.dot_stuffing import DotStuffer, with_crlf

TRICKY = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"\x00", b"\xff"]))


def stuffed(*pieces: bytes) -> bytes:
    stuffer = DotStuffer()
    return b"".join([*(stuffer.feed(piece) for piece in pieces), stuffer.finish()])


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"", b""),
        (b"a", b"a\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b".", b"..\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n"),
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n"),
        (b"a\r.\rb", b"a\r\n..\r\nb\r\n"),
        (b"a\r\r\n.b", b"a\r\n\r\n..b\r\n"),
        (b"a\n\r.b\r", b"a\r\n\r\n..b\r\n"),
        (b"a.b\r\n...", b"a.b\r\n....\r\n"),
    ],
)
def test_dots_are_doubled_and_line_ends_made_whole(message: bytes, wire: bytes) -> None:
    assert stuffed(message) == wire
    assert all(stuffed(message[:n], message[n:]) == wire for n in range(len(message) + 1))
    assert stuffed(*(bytes([octet]) for octet in message)) == wire


@given(TRICKY, st.data())
def test_cuts_change_nothing_and_no_end_of_message_hides_inside(
    parts: list[bytes], data: st.DataObject
) -> None:
    """The wire is the same however it was cut; every line that begins with a dot has two."""
    message = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=6)))
    pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    wire = stuffed(*pieces)
    assert wire == stuffed(message)
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", wire)
    assert not re.search(rb"(?:\A|\r\n)\.(?!\.)", wire)
    assert (not wire and not message) or wire.endswith(b"\r\n")
    expected = with_crlf(message)
    unstuffed = re.sub(rb"(\A|\r\n)\.", rb"\1", wire)
    assert unstuffed in {expected, expected + b"\r\n"}


@given(TRICKY)
def test_line_ends_are_made_whole_once(parts: list[bytes]) -> None:
    once = with_crlf(b"".join(parts))
    assert with_crlf(once) == once
