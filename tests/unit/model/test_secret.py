"""Secrets cannot be printed, copied out, changed or pickled by accident."""

import copy
import dataclasses
import json
import pickle

import orjson
import pytest

from syncd.errors import SecretUnreadable
from syncd.model.secret import SealedSecret, Secret, UnreadSecret


@dataclasses.dataclass(frozen=True)
class _Login:
    username: str
    password: Secret | SealedSecret


@pytest.mark.parametrize("secret", [Secret("geheim"), SealedSecret("v1:geheim")])
def test_no_way_of_printing_shows_a_secret(secret: Secret | SealedSecret) -> None:
    login = _Login("ann", secret)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>10}",
        "%s" % secret,  # noqa: UP031 - one of the ways
        repr(login),
        repr([secret]),
        repr(dataclasses.asdict(login)),
        json.dumps(dataclasses.asdict(login), default=str),
        orjson.dumps(login, default=str).decode(),
    ]
    assert all("***" in text and "geheim" not in text for text in shown)


def test_a_secret_is_given_away_by_asking_for_it() -> None:
    assert Secret("geheim").reveal() == "geheim"
    assert SealedSecret("v1:x").text == "v1:x"


def test_a_secret_does_not_change() -> None:
    secret = Secret("geheim")
    with pytest.raises(AttributeError):
        secret._text = "other"
    with pytest.raises(AttributeError):
        del secret._text
    assert secret.reveal() == "geheim"


def test_a_secret_equals_its_like_only() -> None:
    assert Secret("geheim") == Secret("geheim")
    assert Secret("geheim") != Secret("other")
    assert Secret("v1:x") != SealedSecret("v1:x")
    assert Secret("geheim") != "geheim"
    assert len({Secret("geheim"), Secret("geheim"), SealedSecret("geheim")}) == 2


def test_a_copy_of_a_secret_is_the_secret_itself() -> None:
    secret = Secret("geheim")
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("geheim"))


def test_a_secret_that_was_never_read_refuses_to_be_revealed() -> None:
    secret = UnreadSecret("{env: PASSWORD}: not here")
    assert secret.why == "{env: PASSWORD}: not here"
    assert repr(secret) == "***"
    with pytest.raises(SecretUnreadable, match=r"by the daemon only: \{env: PASSWORD\}"):
        secret.reveal()
