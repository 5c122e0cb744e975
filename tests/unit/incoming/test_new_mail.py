"""What is new comes from the ledger alone, and no doubt loses or doubles a message."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.incoming.new_mail import (
    FULL_EVERY,
    Choice,
    Look,
    choose_look,
    choose_new,
    count_copies,
    is_rekeyed,
    is_usable,
    name_by_top,
)
from syncd.model.mail import LedgerEntry, LedgerState, Listed, MaildropStatus, by_size
from syncd.model.poll import ListingMemory
from syncd.model.profile import BEGINNING

NOW = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
SOON = NOW + timedelta(minutes=5)
EARLIER = NOW - timedelta(minutes=5)

Seen = dict[str, list[LedgerEntry]]


def listing_of(*uids: str, octets: int = 1000) -> list[Listed]:
    return [Listed(number, uid, octets) for number, uid in enumerate(uids, start=1)]


def known(uid: str, state: LedgerState = LedgerState.TAKEN, **more: object) -> LedgerEntry:
    return LedgerEntry(uid=uid, state=state, **more)  # type: ignore[arg-type] # test shorthand


def choose(
    listing: Sequence[Listed],
    seen: Seen,
    not_before: datetime = BEGINNING,
    most_octets: int = 10_000,
) -> Choice:
    return choose_new(listing, seen, now=NOW, not_before=not_before, most_octets=most_octets)


def test_what_the_ledger_does_not_know_is_fetched_in_the_order_of_the_listing() -> None:
    a, b, c = listing_of("a", "b", "c")
    assert choose([a, b, c], {"b": [known("b")]}) == Choice(fetch=(a, c))


@pytest.mark.parametrize(
    "state", sorted(set(LedgerState) - {LedgerState.PENDING, LedgerState.FAILING})
)
def test_what_was_judged_is_never_judged_again(state: LedgerState) -> None:
    assert choose(listing_of("a"), {"a": [known("a", state)]}) == Choice()


def test_an_empty_listing_asks_for_nothing_and_forgets_nothing() -> None:
    assert choose([], {"a": [known("a")]}) == Choice()


def test_pending_mail_waits_for_its_judgement() -> None:
    a, b = listing_of("a", "b")
    assert choose([a, b], {"b": [known("b", LedgerState.PENDING)]}) == Choice(
        fetch=(a,), pending=(b,)
    )


def test_refused_mail_is_fetched_again_when_its_time_has_come() -> None:
    (a,) = listing_of("a")
    assert choose([a], {"a": [known("a", LedgerState.FAILING, next_try_at=EARLIER)]}).fetch == (
        a,
    )
    waits = choose([a], {"a": [known("a", LedgerState.FAILING, next_try_at=SOON)]})
    assert waits == Choice(retry_at=SOON)


def test_what_is_stored_and_should_be_gone_is_deleted_without_another_fetch() -> None:
    (a,) = listing_of("a")
    assert choose([a], {"a": [known("a", delete_pending=True)]}) == Choice(delete_again=(a,))


def test_a_refused_deletion_waits_for_its_next_try() -> None:
    entry = known("a", delete_pending=True, next_try_at=SOON)
    assert choose(listing_of("a"), {"a": [entry]}) == Choice(retry_at=SOON)


def test_the_first_of_several_next_tries_is_remembered() -> None:
    seen = {
        "a": [known("a", LedgerState.FAILING, next_try_at=SOON + timedelta(hours=1))],
        "b": [known("b", delete_pending=True, next_try_at=SOON)],
        "c": [known("c", LedgerState.QUARANTINED, next_try_at=EARLIER)],
    }
    assert choose(listing_of("a", "b", "c"), seen).retry_at == SOON


def test_two_messages_under_one_new_name_are_both_fetched_and_keyed_by_content() -> None:
    listing = listing_of("a", "a")
    choice = choose(listing, {})
    assert choice.fetch == tuple(listing)
    assert choice.ambiguous == {"a"}


def test_one_more_message_than_known_under_a_name_means_all_of_them_are_fetched() -> None:
    listing = listing_of("a", "a", "a")
    choice = choose(listing, {"a": [known("a", copies=2)]})
    assert choice.fetch == tuple(listing)
    assert choice.ambiguous == {"a"}


def test_as_many_messages_as_known_under_a_name_are_known() -> None:
    seen = {"a": [known("a", digest=b"1"), known("a", digest=b"2", copies=2)]}
    assert choose(listing_of("a", "a", "a"), seen) == Choice()


def test_a_second_message_under_the_name_of_a_skipped_one_is_judged_by_its_date_too() -> None:
    listing = listing_of("a", "a")
    choice = choose(listing, {"a": [known("a", LedgerState.SKIPPED)]})
    assert choice.fetch == ()
    assert choice.fetch_dated == tuple(listing)


def test_a_message_without_a_name_is_fetched_keyed_by_content_and_judged_by_its_date() -> None:
    (nameless,) = listing_of("")
    choice = choose([nameless], {})
    assert choice.fetch_dated == (nameless,)
    assert choice.ambiguous == {""}


def test_deletion_waits_until_every_message_of_a_name_may_go() -> None:
    seen = {"a": [known("a", digest=b"1", delete_pending=True), known("a", digest=b"2")]}
    assert choose(listing_of("a", "a"), seen) == Choice()


def test_a_name_whose_message_was_deleted_is_another_messages() -> None:
    (a,) = listing_of("a")
    assert choose([a], {"a": [known("a", deleted=True)]}).fetch == (a,)


def test_what_has_failed_comes_last_the_least_often_failed_first() -> None:
    a, b, c, d = listing_of("a", "b", "c", "d")
    seen = {
        "a": [known("a", LedgerState.FAILING, attempts=2, next_try_at=EARLIER)],
        "c": [known("c", LedgerState.FAILING, attempts=1)],
        "d": [known("d", LedgerState.PENDING, attempts=1)],
    }
    choice = choose([a, b, c, d], seen)
    assert (choice.fetch, choice.again, choice.again_dated) == ((b,), (c, a), (d,))


def test_messages_of_one_name_are_the_known_ones_only_by_number_size_and_for_a_day() -> None:
    def those(*octets: int, entered_at: datetime = EARLIER) -> Choice:
        entries = [
            known("a", digest=b"1", octets=100, entered_at=entered_at),
            known("a", digest=b"2", octets=200, entered_at=EARLIER),
        ]
        return choose([Listed(n, "a", size) for n, size in enumerate(octets)], {"a": entries})

    assert those(200, 100) == Choice()
    for other in (those(200, 101), those(200), those(100, 200, 200)):
        assert other.fetch
        assert other.ambiguous == {"a"}
    assert len(those(100, 200, entered_at=NOW - FULL_EVERY).fetch) == 2


def test_of_several_under_one_name_only_those_of_its_size_wait_with_one_that_failed() -> None:
    small, large = Listed(1, "a", 100), Listed(2, "a", 900)

    def those(state: LedgerState, next_try_at: datetime | None) -> Choice:
        failed = known("a", state, digest=by_size(900), attempts=1, next_try_at=next_try_at)
        return choose([small, large], {"a": [failed]})

    waits = those(LedgerState.FAILING, SOON)
    assert (waits.fetch, waits.again, waits.retry_at) == ((small,), (), SOON)
    assert those(LedgerState.FAILING, EARLIER).again == (large,)
    settled = those(LedgerState.SKIPPED, None)
    assert (settled.fetch, settled.again) == ((small,), ())


def test_of_several_that_failed_together_another_one_comes_first_each_time() -> None:
    listing = [Listed(1, "a", 100), Listed(2, "a", 100)]
    orders = []
    for attempts in (1, 2):
        failed = known("a", LedgerState.FAILING, digest=by_size(100), attempts=attempts)
        orders.append([one.number for one in choose(listing, {"a": [failed]}).again])
    assert orders == [[2, 1], [1, 2]]


def test_a_nameless_message_that_failed_is_still_judged_by_its_date() -> None:
    (nameless,) = listing_of("")
    failed = known("", LedgerState.FAILING, digest=by_size(1000), attempts=1)
    assert choose([nameless], {"": [failed]}).again_dated == (nameless,)


def test_a_message_above_the_limit_is_skipped_with_the_reason() -> None:
    (a,) = listing_of("a", octets=10_001)
    assert choose([a], {}) == Choice(skip=((a, "too large"),))


@pytest.mark.parametrize("octets", [0, -5, 2**64])
def test_a_size_that_cannot_be_true_is_not_believed(octets: int) -> None:
    (a,) = listing_of("a", octets=octets)
    assert choose([a], {}).fetch == (a,)


def test_a_large_message_that_is_known_is_not_skipped_again() -> None:
    assert choose(listing_of("a", octets=10_001), {"a": [known("a")]}) == Choice()


def test_before_the_day_from_which_mail_counts_everything_is_skipped() -> None:
    (a,) = listing_of("a")
    choice = choose([a], {}, not_before=SOON)
    assert choice == Choice(skip=((a, "before process_email_from"),))


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{n}" for n in range(count)]


def rekeyed(old_left: int, new: int, expected: int) -> bool:
    listing = listing_of(*names("old", old_left), *names("new", new))
    seen = {uid: [known(uid)] for uid in names("old", old_left)}
    return is_rekeyed(listing, seen, expected)


def test_a_mailbox_whose_messages_all_have_new_names_is_suspected() -> None:
    assert rekeyed(old_left=0, new=500, expected=500)
    assert rekeyed(old_left=0, new=10, expected=10)


def test_a_few_left_under_their_old_names_make_no_difference() -> None:
    assert rekeyed(old_left=20, new=480, expected=500)


@pytest.mark.parametrize(
    ("old_left", "new", "expected"),
    [
        (500, 400, 500),  # much new mail, nothing gone
        (250, 250, 500),  # half of it gone
        (0, 9, 9),  # too few to care
        (0, 40, 100),  # emptied by a phone, then some new mail
        (0, 0, 500),  # an empty listing says nothing
        (0, 50, 0),  # nothing was there before
        (30, 25, 80),  # more old than new
    ],
)
def test_an_ordinary_day_is_not_suspected(old_left: int, new: int, expected: int) -> None:
    assert not rekeyed(old_left, new, expected)


@pytest.mark.parametrize("uid", ["1", "AbC!~", "x" * 255, "grün\xff", "../../etc/passwd", "%"])
def test_a_name_is_used_whatever_it_looks_like(uid: str) -> None:
    assert is_usable(uid)


@pytest.mark.parametrize("uid", ["", "x" * 256, "a b", "a\x00", "\x7f", "top:1", "sha256:1"])
def test_what_cannot_be_a_name_or_is_one_of_ours_is_not_used(uid: str) -> None:
    assert not is_usable(uid)


def test_a_made_name_depends_on_header_and_size_and_is_none_that_a_server_may_use() -> None:
    name = name_by_top(b"Subject: a\r\n", 10)
    assert name == name_by_top(b"Subject: a\r\n", 10)
    assert name != name_by_top(b"Subject: a\r\n", 11)
    assert name != name_by_top(b"Subject: b\r\n", 10)
    assert not is_usable(name)


def memory(
    count: int = 3,
    octets: int = 300,
    last_uid: str | None = "c",
    full_at: datetime = EARLIER,
    retry_at: datetime | None = None,
    *,
    whole: bool = True,
) -> ListingMemory:
    return ListingMemory(
        epoch=1, identity="i", count=count, octets=octets, last_uid=last_uid,
        full_at=full_at, whole=whole, retry_at=retry_at,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("remembered", "count", "octets", "uid", "look"),
    [
        (memory(), 3, 300, "c", Look.NOTHING),
        (memory(), 5, 500, "c", Look.TAIL),
        (memory(retry_at=SOON), 3, 300, "c", Look.NOTHING),
        (memory(0, 0, None), 0, 0, None, Look.NOTHING),
        (memory(retry_at=NOW), 3, 300, "c", Look.WHOLE),
        (memory(), 203, 20_300, "c", Look.TAIL),
        (memory(), 204, 20_400, "c", Look.WHOLE),
        (memory(), 3, 301, "c", Look.WHOLE),
        (memory(), 3, 300, "d", Look.WHOLE),
        (memory(), 3, 300, None, Look.WHOLE),
        (memory(), 2, 200, "c", Look.WHOLE),
        (memory(), 0, 0, None, Look.WHOLE),
        (memory(last_uid=None), 3, 300, None, Look.WHOLE),
        (memory(0, 0, None), 1, 100, "a", Look.WHOLE),
        (memory(whole=False), 3, 300, "c", Look.WHOLE),
        (memory(full_at=NOW - FULL_EVERY), 3, 300, "c", Look.WHOLE),
        (None, 3, 300, "c", Look.WHOLE),
    ],
)
def test_the_short_way_is_taken_only_without_any_doubt(
    remembered: ListingMemory | None, count: int, octets: int, uid: str | None, look: Look
) -> None:
    assert choose_look(remembered, MaildropStatus(count, octets), uid, NOW) is look


def test_copies_are_counted_by_usable_name() -> None:
    assert count_copies(listing_of("a", "b", "a", "")) == {"a": 2, "b": 1}


uids = st.sampled_from(["a", "b", "c", "d", ""])
entries = st.builds(
    LedgerEntry,
    uid=st.just("?"),
    state=st.sampled_from(LedgerState),
    copies=st.integers(1, 3),
    next_try_at=st.sampled_from([None, EARLIER, SOON]),
    delete_pending=st.booleans(),
    deleted=st.booleans(),
    attempts=st.integers(0, 6),
    octets=st.sampled_from([None, 0, 500]),
    digest=st.sampled_from([b"", b"1", by_size(500)]),
    entered_at=st.sampled_from([None, EARLIER, NOW - FULL_EVERY]),
)


@given(
    st.lists(st.tuples(uids, st.sampled_from([0, 500, 20_000])), max_size=8),
    st.dictionaries(uids, st.lists(entries, min_size=1, max_size=3)),
    st.sampled_from([BEGINNING, SOON]),
)
def test_every_message_has_at_most_one_fate_and_strangers_always_have_one(
    rows: list[tuple[str, int]], seen: Seen, not_before: datetime
) -> None:
    listing = [Listed(n, uid, octets) for n, (uid, octets) in enumerate(rows, start=1)]
    choice = choose(listing, seen, not_before)
    skipped = tuple(listed for listed, _ in choice.skip)
    fated = [
        *choice.fetch, *choice.fetch_dated, *choice.pending, *skipped, *choice.delete_again,
        *choice.again, *choice.again_dated,
    ]  # fmt: skip
    assert len(fated) == len(set(fated))
    assert {listed for listed in listing if listed.uid not in seen} <= set(fated)
    for listed in choice.delete_again:
        assert all(entry.delete_pending for entry in seen[listed.uid] if not entry.deleted)
