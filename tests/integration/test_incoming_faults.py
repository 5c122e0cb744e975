"""What goes wrong between a server and the store, and that nothing is lost or doubled by it.

The oracle stands outside: what the sandbox was given and deleted, against what the store's file
holds. Numbers are the rows of the project's fault matrix.
"""

import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from syncd.connections.pop3 import SourceLimits
from syncd.errors import StoreBroken, StoreBusy, StoreError, StoreFull
from syncd.incoming import quarantine
from syncd.model.failure import Lasting, Scope
from syncd.model.mailbox import MailboxId
from syncd.sandbox.misbehaviour import Act, Cut, Drop, Hide, Instead, ListAs, Misbehaviour
from syncd.sandbox.witness import Service
from syncd.store import mailboxes
from syncd.store.database import Database, Reader, StoreHealth, Transaction
from tests.support.incoming import NOON, Inbox, dated, inbox_open
from tests.support.sandbox import letter

T = TypeVar("T")


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    """A mailbox that wants everything there is."""
    async with inbox_open(tmp_path / "syncd.db") as inbox:
        yield inbox


def misbehave(inbox: Inbox, on: str, act: Act, **how: object) -> None:
    """Let the server misbehave at a command."""
    assert inbox.sandbox is not None
    inbox.sandbox.misbehave(Misbehaviour(on=on, act=act, **how))  # type: ignore[arg-type] # test shorthand


def behave(inbox: Inbox) -> None:
    """Let the server behave again."""
    assert inbox.sandbox is not None
    inbox.sandbox.behave()


def said(inbox: Inbox) -> list[str]:
    """What syncd said to the server since the last look."""
    assert inbox.sandbox is not None
    words = inbox.sandbox.journal.words(Service.POP3)
    inbox.sandbox.journal.lines.clear()
    return words


def deposited(inbox: Inbox) -> list[bytes]:
    """Every message that ever came to the server."""
    assert inbox.sandbox is not None
    return [entry.mail.body for entry in inbox.sandbox.journal.deposits]


def deleted(inbox: Inbox) -> list[bytes]:
    """Every message that the server has deleted."""
    assert inbox.sandbox is not None
    return [entry.mail.body for entry in inbox.sandbox.journal.deletions]


def balances(inbox: Inbox) -> bool:
    """Whether every message is in the store exactly once, and nothing was deleted before."""
    stored = Counter(inbox.stored("received", "filtered", "quarantined"))
    return stored == Counter(set(deposited(inbox))) and set(deleted(inbox)) <= set(stored)


# ---------------------------------------------------------------- the connection breaks


async def test_row_4_a_connection_cut_in_a_message_loses_and_doubles_nothing(
    inbox: Inbox,
) -> None:
    inbox.become_queue()
    answer = len(letter("cut 0")) + len("+OK 000 octets\r\n.\r\n")
    for n in range(answer + 2):
        inbox.receive(letter(f"cut {n}"), letter(f"cut {n} too"))
        misbehave(inbox, "RETR", Cut(n), skip=n % 2, times=1)
        said(inbox)
        outcome = await inbox.poll()
        assert outcome.failure is not None
        assert outcome.failure.code == "connection_lost"
        assert "QUIT" not in said(inbox)
        assert outcome.taken <= n % 2 + 1
        behave(inbox)
        assert (await inbox.poll()).failure is None
    assert balances(inbox)
    assert len(deleted(inbox)) == len(deposited(inbox))


async def test_row_4_what_came_before_the_cut_is_kept_so_that_the_next_poll_gets_further(
    inbox: Inbox,
) -> None:
    inbox.receive(*(letter(f"number {n}") for n in range(10)))
    misbehave(inbox, "RETR", Drop(), argument="8")
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.refused, len(inbox.stored())) == (7, 1, 7)
    assert (await inbox.poll()).taken == 2
    behave(inbox)
    assert (await inbox.poll(timedelta(minutes=10))).taken == 1
    assert balances(inbox)
    assert inbox.ask("SELECT count(*) FROM ledger WHERE attempts > 0") == [(0,)]


async def test_row_4_a_message_that_ends_every_session_holds_up_no_other(
    inbox: Inbox,
) -> None:
    inbox.become_queue()
    inbox.receive(letter("poison"), *(letter(f"number {n}") for n in range(3)))
    misbehave(inbox, "RETR", Drop(), argument="1")
    for day in range(8):
        await inbox.poll(timedelta(hours=24))
        inbox.receive(letter(f"day {day}"))
    outcome = await inbox.poll()
    assert outcome.failure is None
    assert len(inbox.stored()) == 11
    assert [mail.body for mail in inbox.drop.mails] == [letter("poison")]
    assert [code for code, _, _ in inbox.alerts()] == ["message_quarantined"]
    (line,) = await inbox.db.read(quarantine.list_quarantine)
    assert line.attempts == 5
    behave(inbox)
    await quarantine.replay(inbox.db, inbox.clock, line.id)
    inbox.memory = None
    await inbox.poll()
    assert balances(inbox)
    assert inbox.drop.mails == []


@pytest.mark.parametrize("act", [Drop(), Instead("nonsense"), Instead("-ERR " + "x" * 3000)])
async def test_a_message_in_a_bad_hour_of_its_server_is_put_off_and_not_put_aside(
    inbox: Inbox, act: Act
) -> None:
    inbox.receive(letter("a"))
    misbehave(inbox, "RETR", act)
    for _ in range(12):
        await inbox.poll()
    assert inbox.alerts() == []
    behave(inbox)
    await inbox.poll(timedelta(hours=1))
    assert balances(inbox)


async def test_earlier_mail_goes_on_where_one_message_ends_the_session_at_top(
    inbox: Inbox,
) -> None:
    inbox.wish_of_profile(process_email_from=NOON - timedelta(days=100))
    inbox.receive(dated("too old", NOON - timedelta(days=300)))
    inbox.receive(*(dated(f"earlier {n}", NOON - timedelta(days=3)) for n in range(20)))
    misbehave(inbox, "TOP", Drop(), argument="1")
    await inbox.poll()
    await inbox.poll()
    assert (await inbox.poll()).failure is None
    assert len(inbox.stored()) == 20
    assert dated("too old", NOON - timedelta(days=300)) not in inbox.stored()


async def test_earlier_mail_comes_in_from_a_server_that_sends_whole_messages_for_top(
    inbox: Inbox,
) -> None:
    inbox.wish_of_profile(process_email_from=NOON - timedelta(days=100))
    whole = dated("earlier", NOON - timedelta(days=3))
    misbehave(inbox, "TOP", Instead(b"+OK\r\n" + whole + b".\r\n"))
    letters = [dated(f"earlier {n}", NOON - timedelta(days=3)) for n in range(40)]
    inbox.receive(*letters)
    said(inbox)
    assert (await inbox.poll()).taken == 40
    assert said(inbox).count("TOP") == 10
    assert inbox.stored() == letters


async def test_row_4_a_large_message_cut_off_leaves_nothing_behind(inbox: Inbox) -> None:
    large = letter("large", "0123456789abcde\r\n" * 200_000)
    inbox.receive(large)
    for after in (100, 300_000, 2_000_000, len(large)):
        misbehave(inbox, "RETR", Cut(after), times=1)
        assert (await inbox.poll(timedelta(hours=2))).failure is not None
        assert inbox.ask("SELECT count(*) FROM body_chunk") == [(0,)]
        assert inbox.ask("SELECT count(*) FROM staged_body") == [(0,)]
        behave(inbox)
    assert (await inbox.poll(timedelta(hours=2))).taken == 1
    assert balances(inbox)


@pytest.mark.parametrize("command", ["USER", "STAT", "UIDL", "LIST", "RETR", "DELE", "QUIT"])
async def test_a_connection_that_ends_at_any_command_costs_one_poll_at_most(
    inbox: Inbox, command: str
) -> None:
    inbox.become_queue()
    inbox.receive(letter("a"), letter("b"))
    misbehave(inbox, command, Drop(), times=1)
    await inbox.poll()
    assert set(deleted(inbox)) <= set(inbox.stored())
    assert (await inbox.poll()).failure is None
    assert balances(inbox)
    assert inbox.drop.mails == []


# ---------------------------------------------------------------- names


async def test_row_15_new_names_for_everything_double_nothing(inbox: Inbox) -> None:
    inbox.receive(*(letter(f"number {n}") for n in range(600)))
    assert (await inbox.poll()).taken == 600
    inbox.drop.renumber("other-")
    inbox.receive(letter("new"))
    said(inbox)
    outcome = await inbox.poll()
    assert (outcome.adopted, outcome.taken, outcome.duplicates) == (600, 1, 0)
    assert said(inbox).count("RETR") == 1
    ((code, text, count),) = inbox.alerts()
    assert (code, count) == ("messages_recognised", 1)
    assert text.startswith("600 messages of 127.0.0.1:")
    assert balances(inbox)
    assert (await inbox.poll()).taken == 0
    assert {state for _, state, _ in inbox.ledger()} == {"taken"}


async def test_row_15_what_was_left_alone_stays_alone_under_its_new_name(inbox: Inbox) -> None:
    inbox.wish_of_profile(process_email_from=None)
    inbox.receive(*(dated(f"old {n}", NOON - timedelta(days=9)) for n in range(20)))
    await inbox.poll()
    inbox.receive(dated("live", NOON + timedelta(hours=1)))
    await inbox.poll()
    inbox.drop.renumber("other-")
    outcome = await inbox.poll()
    assert (outcome.adopted, outcome.skipped, outcome.taken) == (1, 20, 0)
    assert inbox.stored() == [dated("live", NOON + timedelta(hours=1))]


async def test_row_15_each_of_several_equal_headers_is_recognised_once(inbox: Inbox) -> None:
    twins = [letter("twin", body) for body in ("one\r\n", "two\r\n")]
    inbox.receive(*(letter(f"number {n}") for n in range(20)), *twins)
    await inbox.poll()
    inbox.drop.renumber("other-")
    inbox.receive(letter("twin", "three\r\n"))
    outcome = await inbox.poll()
    assert (outcome.adopted, outcome.taken) == (22, 1)
    assert balances(inbox)


async def test_another_login_opens_an_epoch_in_which_known_mail_is_recognised(
    inbox: Inbox,
) -> None:
    assert inbox.sandbox is not None
    inbox.receive(letter("a"), letter("b"))
    await inbox.poll()
    other = inbox.sandbox.open("robert@sandbox.example", "secret")
    for subject in "bca":
        other.deposit(letter(subject), uid=f"moved-{subject}")
    login = inbox.mailbox.incoming_login
    assert login is not None
    inbox.wish(incoming_login=type(login)(username=other.username, password=login.password))
    outcome = await inbox.poll()
    assert (outcome.adopted, outcome.taken) == (2, 1)
    assert sorted(inbox.stored()) == sorted([letter("a"), letter("b"), letter("c")])
    assert inbox.ask("SELECT epoch FROM mailbox") == [(2,)]


async def test_another_mailbox_that_shows_nothing_yet_opens_no_epoch(inbox: Inbox) -> None:
    assert inbox.sandbox is not None
    inbox.receive(letter("a"))
    await inbox.poll()
    other = inbox.sandbox.open("robert@sandbox.example", "secret")
    login = inbox.mailbox.incoming_login
    assert login is not None
    inbox.wish(incoming_login=type(login)(username=other.username, password=login.password))
    assert (await inbox.poll()).failure is None
    other.deposit(letter("a"), uid="moved")
    outcome = await inbox.poll()
    assert (outcome.adopted, outcome.taken) == (1, 0)


async def test_a_deletion_that_is_due_follows_a_message_to_its_new_name(inbox: Inbox) -> None:
    inbox.become_queue()
    inbox.receive(*(letter(f"number {n}") for n in range(20)))
    misbehave(inbox, "QUIT", Drop())
    await inbox.poll()
    assert len(inbox.drop.mails) == 20
    behave(inbox)
    inbox.drop.renumber("other-")
    # The listing of a session without QUIT was not believed, so nothing was expected.
    await inbox.poll()
    await inbox.poll()
    assert inbox.drop.mails == []
    assert balances(inbox)


async def test_a_due_deletion_is_never_carried_over_to_a_message_with_equal_headers(
    inbox: Inbox,
) -> None:
    inbox.become_queue()
    misbehave(inbox, "DELE", Instead("-ERR not now"))
    inbox.receive(letter("same", "first\r\n"), *(letter(f"number {n}") for n in range(12)))
    await inbox.poll()
    behave(inbox)
    inbox.drop.remove(inbox.drop.mails[:1])
    inbox.receive(letter("same", "other\r\n"))
    inbox.drop.renumber("new-")
    for _ in range(3):
        await inbox.poll(timedelta(hours=25))
    assert balances(inbox)
    assert inbox.drop.mails == []


async def test_row_52_the_name_of_a_message_we_have_deleted_may_be_given_to_the_next(
    inbox: Inbox,
) -> None:
    inbox.become_queue()
    for subject in "abc":
        inbox.receive(letter(subject), uid="1")
        outcome = await inbox.poll()
        assert (outcome.taken, outcome.deleted) == (1, 1)
    assert balances(inbox)


@pytest.mark.parametrize("tops", [True, False])
async def test_row_52_a_name_given_to_another_message_before_its_deletion_was_known(
    inbox: Inbox, tops: bool
) -> None:
    inbox.become_queue()
    inbox.receive(letter("a"), uid="1")
    misbehave(inbox, "QUIT", Cut(0), times=1)
    assert (await inbox.poll()).deleted == 0
    assert inbox.drop.mails == []
    if not tops:
        misbehave(inbox, "TOP", Instead("-ERR unknown command"))
    inbox.receive(letter("b"), uid="1")
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.deleted) == (1, 1)
    assert balances(inbox)


async def test_row_57_without_top_a_due_deletion_is_proven_by_the_content(inbox: Inbox) -> None:
    inbox.become_queue()
    inbox.receive(letter("a"), letter("b"))
    misbehave(inbox, "TOP", Instead("-ERR unknown command"))
    misbehave(inbox, "QUIT", Drop(), times=1)
    await inbox.poll()
    assert len(inbox.drop.mails) == 2
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.deleted) == (0, 2)
    assert balances(inbox)
    assert {state for _, state, _ in inbox.ledger()} == {"taken"}


async def test_row_57_a_server_that_keeps_what_it_says_it_has_deleted_is_asked_once(
    inbox: Inbox,
) -> None:
    inbox.become_queue()
    misbehave(inbox, "DELE", Instead("+OK"))
    inbox.receive(letter("a"), letter("b"))
    assert (await inbox.poll()).deleted == 2
    inbox.receive(letter("c"))
    await inbox.poll()
    inbox.memory = None
    await inbox.poll()
    inbox.memory = None
    said(inbox)
    await inbox.poll()
    assert not {"RETR", "DELE", "TOP"} & set(said(inbox))
    assert inbox.stored() == [letter("a"), letter("b"), letter("c")]


@pytest.mark.parametrize("body", ["Hi.\r\n", "Another size.\r\n"])
async def test_row_52_one_of_several_messages_under_a_name_is_replaced(
    inbox: Inbox, body: str
) -> None:
    inbox.receive(letter("a"), letter("b"), uid="same")
    await inbox.poll()
    inbox.drop.remove(inbox.drop.mails[:1])
    inbox.receive(letter("c", body), uid="same")
    await inbox.poll(timedelta(hours=25))
    assert balances(inbox)
    said(inbox)
    await inbox.poll()
    assert "RETR" not in said(inbox)


async def test_row_52_messages_of_one_name_are_deleted_when_their_bytes_are_proven(
    inbox: Inbox,
) -> None:
    inbox.become_queue()
    inbox.receive(letter("a"), letter("b"), uid="same")
    misbehave(inbox, "QUIT", Drop(), times=1)
    await inbox.poll()
    assert len(inbox.drop.mails) == 2
    await inbox.poll()
    assert inbox.drop.mails == []
    assert balances(inbox)


async def test_row_52_messages_under_one_name_all_come_in(inbox: Inbox) -> None:
    inbox.receive(letter("a"), letter("b"), uid="same")
    inbox.receive(letter("c"), uid="other")
    assert (await inbox.poll()).taken == 3
    assert (await inbox.poll()).taken == 0
    inbox.receive(letter("d"), letter("a"), uid="same")
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.duplicates) == (1, 3)
    said(inbox)
    assert (await inbox.poll()).taken == 0
    assert "RETR" not in said(inbox)
    assert balances(inbox)


async def test_row_52_a_second_message_under_a_known_name_is_not_taken_for_the_first(
    inbox: Inbox,
) -> None:
    inbox.receive(letter("a"), uid="same")
    await inbox.poll()
    inbox.receive(letter("b"), uid="same")
    await inbox.poll()
    assert balances(inbox)


@pytest.mark.parametrize(
    "uid",
    [
        "",
        "x" * 71,
        "y" * 255,
        "z" * 300,
        "gr\u00fc\u00df",
        "..",
        "../../../etc/passwd",
        "'; --",
        "top:1",
        "a\x07b",
    ],
)
async def test_row_52_odd_names_lose_and_double_nothing(inbox: Inbox, uid: str) -> None:
    inbox.receive(letter("a"), uid="first")
    inbox.receive(letter("b"), uid=uid)
    inbox.receive(letter("c"), uid="third")
    assert (await inbox.poll()).taken == 3
    said(inbox)
    assert (await inbox.poll()).taken == 0
    assert "RETR" not in said(inbox)
    assert balances(inbox)


async def test_row_52_names_in_another_order_are_the_same_names(inbox: Inbox) -> None:
    inbox.receive(*(letter(f"number {n}") for n in range(20)))
    await inbox.poll()
    inbox.drop.mails.reverse()
    assert (await inbox.poll()).taken == 0
    assert balances(inbox)


async def test_row_52_a_server_without_uidl_is_known_by_its_headers(inbox: Inbox) -> None:
    misbehave(inbox, "CAPA", Hide(frozenset({"UIDL", "TOP"})))
    misbehave(inbox, "UIDL", Instead("-ERR unknown command"))
    inbox.receive(letter("a"), letter("b"), letter("c"))
    assert (await inbox.poll()).taken == 3
    inbox.receive(letter("d"))
    inbox.drop.remove(inbox.drop.mails[:1])
    said(inbox)
    assert (await inbox.poll()).taken == 1
    assert said(inbox).count("RETR") == 1
    assert balances(inbox)


async def test_row_52_a_server_without_uidl_and_top_is_known_by_the_content(
    inbox: Inbox,
) -> None:
    inbox.wish_of_profile(process_email_from=None)
    misbehave(inbox, "CAPA", Hide(frozenset({"UIDL", "TOP"})))
    misbehave(inbox, "UIDL", Instead("-ERR unknown command"))
    misbehave(inbox, "TOP", Instead("-ERR unknown command"))
    inbox.receive(dated("old", NOON - timedelta(days=5)))
    assert (await inbox.poll()).taken == 0
    inbox.receive(dated("new", NOON + timedelta(days=5)))
    assert (await inbox.poll()).taken == 1
    again = await inbox.poll()
    assert (again.taken, again.duplicates, again.skipped) == (0, 0, 0)
    assert inbox.stored() == [dated("new", NOON + timedelta(days=5))]


# ---------------------------------------------------------------- one message, one command


async def test_row_20_a_maildrop_that_somebody_else_holds_is_no_trouble(inbox: Inbox) -> None:
    inbox.receive(letter("a"))
    phone = await inbox.open_source()
    outcome = await inbox.poll()
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.lasting) == (
        "maildrop_locked",
        Lasting.TRANSIENT,
    )
    await phone.quit()
    assert (await inbox.poll()).taken == 1


async def test_row_22_a_message_that_the_store_will_not_take_is_put_aside_raw(
    inbox: Inbox,
) -> None:
    inbox.become_queue()
    poison(inbox, "poison%")
    letters = [letter(f"number {n}") for n in range(5)]
    inbox.receive(*letters[:3], letter("poisonous"), *letters[3:])
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.taken, outcome.quarantined) == (None, 5, 1)
    assert sorted(inbox.stored()) == sorted(letters)
    assert inbox.stored("quarantined") == [letter("poisonous")]
    assert inbox.events("message.q") == ["message.quarantined"]
    assert [code for code, _, _ in inbox.alerts()] == ["message_quarantined"]
    assert deleted(inbox) == letters
    assert (await inbox.poll()).quarantined == 0

    heal(inbox)
    (line,) = await inbox.db.read(quarantine.list_quarantine)
    assert line.is_stored
    assert await quarantine.replay(inbox.db, inbox.clock, line.id) == inbox.record.id
    assert letter("poisonous") in inbox.stored()
    assert inbox.ask("SELECT subject FROM message WHERE id = ?", line.id[1:]) == [
        ("poisonous",)
    ]
    assert await inbox.db.read(quarantine.list_quarantine) == []
    assert balances(inbox)


async def test_row_22_a_large_message_is_put_aside_as_well(inbox: Inbox) -> None:
    poison(inbox, "poison%")
    large = letter("poisonous", "0123456789abcde\r\n" * 40_000)
    inbox.receive(letter("a"), large, letter("b"))
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.quarantined) == (2, 1)
    assert inbox.stored("quarantined") == [large]
    (line,) = await inbox.db.read(quarantine.list_quarantine)
    await quarantine.drop(inbox.db, inbox.clock, line.id)
    assert await inbox.db.read(quarantine.list_quarantine) == []
    assert inbox.stored("filtered") == [large]


def poison(inbox: Inbox, subject: str) -> None:
    """Make the store refuse messages of this subject, as an engine refuses data."""
    change(
        inbox,
        "CREATE TRIGGER poison BEFORE INSERT ON message WHEN NEW.subject LIKE "
        f"'{subject}' BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    )


def heal(inbox: Inbox) -> None:
    """Make the store take everything again."""
    change(inbox, "DROP TRIGGER poison")


def change(inbox: Inbox, statement: str) -> None:
    """Write to the store's file, as an operator's shell does."""
    connection = sqlite3.connect(inbox.path)
    with connection:
        connection.execute(statement)
    connection.close()


async def test_row_23_a_message_above_the_limit_stays_on_the_server_with_an_alert(
    inbox: Inbox,
) -> None:
    inbox.become_queue()
    inbox.max_message_size = 10_000
    large = letter("large", "x" * 20_000 + "\r\n")
    inbox.receive(letter("a"), large, letter("b"))
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.taken, outcome.skipped) == (None, 2, 1)
    assert [code for code, _, _ in inbox.alerts()] == ["message_too_large"]
    assert [mail.body for mail in inbox.drop.mails] == [large]
    inbox.max_message_size = 100_000
    said(inbox)
    assert (await inbox.poll()).taken == 0
    assert "RETR" not in said(inbox)


async def test_row_23_a_message_that_turns_out_too_large_is_fetched_once_only(
    inbox: Inbox,
) -> None:
    inbox.max_message_size = 600_000
    misbehave(inbox, "LIST", ListAs("{number} 10"))
    misbehave(inbox, "STAT", ListAs("{number} 10"))
    large = letter("large", "0123456789abcde\r\n" * 200_000)
    inbox.receive(letter("a"), large, letter("b"))
    outcome = await inbox.poll()
    assert outcome.failure is not None
    assert (outcome.failure.scope, outcome.more) == (Scope.MESSAGE, True)
    assert (outcome.taken, outcome.skipped) == (1, 1)
    assert inbox.ask("SELECT count(*) FROM body_chunk") == [(1,)]
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.taken, outcome.more) == (None, 1, False)
    assert inbox.stored() == [letter("a"), letter("b")]
    assert [code for code, _, _ in inbox.alerts()] == ["message_too_large"]
    assert len(inbox.drop.mails) == 3


@pytest.mark.parametrize("uid", ["same", ""])
async def test_row_23_a_message_too_large_without_a_clear_name_holds_up_no_other(
    inbox: Inbox, uid: str
) -> None:
    inbox.max_message_size = 500_000
    inbox.limits = SourceLimits(max_message_size=500_000)
    misbehave(inbox, "LIST", ListAs("{number} 100"))
    misbehave(inbox, "TOP", Instead("-ERR unknown command"))
    large = letter("large", "0123456789abcde\r\n" * 40_000)
    inbox.receive(large, letter("small"), uid=uid)
    for n in range(3):
        await inbox.poll(timedelta(hours=1))
        inbox.receive(letter(f"later {n}"), uid=None if uid else "")
    for _ in range(3):
        await inbox.poll(timedelta(hours=25))
    assert sorted(inbox.stored()) == sorted(
        [letter("small"), *(letter(f"later {n}") for n in range(3))]
    )
    assert [code for code, _, _ in inbox.alerts()] == ["message_too_large"]


async def test_a_status_line_without_end_says_nothing_of_a_messages_size(
    inbox: Inbox,
) -> None:
    inbox.receive(letter("a"), letter("b"), letter("c"))
    misbehave(inbox, "RETR", Instead("-ERR " + "x" * 3000), argument="2", times=1)
    outcome = await inbox.poll()
    assert outcome.failure is not None
    assert outcome.failure.code == "protocol_violated"
    await inbox.poll()
    assert inbox.alerts() == []
    assert balances(inbox)


@pytest.mark.parametrize("since", [None, NOON - timedelta(days=1)])
async def test_a_first_listing_that_lacks_what_stat_counts_begins_nothing(
    inbox: Inbox, since: datetime | None
) -> None:
    inbox.wish_of_profile(process_email_from=since)
    inbox.receive(*(dated(f"old {n}", NOON - timedelta(days=300)) for n in range(50)))
    misbehave(inbox, "UIDL", Instead(b"+OK\r\n.\r\n"), times=1)
    misbehave(inbox, "LIST", Instead(b"+OK\r\n.\r\n"), times=1)
    assert (await inbox.poll()).failure is not None
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.taken, outcome.skipped) == (None, 0, 50)


async def test_a_stat_that_always_lies_does_not_stop_a_first_listing(inbox: Inbox) -> None:
    inbox.wish_of_profile(process_email_from=None)
    misbehave(inbox, "STAT", Instead("+OK 7 99"))
    inbox.receive(dated("old", NOON - timedelta(days=300)))
    assert (await inbox.poll()).skipped == 1
    inbox.receive(dated("new", NOON + timedelta(days=1)))
    assert (await inbox.poll()).taken == 1


async def test_row_53_a_message_that_vanishes_before_it_is_fetched_is_no_trouble(
    inbox: Inbox,
) -> None:
    inbox.receive(letter("a"), letter("b"), letter("c"))
    misbehave(inbox, "RETR", Instead("-ERR no such message"), argument="2")
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.taken, outcome.refused) == (None, 2, 1)
    assert inbox.alerts() == []
    behave(inbox)
    inbox.drop.remove([inbox.drop.mails[1]])
    for _ in range(3):
        outcome = await inbox.poll()
        assert (outcome.failure, outcome.taken, outcome.refused) == (None, 0, 0)
    assert inbox.alerts() == []


@pytest.mark.parametrize(
    "lie", ["{number} 0", "{number} 1", "{number} 99999", "{number} 18446744073709551616"]
)
async def test_row_54_sizes_that_lie_are_hints_only(inbox: Inbox, lie: str) -> None:
    letters = [letter(f"number {n}") for n in range(4)]
    large = letter("large", "0123456789abcde\r\n" * 40_000)
    misbehave(inbox, "LIST", ListAs(lie))
    inbox.receive(*letters, large)
    assert (await inbox.poll()).taken == 5
    assert inbox.stored() == [*letters, large]
    assert (await inbox.poll()).taken == 0


async def test_row_54_a_stat_that_lies_only_costs_the_longer_way(inbox: Inbox) -> None:
    misbehave(inbox, "STAT", Instead("+OK 7 99"))
    inbox.receive(letter("a"))
    assert (await inbox.poll()).taken == 1
    inbox.receive(letter("b"))
    assert (await inbox.poll()).taken == 1
    assert (await inbox.poll()).failure is None
    assert balances(inbox)


async def test_row_56_a_message_that_is_always_refused_is_put_aside_after_five_tries(
    inbox: Inbox,
) -> None:
    inbox.receive(letter("a"), letter("virus"), letter("b"))
    misbehave(inbox, "RETR", Instead("-ERR virus found"), argument="2")
    tries = 0
    for _ in range(40):
        outcome = await inbox.poll()
        assert outcome.failure is None
        tries += outcome.refused + outcome.quarantined
        if outcome.quarantined:
            break
        assert inbox.alerts() == []
    assert tries == 5
    assert inbox.stored() == [letter("a"), letter("b")]
    assert inbox.events("message.q") == ["message.quarantined"]
    ((code, text, _),) = inbox.alerts()
    assert code == "message_quarantined"
    assert "virus found" in text
    said(inbox)
    await inbox.poll()
    assert said(inbox)[-3:] == ["STAT", "UIDL", "QUIT"]

    (line,) = await inbox.db.read(quarantine.list_quarantine)
    assert (line.is_stored, line.attempts, line.reason) == (False, 5, "virus found")
    behave(inbox)
    await quarantine.replay(inbox.db, inbox.clock, line.id)
    inbox.memory = None
    assert (await inbox.poll()).taken == 1
    assert await inbox.db.read(quarantine.list_quarantine) == []
    assert balances(inbox)


async def test_row_56_a_refused_message_that_is_dropped_is_never_fetched_again(
    inbox: Inbox,
) -> None:
    inbox.receive(letter("virus"))
    misbehave(inbox, "RETR", Instead("-ERR virus found"))
    while not (await inbox.poll()).quarantined:
        pass
    (line,) = await inbox.db.read(quarantine.list_quarantine)
    await quarantine.drop(inbox.db, inbox.clock, line.id)
    inbox.memory = None
    said(inbox)
    await inbox.poll()
    assert "RETR" not in said(inbox)
    assert len(inbox.drop.mails) == 1
    with pytest.raises(Exception, match="nothing in quarantine is called"):
        await quarantine.replay(inbox.db, inbox.clock, line.id)


async def test_row_56_a_refused_message_is_visible_from_its_first_refusal_on(
    inbox: Inbox,
) -> None:
    inbox.receive(letter("a"), letter("virus"))
    misbehave(inbox, "RETR", Instead("-ERR virus found"), argument="2")
    first = await inbox.poll()
    assert first.remark is not None
    assert first.remark.startswith("1 refused by the server (try 1 of 5, next at 2")
    assert first.remark.endswith(" UTC): virus found")
    (line,) = await inbox.db.read(quarantine.list_quarantine)
    assert (line.is_stored, line.attempts, line.most_attempts) == (False, 1, 5)
    assert line.reason == "virus found"
    assert line.next_try_at is not None

    await quarantine.replay(inbox.db, inbox.clock, line.id)
    inbox.memory = None
    again = await inbox.poll()
    assert again.remark is not None
    assert "try 1 of 5" in again.remark, "replaying begins the tries anew"
    (line,) = await inbox.db.read(quarantine.list_quarantine)
    await quarantine.drop(inbox.db, inbox.clock, line.id)
    assert await inbox.db.read(quarantine.list_quarantine) == []
    inbox.memory = None
    assert (await inbox.poll()).remark is None


async def test_row_57_a_refused_deletion_is_tried_again_and_nothing_is_fetched_twice(
    inbox: Inbox,
) -> None:
    inbox.become_queue()
    inbox.receive(letter("a"), letter("b"))
    misbehave(inbox, "DELE", Instead("-ERR not now"), argument="1", times=2)
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.taken, outcome.deleted) == (None, 2, 1)
    assert outcome.memory is not None
    assert outcome.memory.retry_at is not None
    said(inbox)
    while inbox.drop.mails:
        outcome = await inbox.poll()
        assert outcome.failure is None
    assert "RETR" not in said(inbox)
    assert inbox.ask("SELECT count(*) FROM ledger WHERE delete_pending = 1") == [(0,)]
    await inbox.poll()
    assert said(inbox)[-2:] == ["STAT", "QUIT"]
    assert balances(inbox)


@pytest.mark.parametrize(
    "act", [Instead("-ERR some messages were not deleted"), Drop(), Cut(0)]
)
async def test_row_57_a_quit_without_a_good_answer_is_believed_neither_way(
    inbox: Inbox, act: Act
) -> None:
    inbox.become_queue()
    inbox.receive(letter("a"), letter("b"))
    misbehave(inbox, "QUIT", act, times=1)
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.deleted) == (None, 0)
    assert inbox.ask("SELECT count(*) FROM ledger WHERE delete_pending = 1") == [(2,)]
    said(inbox)
    assert (await inbox.poll()).failure is None
    assert "RETR" not in said(inbox)
    assert inbox.drop.mails == []
    assert balances(inbox)


async def test_row_58_a_server_that_shows_pages_gives_everything_in_the_end(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.providers.quirks.GMAIL_POP3", ("127.0.0.1",))
    letters = [letter(f"number {n}") for n in range(60)]
    later = list(letters)
    while later:
        page, later = later[:20], later[20:]
        inbox.drop.remove(inbox.drop.mails)  # popped, after a proper QUIT
        inbox.receive(*page)
        outcome = await inbox.poll()
        assert (outcome.failure, outcome.taken) == (None, 20)
    assert inbox.stored() == letters
    assert inbox.ask("SELECT epoch FROM mailbox") == [(1,)]


# ---------------------------------------------------------------- the store


class FaultyDatabase:
    """A real store whose n-th write fails."""

    def __init__(self, db: Database, error: StoreError, at: int) -> None:
        self._db = db
        self._error = error
        self.left = at

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        """Read as ever."""
        return await self._db.read(body)

    async def write(
        self, body: Callable[[Transaction], Awaitable[T]], *, essential: bool = False
    ) -> T:
        """Write, or fail."""
        self.left -= 1
        if self.left == 0:
            raise self._error
        return await self._db.write(body, essential=essential)

    def health(self) -> StoreHealth:
        """Look at the real one."""
        return self._db.health()

    async def close(self) -> None:
        """Leave it open: it is somebody else's."""


async def test_row_22_a_store_that_fails_once_for_no_known_reason_puts_nothing_aside(
    inbox: Inbox,
) -> None:
    real = inbox.db
    inbox.receive(letter("a"))
    await inbox.poll()
    inbox.receive(letter("b"))
    inbox.db = FaultyDatabase(real, StoreError("a moment's trouble"), 1)
    outcome = await inbox.poll()
    inbox.db = real
    assert (outcome.taken, outcome.quarantined) == (1, 0)


@pytest.mark.parametrize("error", [StoreFull("x"), StoreBusy("x"), StoreBroken("x")])
async def test_a_store_that_fails_at_any_write_means_no_quit_and_no_deletion(
    inbox: Inbox, error: StoreError
) -> None:
    inbox.become_queue()
    real = inbox.db
    large = letter("large", "0123456789abcde\r\n" * 150_000)
    at = 0
    while True:
        at += 1
        inbox.receive(letter(f"a {at}"), large + b"%d\r\n" % at, letter(f"b {at}"))
        inbox.db = faulty = FaultyDatabase(real, error, at)
        before = len(deleted(inbox))
        said(inbox)
        outcome = await inbox.poll()
        inbox.db = real
        if faulty.left > 0:
            break
        assert outcome.failure is not None
        assert outcome.failure.scope is Scope.STORE
        confirmed = "QUIT" in said(inbox)
        # The one write after QUIT notes what the server has said; it may fail, too.
        assert confirmed == (len(deleted(inbox)) > before)
        assert (await inbox.poll()).failure is None
    assert at > 5
    assert outcome.failure is None
    assert balances(inbox)
    assert inbox.drop.mails == []


async def test_who_has_lost_the_mailbox_writes_nothing_and_deletes_nothing(
    inbox: Inbox,
) -> None:
    inbox.become_queue()
    inbox.receive(letter("a"))
    await inbox.poll()
    inbox.receive(letter("b"))
    await steal(inbox.db, inbox.record.id)
    outcome = await inbox.poll()
    assert outcome.failure is not None
    assert outcome.failure.code == "term_lost"
    assert inbox.stored() == [letter("a")]
    assert [mail.body for mail in inbox.drop.mails] == [letter("b")]


async def steal(db: Database, mailbox_id: MailboxId) -> None:
    """Let another node claim the mailbox."""

    async def body(tx: Transaction) -> None:
        await mailboxes.claim(tx, "node-b", [mailbox_id])

    await db.write(body)


# ---------------------------------------------------------------- everything at once


@pytest.mark.parametrize("seed", range(6))
async def test_a_bad_week_loses_and_doubles_nothing(inbox: Inbox, seed: int) -> None:
    dice = random.Random(seed)
    inbox.become_queue(deletes=seed % 2 == 0)
    acts: list[tuple[str, Act]] = [
        ("RETR", Drop()),
        ("RETR", Cut(dice.randrange(400))),
        ("RETR", Instead("-ERR [SYS/TEMP] not now")),
        ("DELE", Instead("-ERR no")),
        ("QUIT", Drop()),
        ("QUIT", Cut(0)),
        ("TOP", Drop()),
        ("UIDL", Drop()),
        ("LOGIN", Instead("-ERR [IN-USE] locked")),
    ]
    for step in range(40):
        inbox.receive(*(letter(f"{step} {n}") for n in range(dice.randrange(12))))
        match dice.randrange(6):
            case 0:
                inbox.drop.renumber(f"{step}-")
            case 1 if inbox.drop.mails:
                inbox.drop.remove([dice.choice(inbox.drop.mails)] if seed % 2 else [])
            case 2:
                inbox.memory = None
            case _:
                on, act = dice.choice(acts)
                misbehave(inbox, on, act, skip=dice.randrange(4), times=1)
        await inbox.poll()
        behave(inbox)
    outcomes = [await inbox.poll(timedelta(hours=6)) for _ in range(12)]
    assert outcomes[-1].failure is None
    stored = Counter(inbox.stored())
    assert max(stored.values()) == 1
    gone = set(deposited(inbox)) - {mail.body for mail in inbox.drop.mails}
    assert {mail.body for mail in inbox.drop.mails} <= set(stored)
    if seed % 2 == 0:
        assert inbox.drop.mails == []
        assert gone == set(stored)
