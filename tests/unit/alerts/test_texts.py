"""What the wall says names what happened, about whom, and what to do."""

import pytest

from syncd.alerts import texts
from syncd.model.alert import Alert, AlertLevel
from syncd.model.failure import Failure, Lasting, Scope
from syncd.model.mailbox import Direction, MailboxId

ANN = (MailboxId(7), "ann@contoso.com", Direction.INCOMING)


def failure(
    scope: Scope, server: str | None = "pop3.contoso.com:995", words: str = "no"
) -> Failure:
    return Failure(
        code="login_refused", lasting=Lasting.PERMANENT, scope=scope, server=server, phase=None,
        words=words, cause="It was refused.", remedy="Set it anew.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "server", "about"),
    [
        (Scope.MAILBOX, "pop3.contoso.com:995", "mailbox:7:incoming"),
        (Scope.PROFILE, "pop3.contoso.com:995", "mailbox:7:incoming"),
        (Scope.SERVER, "pop3.contoso.com:995", "server:pop3.contoso.com:995"),
        (Scope.SERVER, None, "mailbox:7:incoming"),
        (Scope.STORE, None, "store"),
    ],
)
def test_an_alert_is_about_what_the_failure_concerns(
    scope: Scope, server: str | None, about: str
) -> None:
    assert texts.failing(failure(scope, server), *ANN).object == about


def test_a_failure_of_a_profile_is_about_that_side_of_it() -> None:
    alert = texts.failing(failure(Scope.PROFILE), *ANN, "contoso")
    assert alert.object == "profile:contoso:incoming"
    assert alert.text.startswith(
        "Incoming mail of profile contoso does not move (seen by ann@contoso.com); it is tried"
    )


def test_a_failure_of_a_server_says_by_whom_it_was_seen() -> None:
    alert = texts.failing(failure(Scope.SERVER), *ANN, "contoso")
    assert alert.object == "server:pop3.contoso.com:995"
    assert alert.text.startswith(
        "pop3.contoso.com:995 cannot be used (seen by ann@contoso.com, profile contoso);"
    )


def test_a_stop_names_the_mailbox_the_cause_the_servers_words_and_the_remedy() -> None:
    assert texts.stopped(failure(Scope.MAILBOX), *ANN) == Alert(
        code="login_refused",
        object="mailbox:7:incoming",
        level=AlertLevel.ERROR,
        text="Incoming mail of ann@contoso.com has stopped. It was refused. (pop3.contoso.com:995: no)",
        remedy="Set it anew.",
    )


@pytest.mark.parametrize(
    ("scope", "level", "beginning"),
    [
        (Scope.MAILBOX, AlertLevel.WARNING, "Incoming mail of ann@contoso.com does not move;"),
        (
            Scope.SERVER,
            AlertLevel.WARNING,
            "pop3.contoso.com:995 cannot be used (seen by ann@contoso.com);",
        ),
        (Scope.STORE, AlertLevel.ERROR, "The store cannot be written;"),
    ],
)
def test_what_lasts_says_that_it_is_tried_again(
    scope: Scope, level: AlertLevel, beginning: str
) -> None:
    alert = texts.failing(failure(scope), *ANN)
    assert alert.level is level
    assert alert.text.startswith(f"{beginning} it is tried again by itself.")


def test_without_words_of_a_server_none_are_shown() -> None:
    assert texts.stopped(failure(Scope.MAILBOX, words=""), *ANN).text.endswith(
        "It was refused."
    )
    assert texts.stopped(failure(Scope.STORE, None), *ANN).text.endswith("(no)")


def test_a_message_left_behind_names_its_size_where_it_is_known() -> None:
    known = texts.message_too_large(ANN[0], ANN[1], 300, 200)
    unknown = texts.message_too_large(ANN[0], ANN[1], None, 200)
    assert "300 octets, allowed are 200" in known.text
    assert "More than the limit, allowed are 200" in unknown.text
    assert known.object == unknown.object == "mailbox:7"


def test_recognised_and_quarantined_messages_have_their_texts() -> None:
    recognised = texts.messages_recognised(ANN[0], ANN[1], "pop3.contoso.com:995", 5000)
    assert recognised.text.startswith(
        "5000 messages of pop3.contoso.com:995 were recognised again"
    )
    assert recognised.level is AlertLevel.INFORMATION
    quarantined = texts.message_quarantined(ANN[0], ANN[1], "virus")
    assert "could not be taken: virus." in quarantined.text
    assert "syncd quarantine list" in quarantined.remedy
