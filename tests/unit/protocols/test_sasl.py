"""Proofs, against the examples of the RFCs."""

import pytest

from syncd.protocols.sasl import apop_digest, cram_md5, login, plain, unspeakable


def test_plain_says_everything_at_once() -> None:
    """RFC 4616, 4."""
    assert next(plain("tim", "tanstaaftanstaaf")) == b"\0tim\0tanstaaftanstaaf"


def test_plain_can_name_somebody_else() -> None:
    """RFC 4616, 4: Kurt opens Ursel's mailbox."""
    assert next(plain("Kurt", "xipj3plmq", "Ursel")) == b"Ursel\0Kurt\0xipj3plmq"


def test_plain_speaks_utf_8() -> None:
    assert next(plain("å", "ü")) == b"\0\xc3\xa5\0\xc3\xbc"


def test_login_answers_two_questions_and_no_third() -> None:
    mechanism = login("ada", "secret")
    assert next(mechanism) is None
    assert mechanism.send(b"Username:") == b"ada"
    assert mechanism.send(b"Password:") == b"secret"
    with pytest.raises(StopIteration):
        mechanism.send(b"Password:")


def test_cram_md5_hides_the_password() -> None:
    """RFC 2195, 2."""
    mechanism = cram_md5("tim", "tanstaaftanstaaf")
    assert next(mechanism) is None
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    assert mechanism.send(challenge) == b"tim b913a602c7eda7a495b4e6e7334d3890"


def test_apop_hides_the_password() -> None:
    """RFC 1939, 7."""
    digest = apop_digest("<1896.697170952@dbc.mtview.ca.us>", "tanstaaf")
    assert digest == "c4c9334bac560ecc979e58001b3e22fb"


@pytest.mark.parametrize("text", ["a\rb", "a\n", "\0"])
def test_what_would_be_another_command_is_unspeakable(text: str) -> None:
    assert unspeakable(text)


@pytest.mark.parametrize("text", ["", "pass word", "ä\t€", "a\\r\\n"])
def test_everything_else_can_be_said(text: str) -> None:
    assert not unspeakable(text)
