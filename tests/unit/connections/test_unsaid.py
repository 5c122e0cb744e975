"""Secrets of a login, in whatever a server repeats."""

import base64

import pytest

from syncd.connections.seams import UnlockedLogin
from syncd.connections.unsaid import Unsaid
from syncd.errors import LONGEST_WORDS, Phase, ProtocolViolated
from syncd.model.secret import Secret
from syncd.protocols import sasl


def ada(password: str = "wonderland", authorize_as: str | None = None) -> Unsaid:
    return Unsaid(
        UnlockedLogin(username="ada", password=Secret(password), authorize_as=authorize_as)
    )


def in_base64(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.mark.parametrize("authorize_as", [None, "bob"])
def test_a_password_that_a_server_repeats_is_blanked_out_in_every_form_it_was_told(
    authorize_as: str | None,
) -> None:
    (proof,) = sasl.plain("ada", "wonderland", authorize_as)
    said = ["wonderland", "WONDERLAND", in_base64(b"wonderland"), in_base64(proof or b"")]
    words = ada(authorize_as=authorize_as).blank(f"no, {' and '.join(said)} will not do")
    assert words == "no, *** and *** and *** and *** will not do"


@pytest.mark.parametrize("password", ["pass  word", "a\ttab", "päss€", "x" * 700])
def test_a_password_is_blanked_out_as_an_error_would_show_it(password: str) -> None:
    unsaid = ada(password)
    misread = password.encode().decode("latin-1")
    for echo in (password, misread):
        with pytest.raises(ProtocolViolated) as caught, unsaid.kept():
            raise ProtocolViolated("mail:995", Phase.LOGIN, f"what is PASS {echo}")
        assert caught.value.words == "what is PASS ***"
        assert str(caught.value) == "mail:995: login: what is PASS ***"


@pytest.mark.parametrize("left", [4, 5, 13])
def test_the_beginning_of_a_proof_is_blanked_out_where_the_words_are_cut(left: int) -> None:
    proof = in_base64(b"\0ada\0wonderland")
    told = "x" * (LONGEST_WORDS - left) + proof
    with pytest.raises(ProtocolViolated) as caught, ada().kept():
        raise ProtocolViolated("mail:995", Phase.LOGIN, told)
    assert caught.value.words.strip("x") == "***"


def test_a_digest_is_blanked_out_with_and_without_its_base64() -> None:
    unsaid = ada()
    mechanism = sasl.cram_md5("ada", "wonderland")
    next(mechanism)
    proof = mechanism.send(b"<1@mail>") or b""
    unsaid.note(proof)
    digest = proof.decode().split()[1]
    assert unsaid.blank(f"{in_base64(proof)}: {digest} is wrong") == "***: *** is wrong"


def test_what_an_error_was_made_from_goes_with_it() -> None:
    with pytest.raises(ProtocolViolated) as caught, ada().kept():
        raise ProtocolViolated("mail:995", Phase.LOGIN, "what?") from ValueError("wonderland")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_words_without_secrets_stay_as_they_are() -> None:
    assert ada().blank("ada: wrong password for wonder land") == (
        "ada: wrong password for wonder land"
    )
    assert ada("").blank("no password given") == "no password given"
