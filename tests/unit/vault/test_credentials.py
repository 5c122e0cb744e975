"""Sealed secrets open for what they were sealed for, and for nothing else."""

import base64
import traceback
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from syncd.errors import SecretUnreadable
from syncd.model.mailbox import Login
from syncd.model.secret import SealedSecret, Secret
from syncd.vault.credentials import Binding, seal, unlock, unseal
from syncd.vault.keys import KeyRing, new_key_line, parse_key_line

RING = KeyRing((parse_key_line(new_key_line()),))
OTHER_RING = KeyRing((parse_key_line(new_key_line()),))
ANN = Binding(kind="mailbox", name="ann@example.com", server="pop.example.com")

_words = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)
_bindings = st.builds(
    Binding,
    kind=st.sampled_from(["mailbox", "profile"]),
    name=_words,
    server=_words,
    field=st.sampled_from(["password", "client_secret"]),
)
_secrets = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(secret=_secrets, binding=_bindings)
def test_what_was_sealed_opens_to_the_same_secret(secret: str, binding: Binding) -> None:
    assert unseal(RING, seal(RING, Secret(secret), binding), binding).reveal() == secret


@given(secret=_secrets, home=_bindings, elsewhere=_bindings)
def test_moved_to_another_row_or_server_it_does_not_open(
    secret: str, home: Binding, elsewhere: Binding
) -> None:
    assume(home.authenticated != elsewhere.authenticated)
    with pytest.raises(SecretUnreadable, match="sealed for another object or server"):
        unseal(RING, seal(RING, Secret(secret), home), elsewhere)


@given(
    parts=st.lists(st.text(alphabet="a|\\", min_size=1, max_size=4), min_size=4, max_size=4),
    others=st.lists(st.text(alphabet="a|\\", min_size=1, max_size=4), min_size=4, max_size=4),
)
def test_bindings_that_differ_never_look_alike(parts: list[str], others: list[str]) -> None:
    assume(parts != others)
    one = Binding(kind=parts[0], name=parts[1], server=parts[2], field=parts[3])
    two = Binding(kind=others[0], name=others[1], server=others[2], field=others[3])
    assert one.authenticated != two.authenticated


@given(secret=_secrets, position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_single_flipped_bit_is_noticed(secret: str, position: int, bit: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(seal(RING, Secret(secret), ANN)[3:]))
    raw[position % len(raw)] ^= 1 << bit
    altered = "v1:" + base64.urlsafe_b64encode(raw).decode()
    with pytest.raises(SecretUnreadable):
        unseal(RING, altered, ANN)


@given(st.text(max_size=120))
def test_any_text_is_refused_without_another_error(text: str) -> None:
    with pytest.raises(SecretUnreadable):
        unseal(RING, text, ANN)
    with pytest.raises(SecretUnreadable):
        unseal(RING, "v1:" + text, ANN)


def test_case_of_the_address_and_a_dot_behind_the_server_do_not_matter() -> None:
    sealed = seal(RING, Secret("hunter2"), ANN)
    same = replace(ANN, name="Ann@EXAMPLE.com", server="POP.example.com.")
    assert unseal(RING, sealed, same).reveal() == "hunter2"


def test_case_of_a_profile_does_matter() -> None:
    profile = Binding(kind="profile", name="Contoso", server="pop.example.com")
    sealed = seal(RING, Secret("hunter2"), profile)
    with pytest.raises(SecretUnreadable):
        unseal(RING, sealed, replace(profile, name="contoso"))


def test_the_first_key_seals_and_every_key_of_the_ring_opens() -> None:
    old, new = OTHER_RING.first, RING.first
    sealed = seal(KeyRing((old,)), Secret("hunter2"), ANN)
    both = KeyRing((new, old))
    assert unseal(both, sealed, ANN).reveal() == "hunter2"
    assert unseal(KeyRing((new,)), seal(both, Secret("x"), ANN), ANN).reveal() == "x"


def test_a_missing_key_is_named_with_those_that_are_there() -> None:
    sealed = seal(OTHER_RING, Secret("hunter2"), ANN)
    with pytest.raises(SecretUnreadable) as caught:
        unseal(RING, sealed, ANN)
    words = str(caught.value)
    assert OTHER_RING.first.id.hex() in words
    assert RING.first.id.hex() in words
    assert "ann@example.com at pop.example.com" in words


def test_no_two_sealings_of_a_secret_are_alike() -> None:
    assert len({seal(RING, Secret("hunter2"), ANN) for _ in range(50)}) == 50


def test_nothing_of_the_secret_is_in_an_error_or_its_traceback() -> None:
    sealed = seal(RING, Secret("hunter2"), ANN)
    with pytest.raises(SecretUnreadable) as caught:
        unseal(RING, sealed, replace(ANN, server="rogue.example.net"))
    told = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in told
    assert sealed not in told
    assert "InvalidTag" not in told


def test_a_login_with_a_plain_password_needs_no_key() -> None:
    login = Login(username="ann", password=Secret("hunter2"), authorize_as="boss")
    unlocked = unlock(login, None, ANN)
    assert (unlocked.username, unlocked.authorize_as) == ("ann", "boss")
    assert unlocked.password.reveal() == "hunter2"
    assert "hunter2" not in repr(unlocked)


def test_a_sealed_login_opens_with_the_ring_and_not_without_one() -> None:
    login = Login(username="ann", password=SealedSecret(seal(RING, Secret("hunter2"), ANN)))
    assert unlock(login, RING, ANN).password.reveal() == "hunter2"
    with pytest.raises(SecretUnreadable, match="no key is configured"):
        unlock(login, None, ANN)
