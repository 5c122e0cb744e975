"""Refusals as real servers word them."""

import pytest

from syncd.errors import Phase
from syncd.model.failure import Lasting
from syncd.providers.pop3_texts import RULES, known_refusal

LOGINS = [
    ("AUTH", "Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "plaintext_login_refused"),
    ("AUTH", "Cleartext authentication disallowed on non-secure (SSL/TLS) connections.", "plaintext_login_refused"),
    (None, "Must issue a STLS command first", "plaintext_login_refused"),
    (None, "TLS is required", "plaintext_login_refused"),
    ("SYS/PERM", "Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account for POP access.", "pop3_disabled"),
    (None, "POP3 is disabled", "pop3_disabled"),
    ("AUTH", "Application-specific password required: https://support.google.com/", "app_password_required"),
    ("AUTH", "Web login required: https://support.google.com/mail/answer/78754", "web_login_required"),
    (None, "Logon failure: unknown user name or bad password. LogonDenied-BasicAuthBlocked", "login_forbidden"),
    ("AUTH", "Account suspended", "account_closed"),
    ("IN-USE", "Mailbox is locked by another POP3 session", "maildrop_locked"),
    ("IN-USE", "Maximum number of connections from user+IP exceeded", "maildrop_locked"),
    (None, "maildrop already locked", "maildrop_locked"),
    (None, "Unable to lock maildrop: Mailbox is locked by POP server", "maildrop_locked"),
    ("LOGIN-DELAY", "minimum time between mail checks violation", "login_too_soon"),
    ("SYS/TEMP", "Temporary authentication failure.", "server_trouble"),
    ("SYS/PERM", "Internal error occurred", "server_fault"),
    (None, "UserConnectionLimitReached", "too_many_connections"),
    (None, "Server error - Please try again later.", "server_trouble"),
    (None, "Temporary problem, please try again later", "server_trouble"),
]  # fmt: skip


@pytest.mark.parametrize(("response_code", "words", "code"), LOGINS)
def test_a_refused_login_is_known(response_code: str | None, words: str, code: str) -> None:
    rule = known_refusal(Phase.LOGIN, response_code, words)
    assert rule is not None
    assert rule.code == code


@pytest.mark.parametrize(
    ("response_code", "words"),
    [
        ("AUTH", "Authentication failed."),
        (None, "Logon failure: unknown user name or bad password."),
        ("AUTH", "(#AUTH012) Incorrect username or password."),
        ("AUTH", "Username and password not accepted."),
        (None, ""),
    ],
)
def test_a_wrong_password_is_not_known_for_sure(response_code: str | None, words: str) -> None:
    assert known_refusal(Phase.LOGIN, response_code, words) is None


def test_words_about_logins_mean_nothing_when_a_message_is_refused() -> None:
    assert known_refusal(Phase.FETCH, None, "Account suspended") is None


def test_every_rule_can_be_acted_on_and_only_the_login_stops_a_mailbox() -> None:
    for rule in RULES:
        assert rule.cause
        assert rule.remedy
        if rule.lasting is Lasting.PERMANENT:
            assert rule.phases == {Phase.LOGIN}
