"""Transient or permanent, whose trouble it is, and when the next try comes."""

import inspect
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd import errors
from syncd.errors import CommandRefused, LoginRefused, Phase, SyncdError, TlsFailed, TlsFailure
from syncd.mailboxes.health import Retry, Stop, classify, judge_failure
from syncd.model.failure import Failure, FailureHistory, Lasting, Scope

NOW = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
FIVE_MINUTES = timedelta(minutes=5)
HOUR = timedelta(hours=1)
PLACE = "pop3.contoso.com:995"

KNOWN_ERRORS = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, SyncdError)
]


def example_of(kind: type[SyncdError]) -> SyncdError:
    if kind is LoginRefused:
        return LoginRefused(PLACE, "no")
    if kind is TlsFailed:
        return TlsFailed(PLACE, Phase.TLS, "no", TlsFailure.EXPIRED)
    if kind is errors.WrongProtocol:
        return errors.WrongProtocol(PLACE, "220 mx", "an SMTP server")
    if kind is errors.Refused:
        return errors.Refused("subject", "too long")
    if issubclass(kind, errors.ServerError):
        return kind(PLACE, Phase.LIST, "no")
    return kind("no")


@pytest.mark.parametrize("kind", KNOWN_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_syncd_has_a_cause_and_a_remedy(kind: type[SyncdError]) -> None:
    failure = classify(example_of(kind))
    assert failure.code
    assert failure.cause.endswith(".")
    assert failure.remedy.endswith(".")
    assert failure.words


@pytest.mark.parametrize("error", [RuntimeError("boom"), SyncdError("boom"), KeyError("boom")])
def test_an_unknown_error_is_transient(error: Exception) -> None:
    failure = classify(error)
    assert (failure.code, failure.lasting) == ("unexpected", Lasting.TRANSIENT)


def test_a_class_that_is_added_later_means_what_its_parent_means() -> None:
    class OutOfInk(errors.ConnectionLost):
        pass

    assert classify(OutOfInk(PLACE, Phase.FETCH, "x")).code == "connection_lost"


def test_the_servers_own_words_and_place_are_kept() -> None:
    failure = classify(errors.ConnectionLost(PLACE, Phase.FETCH, "reset by peer"))
    assert (failure.server, failure.phase, failure.words) == (PLACE, "fetch", "reset by peer")


@pytest.mark.parametrize("kind", TlsFailure)
def test_each_trouble_with_tls_has_a_code_of_its_own_and_stops_no_mailbox(
    kind: TlsFailure,
) -> None:
    failure = classify(TlsFailed(PLACE, Phase.TLS, "no", kind))
    assert failure.code == f"tls_{kind}"
    assert failure.scope in {Scope.SERVER, Scope.PROFILE}


@pytest.mark.parametrize(
    ("error", "code", "lasting", "scope"),
    [
        (errors.Unreachable(PLACE, Phase.CONNECT, "x"), "unreachable", "transient", "server"),
        (errors.TimedOut(PLACE, Phase.GREETING, "x"), "timed_out", "transient", "server"),
        (errors.TimedOut(PLACE, Phase.FETCH, "x"), "timed_out", "transient", "mailbox"),
        (errors.LimitExceeded(PLACE, Phase.FETCH, "x"), "message_too_large", "transient", "message"),
        (errors.LimitExceeded(PLACE, Phase.LIST, "x"), "limit_exceeded", "transient", "mailbox"),
        (errors.TlsNotOffered(PLACE, Phase.STARTTLS, "x"), "starttls_not_offered", "permanent", "server"),
        (errors.StoreFull("x"), "store_full", "transient", "store"),
        (errors.TermLost("x"), "term_lost", "transient", "store"),
        (errors.SecretUnreadable("x"), "needs_credentials", "permanent", "mailbox"),
        (CommandRefused(PLACE, Phase.LIST, "x"), "command_refused", "transient", "mailbox"),
        (CommandRefused(PLACE, Phase.GREETING, "too many connections"), "too_many_connections", "transient", "server"),
        (LoginRefused(PLACE, "x", response_code="IN-USE"), "maildrop_locked", "transient", "mailbox"),
        (LoginRefused(PLACE, "POP3 is disabled"), "pop3_disabled", "permanent", "mailbox"),
        (LoginRefused(PLACE, "x", response_code="AUTH"), "login_refused", "permanent", "mailbox"),
        (LoginRefused(PLACE, "Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", response_code="AUTH"), "plaintext_login_refused", "permanent", "profile"),
        (errors.NoGreeting(PLACE, Phase.GREETING, "x"), "no_greeting", "transient", "server"),
        (errors.WrongProtocol(PLACE, "220 mx", "an SMTP server"), "wrong_protocol", "permanent", "profile"),
        # SMTP, as the dispatcher's sessions meet them
        (LoginRefused(PLACE, "x", reply_code=535), "login_refused", "permanent", "mailbox"),
        (LoginRefused(PLACE, "x", reply_code=454), "login_check_unavailable", "transient", "mailbox"),
        (LoginRefused(PLACE, "x", reply_code=500), "login_refused", "permanent", "mailbox"),
        (LoginRefused(PLACE, "x", reply_code=421), "command_refused", "transient", "mailbox"),
        (LoginRefused(PLACE, "x", reply_code=550, enhanced="5.7.30"), "login_forbidden", "permanent", "mailbox"),
        (LoginRefused(PLACE, "x", reply_code=538), "plaintext_login_refused", "permanent", "profile"),
        (CommandRefused(PLACE, Phase.HELLO, "x", reply_code=421), "command_refused", "transient", "server"),
        (CommandRefused(PLACE, Phase.MAIL, "x", reply_code=550), "command_refused", "transient", "mailbox"),
        (CommandRefused(PLACE, Phase.MAIL, "x", reply_code=550, enhanced="5.4.5"), "sending_limit", "transient", "mailbox"),
    ],
)  # fmt: skip
def test_errors_have_their_place_on_both_axes(
    error: SyncdError, code: str, lasting: str, scope: str
) -> None:
    failure = classify(error)
    assert (failure.code, failure.lasting, failure.scope) == (code, lasting, scope)


def test_a_server_of_another_kind_is_named() -> None:
    failure = classify(errors.WrongProtocol(PLACE, "220 mx ESMTP", "an SMTP server"))
    assert (failure.cause, failure.words) == ("This is an SMTP server.", "220 mx ESMTP")


def test_a_login_that_is_refused_in_clear_is_no_wrong_password() -> None:
    words = "Plaintext authentication disallowed on non-secure (SSL/TLS) connections."
    for error in (LoginRefused(PLACE, words), LoginRefused(PLACE, "x", reply_code=538)):
        failure = classify(error)
        assert not failure.suspect
        assert "`security: tls`" in failure.remedy
        assert "`security: starttls`" in failure.remedy


def test_what_speaks_no_tls_is_told_to_be_used_with_starttls() -> None:
    failure = classify(TlsFailed(PLACE, Phase.TLS, "x", TlsFailure.NOT_TLS))
    assert "`security: starttls`" in failure.remedy


def test_a_refused_login_is_first_of_all_suspect() -> None:
    assert classify(LoginRefused(PLACE, "Authentication failed.")).suspect
    assert classify(LoginRefused(PLACE, "x", reply_code=535)).suspect
    assert not classify(LoginRefused(PLACE, "POP3 is disabled")).suspect


# ---------------------------------------------------------------- what follows


def failure(
    code: str = "x",
    lasting: Lasting = Lasting.TRANSIENT,
    scope: Scope = Scope.MAILBOX,
    *,
    suspect: bool = False,
) -> Failure:
    return Failure(
        code=code, lasting=lasting, scope=scope, server=None, phase=None, words="",
        cause="Cause.", remedy="Remedy.", suspect=suspect,
    )  # fmt: skip


def judge(
    what: Failure,
    history: FailureHistory | None = None,
    interval: timedelta = FIVE_MINUTES,
    dice: float = 0.0,
) -> Retry | Stop:
    return judge_failure(what, history or FailureHistory(), interval, NOW, dice)


def wait(
    what: Failure,
    history: FailureHistory | None = None,
    interval: timedelta = FIVE_MINUTES,
    dice: float = 0.0,
) -> timedelta:
    verdict = judge(what, history, interval, dice)
    assert isinstance(verdict, Retry)
    return verdict.at - NOW


SUSPECT = failure("login_refused", Lasting.PERMANENT, suspect=True)
PERMANENT = failure("pop3_disabled", Lasting.PERMANENT)


def refused(times: int, ago: timedelta) -> FailureHistory:
    return FailureHistory(
        consecutive=times, refused_logins=times, first_refused_at=NOW - ago if times else None
    )


def test_what_is_surely_about_this_mailbox_stops_it_at_once() -> None:
    assert judge(PERMANENT) == Stop("Cause.", "Remedy.")


def test_a_suspect_login_is_tried_after_1_4_and_16_intervals() -> None:
    interval = timedelta(minutes=20)
    assert wait(SUSPECT, refused(0, HOUR), interval) == interval
    assert wait(SUSPECT, refused(1, interval), interval) == 4 * interval
    assert wait(SUSPECT, refused(2, timedelta(minutes=40)), interval) == 16 * interval


def test_a_suspect_login_is_never_tried_sooner_than_after_15_minutes() -> None:
    assert wait(SUSPECT, interval=timedelta(0)) == timedelta(minutes=15)


def test_a_suspect_login_stops_after_three_refusals_over_at_least_an_hour() -> None:
    assert isinstance(judge(SUSPECT, refused(2, HOUR - timedelta(seconds=1))), Retry)
    assert judge(SUSPECT, refused(2, HOUR)) == Stop("Cause.", "Remedy.")
    assert isinstance(judge(SUSPECT, refused(1, timedelta(days=9))), Retry)


def test_a_wrong_password_is_never_offered_more_than_three_times_an_hour() -> None:
    for minutes in (0, 1, 5, 15, 60):
        logins, at = [timedelta(0)], timedelta(0)
        for times in range(2):
            at += wait(SUSPECT, refused(times, at), timedelta(minutes=minutes))
            logins.append(at)
        verdict = judge(SUSPECT, refused(2, at), timedelta(minutes=minutes))
        again = isinstance(verdict, Retry) and verdict.at - NOW + at < HOUR
        assert not again
        assert sum(login < HOUR for login in logins) <= 3


def test_with_a_day_long_interval_a_suspect_login_is_tried_daily() -> None:
    day = timedelta(days=1)
    assert wait(SUSPECT, refused(2, HOUR / 2), day) == day


def test_trouble_of_a_server_stops_nobody_and_is_told_at_once_if_waiting_cannot_mend_it() -> (
    None
):
    expired = failure("tls_expired", Lasting.PERMANENT, Scope.SERVER)
    verdict = judge(expired, FailureHistory(consecutive=99))
    assert verdict == Retry(NOW + timedelta(minutes=15), alert=True)


def test_transient_failures_are_retried_ever_more_slowly_up_to_an_hour() -> None:
    waits = [wait(failure(), FailureHistory(consecutive=n)) for n in range(6)]
    assert waits == [timedelta(minutes=m) for m in (5, 10, 20, 40, 60, 60)]


def test_a_long_interval_is_never_shortened() -> None:
    assert wait(failure(), FailureHistory(consecutive=9), timedelta(hours=24)) == timedelta(
        days=1
    )


def test_mailboxes_that_failed_together_part_ways() -> None:
    assert wait(failure(), dice=0.999) > wait(failure(), dice=0.1) > wait(failure())


def test_a_locked_maildrop_is_tried_at_the_next_interval_however_often() -> None:
    locked = failure("maildrop_locked")
    assert wait(locked, FailureHistory(consecutive=50)) == FIVE_MINUTES


@pytest.mark.parametrize("scope", [Scope.MESSAGE, Scope.STORE])
def test_trouble_of_a_message_or_of_the_store_does_not_slow_a_mailbox_down(
    scope: Scope,
) -> None:
    assert wait(failure(scope=scope), FailureHistory(consecutive=9)) == FIVE_MINUTES


def alerts(what: Failure, consecutive: int, success_ago: timedelta | None) -> bool:
    since = None if success_ago is None else NOW - success_ago
    verdict = judge(what, FailureHistory(consecutive=consecutive, last_success_at=since))
    assert isinstance(verdict, Retry)
    return verdict.alert


def test_a_transient_failure_is_told_only_when_it_has_lasted() -> None:
    assert not alerts(failure(), 0, timedelta(hours=9))
    assert not alerts(failure(), 9, timedelta(minutes=29))
    assert alerts(failure(), 2, timedelta(minutes=30))
    assert alerts(failure(), 2, None)


def test_a_locked_maildrop_is_told_after_a_day_only() -> None:
    assert not alerts(failure("maildrop_locked"), 99, timedelta(hours=23))
    assert alerts(failure("maildrop_locked"), 99, timedelta(hours=24))


def test_a_message_put_aside_is_no_alert_of_the_mailbox() -> None:
    assert not alerts(failure(lasting=Lasting.PERMANENT, scope=Scope.MESSAGE), 99, None)


@given(
    st.sampled_from(Lasting),
    st.sampled_from(Scope),
    st.booleans(),
    st.integers(0, 10**6),
    st.integers(0, 5),
    st.timedeltas(timedelta(0), timedelta(days=900)),
    st.timedeltas(timedelta(0), timedelta(hours=24)),
    st.floats(0, 1, exclude_max=True),
)
def test_nothing_is_tried_sooner_than_its_interval_nor_put_off_for_good(
    lasting: Lasting,
    scope: Scope,
    suspect: bool,
    consecutive: int,
    refusals: int,
    ago: timedelta,
    interval: timedelta,
    dice: float,
) -> None:
    history = FailureHistory(
        consecutive=consecutive, refused_logins=refusals, first_refused_at=NOW - ago
    )
    match judge(failure("x", lasting, scope, suspect=suspect), history, interval, dice):
        case Retry(at=at):
            assert NOW + interval <= at <= NOW + timedelta(days=2)
        case Stop(why=why):
            assert why
