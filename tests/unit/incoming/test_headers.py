"""Headers are read totally: any bytes give values, hostile ones in bounded time."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.incoming.headers import (
    HEAD_OCTETS,
    head_of,
    header_digest,
    parse_date,
    parse_headers,
    shows_body,
)

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus"

MESSAGE = b"""\
Received: from b.example by c.example; Mon, 23 Nov 2026 15:42:07 +0100
Received: from a.example by b.example; Mon, 23 Nov 2026 14:42:05 +0000
Delivered-To: bob@example.com
X-Original-To: info@example.com
From: =?utf-8?q?Ann_Gr=C3=BCn?= <ann@contoso.com>
To: Bob <bob@example.com>, "Doe, Carl" <carl@example.com>
Cc: dora@example.com (Dora, (the first)), =?utf-8?b?w4RkYSwgRS4=?= <ada@example.com>
Date: Mon, 23 Nov 2026 15:42:00 +0100
Subject: Invoice
\tof November
Message-ID: <1@contoso.com>
In-Reply-To: <0@example.com>
References: <z@example.com> <0@example.com>
Auto-Submitted: Auto-Replied; owner-email=x
X-Syncd-Loop: bob@example.com

Subject: not a header
""".replace(b"\n", b"\r\n")


def test_an_ordinary_message_is_read_whole() -> None:
    headers = parse_headers(MESSAGE)
    assert headers.message_id == "<1@contoso.com>"
    assert headers.in_reply_to == "<0@example.com>"
    assert headers.references == ("<z@example.com>", "<0@example.com>")
    assert headers.subject == "Invoice of November"
    assert headers.sender == "Ann Grün <ann@contoso.com>"
    assert headers.to == ("Bob <bob@example.com>", '"Doe, Carl" <carl@example.com>')
    assert headers.cc == ("dora@example.com (Dora, (the first))", "Äda, E. <ada@example.com>")
    assert headers.date == datetime(2026, 11, 23, 14, 42, 0, tzinfo=UTC)
    assert headers.received_at == datetime(2026, 11, 23, 14, 42, 7, tzinfo=UTC)
    assert headers.auto_submitted == "auto-replied"
    assert headers.delivered_to == ("bob@example.com", "info@example.com")
    assert headers.hops == 2
    assert headers.loop_marks == ("bob@example.com",)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r"])
def test_every_line_end_that_mail_was_seen_with_is_understood(line_end: bytes) -> None:
    raw = b"Subject: a\r\nFrom: b\r\n\r\nbody".replace(b"\r\n", line_end)
    headers = parse_headers(raw)
    assert (headers.subject, headers.sender) == ("a", "b")


@pytest.mark.parametrize(
    ("raw", "head"),
    [
        (b"\r\nbody", b""),
        (b"\nSubject: body", b""),
        (b"A: 1\r\n\r\nB: 2\r\n", b"A: 1\r"),
        (b"A: 1\n\nB: 2\r\n\r\n", b"A: 1"),
        (b"A: 1\r\nB: 2", b"A: 1\r\nB: 2"),
        (b"A: " + b"x" * HEAD_OCTETS, (b"A: " + b"x" * HEAD_OCTETS)[:HEAD_OCTETS]),
    ],
)
def test_the_head_ends_at_the_first_empty_line_or_at_the_limit(raw: bytes, head: bytes) -> None:
    assert head_of(raw) == head


def test_names_are_matched_without_case_and_blanks_before_the_colon_are_forgiven() -> None:
    headers = parse_headers(b"SUBJECT : loud\nmessage-id:<x@y>\n\n")
    assert (headers.subject, headers.message_id) == ("loud", "<x@y>")


def test_of_a_repeated_header_the_first_counts_but_lists_are_joined() -> None:
    headers = parse_headers(
        b"Subject: 1\nSubject: 2\nTo: a@x\nTo: b@x\nX-Syncd-Loop: m\nX-Syncd-Loop: n\n\n"
    )
    assert (headers.subject, headers.to, headers.loop_marks) == (
        "1",
        ("a@x", "b@x"),
        ("m", "n"),
    )


def test_an_absent_header_is_absent() -> None:
    headers = parse_headers(b"X-Other: 1\r\n\r\n")
    assert headers.message_id is None
    assert headers.in_reply_to is None
    assert headers.references == headers.to == headers.cc == headers.delivered_to == ()
    assert headers.date is None
    assert headers.received_at is None
    assert headers.auto_submitted is None
    assert headers.digest is None


def test_an_id_without_brackets_is_kept_as_it_stands() -> None:
    assert parse_headers(b"Message-ID: abc@x\n\n").message_id == "abc@x"
    assert (
        parse_headers(b"Message-ID: \nIn-Reply-To: your mail of Monday\n\n").message_id is None
    )


def test_eight_bit_text_is_utf8_or_else_latin_1() -> None:
    assert parse_headers("Subject: grün\n\n".encode()).subject == "grün"
    assert parse_headers("Subject: grün\n\n".encode("latin-1")).subject == "grün"


def test_control_characters_never_come_through() -> None:
    raw = b"Subject: a\x00b\x1b[31mc\nFrom: =?utf-8?b?AABkDQplDQo=?=\n\n"
    headers = parse_headers(raw)
    assert headers.subject == "a b [31mc"
    assert headers.sender == "d e"


def test_characters_that_only_look_unprintable_stay() -> None:
    assert parse_headers("Subject: 👩‍💻\n\n".encode()).subject == "👩‍💻"


def test_lists_have_a_limit() -> None:
    raw = b"To: " + b"a@x," * 5000 + b"\nReferences: " + b"<a@x> " * 20000 + b"\n\n"
    headers = parse_headers(raw)
    assert len(headers.to) == 200
    assert len(headers.references) == 50


def test_of_too_many_references_the_last_are_kept() -> None:
    raw = b"References: " + b" ".join(b"<%d@x>" % n for n in range(200)) + b"\n\n"
    assert parse_headers(raw).references[-1] == "<199@x>"


@pytest.mark.parametrize(
    ("value", "pieces"),
    [
        (b'"a, b" <a@x>, c@x', ('"a, b" <a@x>', "c@x")),
        (b'"a \\" , b" <a@x>, c@x', ('"a \\" , b" <a@x>', "c@x")),
        (b"a@x (one, two), b@x", ("a@x (one, two)", "b@x")),
        (b'a@x (say "hi, you), b@x', ('a@x (say "hi, you)', "b@x")),
        (b'"a ( b" <a@x>, b@x', ('"a ( b" <a@x>', "b@x")),
        (b'"never closed, a@x', ('"never closed, a@x',)),
        (b"a), b(c", ("a)", "b(c")),
        (b"a@x,, ,b@x,", ("a@x", "b@x")),
        (b"undisclosed-recipients:;", ("undisclosed-recipients:;",)),
    ],
)
def test_a_list_is_cut_at_commas_outside_quotes_and_comments(
    value: bytes, pieces: tuple[str, ...]
) -> None:
    assert parse_headers(b"To: " + value + b"\n\n").to == pieces


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (b"Mon, 23 Nov 2026 15:42:07 +0100", datetime(2026, 11, 23, 14, 42, 7, tzinfo=UTC)),
        (b"23 Nov 2026 15:42 -0500 (EST)", datetime(2026, 11, 23, 20, 42, tzinfo=UTC)),
        (b"Mon, 23 Nov 2026 15:42:07 GMT", datetime(2026, 11, 23, 15, 42, 7, tzinfo=UTC)),
        (b"Mon, 23 Nov 2026 15:42:60 UT", datetime(2026, 11, 23, 15, 42, 59, tzinfo=UTC)),
        (b"Mon, 23 Nov 2026 15:42:07", datetime(2026, 11, 23, 15, 42, 7, tzinfo=UTC)),
        (b"Mon, 23 Nov 2026 15:42:07 EST", datetime(2026, 11, 23, 20, 42, 7, tzinfo=UTC)),
        (b"Mon, 23 Nov 98 15:42:07 +0000", datetime(1998, 11, 23, 15, 42, 7, tzinfo=UTC)),
        (b"Mon Nov 23 15:42:07 2026", datetime(2026, 11, 23, 15, 42, 7, tzinfo=UTC)),
        (b"23-Nov-2026 15:42:07 +0000", datetime(2026, 11, 23, 15, 42, 7, tzinfo=UTC)),
        (b"MON, 23 NOV 2026 15:42:07 +0000", datetime(2026, 11, 23, 15, 42, 7, tzinfo=UTC)),
    ],
)
def test_dates_as_real_mail_writes_them(text: bytes, moment: datetime) -> None:
    assert parse_date(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"yesterday",
        b"Thu, 01 Jan 1970 00:00:00 +0000",
        b"Mon, 31 Feb 2026 15:42:07 +0000",
        b"Mon, 23 Nov 9999 15:42:07 +0000",
        b"Mon, 01 Jan 0001 00:00:00 +1400",
        b"Mon, 23 Foo 2026 15:42:07 +0000",
        b"Mon, 23 Nov 70 15:42:07 EST",
        b"31 Nov 99 99:99:99 PDT",
        b"Mon, 00 Nov 98 15:42:07 +99999999999999",
    ],
)
def test_an_absurd_date_is_unknown(text: bytes) -> None:
    assert parse_date(text) is None


def test_the_digest_survives_another_folding_and_other_headers() -> None:
    folded = MESSAGE.replace(b"Invoice\r\n\tof", b"Invoice of").replace(b"X-Syncd", b"X-Other")
    assert header_digest(folded) == header_digest(MESSAGE)
    assert len(header_digest(MESSAGE) or b"") == 16


def test_the_digest_tells_apart_what_differs_in_one_of_its_headers() -> None:
    for name in (b"Message-ID: <1", b"Date: M", b"From: =", b"Subject: I"):
        assert header_digest(MESSAGE.replace(name, name + b"x")) != header_digest(MESSAGE)


def test_a_word_that_moves_from_one_header_to_the_next_changes_the_digest() -> None:
    assert header_digest(b"Date: 1\nFrom: a b\nSubject: c\n\n") != header_digest(
        b"Date: 1\nFrom: a\nSubject: b c\n\n"
    )


@given(st.binary(max_size=2000))
@example(b"Date: " + b"(" * 900 + b"\n\n")
@example(b"From: =?utf-7?q?+2D0-?=\n\n")
def test_no_bytes_raise_and_every_text_can_be_stored(raw: bytes) -> None:
    headers = parse_headers(raw)
    for text in (headers.subject, headers.sender, *headers.to, headers.message_id or ""):
        text.encode()
        assert "\x00" not in text
        assert "\n" not in text


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Date", "Received", "To", "From", "Subject", "References", "Cc"]),
            st.text(st.sampled_from('abz019 ,;:"()<>@=?-+_\\\t\u00e4é'), max_size=60),
        ),
        max_size=8,
    )
)
def test_no_headers_raise(fields: list[tuple[str, str]]) -> None:
    parse_headers("".join(f"{name}: {value}\r\n" for name, value in fields).encode())


@given(
    st.text(st.sampled_from("0123456789 :+-,"), max_size=40),
    st.sampled_from(["Mon, 23 Nov 2026 ", "", "Nov ", "31 Dec 99 23:"]),
)
def test_no_date_raises(text: str, before: str) -> None:
    moment = parse_date((before + text).encode())
    assert moment is None or 1981 <= moment.year <= 2100


@pytest.mark.parametrize(
    "raw",
    [
        b"To: " + b'"\\' * 30000 + b"\n\n",
        b"To: " + b"(" * 60000 + b",\n\n",
        b"Subject: " + b"=?utf-8?q?=\n " * 20000 + b"\n\n",
        b"Message-ID: " + b"<" * 100000 + b"\n\n",
        b"References: " + b"<" * 100000 + b"\n\n",
        b"Date: " + b"1 " * 50000 + b"\n\n",
        b"From: " + b"\n " * 100000 + b"\n\n",
        b"From" + b" " * 200000 + b"\n\n",
    ],
    ids=lambda raw: raw[:14],
)
@pytest.mark.timeout(10)
def test_hostile_headers_cost_little(raw: bytes) -> None:
    parse_headers(raw)


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus beside the project")
def test_every_message_of_the_corpus_is_read() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    dated = sum(parse_headers(path.read_bytes()).date is not None for path in files)
    assert dated > len(files) * 0.7


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", False),
        (b"Subject: a\r\n\r\n", False),
        (b"Subject: a\r\n", False),
        (b"Subject: a\r\n\r\nHello.\r\n", True),
        (b"\r\nHello.\r\n", True),
        (b"X: " + b"y" * HEAD_OCTETS + b"\r\n\r\nHello.\r\n", False),
    ],
)
def test_a_body_behind_the_headers_is_noticed(raw: bytes, expected: bool) -> None:
    assert shows_body(raw) is expected
