"""One mechanism, and which: contract 2, `authentication`."""

from dataclasses import replace

import pytest

from syncd.model.profile import Authentication as By
from syncd.protocols.pop3_login import LoginFacts, NotOffered, Readable, choose_way
from syncd.protocols.pop3_replies import Capabilities

EVERYTHING = Capabilities(
    {"USER": (), "SASL": ("PLAIN", "LOGIN", "CRAM-MD5"), "PIPELINING": ()}
)
SECURE = LoginFacts(
    asked=By.AUTO,
    encrypted=True,
    allow_plaintext=False,
    has_timestamp=True,
    for_other=False,
    capabilities=EVERYTHING,
)
CLEAR = replace(SECURE, encrypted=False)


@pytest.mark.parametrize("capabilities", [None, Capabilities({}), EVERYTHING])
def test_under_tls_the_ordinary_login_is_taken(capabilities: Capabilities | None) -> None:
    assert choose_way(replace(SECURE, capabilities=capabilities)) is By.USER_PASS


def test_a_server_without_user_and_pass_is_asked_by_plain() -> None:
    only_plain = Capabilities({"SASL": ("PLAIN",)})
    assert choose_way(replace(SECURE, capabilities=only_plain)) is By.PLAIN


def test_without_tls_the_password_is_hidden() -> None:
    assert choose_way(CLEAR) is By.CRAM_MD5
    assert choose_way(replace(CLEAR, allow_plaintext=True)) is By.CRAM_MD5


@pytest.mark.parametrize("capabilities", [None, Capabilities({"SASL": ("PLAIN",), "USER": ()})])
def test_a_readable_password_needs_leave(capabilities: Capabilities | None) -> None:
    facts = replace(CLEAR, capabilities=capabilities)
    assert isinstance(choose_way(facts), Readable)
    assert choose_way(replace(facts, allow_plaintext=True)) is By.USER_PASS


@pytest.mark.parametrize("asked", [By.USER_PASS, By.PLAIN, By.LOGIN])
def test_leave_is_needed_for_each_mechanism_that_shows_the_password(asked: By) -> None:
    facts = replace(CLEAR, asked=asked)
    assert isinstance(choose_way(facts), Readable)
    assert choose_way(replace(facts, allow_plaintext=True)) is asked


@pytest.mark.parametrize("asked", [By.APOP, By.CRAM_MD5])
def test_no_leave_is_needed_where_the_password_stays_at_home(asked: By) -> None:
    assert choose_way(replace(CLEAR, asked=asked)) is asked


@pytest.mark.parametrize("asked", [by for by in By if by is not By.AUTO])
def test_what_is_asked_for_is_taken_and_nothing_else(asked: By) -> None:
    assert choose_way(replace(SECURE, asked=asked)) is asked


@pytest.mark.parametrize("asked", [By.PLAIN, By.LOGIN, By.CRAM_MD5])
def test_what_is_not_offered_is_not_tried(asked: By) -> None:
    facts = replace(SECURE, asked=asked, capabilities=Capabilities({"USER": ()}))
    assert isinstance(choose_way(facts), NotOffered)


@pytest.mark.parametrize("asked", [By.PLAIN, By.LOGIN, By.CRAM_MD5])
def test_a_server_that_knows_no_capa_is_tried(asked: By) -> None:
    assert choose_way(replace(SECURE, asked=asked, capabilities=None)) is asked


def test_apop_needs_the_timestamp() -> None:
    facts = replace(SECURE, asked=By.APOP, has_timestamp=False)
    assert isinstance(choose_way(facts), NotOffered)


def test_another_mailbox_is_opened_by_plain() -> None:
    facts = replace(SECURE, for_other=True)
    assert choose_way(facts) is By.PLAIN
    assert choose_way(replace(facts, asked=By.PLAIN)) is By.PLAIN


@pytest.mark.parametrize("asked", [By.USER_PASS, By.APOP, By.LOGIN, By.CRAM_MD5])
def test_no_other_mechanism_can_open_another_mailbox(asked: By) -> None:
    assert isinstance(choose_way(replace(SECURE, asked=asked, for_other=True)), NotOffered)
