"""What a reply, or what came instead of one, means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.errors import (
    CommandRefused,
    ConnectionLost,
    LoginRefused,
    Phase,
    ProtocolViolated,
    ServerError,
    TimedOut,
    TlsFailed,
    TlsFailure,
)
from syncd.model.failure import Lasting, Scope
from syncd.outgoing.verdict import (
    Deferred,
    MailboxTrouble,
    OutcomeUnknown,
    Refused,
    Sent,
    judge_delivery,
)
from syncd.protocols.smtp_replies import SmtpReply

HOST = "mail.example.org:465"


def reply(text: str) -> SmtpReply:
    """Write a reply as `code words` or `code x.y.z words`."""
    code, *words = text.split(" ")
    enhanced = words.pop(0) if words and words[0].count(".") == 2 else None
    return SmtpReply(int(code), enhanced, " ".join(words))


@pytest.mark.parametrize(
    ("phase", "text", "verdict"),
    [
        (Phase.AFTER_DOT, "250 2.0.0 queued", Sent),
        (Phase.RCPT, "550 5.1.1 no such user", Refused),
        (Phase.RCPT, "550 no such user", Refused),
        (Phase.RCPT, "450 4.2.1 greylisted", Deferred),
        (Phase.RCPT, "451 greylisted", Deferred),
        (Phase.MAIL, "421 4.3.2 closing", Deferred),
        (Phase.AFTER_DOT, "421 4.3.2 closing", Deferred),
        (Phase.RCPT, "554 4.4.6 too many hops", Deferred),
        (Phase.RCPT, "450 5.1.1 soft bounce", Deferred),
        (Phase.RCPT, "552 5.2.2 mailbox full", Refused),
        (Phase.RCPT, "552 too many recipients", Deferred),
        (Phase.RCPT, "452 4.5.3 too many recipients", Deferred),
        (Phase.AFTER_DOT, "554 5.7.1 spam", Refused),
        (Phase.RCPT, "550 please try again later", Deferred),
        (Phase.MAIL, "530 5.7.0 authentication required", MailboxTrouble),
        (Phase.MAIL, "554 5.2.2 mailbox full", MailboxTrouble),
        (Phase.LOGIN, "535 5.7.8 no", MailboxTrouble),
        (Phase.LOGIN, "550 5.7.1 IP blocked", MailboxTrouble),
        (Phase.LOGIN, "454 4.7.0 later", Deferred),
    ],
)  # fmt: skip
def test_a_reply_is_judged(phase: Phase, text: str, verdict: type) -> None:
    assert isinstance(judge_delivery(HOST, phase, reply(text)), verdict)


@pytest.mark.parametrize(
    ("text", "code", "lasting", "suspect"),
    [
        ("535 5.7.8 no", "login_refused", Lasting.PERMANENT, True),
        ("550 5.7.1 blocked", "login_refused", Lasting.PERMANENT, True),
        ("450 4.7.1 too many logins", "login_refused", Lasting.TRANSIENT, False),
        ("535 5.7.139 disabled", "login_forbidden", Lasting.PERMANENT, False),
        ("554 5.2.2 full", "mailbox_full", Lasting.TRANSIENT, False),
    ],
)
def test_trouble_of_the_account_carries_its_cause_and_remedy(
    text: str, code: str, lasting: Lasting, suspect: bool
) -> None:
    verdict = judge_delivery(HOST, Phase.LOGIN, reply(text))
    assert isinstance(verdict, MailboxTrouble)
    failure = verdict.failure
    assert (failure.code, failure.lasting, failure.suspect) == (code, lasting, suspect)
    assert (failure.scope, failure.server) == (Scope.MAILBOX, HOST)
    assert failure.words == text
    assert failure.cause
    assert failure.remedy


def test_a_login_in_clear_that_is_refused_is_the_profiles_trouble_and_not_suspect() -> None:
    words = "530 5.7.0 Must issue a STARTTLS command first"
    verdict = judge_delivery(HOST, Phase.LOGIN, reply(words))
    assert isinstance(verdict, MailboxTrouble)
    failure = verdict.failure
    assert (failure.code, failure.scope) == ("plaintext_login_refused", Scope.PROFILE)
    assert (failure.lasting, failure.suspect) == (Lasting.PERMANENT, False)
    assert "`security: starttls`" in failure.remedy


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ConnectionLost(HOST, Phase.BODY, "gone"), Deferred("gone")),
        (ConnectionLost(HOST, Phase.AFTER_DOT, "gone"), OutcomeUnknown("gone")),
        (TimedOut(HOST, Phase.AFTER_DOT, "slow"), OutcomeUnknown("slow")),
        (ProtocolViolated(HOST, Phase.AFTER_DOT, "what"), OutcomeUnknown("what")),
        (TlsFailed(HOST, Phase.TLS, "old", TlsFailure.EXPIRED), Deferred("old")),
        (LoginRefused(HOST, "unspeakable"), Deferred("unspeakable")),
        (CommandRefused(HOST, Phase.HELLO, "no code"), Deferred("no code")),
    ],
)
def test_what_came_instead_of_a_reply_is_judged_by_its_phase(
    error: ServerError, verdict: object
) -> None:
    assert judge_delivery(HOST, Phase.MAIL, error) == verdict


def test_a_refusal_that_was_raised_is_judged_as_the_reply_it_was() -> None:
    refused = LoginRefused(HOST, "no", reply_code=535, enhanced="5.7.8")
    assert isinstance(judge_delivery(HOST, Phase.MAIL, refused), MailboxTrouble)
    too_large = CommandRefused(HOST, Phase.BODY, "large", reply_code=552, enhanced="5.3.4")
    assert isinstance(judge_delivery(HOST, Phase.MAIL, too_large), Refused)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.AFTER_DOT])
def test_yes_to_anything_but_the_dot_is_not_sent(phase: Phase) -> None:
    assert isinstance(judge_delivery(HOST, phase, reply("250 2.0.0 ok")), Deferred)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("code", [220, 250, 354])
def test_an_error_is_never_sent_whatever_its_reply_code(phase: Phase, code: int) -> None:
    error = CommandRefused(HOST, phase, "ok", reply_code=code)
    verdict = judge_delivery(HOST, phase, error)
    assert isinstance(verdict, OutcomeUnknown if phase is Phase.AFTER_DOT else Deferred)


@given(
    st.sampled_from([Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.AFTER_DOT]),
    st.integers(400, 499),
    st.sampled_from([None, "4.0.0", "5.1.1", "4.7.1"]),
    st.text(max_size=40),
)
def test_no_4yz_ever_fails_a_message(
    phase: Phase, code: int, enhanced: str | None, words: str
) -> None:
    verdict = judge_delivery(HOST, phase, SmtpReply(code, enhanced, words))
    assert isinstance(verdict, Deferred | MailboxTrouble)
