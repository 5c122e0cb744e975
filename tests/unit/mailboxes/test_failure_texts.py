"""Every error has words that a person can act on."""

import inspect
import re

import pytest

from syncd import errors
from syncd.errors import ServerError, StoreError, SyncdError, TlsFailed, TlsFailure
from syncd.mailboxes.failure_texts import (
    MEANINGS,
    MESSAGE_TOO_LARGE,
    TLS_MEANINGS,
    UNEXPECTED,
    Meaning,
)
from syncd.model.failure import Lasting, Scope
from syncd.providers import pop3_texts, smtp_texts

EVERY = [*MEANINGS.values(), *TLS_MEANINGS.values(), MESSAGE_TOO_LARGE, UNEXPECTED]


def test_every_error_of_syncd_has_a_meaning_or_its_parent_has() -> None:
    known = {
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, SyncdError)
    }
    assert set(MEANINGS) <= known
    for kind in known - set(MEANINGS):
        # TLS failures have one for each of their kinds.
        assert kind is TlsFailed or set(kind.__mro__) & set(MEANINGS)
    assert set(TlsFailure) == set(TLS_MEANINGS)


@pytest.mark.parametrize("meaning", EVERY, ids=lambda meaning: meaning.code)
def test_cause_and_remedy_are_sentences(meaning: Meaning) -> None:
    for text in (meaning.cause, meaning.remedy):
        assert text[0].isupper() or text.startswith("syncd")
        assert text.endswith(".")
        assert "\n" not in text


COMMANDS = {"mailbox poll", "mailbox show", "mailbox list", "mailbox approve", "secret encrypt"}
"""What remedies may tell a person to type: this version has it."""


def test_remedies_name_only_what_this_version_has() -> None:
    remedies = [meaning.remedy for meaning in EVERY]
    remedies += [rule.remedy for rule in pop3_texts.RULES]
    remedies += [rule.remedy for rule in smtp_texts.RULES]
    for remedy in remedies:
        assert set(re.findall(r"`syncd (\w+ \w+)", remedy)) <= COMMANDS
        assert "Test & Enable" not in remedy
    assert any("syncd mailbox poll ADDRESS" in remedy for remedy in remedies)


def test_codes_are_not_shared_by_two_meanings() -> None:
    codes = [meaning.code for meaning in {*EVERY}]
    assert len(codes) == len(set(codes))


def test_trouble_of_the_store_stops_no_mailbox() -> None:
    for kind, meaning in MEANINGS.items():
        assert (meaning.scope is Scope.STORE) == issubclass(kind, StoreError)


SETTABLE = {
    TlsFailure.WRONG_NAME,
    TlsFailure.SELF_SIGNED,
    TlsFailure.UNKNOWN_AUTHORITY,
    TlsFailure.PIN_MISMATCH,
}
"""What tls_server_name, tls_ca and tls_pin can set right."""


def test_no_password_is_sent_where_a_certificate_is_wrong_and_the_text_says_so() -> None:
    for kind, meaning in TLS_MEANINGS.items():
        is_settable = kind in SETTABLE
        assert meaning.scope is (Scope.PROFILE if is_settable else Scope.SERVER)
        is_certain = kind is not TlsFailure.OTHER
        assert (meaning.lasting is Lasting.PERMANENT) == is_certain
        assert meaning.cause.endswith("No password was sent.") == is_certain


def test_only_refused_logins_are_suspect() -> None:
    suspects = {kind for kind, meaning in MEANINGS.items() if meaning.suspect}
    assert suspects == {errors.LoginRefused}
    assert issubclass(errors.LoginRefused, ServerError)
