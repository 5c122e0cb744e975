"""SMTP replies and capabilities, as servers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.protocols.smtp_replies import (
    Capabilities,
    SmtpReply,
    read_capabilities,
    read_reply,
    split_reply,
)


@pytest.mark.parametrize(
    ("code", "text", "reply"),
    [
        (250, "2.1.0 Ok", SmtpReply(250, "2.1.0", "Ok")),
        (550, "5.7.139 no", SmtpReply(550, "5.7.139", "no")),
        (550, "no such user", SmtpReply(550, None, "no such user")),
        (550, "5.1.1", SmtpReply(550, "5.1.1", "")),
        (550, "5.1.1no", SmtpReply(550, None, "5.1.1no")),
        (550, "1.2.3 no", SmtpReply(550, None, "1.2.3 no")),
        (554, "4.4.6 later", SmtpReply(554, "4.4.6", "later")),
        (
            550,
            "5.1.1 The account\n5.1.1 \n5.1.1 is not here",
            SmtpReply(550, "5.1.1", "The account is not here"),
        ),
        (250, "one\ntwo", SmtpReply(250, None, "one two")),
    ],
)
def test_the_enhanced_code_is_told_from_the_words(
    code: int, text: str, reply: SmtpReply
) -> None:
    assert read_reply(code, text) == reply


def test_a_reply_is_written_as_the_server_wrote_it() -> None:
    assert str(SmtpReply(550, "5.1.1", "no")) == "550 5.1.1 no"
    assert str(SmtpReply(250, None, "")) == "250"
    assert str(SmtpReply(552, None, "too large", is_ours=True)) == "too large"


@pytest.mark.parametrize(
    ("code", "positive"), [(199, False), (200, True), (299, True), (354, False)]
)
def test_2yz_is_positive(code: int, positive: bool) -> None:
    assert SmtpReply(code, None, "").is_positive is positive


@pytest.mark.parametrize(
    ("data", "reply", "rest"),
    [
        (b"250 Ok\r\n", SmtpReply(250, None, "Ok"), b""),
        (b"250\r\n", SmtpReply(250, None, ""), b""),
        (b"250 Ok\n", SmtpReply(250, None, "Ok"), b""),
        (b"250-one\r\n250 two\r\nrest", SmtpReply(250, None, "one two"), b"rest"),
        (b"250-one\r\n550 5.1.1 two\r\n", SmtpReply(550, None, "one 5.1.1 two"), b""),
        (b"250 \xff\xc3\xa4\r\n", SmtpReply(250, None, "\ufffdä"), b""),
    ],
)
def test_one_reply_is_cut_off(data: bytes, reply: SmtpReply, rest: bytes) -> None:
    assert split_reply(data) == (reply, rest)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"250 Ok",
        b"250-one\r\n",
        b"250-one\r\nhello\r\n250 two\r\n",
        b"junk\r\n250 Ok\r\n",
        b"99 x\r\n",
        b"2500 x\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
    ],
)
def test_what_is_no_whole_reply_is_none(data: bytes) -> None:
    assert split_reply(data) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(data: bytes) -> None:
    """Whatever comes, it is a reply and a rest that add up to it, or nothing."""
    found = split_reply(data)
    if found is not None:
        reply, rest = found
        assert data.endswith(rest)
        assert 200 <= reply.code < 600


def test_capabilities_are_read_whatever_their_case_and_order() -> None:
    text = "mail.example.org greets ann\nsize 35882577\n8BITMIME\nStartTLS\nAUTH login plain\nSMTPUTF8\n\nPIPELINING"
    assert read_capabilities(text) == Capabilities(
        starttls=True,
        eight_bit_mime=True,
        smtputf8=True,
        size_limit=35882577,
        offers_size=True,
        mechanisms=frozenset({"LOGIN", "PLAIN"}),
    )


def test_the_greeting_line_offers_nothing() -> None:
    assert read_capabilities("STARTTLS") == Capabilities()


def test_the_old_way_to_write_auth_is_understood() -> None:
    mechanisms = read_capabilities("x\nAUTH=LOGIN\nAUTH PLAIN LOGIN").mechanisms
    assert mechanisms == frozenset({"LOGIN", "PLAIN"})


@pytest.mark.parametrize(
    "size", ["SIZE", "SIZE 0", "SIZE many", "SIZE -1", "SIZE ٣", f"SIZE {10**30}"]
)
def test_a_size_that_limits_nothing_is_no_limit(size: str) -> None:
    capabilities = read_capabilities(f"x\n{size}")
    assert capabilities.offers_size
    assert capabilities.size_limit is None
