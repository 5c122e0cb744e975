"""The demo's books: what balances, and every way in which they do not."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

import pytest

from syncd.cli.demo_ledger import Books, Copy, Ledger, Outgoing, balance, copy_of
from syncd.cli.demo_world import Reply, letter_of, write_letter, write_reply
from syncd.sandbox.maildrops import Mail
from syncd.sandbox.witness import Accepted

NOW = datetime(2026, 2, 2, 10, tzinfo=UTC)
ANN = "ann@demo.example"


@dataclass
class Play:
    """A ledger, and what a daemon without fault would say."""

    ledger: Ledger = field(default_factory=Ledger)
    stored: list[Copy] = field(default_factory=list)
    outgoing: dict[int, Outgoing] = field(default_factory=dict)
    dice: Random = field(default_factory=lambda: Random(1))

    def arrive(self, body: bytes) -> Copy:
        self.ledger.deposited(ANN, Mail("1", body))
        self.stored.append(copy_of(ANN, body))
        return self.stored[-1]

    def write(self) -> Reply:
        reply = write_reply(
            self.dice,
            NOW,
            message_id=1,
            mailbox=ANN,
            to="olivia@elsewhere.example",
            subject="An order",
            in_reply_to=None,
        )
        self.ledger.offer(reply)
        return reply

    def queue(self, state: str = "sent", unknown: int = 0) -> Reply:
        reply = self.write()
        number = len(self.outgoing) + 1
        self.ledger.acknowledge(reply, number)
        self.outgoing[number] = Outgoing(number, state, unknown)
        return reply

    def deliver(self, reply: Reply) -> None:
        head, _, body = reply.octets.partition(b"\r\n\r\n")
        kept = [line for line in head.split(b"\r\n") if not line.startswith(b"Bcc:")]
        octets = b"\r\n".join(kept) + b"\r\n\r\n" + body
        self.ledger.accepted(Accepted(ANN, reply.recipients, octets, ANN))

    def books(self) -> Books:
        return balance(self.ledger, self.stored, self.outgoing)


def test_books_without_fault_balance() -> None:
    play = Play()
    play.ledger.deleted(ANN, [Mail("1", b"one")])
    play.arrive(b"one")
    play.arrive(b"two")
    play.deliver(play.queue())
    books = play.books()
    assert books.balanced
    assert (books.made, books.stored, books.deleted, books.queued) == (2, 2, 1, 1)


def lose(play: Play) -> None:
    play.stored.remove(play.arrive(b"lost"))


def double(play: Play) -> None:
    play.stored.append(play.arrive(b"twice"))


def change(play: Play) -> None:
    play.stored[play.stored.index(play.arrive(b"right"))] = copy_of(ANN, b"wrong")


def delete_unstored(play: Play) -> None:
    play.stored.remove(play.arrive(b"lost"))
    play.ledger.deleted(ANN, [Mail("1", b"lost")])


def never_send(play: Play) -> None:
    play.queue()


def forget(play: Play) -> None:
    play.queue()
    play.outgoing.clear()


def send_twice(play: Play) -> None:
    reply = play.queue()
    play.deliver(reply)
    play.deliver(reply)


def send_three_times(play: Play) -> None:
    reply = play.queue(unknown=2)
    for _ in range(3):
        play.deliver(reply)


def make_up(play: Play) -> None:
    play.ledger.accepted(Accepted(ANN, (ANN,), b"Subject: invented\r\n\r\n", ANN))


def show_bcc(play: Play) -> None:
    reply = play.queue()
    with_bcc = reply.octets.replace(b"Subject:", b"Bcc: x@elsewhere.example\r\nSubject:", 1)
    play.ledger.accepted(Accepted(ANN, reply.recipients, with_bcc, ANN))


def misdirect(play: Play) -> None:
    reply = play.queue()
    play.deliver(replace(reply, recipients=(*reply.recipients, "mallory@elsewhere.example")))


def turn_down(play: Play) -> None:
    play.ledger.turned_down.append("reply-1: 422")


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        (lose, ["missing"]),
        (double, ["doubled"]),
        (change, ["missing", "strange"]),
        (delete_unstored, ["missing", "deleted_unstored"]),
        (never_send, ["undelivered"]),
        (forget, ["undelivered"]),
        (send_twice, ["excessive"]),
        (send_three_times, ["unknown", "excessive"]),
        (make_up, ["foreign"]),
        (show_bcc, ["foreign"]),
        (misdirect, ["foreign"]),
        (turn_down, ["refused"]),
    ],
)
def test_every_fault_is_found_and_named(
    fault: Callable[[Play], None], where: list[str]
) -> None:
    play = Play()
    fault(play)
    books = play.books()
    assert not books.balanced
    named = [
        name for name, value in books.as_json().items() if isinstance(value, tuple) and value
    ]
    assert named == where


@pytest.mark.parametrize(("copies", "extra"), [(0, 0), (1, 0), (2, 1)])
def test_an_unknown_outcome_may_have_one_extra_copy(copies: int, extra: int) -> None:
    play = Play()
    reply = play.queue(state="held", unknown=1)
    for _ in range(copies):
        play.deliver(reply)
    books = play.books()
    assert books.balanced
    assert len(books.unknown) == 1
    assert books.extra_copies == extra * len(reply.recipients)


def test_a_reply_that_was_not_acknowledged_may_or_may_not_arrive() -> None:
    play = Play()
    play.write()
    play.deliver(play.write())
    assert play.books().balanced


def test_mail_on_its_way_is_nothing_wrong_but_does_not_balance() -> None:
    play = Play()
    lose(play)
    books = play.books()
    assert books.nothing_wrong
    assert not books.balanced


def test_letters_carry_their_number_and_end_in_crlf() -> None:
    dice = Random(2)
    letters = [write_letter(dice, NOW) for _ in range(200)]
    numbers = {letter_of(letter.octets) for letter in letters}
    assert len(numbers) == 200
    assert None not in numbers
    assert all(letter.octets.endswith(b"\r\n") for letter in letters)
    assert max(len(letter.octets) for letter in letters) > 256 * 1024


@pytest.mark.parametrize(
    "octets", [b"", b"X-Demo-Letter: 17\r\n\r\n", b"A: b\r\n\r\nX-Demo-Letter"]
)
def test_what_is_none_of_ours_has_no_number(octets: bytes) -> None:
    assert letter_of(octets) is None
