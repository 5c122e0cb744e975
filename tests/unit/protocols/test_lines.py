"""Blocks of lines: wherever the stream is cut, the bytes are the server's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.protocols.lines import (
    BARE_LF,
    CRLF,
    STATUS_OCTETS,
    Block,
    LineEnds,
    LineTooLong,
    find_line_end,
    undone,
)

# Bytes in which everything that means something to a block is frequent.
TRICKY = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"x", b"\0", b"\xff"]), max_size=30
).map(b"".join)


def on_the_wire(message: bytes, eol: bytes = b"\r\n") -> bytes:
    """Say what a server sends after the words of its status line."""
    stuffed = message.replace(eol + b".", eol + b"..")
    stuffed = b"." + stuffed if stuffed.startswith(b".") else stuffed
    return eol + stuffed + b"." + eol


def read(ends: LineEnds, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """Feed pieces; return the block and what came behind it."""
    block = Block(ends)
    for number, piece in enumerate(pieces):
        end = block.feed(piece)
        if end >= 0:
            octets = block.octets
            taken = block.take()
            assert octets == len(taken)
            assert (block.held, block.take()) == (0, b"")
            return taken, piece[end:] + b"".join(pieces[number + 1 :])
    pytest.fail("no end was found")


def in_octets(data: bytes) -> list[bytes]:
    return [bytes([octet]) for octet in data]


@given(TRICKY)
def test_a_message_comes_out_as_it_was_put_in(text: bytes) -> None:
    message = text + b"\r\n"
    wire = on_the_wire(message)
    assert read(CRLF, [wire + b"+OK"]) == (message, b"+OK")
    assert read(CRLF, in_octets(wire + b"+OK")) == (message, b"+OK")


@given(TRICKY, st.data())
def test_a_cut_anywhere_changes_nothing(text: bytes, data: st.DataObject) -> None:
    wire = on_the_wire(text + b"\r\n") + b"behind"
    first = data.draw(st.integers(0, len(wire)))
    second = data.draw(st.integers(first, len(wire)))
    pieces = [wire[:first], wire[first:second], wire[second:]]
    assert read(CRLF, pieces) == (text + b"\r\n", b"behind")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n",
        b".\r\n",
        b"..\r\n",
        b".\r\n.\r\n.\r\n",
        b"bare\nfeed\n.\nand\r.\rreturn\r\n",
        b"\n.\r\n",
        b"a\r\r\n.b\r\n",
        b"nul\0\r\n\0.\r\n",
    ],
)
def test_each_split_of_each_edge_gives_the_same_bytes(message: bytes) -> None:
    wire = on_the_wire(message)
    for first in range(len(wire) + 1):
        for second in range(first, len(wire) + 1):
            pieces = [wire[:first], wire[first:second], wire[second:]]
            assert read(CRLF, pieces) == (message, b"")


@given(TRICKY)
def test_a_server_that_ends_its_lines_with_bare_lf_is_understood(text: bytes) -> None:
    message = text.replace(b"\r", b"") + b"\n"
    wire = on_the_wire(message, b"\n")
    assert read(BARE_LF, [wire + b"+"]) == (message, b"+")
    assert read(BARE_LF, in_octets(wire + b"+")) == (message, b"+")


@pytest.mark.parametrize("wire", [b"\nbody\n.\r\n", b"\nbody\n.\n"])
def test_a_sloppy_server_may_end_a_block_with_either_line_end(wire: bytes) -> None:
    assert read(BARE_LF, [wire + b"\n.\n"]) == (b"body\n", b"\n.\n")
    assert read(BARE_LF, in_octets(wire)) == (b"body\n", b"")


def test_the_earliest_end_counts() -> None:
    assert read(BARE_LF, [b"\na\n.\r\nb\n.\n"]) == (b"a\n", b"b\n.\n")
    assert read(BARE_LF, [b"\na\n.\nb\n.\r\n"]) == (b"a\n", b"b\n.\r\n")


def test_a_bare_lf_ends_no_block_of_a_proper_server() -> None:
    """Else whoever sends a mail could end it early and write the next reply himself."""
    block = Block(CRLF)
    assert block.feed(b"\r\nsmuggled\n.\n+OK\r\n") == -1
    assert block.feed(b"smuggled\n.\r\n+OK") == -1


def test_a_block_can_be_fed_from_the_middle_of_the_data() -> None:
    wire = b"+OK\r\nline\r\n.\r\n+OK"
    block = Block(CRLF)
    assert block.feed(wire, 3) == len(wire) - 3
    assert block.take() == b"line\r\n"


def test_what_was_taken_is_not_kept() -> None:
    block = Block(CRLF)
    assert block.feed(b"\r\none\r\ntwo") == -1
    assert (block.octets, block.held) == (8, 8)
    assert block.take() == b"one\r\ntwo"
    assert (block.octets, block.held) == (8, 0)
    assert block.feed(b"\r\n.\r\n") == 5
    assert block.take() == b"\r\n"


def test_only_as_much_is_taken_as_is_wanted() -> None:
    block = Block(CRLF)
    block.feed(b"\r\n0123456789")
    assert (block.take(4), block.held) == (b"0123", 6)
    block.feed(b"ab")
    assert (block.take(7), block.take(7), block.held) == (b"456789a", b"b", 0)


def test_a_line_end_is_found() -> None:
    assert find_line_end(b"+OK\r\n+OK\r\n", 0) == 4
    assert find_line_end(b"+OK\r\n+OK\r\n", 5) == 9
    assert find_line_end(b"+OK\r\n+OK", 5) == -1


def test_a_line_without_end_is_cut_at_the_limit() -> None:
    assert find_line_end(b"x" * (STATUS_OCTETS - 1) + b"\n", 0) == STATUS_OCTETS - 1
    assert find_line_end(b"x" * (STATUS_OCTETS - 1), 0) == -1
    with pytest.raises(LineTooLong):
        find_line_end(b"x" * STATUS_OCTETS + b"\n", 0)


def test_a_piece_without_dots_is_not_copied() -> None:
    piece = b"no dots\r\nat line starts.\r\n"
    assert undone(piece) is piece
    assert undone(b"a\r\n..b\r\n...") == b"a\r\n.b\r\n.."
