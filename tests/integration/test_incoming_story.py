"""A poll from connect to quit, against the sandbox server and a real store."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.connections.seams import Fetched, Head, MailSource
from syncd.model.mail import Listed
from syncd.model.profile import BEGINNING
from syncd.sandbox.misbehaviour import Drop, Instead, Misbehaviour
from syncd.sandbox.witness import Service
from syncd.store import listings
from tests.support.incoming import NOON, HandClock, Inbox, dated, inbox_open
from tests.support.sandbox import letter


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    """A mailbox that wants everything there is."""
    async with inbox_open(tmp_path / "syncd.db") as inbox:
        yield inbox


def words(inbox: Inbox) -> list[str]:
    """What syncd said to the server since the last look."""
    assert inbox.sandbox is not None
    said = inbox.sandbox.journal.words(Service.POP3)
    inbox.sandbox.journal.lines.clear()
    return said


async def test_new_mail_comes_in_once_octet_for_octet(inbox: Inbox) -> None:
    letters = [letter(f"number {n}", f".\r\n..\r\n{n}\r\n") for n in range(5)]
    inbox.receive(*letters)
    outcome = await inbox.poll()
    assert outcome.failure is None
    assert (outcome.taken, outcome.octets) == (5, sum(map(len, letters)))
    assert inbox.stored() == letters
    assert inbox.events() == ["message.received"] * 5
    again = await inbox.poll()
    assert (again.taken, again.failure) == (0, None)
    assert inbox.stored() == letters


async def test_an_unchanged_poll_is_one_flight_after_the_login_and_writes_nothing(
    inbox: Inbox,
) -> None:
    inbox.receive(letter("a"), letter("b"))
    await inbox.poll()
    words(inbox)
    log = inbox.path.with_name(f"{inbox.path.name}-wal")
    before = log.stat()
    outcome = await inbox.poll()
    assert words(inbox)[-3:] == ["STAT", "UIDL", "QUIT"]
    assert (log.stat().st_size, log.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert outcome.memory == inbox.memory


async def test_mail_behind_the_last_known_message_is_listed_alone(inbox: Inbox) -> None:
    inbox.receive(letter("a"), letter("b"))
    await inbox.poll()
    words(inbox)
    inbox.receive(letter("c"), letter("d"))
    outcome = await inbox.poll()
    said = words(inbox)
    assert outcome.taken == 2
    assert said.count("UIDL") == said.count("LIST") + 1 == 3
    assert (await inbox.poll()).taken == 0
    assert words(inbox)[-3:] == ["STAT", "UIDL", "QUIT"]


async def test_the_whole_listing_is_read_once_a_day(inbox: Inbox) -> None:
    inbox.receive(letter("a"))
    await inbox.poll()
    words(inbox)
    await inbox.poll(timedelta(hours=24))
    assert words(inbox)[-5:] == ["STAT", "UIDL", "UIDL", "LIST", "QUIT"]


async def test_the_memory_survives_a_restart(inbox: Inbox) -> None:
    inbox.receive(letter("a"))
    await inbox.poll()
    loaded = await inbox.db.read(listings.load_all)
    assert loaded == {inbox.record.id: inbox.memory}


async def test_mail_deleted_by_somebody_else_is_not_missed_and_not_forgotten(
    inbox: Inbox,
) -> None:
    inbox.receive(letter("a"), letter("b"), letter("c"))
    await inbox.poll()
    inbox.drop.remove(inbox.drop.mails[:2])
    inbox.receive(letter("d"))
    assert (await inbox.poll()).taken == 1
    assert len(inbox.ledger()) == 4


async def test_an_empty_listing_forgets_nothing(inbox: Inbox) -> None:
    inbox.receive(letter("a"), letter("b"))
    await inbox.poll()
    mails = list(inbox.drop.mails)
    inbox.drop.remove(mails)
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.taken) == (None, 0)
    inbox.drop.mails.extend(mails)
    assert (await inbox.poll()).taken == 0
    assert len(inbox.stored()) == 2


async def test_a_large_message_comes_in_by_pieces(inbox: Inbox) -> None:
    large = letter("large", "0123456789abcde\r\n" * 200_000)
    inbox.receive(letter("before"), large, letter("after"))
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.taken) == (None, 3)
    assert sorted(inbox.stored()) == sorted([letter("before"), large, letter("after")])
    assert inbox.ask("SELECT count(*) FROM staged_body") == [(0,)]


async def test_the_same_bytes_twice_are_one_message_with_two_entries(inbox: Inbox) -> None:
    inbox.receive(letter("a"), letter("a"))
    large = letter("large", "0123456789abcde\r\n" * 40_000)
    inbox.receive(large)
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.duplicates) == (2, 1)
    inbox.receive(letter("a"), large)
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.duplicates) == (0, 2)
    assert inbox.stored() == [letter("a"), large]
    assert len(inbox.ledger()) == 5
    assert inbox.ask(
        "SELECT count(*) FROM body_chunk WHERE id >> 16 NOT IN (SELECT body_id FROM message)"
    ) == [(0,)]


# ---------------------------------------------------------------- what was there before


async def test_without_a_date_the_first_listing_is_left_alone_without_a_single_top(
    inbox: Inbox,
) -> None:
    inbox.wish_of_profile(process_email_from=None)
    inbox.receive(*(letter(f"old {n}") for n in range(50)))
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.skipped) == (0, 50)
    assert outcome.remark is not None
    assert "50 messages" in outcome.remark
    assert "syncd mailbox reset bob@sandbox.example --from DATE" in outcome.remark
    assert not {"TOP", "RETR"} & set(words(inbox))
    inbox.receive(letter("new"))
    later = await inbox.poll()
    assert (later.taken, later.remark) == (1, None)
    assert inbox.stored() == [letter("new")]


async def test_a_mailbox_that_began_empty_takes_what_comes(inbox: Inbox) -> None:
    inbox.wish_of_profile(process_email_from=None)
    assert (await inbox.poll()).remark is None
    inbox.receive(dated("late and old", NOON - timedelta(days=900)))
    assert (await inbox.poll()).taken == 1


async def test_dates_decide_about_mail_that_was_there_before(inbox: Inbox) -> None:
    limit = NOON - timedelta(days=30)
    inbox.wish_of_profile(process_email_from=limit)
    day = timedelta(days=1)
    wanted = [
        dated("new", limit + day),
        dated("at once", limit),
        letter("no date", date="soon"),
    ]
    by_date = dated("by date", limit + day, received=False)
    inbox.receive(
        dated("old", limit - day),
        *wanted,
        dated("old too", limit - day, received=False),
        by_date,
    )
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.skipped) == (4, 2)
    assert sorted(inbox.stored()) == sorted([*wanted, by_date])
    assert [e for e in inbox.ledger() if e[1] == "skipped"] == [
        ("00000001", "skipped", "before process_email_from"),
        ("00000005", "skipped", "before process_email_from"),
    ]
    inbox.receive(dated("old but late", limit - day))
    assert (await inbox.poll()).taken == 1


async def test_the_later_of_the_profiles_and_the_mailboxs_date_counts(inbox: Inbox) -> None:
    inbox.wish_of_profile(process_email_from=BEGINNING)
    inbox.wish(process_email_from=NOON - timedelta(days=1))
    inbox.receive(dated("old", NOON - timedelta(days=2)))
    assert (await inbox.poll()).skipped == 1


async def test_until_a_date_in_the_future_has_come_everything_is_skipped(inbox: Inbox) -> None:
    inbox.wish_of_profile(process_email_from=NOON + timedelta(hours=1))
    inbox.receive(letter("first"))
    assert (await inbox.poll()).skipped == 1
    inbox.receive(letter("second"))
    assert (await inbox.poll()).skipped == 1
    inbox.receive(letter("third"))
    assert (await inbox.poll(timedelta(hours=1))).taken == 1
    assert inbox.stored() == [letter("third")]


class SlowSource:
    """A real source whose every TOP and RETR takes its time on the test's clock."""

    def __init__(self, source: MailSource, clock: HandClock, each: timedelta) -> None:
        self._source = source
        self._clock = clock
        self._each = each

    def __getattr__(self, name: str) -> Any:  # whatever a source can do besides
        return getattr(self._source, name)

    async def heads(self, wanted: Sequence[Listed]) -> AsyncIterator[list[Head]]:
        """Read heads, slowly."""
        async for heads in self._source.heads(wanted):
            self._clock.forward(self._each * len(heads))
            yield heads

    async def fetch(self, wanted: Sequence[Listed]) -> AsyncIterator[list[Fetched]]:
        """Fetch, slowly."""
        async for fetched in self._source.fetch(wanted):
            self._clock.forward(self._each * len(fetched))
            yield fetched


def slow_down(inbox: Inbox, each: timedelta) -> None:
    """Let every message take its time."""
    inbox.wrap = lambda source: SlowSource(source, inbox.clock, each)


async def test_row_79_a_backlog_is_read_in_slices_that_end_with_the_interval(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.incoming.slices.FIRST_SLICE", 10)
    inbox.wish_of_profile(process_email_from=NOON - timedelta(days=30))
    letters = [dated(f"number {n}", NOON - timedelta(days=60 - n)) for n in range(60)]
    inbox.receive(*letters)
    slow_down(inbox, timedelta(seconds=5))  # 10 and 20 messages: 5 minutes are over
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.more) == (None, True)
    assert outcome.taken + outcome.skipped == 30
    assert inbox.stored() == [*letters[50:], *letters[30:50]]
    live = dated("live", inbox.clock.now())
    inbox.receive(live)
    words(inbox)
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.more) == (None, False)
    assert (outcome.taken, outcome.skipped) == (1, 30)
    said = words(inbox)
    assert said.index("RETR") < said.index("TOP"), "live mail goes first"
    assert inbox.stored()[-1] == live
    assert list(outcome.latencies) == [timedelta(minutes=5, seconds=5)]
    assert (await inbox.poll()).taken == 0
    assert words(inbox)[-3:] == ["STAT", "UIDL", "QUIT"]


async def test_row_79_everything_at_once_is_also_taken_in_slices_newest_first(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.incoming.slices.FIRST_SLICE", 10)
    letters = [letter(f"number {n}") for n in range(40)]
    inbox.receive(*letters)
    slow_down(inbox, timedelta(seconds=31))
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.more) == (10, True)
    assert inbox.stored() == letters[30:]
    inbox.receive(letter("live"))
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.more) == (10, True)
    assert inbox.stored()[-1] == letter("live")
    while outcome.more:
        outcome = await inbox.poll()
    assert sorted(inbox.stored()) == sorted([*letters, letter("live")])


async def test_a_backlog_that_breaks_off_goes_on_where_it_was(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.incoming.slices.FIRST_SLICE", 4)
    inbox.wish_of_profile(process_email_from=NOON - timedelta(days=30))
    letters = [dated(f"number {n}", NOON - timedelta(days=2)) for n in range(12)]
    inbox.receive(*letters)
    assert inbox.sandbox is not None
    inbox.sandbox.misbehave(Misbehaviour(on="TOP", act=Drop(), argument="6"))
    outcome = await inbox.poll()
    assert outcome.failure is not None
    assert outcome.taken == 4
    inbox.sandbox.behave()
    assert (await inbox.poll()).taken == 8
    assert sorted(inbox.stored()) == sorted(letters)


async def test_a_message_whose_top_is_refused_is_judged_by_its_own_headers(
    inbox: Inbox,
) -> None:
    assert inbox.sandbox is not None
    inbox.sandbox.misbehave(Misbehaviour(on="TOP", act=Instead("-ERR not today")))
    inbox.wish_of_profile(process_email_from=NOON - timedelta(days=30))
    inbox.receive(dated("old", NOON - timedelta(days=31)), dated("new", NOON))
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.skipped) == (1, 1)
    assert inbox.stored() == [dated("new", NOON)]
    assert (await inbox.poll()).taken == 0


# ---------------------------------------------------------------- deleting


async def test_a_queue_deletes_what_is_in_the_store_and_nothing_else(inbox: Inbox) -> None:
    assert inbox.sandbox is not None
    inbox.become_queue()
    loop = letter("loop", x_syncd_loop="bob@sandbox.example")
    inbox.receive(letter("a"), loop, letter("b"), letter("a"))
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.filtered, outcome.duplicates, outcome.deleted) == (
        2,
        1,
        1,
        3,
    )
    assert [mail.body for mail in inbox.drop.mails] == [loop]
    assert inbox.stored("filtered") == [loop]
    assert inbox.events() == ["message.received", "message.filtered", "message.received"]
    assert inbox.ask("SELECT count(*) FROM ledger WHERE delete_pending = 1") == [(0,)]
    await inbox.poll()
    assert words(inbox)[-3:] == ["STAT", "UIDL", "QUIT"]


async def test_a_user_keeps_everything_on_the_server(inbox: Inbox) -> None:
    inbox.wish(delete_after_processing=True)
    inbox.receive(letter("a"))
    await inbox.poll()
    assert len(inbox.drop.mails) == 1


async def test_switching_deletion_on_does_not_touch_what_was_taken_before(inbox: Inbox) -> None:
    inbox.become_queue(deletes=False)
    inbox.receive(letter("a"))
    await inbox.poll()
    inbox.become_queue(deletes=True)
    inbox.receive(letter("b"))
    await inbox.poll()
    assert [mail.body for mail in inbox.drop.mails] == [letter("a")]
