"""What goes out is exactly what was handed over, completed; or it is refused by name."""

import hashlib
import re
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from syncd.errors import Refused
from syncd.model.mail import CHUNK_OCTETS
from syncd.outgoing.compose import Composed, SenderRules, compose, from_address
from syncd.protocols.dot_stuffing import with_crlf

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RULES = SenderRules(
    address="ann@example.com",
    send_as=("sales@example.com", "ann@münchen.example"),
    max_octets=100_000,
)
LARGE = SenderRules(address="ann@example.com", max_octets=100_000_000)
HEAD = b"From: Ann <ann@example.com>\r\nTo: bob@example.org\r\n"


def composed(
    raw: bytes, *, sender: str | None = None, recipients: list[str] | None = None
) -> Composed:
    return compose(raw, RULES, now=NOON, token="token", sender=sender, recipients=recipients)


def refused(
    raw: bytes, *, sender: str | None = None, recipients: list[str] | None = None
) -> str:
    with pytest.raises(Refused) as caught:
        composed(raw, sender=sender, recipients=recipients)
    return caught.value.field


def test_a_message_is_completed_and_not_changed() -> None:
    message = composed(HEAD + b"Subject: hello\r\n\r\nHello\r\n")
    assert message.raw == (
        HEAD + b"Subject: hello\r\n"
        b"Message-ID: <token@example.com>\r\n"
        b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
        b"\r\nHello\r\n"
    )
    assert message.sender == "ann@example.com"
    assert message.recipients == ("bob@example.org",)
    assert message.message_id == "<token@example.com>"
    assert message.subject == "hello"
    assert (message.eight_bit, message.utf8) == (False, False)


def test_what_is_there_stays_octet_for_octet() -> None:
    raw = HEAD + (
        b"Message-ID: <mine@example.com>\r\nDATE: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
        b"X-Folded: one\r\n\ttwo \r\n three\r\nDKIM-Signature: v=1\r\n\r\n.\r\n..\r\n8 bit: \xe4\r\n"
    )
    message = composed(raw)
    assert message.raw == raw
    assert message.message_id == "<mine@example.com>"
    assert message.eight_bit


def test_unix_lines_become_crlf_and_the_last_line_is_ended() -> None:
    unix = composed(
        b"From: ann@example.com\nTo: bob@example.org\nDate: x\nMessage-ID: <a>\n\none\ntwo"
    )
    assert unix.raw == (
        b"From: ann@example.com\r\nTo: bob@example.org\r\nDate: x\r\nMessage-ID: <a>\r\n\r\none\r\ntwo\r\n"
    )


def test_a_bare_cr_or_lf_in_the_body_can_hide_no_end_of_message() -> None:
    message = composed(HEAD + b"\r\none\n.\ntwo\r.\rthree\r\r\nfour")
    body = message.raw.partition(b"\r\n\r\n")[2]
    assert body == b"one\r\n.\r\ntwo\r\n.\r\nthree\r\n\r\nfour\r\n"


def test_a_message_may_be_all_header() -> None:
    for raw in (HEAD, HEAD + b"\r\n", HEAD.removesuffix(b"\r\n")):
        assert composed(raw).raw.endswith(b"+0000\r\n\r\n")
    assert composed(b"From: ann@example.com", recipients=["bob@example.org"]).raw.endswith(
        b"\r\n\r\n"
    )


# -- the envelope -------------------------------------------------------------------------


def test_blind_copies_stand_in_the_envelope_only() -> None:
    raw = (
        HEAD
        + b"Cc: cy@example.org,\r\n Bob@Example.org\r\nBCC: dee@example.org,\r\n eve@example.org\r\nResent-Bcc: fay@example.org\r\nReturn-Path: <x>\r\nBcc-Not: stays\r\n\r\nbcc: body\r\n"
    )
    message = composed(raw)
    assert message.recipients == (
        "bob@example.org", "cy@example.org", "dee@example.org", "eve@example.org",
    )  # fmt: skip
    for gone in (b"dee@", b"eve@", b"fay@", b"Return-Path"):
        assert gone not in message.raw
    assert b"Bcc-Not: stays" in message.raw
    assert message.raw.endswith(b"\r\n\r\nbcc: body\r\n")


def test_a_given_envelope_rules() -> None:
    message = composed(
        HEAD, sender="sales@example.com", recipients=["x@example.net", "X@example.net"]
    )
    assert message.sender == "sales@example.com"
    assert message.recipients == ("x@example.net",)


@pytest.mark.parametrize(
    ("headers", "sender"),
    [
        (b"From: sales@example.com\r\n", "sales@example.com"),
        (b"From: ANN@Example.com\r\n", "ANN@Example.com"),
        (b"From: ann@example.com, sales@example.com\r\nSender: sales@example.com\r\n", "sales@example.com"),
        ("From: ann@münchen.example\r\n".encode(), "ann@xn--mnchen-3ya.example"),
    ],
)  # fmt: skip
def test_the_sender_is_the_mailbox_or_one_it_may_send_as(headers: bytes, sender: str) -> None:
    message = composed(headers, recipients=["bob@example.org"])
    assert message.sender == sender
    assert from_address(headers).lower() in {"ann@example.com", sender.lower()}


@pytest.mark.parametrize(
    ("headers", "sender", "field"),
    [
        (b"From: eve@example.com\r\n", None, "From"),
        (b"From: ann@example.com, eve@example.com\r\n", None, "From"),
        (b"From: ann@example.com\r\nSender: eve@example.com\r\n", None, "Sender"),
        (b"From: ann@example.com\r\nSender: nobody\r\n", None, "Sender"),
        (b"From: ann@example.com\r\n", "eve@example.com", "sender"),
        (b"From: ann@example.com\r\n", "<ann@example.com>", "sender"),
        (b"From:\r\n", None, "From"),
        (b"To: bob@example.org\r\n", None, "From"),
        (b"From: Ann\r\n", None, "From"),
    ],
)
def test_nobody_sends_in_another_name(headers: bytes, sender: str | None, field: str) -> None:
    assert refused(headers, sender=sender, recipients=["bob@example.org"]) == field


def test_without_recipients_or_with_too_many_it_is_refused() -> None:
    assert refused(b"From: ann@example.com\r\n") == "recipients"
    assert refused(HEAD, recipients=[]) == "recipients"
    assert refused(HEAD, recipients=[f"{n}@example.org" for n in range(1001)]) == "recipients"
    assert (
        len(composed(HEAD, recipients=[f"{n}@example.org" for n in range(1000)]).recipients)
        == 1000
    )


def test_a_message_above_the_limit_is_refused() -> None:
    assert refused(HEAD + b"\r\n" + b"x" * 100_000) == "message"


# -- injections (faults 62) -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (HEAD + b"Subject: x\nBcc: eve@example.org\r\n\r\n", "Subject"),
        (HEAD + b"Subject: x\rBcc: eve@example.org\r\n\r\n", "Subject"),
        (HEAD + b"Subject: x\x00\r\n\r\n", "Subject"),
        (HEAD + b"Subject: x\x1b[2J\r\n\r\n", "Subject"),
        (HEAD + b"Subject: x\x7f\r\n\r\n", "Subject"),
        (b"From: ann@example.com\nTo: bob@example.org\nSubject: x\r\n\n", "Subject"),
        (HEAD + b"Subject: one\r\nsubject: two\r\n\r\n", "Subject"),
        (HEAD + b"From: ann@example.com\r\n\r\n", "From"),
        (HEAD + b"Message-ID: <a>\r\nMessage-Id: <b>\r\n\r\n", "Message-ID"),
        (HEAD + b"Message-ID: a\r\n\r\n", "Message-ID"),
        (HEAD + b"Message-ID: <a> <b>\r\n\r\n", "Message-ID"),
        (HEAD + b"Message-ID:\r\n\r\n", "Message-ID"),
        (HEAD + b"no colon here\r\n\r\n", "line 3"),
        (HEAD + b"Two Words: x\r\n\r\n", "line 3"),
        (HEAD + b"Subject : x\r\n\r\n", "line 3"),
        (HEAD + b": x\r\n\r\n", "line 3"),
        (HEAD + b"S\xc3\xbcbject: x\r\n\r\n", "line 3"),
        (b" folded: at once\r\n" + HEAD, "line 1"),
        (b"\r\n" + HEAD, "line 1"),
        (b"", "line 1"),
        (b"From ann@example.com Mon Nov 23\r\n" + HEAD, "line 1"),
        (HEAD + b"Subject: x\r\n \r\n y\r\n\r\n", "Subject"),
        (HEAD + b"Subject: " + b"x" * 990 + b"\r\n\r\n", "Subject"),
        (HEAD + b"Subject: \xe4\r\n\r\n", "Subject"),
        (b"From: ann@example.com\r\nTo: bob@example.org>\r\n\r\n", "To"),
        (b"From: ann@example.com\r\nCc: bob\r\n\r\n", "Cc"),
        (b"From: ann@example.com\r\nBcc: bob@\r\n\r\n", "Bcc"),
        (HEAD + b"\r\nbody\x00\r\n", "body"),
    ],
)
def test_what_could_be_read_differently_is_refused_by_name(raw: bytes, field: str) -> None:
    assert refused(raw) == field


@pytest.mark.parametrize(
    "address", ["a@b\r\nRCPT TO:<eve@c>", "a@b\x00", "a@b>", "a b@c", "a\n@b"]
)
def test_a_recipient_that_would_say_more_than_itself_is_refused(address: str) -> None:
    assert refused(HEAD, recipients=[address]) == "recipients"
    assert refused(HEAD, sender=address) == "sender"


TRICKY = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\x00", b"\x0b", b":", b" ", b"\t", b".", b"a", b"Bcc", b"Subject", b"\xc3\xa4", b"\xff", b"<e@x>", b","]),
    max_size=24,
).map(b"".join)  # fmt: skip


@given(TRICKY, TRICKY)
@example(b"Bcc: e@x", b"")
@example(b"Subject: a\r\n\tBcc: e@x", b"\n.\r\n")
def test_no_control_character_and_no_blind_copy_ever_leaves(header: bytes, body: bytes) -> None:
    """Every line of what goes out is a header line or the body's own; the body begins once."""
    raw = HEAD + header + b"\r\n\r\n" + body
    try:
        message = composed(raw)
    except Refused:
        return
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", message.raw)
    head, _, sent_body = message.raw.partition(b"\r\n\r\n")
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", head)
    lines = head.split(b"\r\n")
    assert all(re.match(rb"[!-9;-~]+:|[ \t]", line) for line in lines)
    assert not any(line.lower().startswith((b"bcc:", b"resent-bcc:")) for line in lines)
    assert b"\x00" not in sent_body
    assert message.raw.endswith(b"\r\n")
    again = composed(message.raw, recipients=list(message.recipients), sender=message.sender)
    assert again.raw == message.raw


# -- large messages ---------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r"])
@pytest.mark.parametrize("shift", [-2, -1, 0, 1])
def test_a_line_end_across_two_pieces_is_one_line_end(end: bytes, shift: int) -> None:
    body = b"a" * (CHUNK_OCTETS + shift) + end + b"b" * CHUNK_OCTETS
    large = compose(bytearray(HEAD + b"\r\n" + body), LARGE, now=NOON, token="token")
    assert large.raw.partition(b"\r\n\r\n")[2] == with_crlf(body) + b"\r\n"


def test_a_bare_return_that_is_a_piece_of_its_own_ends_the_last_line() -> None:
    body = b"a" * CHUNK_OCTETS + b"\r"
    message = compose(HEAD + b"\r\n" + body, LARGE, now=NOON, token="token")
    assert message.raw.partition(b"\r\n\r\n")[2] == body + b"\n"


@pytest.mark.parametrize("octets", [0, CHUNK_OCTETS - 200, CHUNK_OCTETS, 3 * CHUNK_OCTETS])
def test_pieces_are_as_large_as_the_store_wants_them_and_what_was_said_of_them(
    octets: int,
) -> None:
    message = compose(HEAD + b"\r\n" + b"\n" * octets, LARGE, now=NOON, token="token")
    *pieces, last = message.chunks()
    assert {len(piece) for piece in pieces} <= {CHUNK_OCTETS}
    assert 0 < len(last) <= CHUNK_OCTETS
    assert message.octets == len(message.raw)
    assert message.sha256 == hashlib.sha256(message.raw).digest()


def test_a_large_message_is_looked_through_without_a_copy_of_it() -> None:
    raw = bytearray(HEAD + b"\r\n" + b"one line\n" * 1_000_000)
    tracemalloc.start()
    try:
        message = compose(raw, LARGE, now=NOON, token="token")
        for _ in message.chunks():
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * CHUNK_OCTETS


def test_a_header_without_end_is_refused() -> None:
    endless = HEAD + b"X-Padding: y\r\n" * 100_000
    with pytest.raises(Refused, match="header of more than"):
        compose(endless, LARGE, now=NOON, token="token")


# -- the rest ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "readable"),
    [
        (b"=?utf-8?q?h=C3=A9llo?= =?utf-8?b?IHRoZXJl?=", "héllo there"),
        ("grüße".encode(), "grüße"),
        (b"=?no-such-charset?q?x?=", "=?no-such-charset?q?x?="),
        (b"=?utf-8?b?!?=", None),
        (b"=?utf-8?q?a=0D=0Ab=1B?=", "a b"),
        (b"=?utf-8?q?=FF?=", None),
        (b"x" * 900, "x" * 512),
        (b"", ""),
    ],
)
def test_subjects_are_made_readable_for_listings(value: bytes, readable: str | None) -> None:
    subject = composed(HEAD + b"Subject: " + value + b"\r\n\r\n").subject
    assert subject == readable or (readable is None and subject.isprintable())


def test_headers_beyond_ascii_need_smtputf8_and_bodies_8bitmime() -> None:
    assert composed(HEAD + "Subject: grüße\r\n\r\nhello".encode()).utf8
    body_only = composed(HEAD + "\r\ngrüße".encode())
    assert (body_only.eight_bit, body_only.utf8) == (True, False)
    hidden = composed(HEAD + "Bcc: Jürgen <j@example.org>\r\n\r\n".encode())
    assert not hidden.utf8


def test_the_digest_is_of_what_was_handed_over() -> None:
    first = composed(HEAD)
    later = compose(HEAD, RULES, now=datetime(2027, 1, 1, tzinfo=UTC), token="other")
    assert first.request_digest == later.request_digest
    assert first.raw != later.raw
    others = [
        composed(HEAD + b"\r\n"),
        composed(HEAD, sender="ann@example.com"),
        composed(HEAD, recipients=["bob@example.org"]),
        composed(HEAD, recipients=["bob@example.org", "cy@example.org"]),
    ]
    assert len({first.request_digest, *(other.request_digest for other in others)}) == 5


@given(st.text(max_size=20))
def test_any_subject_is_either_kept_or_refused(text: str) -> None:
    assume(text.strip() == text and text)
    line = b"Subject: " + text.encode("utf-8", "surrogatepass")
    try:
        message = composed(HEAD + line + b"\r\n\r\n")
    except Refused as error:
        refusal = error
    else:
        assert line in message.raw
        return
    assert re.fullmatch(r"Subject|line \d", refusal.field)


def test_the_from_address_of_a_message_that_has_none_is_refused() -> None:
    with pytest.raises(Refused, match="From"):
        from_address(b"To: bob@example.org\r\n\r\n")
