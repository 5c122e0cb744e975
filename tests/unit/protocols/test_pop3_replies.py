"""Replies, read without trust."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.model.mail import Listed
from syncd.protocols.pop3_replies import (
    LONGEST_UID,
    MOST_OCTETS,
    Capabilities,
    Indicator,
    Status,
    as_text,
    find_timestamp,
    pair,
    read_capabilities,
    read_size,
    read_sizes,
    read_stat,
    read_status,
    read_uid,
    read_uids,
)

LINES = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"1 a", b"2 20", b"-1 x", b"0 x", b"9" * 30 + b" 1", b" 3\t4 ", b"5"]),
    )
).map(b"\r\n".join)


@given(LINES)
def test_no_answer_makes_a_reader_raise(block: bytes) -> None:
    listed = pair(read_uids(block), read_sizes(block))
    assert all(m.number > 0 and 0 <= m.octets <= MOST_OCTETS for m in listed)
    assert all(len(m.uid) <= LONGEST_UID for m in listed)
    assert [m.number for m in listed] == sorted({m.number for m in listed})
    read_capabilities(block)
    as_text(block)
    for line in block.split(b"\r\n"):
        read_stat(line)
        read_uid(line)
        read_size(line)
        find_timestamp(line)
        status = read_status(line)
        assert status is None or status.code is None or status.code


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"+OK", Status(Indicator.OK, b"")),
        (b"+OK 2 320", Status(Indicator.OK, b"2 320")),
        (b"+ok fine", Status(Indicator.OK, b"fine")),
        (b"-ERR no", Status(Indicator.ERR, b"no")),
        (b"+ PDE4", Status(Indicator.CHALLENGE, b"PDE4")),
        (b"+", Status(Indicator.CHALLENGE, b"")),
        (b"+OKAY", None),
        (b"", None),
        (b"* OK IMAP", None),
    ],
)
def test_a_status_line_is_one_of_three(line: bytes, status: Status | None) -> None:
    assert read_status(line) == status


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (b"[IN-USE] Do you have another POP session running?", "IN-USE"),
        (b"[sys/temp] later", "SYS/TEMP"),
        (b"  [AUTH]", "AUTH"),
        (b"[LOGIN-DELAY]too soon", "LOGIN-DELAY"),
        (b"no [AUTH] at the front", None),
        (b"[]", None),
        (b"[no end", None),
        (b"[two words]", None),
        (b"[" + b"x" * 65 + b"]", None),
    ],
)
def test_a_response_code_stands_in_front(words: bytes, code: str | None) -> None:
    assert Status(Indicator.ERR, words).code == code


def test_words_are_read_in_whatever_they_were_written_in() -> None:
    assert as_text(" é ".encode()) == "é"
    assert as_text(" é ".encode("latin-1")) == "é"


@pytest.mark.parametrize(
    ("greeting", "timestamp"),
    [
        (b"POP3 server ready <1896.697170952@dbc.mtview.ca.us>", "<1896.697170952@dbc.mtview.ca.us>"),
        (b"ready <not a timestamp> <1@here> bye", "<1@here>"),
        (b"ready <1896.697170952>", None),
        (b"ready", None),
        (b"<" * 2000 + b"@" * 2000, None),
    ],
)  # fmt: skip
def test_apops_timestamp_is_a_message_id(greeting: bytes, timestamp: str | None) -> None:
    assert find_timestamp(greeting) == timestamp


def test_capabilities_are_read_without_case() -> None:
    read = read_capabilities(b"TOP\r\nuidl\r\n\r\nSASL plain CRAM-MD5\r\nSASL GSSAPI\r\n")
    assert "UIDL" in read
    assert "PIPELINING" not in read
    assert read.mechanisms == {"PLAIN", "CRAM-MD5"}
    assert Capabilities({}).mechanisms == frozenset()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (b"2 320", (2, 320)),
        (b" 2  320 octets", (2, 320)),
        (b"0 0", (0, 0)),
        (b"3", (3, 0)),
        (b"3 many", (3, 0)),
        (b"3 -1", (3, 0)),
        (b"3 " + b"9" * 5000, (3, MOST_OCTETS)),
        (b"3 9223372036854775808", (3, MOST_OCTETS)),
        (b"-3 5", None),
        (b"", None),
        (b"some mail", None),
    ],
)
def test_stat_without_a_count_is_no_answer(words: bytes, found: tuple[int, int] | None) -> None:
    assert read_stat(words) == found


def test_a_uidl_is_whatever_stands_behind_the_number() -> None:
    assert read_uid(b"1 QhdPYR:00WBw1Ph7x7") == (1, "QhdPYR:00WBw1Ph7x7")
    assert read_uid(b"1 with space\xff ") == (1, "with space\xff")
    assert read_uid(b"1") == (1, "")
    assert read_uid(b"one x") is None


def test_a_uidl_beyond_belief_is_none() -> None:
    assert read_uid(b"1 " + b"u" * LONGEST_UID) == (1, "u" * LONGEST_UID)
    assert read_uid(b"1 " + b"u" * (LONGEST_UID + 1)) == (1, "")


def test_a_number_with_two_uidls_has_none() -> None:
    assert read_uids(b"1 a\r\n1 b\r\n2 c\r\n2 c\r\n") == {1: "", 2: "c"}


def test_two_numbers_may_have_the_same_uidl() -> None:
    """RFC 1939, 7: two identical copies may."""
    assert read_uids(b"1 a\r\n2 a\r\n") == {1: "a", 2: "a"}


def test_numbers_that_cannot_be_are_passed_over() -> None:
    block = b"0 x\r\n-1 x\r\n12345678901 x\r\nx y\r\n1x y\r\n7 z\r\n"
    assert read_uids(block) == {7: "z"}
    assert read_sizes(block) == {7: 0}


def test_sizes_are_hints() -> None:
    assert read_sizes(b"1 120\r\n2 -1\r\n3\r\n4 99999999999999999999\r\n5 5 octets") == {
        1: 120,
        2: 0,
        3: 0,
        4: MOST_OCTETS,
        5: 5,
    }
    assert read_size(b"1 120") == (1, 120)
    assert read_size(b"") is None


def test_only_what_both_listings_name_is_listed() -> None:
    """Faults 53: one message came in between, another went."""
    listed = pair({1: "one", 2: "two"}, {2: 200, 3: 300})
    assert listed == [Listed(2, "two", 200)]


def test_a_message_without_uidl_is_not_passed_over_for_ever() -> None:
    assert pair({1: "one", 3: "three"}, {1: 1, 2: 2, 3: 3}) == [
        Listed(1, "one", 1),
        Listed(2, "", 2),
        Listed(3, "three", 3),
    ]


def test_an_empty_maildrop_has_no_messages() -> None:
    assert pair({}, {}) == []
    assert pair({}, {1: 1}) == []
