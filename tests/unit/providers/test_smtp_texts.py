"""What is known of providers' replies: each rule by a reply that was seen, and its neighbours."""

import pytest

from syncd.errors import Phase
from syncd.providers.smtp_texts import RULES, Meaning, known_reply


@pytest.mark.parametrize(
    ("phase", "code", "enhanced", "words", "name"),
    [
        (Phase.MAIL, 550, "5.7.30", "Basic authentication is not supported for Client Submission", "login_forbidden"),
        (Phase.LOGIN, 535, "5.7.139", "Authentication unsuccessful, basic authentication is disabled.", "login_forbidden"),
        (Phase.LOGIN, 534, "5.7.9", "Application-specific password required. For more information, go to", "app_password_required"),
        (Phase.LOGIN, 534, "5.7.14", "Please log in via your web browser and then try again.", "login_refused"),
        (Phase.LOGIN, 454, "4.7.0", "Temporary authentication failure: Connection lost", "login_check_unavailable"),
        (Phase.LOGIN, 535, "5.7.8", "Error: authentication failed", "login_refused"),
        (Phase.MAIL, 530, "5.7.0", "Must issue a STARTTLS command first", "plaintext_login_refused"),
        (Phase.RCPT, 530, "5.7.1", "Client was not authenticated", "login_refused"),
        (Phase.LOGIN, 538, None, "Encryption required for requested authentication mechanism", "plaintext_login_refused"),
        (Phase.LOGIN, 538, "5.7.11", "No", "plaintext_login_refused"),
        (Phase.LOGIN, 530, "5.7.10", "Encryption needed", "plaintext_login_refused"),
        (Phase.MAIL, 530, "5.7.0", "Authentication required", "login_refused"),
        (Phase.AFTER_DOT, 554, "5.2.2", "mailbox full", "mailbox_full"),
        (Phase.RCPT, 550, "5.4.5", "Daily user sending limit exceeded.", "sending_limit"),
        (Phase.AFTER_DOT, 554, "5.2.0", "STOREDRV.Submission: message submission quota exceeded", "sending_limit"),
        (Phase.MAIL, 451, "4.7.1", "Sending rate limit exceeded", "sending_limit"),
        (Phase.RCPT, 550, "5.7.1", "You have reached your daily sending limit", "sending_limit"),
        (Phase.RCPT, 452, "4.5.3", "Error: too many recipients", "too_many_recipients"),
        (Phase.RCPT, 552, None, "Too many recipients", "too_many_recipients"),
        (Phase.RCPT, 550, None, "Requested action not taken, try again later", "asked_to_come_back"),
    ],
)  # fmt: skip
def test_a_known_reply_is_recognised(
    phase: Phase, code: int, enhanced: str | None, words: str, name: str
) -> None:
    rule = known_reply(phase, code, enhanced, words)
    assert rule is not None
    assert rule.name == name


@pytest.mark.parametrize(
    ("phase", "code", "enhanced", "words"),
    [
        (Phase.RCPT, 550, "5.1.1", "no such user"),
        (Phase.RCPT, 552, "5.2.2", "<bob@example.org>: mailbox quota exceeded"),
        (Phase.RCPT, 552, None, "mailbox is full"),
        (Phase.AFTER_DOT, 554, "5.7.1", "message rejected as spam"),
        (Phase.RCPT, 450, "4.2.0", "greylisted, try again later"),
        (Phase.MAIL, 552, "5.3.4", "Message size exceeds fixed limit"),
        (Phase.MAIL, 553, "5.7.1", "Sender address rejected: not owned by user ann"),
    ],
)
def test_other_replies_are_left_to_their_codes(
    phase: Phase, code: int, enhanced: str | None, words: str
) -> None:
    assert known_reply(phase, code, enhanced, words) is None


def test_what_holds_a_queue_says_what_to_do() -> None:
    holding = [rule for rule in RULES if rule.meaning is not Meaning.LATER]
    assert holding
    assert all(rule.cause and rule.remedy for rule in holding)
