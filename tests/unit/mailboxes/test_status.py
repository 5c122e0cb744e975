"""What a poll does to a mailbox's status, and what the wall is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from syncd.errors import (
    LimitExceeded,
    LoginRefused,
    Phase,
    StoreFull,
    SyncdError,
    TlsFailed,
    TlsFailure,
    Unreachable,
)
from syncd.mailboxes.health import classify
from syncd.mailboxes.status import (
    PROBE_EVERY,
    PROBE_EVERY_LATER,
    PROBE_SLOWER_AFTER,
    Place,
    Recorded,
    record_poll,
    record_success,
)
from syncd.model.direction import DirectionRecord
from syncd.model.mailbox import Direction, MailboxId, TestStatus
from syncd.model.poll import PollOutcome

NOW = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
SOON = NOW + timedelta(minutes=5)
SERVER = "pop3.contoso.com:995"
PLACE = Place(
    address="ann@contoso.com",
    server=SERVER,
    profile="contoso",
    interval=timedelta(minutes=5),
)
EVERY_OBJECT = ("mailbox:7:incoming", f"server:{SERVER}", "profile:contoso:incoming")
NEW = DirectionRecord(mailbox_id=MailboxId(7), direction=Direction.INCOMING)


def poll(
    record: DirectionRecord, error: SyncdError | None = None, now: datetime = NOW, **counts: int
) -> Recorded:
    outcome = PollOutcome(
        started_at=now,
        duration=timedelta(seconds=2),
        failure=classify(error) if error else None,
        **counts,  # type: ignore[arg-type] # the counters, all of them int
    )
    return record_poll(
        record, outcome, PLACE, next_at=now + timedelta(minutes=5), now=now, dice=0
    )


WORKING = poll(NEW, taken=3).record
REFUSED = LoginRefused(SERVER, "Authentication failed.")
GONE = Unreachable(SERVER, Phase.CONNECT, "refused")


def test_the_first_success_is_the_test_and_enables() -> None:
    assert WORKING.enabled
    assert (WORKING.status, WORKING.status_at) == (TestStatus.SUCCESS, NOW)
    assert (WORKING.taken_total, WORKING.last_success_at, WORKING.next_at) == (3, NOW, SOON)


def test_a_later_success_changes_times_and_totals_only() -> None:
    later = poll(WORKING, now=SOON, taken=2, quarantined=1)
    assert (later.opened, later.resolved) == ((), ())
    assert later.record == replace(
        WORKING,
        last_started_at=SOON,
        last_success_at=SOON,
        next_at=SOON + timedelta(minutes=5),
        taken_total=5,
        failed_total=1,
    )


def test_a_transient_failure_is_remembered_without_an_alert() -> None:
    recorded = poll(WORKING, GONE)
    assert recorded.opened == ()
    assert recorded.record.enabled
    assert recorded.record.consecutive_failures == 1
    assert recorded.record.last_error is not None
    assert (recorded.record.last_error.code, recorded.record.last_error.level) == (
        "unreachable",
        "warning",
    )
    assert recorded.record.postponed_until == recorded.record.next_at == SOON


def test_a_failure_that_lasts_is_put_on_the_wall() -> None:
    record, now = WORKING, NOW
    opened = []
    for _ in range(4):
        now += timedelta(minutes=15)
        recorded = poll(record, GONE, now)
        record = recorded.record
        opened.append([alert.object for alert in recorded.opened])
    assert opened == [[], [], [f"server:{SERVER}"], [f"server:{SERVER}"]]


def test_a_success_after_failures_resolves_what_was_said_of_mailbox_and_server() -> None:
    recorded = poll(poll(WORKING, GONE).record, now=SOON)
    assert recorded.resolved == EVERY_OBJECT
    assert recorded.record.last_error is None
    assert recorded.record.consecutive_failures == 0
    assert recorded.record.postponed_until is None


def test_refused_logins_are_counted_apart_and_stop_the_direction_in_the_end() -> None:
    record, now = WORKING, NOW
    recorded = poll(record, REFUSED, now)
    while recorded.record.stopped_at is None:
        assert recorded.opened == ()
        assert recorded.record.next_at is not None
        now = recorded.record.next_at
        recorded = poll(recorded.record, REFUSED, now)
    stopped = recorded.record
    assert not stopped.enabled
    assert (stopped.status, stopped.status_at) == (TestStatus.FAILURE, now)
    assert stopped.refused_logins == 4
    assert stopped.first_refused_at == NOW
    (alert,) = recorded.opened
    assert (alert.code, alert.object) == ("login_refused", "mailbox:7:incoming")
    assert now - NOW >= timedelta(hours=1)
    assert poll(stopped, now=now).record.refused_logins == 0


def test_other_failures_between_two_refused_logins_do_not_count_as_one() -> None:
    refused = poll(WORKING, REFUSED).record
    assert refused.next_at is not None
    record = poll(refused, GONE, refused.next_at).record
    assert (record.refused_logins, record.consecutive_failures) == (1, 2)
    assert record.first_refused_at == NOW


def test_a_message_put_aside_is_no_failure_of_the_mailbox() -> None:
    recorded = poll(WORKING, LimitExceeded(SERVER, Phase.FETCH, "too large"), SOON)
    assert recorded.record.last_error is None
    assert recorded.record.last_success_at == SOON


def test_trouble_of_the_store_stops_no_mailbox() -> None:
    recorded = poll(WORKING, StoreFull("full"))
    assert recorded.record.enabled
    assert recorded.record.next_at == SOON


def test_a_full_disk_is_told_at_once_and_its_alert_ends_with_the_first_success() -> None:
    recorded = poll(WORKING, StoreFull("full"))
    assert [(alert.code, alert.object) for alert in recorded.opened] == [
        ("store_full", "store")
    ]
    assert "store" in poll(recorded.record).resolved


def stopped() -> DirectionRecord:
    recorded = poll(WORKING, LoginRefused(SERVER, "POP3 is disabled"))
    assert recorded.record.stopped_at == NOW
    assert recorded.record.next_at == recorded.record.postponed_until == NOW + PROBE_EVERY
    return recorded.record


def test_a_probe_of_what_has_stopped_does_not_begin_the_stop_anew() -> None:
    later = poll(stopped(), LoginRefused(SERVER, "POP3 is disabled"), SOON).record
    assert (later.status_at, later.stopped_at) == (NOW, NOW)
    assert later.next_at == SOON + PROBE_EVERY


def test_a_probe_that_meets_other_trouble_does_not_make_the_probes_faster() -> None:
    recorded = poll(stopped(), GONE, SOON)
    assert recorded.opened == ()
    assert not recorded.record.enabled
    assert recorded.record.status_at == recorded.record.stopped_at == NOW
    assert recorded.record.next_at == SOON + PROBE_EVERY


def test_what_has_been_stopped_for_a_day_is_probed_once_a_day() -> None:
    late = NOW + PROBE_SLOWER_AFTER
    assert poll(stopped(), GONE, late).record.next_at == late + PROBE_EVERY_LATER


def test_a_first_connection_that_fails_is_a_failed_test_and_goes_on_being_tried() -> None:
    new = DirectionRecord(mailbox_id=MailboxId(7), direction=Direction.INCOMING)
    first = poll(new, GONE).record
    assert (first.status, first.status_at, first.stopped_at) == (TestStatus.FAILURE, NOW, None)
    assert first.status_text
    assert poll(first, GONE, SOON).record.postponed_until is not None


def test_a_probe_that_succeeds_enables_again() -> None:
    recorded = poll(stopped(), now=SOON)
    assert recorded.record.enabled
    assert (recorded.record.status, recorded.record.status_at) == (TestStatus.SUCCESS, SOON)
    assert recorded.record.stopped_at is None
    assert recorded.resolved == EVERY_OBJECT


def test_what_the_profile_can_set_right_is_told_of_the_profile() -> None:
    strange = TlsFailed(SERVER, Phase.TLS, "unknown", TlsFailure.UNKNOWN_AUTHORITY)
    (alert,) = poll(WORKING, strange).opened
    assert alert.object == "profile:contoso:incoming"
    assert alert.text.startswith("Incoming mail of profile contoso does not move (seen by ann@")


def test_a_place_without_server_and_profile_resolves_what_was_said_of_the_mailbox() -> None:
    nowhere = replace(PLACE, server=None, profile=None)
    failed = poll(WORKING, GONE).record
    recorded = record_success(failed, nowhere, next_at=None, now=SOON)
    assert recorded.resolved == ("mailbox:7:incoming",)


def test_failing_by_hand_before_the_planned_try_does_not_lengthen_the_back_off() -> None:
    record = poll(poll(WORKING, GONE).record, GONE, SOON).record
    planned = SOON + timedelta(minutes=10)
    assert (record.consecutive_failures, record.next_at) == (2, planned)
    for second in range(1, 5):
        record = poll(record, GONE, SOON + timedelta(seconds=second)).record
    assert (record.consecutive_failures, record.next_at) == (2, planned)
    assert poll(record, GONE, planned).record.consecutive_failures == 3


def test_failing_by_hand_does_not_bring_the_planned_try_nearer_than_the_interval() -> None:
    record = poll(WORKING, GONE).record
    late = SOON - timedelta(seconds=30)
    assert poll(record, GONE, late).record.next_at == late + timedelta(minutes=5)


def test_a_try_that_a_clock_makes_a_little_early_is_the_planned_one() -> None:
    record = poll(WORKING, GONE).record
    early = poll(record, GONE, SOON - timedelta(seconds=1)).record
    assert early.consecutive_failures == 2


def test_logins_refused_by_hand_count_and_never_bring_the_next_one_nearer() -> None:
    record = poll(WORKING, REFUSED).record
    first = record.next_at
    assert first is not None
    by_hand = poll(record, REFUSED, NOW + timedelta(minutes=1)).record
    assert (by_hand.refused_logins, by_hand.consecutive_failures) == (2, 1)
    assert by_hand.next_at == NOW + timedelta(minutes=21)
    gone = poll(by_hand, GONE, NOW + timedelta(minutes=2)).record
    assert gone.next_at == by_hand.next_at, "other trouble does not hasten a suspect login"
    others = (poll(gone, REFUSED, NOW + timedelta(minutes=n)).record for n in range(3, 9))
    assert all(one.next_at is not None and one.next_at > first for one in others)


def test_what_the_first_poll_left_alone_stays_to_be_read() -> None:
    left = PollOutcome(
        started_at=NOW, duration=timedelta(0), skipped=50, remark="50 messages are left alone."
    )
    first = record_poll(NEW, left, PLACE, next_at=SOON, now=NOW, dice=0).record
    assert (first.status, first.status_text) == (TestStatus.SUCCESS, left.remark)
    later = poll(first, now=SOON).record
    assert later.status_text == left.remark
    failed_once = poll(poll(later, GONE, SOON).record, now=SOON)
    assert failed_once.record.status_text == left.remark
    stopped_once = poll(poll(later, LoginRefused(SERVER, "POP3 is disabled")).record)
    assert stopped_once.record.status_text is None


def test_what_a_server_refuses_for_now_is_no_finding_of_the_test() -> None:
    refused = PollOutcome(
        started_at=NOW, duration=timedelta(0), refused=1, remark="1 refused by the server"
    )
    recorded = record_poll(NEW, refused, PLACE, next_at=SOON, now=NOW, dice=0)
    assert recorded.record.status_text is None
