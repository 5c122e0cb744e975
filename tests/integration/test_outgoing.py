"""From the queue to the server and back, on a real store and a scripted server."""

import asyncio
import sqlite3
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from syncd.connections.seams import EnvelopeReplies, MailSender
from syncd.connections.smtp import Patience
from syncd.errors import (
    NotFound,
    Refused,
    StoreBroken,
    StoreBusy,
    StoreError,
    StoreFull,
    TermLost,
    Unreachable,
)
from syncd.model.mail import OutgoingId, OutgoingState
from syncd.model.mailbox import MailboxId
from syncd.model.profile import OutcomePolicy, Security
from syncd.outgoing.conclusion import Command
from syncd.outgoing.queue import command
from syncd.outgoing.recover import recover
from syncd.protocols.smtp_replies import SmtpReply
from syncd.store import mailboxes
from syncd.store.database import Database, Reader, StoreHealth, Transaction
from syncd.store.outbox import count, due_times, list_rows, list_sending
from tests.support.outgoing import MESSAGE, Outbox, an_outbox, plain_endpoint
from tests.support.smtp_sink import Cut, Drop, Hang, Say, SmtpSink, Swallow, running

T = TypeVar("T")

SHORT = Patience(greeting=0.2, command=0.2, data=0.2, block=0.2, after_dot=0.2, quit=0.2)


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    async with running(SmtpSink()) as sink:
        yield sink


@pytest.fixture
async def outbox(tmp_path: Path, sink: SmtpSink) -> AsyncIterator[Outbox]:
    async with an_outbox(tmp_path, plain_endpoint(sink.port)) as outbox:
        yield outbox


async def test_a_queued_message_is_sent_once_and_says_so(
    outbox: Outbox, sink: SmtpSink
) -> None:
    queued = await outbox.queue()
    outcome = await outbox.send()
    assert await outbox.states(queued.id) == ("sent", ["sent"])
    assert await outbox.event_types() == ["outgoing.sent"]
    assert outcome.settled["outgoing.sent"] == 1
    assert outcome.next_due_at is None
    (attempt,) = await outbox.history(queued.id)
    assert (attempt.phase, attempt.result) == ("after_dot", "sent")
    (taken,) = sink.taken
    assert taken.data.endswith(b"\r\n\r\nHello\r\n")
    assert queued.message_id.encode() in taken.data
    await outbox.send()
    assert sink.connections == 1


async def test_without_anything_due_nobody_connects(outbox: Outbox, sink: SmtpSink) -> None:
    await outbox.send()
    assert sink.connections == 0


async def test_many_messages_share_one_session(outbox: Outbox, sink: SmtpSink) -> None:
    for n in range(50):
        await outbox.queue(MESSAGE + b"number %d\r\n" % n)
    outcome = await outbox.send()
    assert outcome.settled["outgoing.sent"] == 50
    assert (sink.connections, len(sink.taken)) == (1, 50)
    numbers = [int(taken.data.split()[-1]) for taken in sink.taken]
    assert numbers == list(range(50))


async def test_a_large_message_comes_out_as_it_went_in(outbox: Outbox, sink: SmtpSink) -> None:
    body = b"".join(b".%07d %s\r\n" % (n, b"x" * (n % 60)) for n in range(80_000))
    queued = await outbox.queue(MESSAGE + body)
    await outbox.send()
    assert await outbox.states(queued.id) == ("sent", ["sent"])
    assert sink.taken[0].data.endswith(b"\r\n\r\nHello\r\n" + body)


# -- the idempotency key ----------------------------------------------------------------


async def test_the_same_key_queues_the_same_message_once(
    outbox: Outbox, sink: SmtpSink
) -> None:
    first = await outbox.queue(key="order-1")
    again = await outbox.queue(key="order-1")
    assert (again.id, again.message_id, again.is_new) == (first.id, first.message_id, False)
    await outbox.send()
    assert len(sink.taken) == 1
    large = MESSAGE + b"x" * 600_000
    one, two = (
        await outbox.queue(large, key="order-2"),
        await outbox.queue(large, key="order-2"),
    )
    assert one.id == two.id


async def test_a_large_message_queued_again_is_not_stored_again(
    outbox: Outbox, tmp_path: Path
) -> None:
    large = MESSAGE + b"x" * 600_000
    await outbox.queue(large, key="order-1")
    with closing(sqlite3.connect(tmp_path / "syncd.db")) as store:
        (before,) = store.execute("SELECT count(*) FROM body_chunk").fetchone()
        again = await outbox.queue(large, key="order-1")
        (after,) = store.execute("SELECT count(*) FROM body_chunk").fetchone()
    assert (again.is_new, before) == (False, after)


async def test_the_same_key_for_another_message_is_refused(outbox: Outbox) -> None:
    await outbox.queue(key="order-1")
    with pytest.raises(Refused) as caught:
        await outbox.queue(MESSAGE + b"more\r\n", key="order-1")
    assert caught.value.field == "Idempotency-Key"
    with pytest.raises(Refused):
        await outbox.queue(to=["eve@example.org"], key="order-1")


# -- refusals (faults 36, 37, 38) -------------------------------------------------------


async def test_a_refused_recipient_fails_alone(outbox: Outbox, sink: SmtpSink) -> None:
    sink.plan("rcpt", None, Say("550 5.1.1 nobody here"))
    queued = await outbox.queue(to=["bob@example.org", "eve@example.org"])
    await outbox.send()
    row = await outbox.show(queued.id)
    assert row.state == "sent"
    assert [r.state for r in row.recipients] == ["sent", "refused"]
    refused = row.recipients[1]
    assert (refused.reply_code, refused.enhanced) == (550, "5.1.1")
    assert refused.words == "nobody here"
    assert sink.taken[0].recipients == ("bob@example.org",)


async def test_when_all_are_refused_there_is_no_data(outbox: Outbox, sink: SmtpSink) -> None:
    sink.plan("rcpt", Say("550 5.1.1 no"), Say("553 5.1.3 no"))
    failing = await outbox.queue(to=["bob@example.org", "eve@example.org"])
    good = await outbox.queue()
    await outbox.send()
    assert await outbox.states(failing.id) == ("failed", ["refused", "refused"])
    assert (await outbox.show(failing.id)).reason == "550 5.1.1 no"
    assert await outbox.states(good.id) == ("sent", ["sent"])
    assert await outbox.event_types() == ["outgoing.failed", "outgoing.sent"]
    assert sink.commands.count("DATA") == 1
    assert sink.commands[2:7] == ["MAIL", "RCPT", "RCPT", "RSET", "MAIL"]


async def test_who_was_accepted_is_never_sent_to_again(outbox: Outbox, sink: SmtpSink) -> None:
    sink.plan("rcpt", None, Say("450 4.2.1 greylisted"), Say("550 5.1.1 no"), None)
    queued = await outbox.queue(to=[f"{n}@example.org" for n in range(4)])
    await outbox.send()
    states = ["sent", "deferred", "refused", "sent"]
    assert await outbox.states(queued.id) == ("pending_send", states)
    row = await outbox.show(queued.id)
    assert row.reason == "450 4.2.1 greylisted"
    assert row.next_attempt_at == outbox.clock.now() + timedelta(minutes=1)
    outbox.clock.forward(timedelta(minutes=1))
    await outbox.send()
    assert await outbox.states(queued.id) == ("sent", ["sent", "sent", "refused", "sent"])
    assert [taken.recipients for taken in sink.taken] == [
        ("0@example.org", "3@example.org"),
        ("1@example.org",),
    ]
    assert sink.taken[0].data == sink.taken[1].data
    assert await outbox.event_types() == ["outgoing.deferred", "outgoing.sent"]


@pytest.mark.parametrize("step", ["data", "dot"])
async def test_a_message_refused_whole_fails_its_recipients(
    outbox: Outbox, sink: SmtpSink, step: str
) -> None:
    sink.plan(step, Say("554 5.7.1 looks like spam"))
    queued = await outbox.queue(to=["bob@example.org", "eve@example.org"])
    good = await outbox.queue()
    await outbox.send()
    assert await outbox.states(queued.id) == ("failed", ["refused", "refused"])
    assert await outbox.states(good.id) == ("sent", ["sent"])


@pytest.mark.parametrize(
    ("step", "reply", "code"),
    [
        ("mail", "530 5.7.0 Authentication required", "login_refused"),
        ("mail", "535 5.7.8 Bad credentials", "login_refused"),
        ("mail", "550 5.7.30 Basic authentication is not supported", "login_forbidden"),
        ("mail", "554 5.2.2 mailbox full", "mailbox_full"),
        ("rcpt", "550 5.4.5 Daily sending quota exceeded", "sending_limit"),
        ("dot", "550 5.7.1 The daily sending limit has been reached", "sending_limit"),
        ("auth", "535 5.7.8 Bad credentials", "login_refused"),
        ("auth", "534 5.7.9 Application-specific password required", "app_password_required"),
    ],
)
async def test_trouble_of_the_account_holds_the_queue_and_fails_nothing(
    outbox: Outbox, sink: SmtpSink, step: str, reply: str, code: str
) -> None:
    sink.plan(step, Say(reply))
    queued = [await outbox.queue() for _ in range(3)]
    outbox.clock.forward(timedelta(days=9))
    outcome = await outbox.send()
    assert outcome.trouble is not None
    assert outcome.trouble.code == code
    assert outcome.trouble.remedy
    assert [await outbox.states(one.id) for one in queued] == [
        ("pending_send", ["pending"])
    ] * 3
    assert sink.taken == []
    outbox.clock.forward(timedelta(days=1))
    await outbox.send()
    assert [await outbox.states(one.id) for one in queued] == [("sent", ["sent"])] * 3


async def test_later_to_mail_is_asked_once_and_not_for_every_message(
    outbox: Outbox, sink: SmtpSink
) -> None:
    sink.plan("mail", Say("451 4.7.1 slow down"))
    first, second = await outbox.queue(), await outbox.queue()
    outcome = await outbox.send()
    assert outcome.error is not None
    assert await outbox.states(first.id) == ("pending_send", ["deferred"])
    assert await outbox.states(second.id) == ("pending_send", ["pending"])
    assert (await outbox.show(second.id)).attempts == 0
    assert sink.commands.count("MAIL") == 1


async def test_421_ends_the_session_and_nothing_else(outbox: Outbox, sink: SmtpSink) -> None:
    sink.plan("rcpt", Say("421 4.3.2 closing"))
    first, second = await outbox.queue(), await outbox.queue()
    outcome = await outbox.send()
    assert outcome.error is not None
    assert await outbox.states(first.id) == ("pending_send", ["deferred"])
    assert (await outbox.show(second.id)).attempts == 0
    outbox.clock.forward(timedelta(minutes=1))
    await outbox.send()
    assert len(sink.taken) == 2


# -- connections that end (faults 9 to 13) ------------------------------------------------


@pytest.mark.parametrize(
    ("step", "act"),
    [
        ("mail", Drop()),
        ("rcpt", Drop()),
        ("data", Drop()),
        ("body", Cut(after=1000)),
        ("mail", Say("what?")),
        ("data", Say("354-")),
    ],
)
async def test_a_session_lost_before_the_dot_costs_its_message_an_attempt_and_the_others_nothing(
    outbox: Outbox, sink: SmtpSink, step: str, act: Drop | Cut | Say
) -> None:
    outbox.patience = SHORT
    sink.plan(step, None, act)
    filling = b"too much for the buffers in between\r\n" * (300_000 if step == "body" else 0)
    queued = [await outbox.queue(MESSAGE + (filling if n == 1 else b"")) for n in range(4)]
    outcome = await outbox.send()
    assert outcome.error is not None
    rows = [await outbox.show(one.id) for one in queued]
    states = ["sent", "pending_send", "pending_send", "pending_send"]
    assert [row.state for row in rows] == states
    assert [row.attempts for row in rows] == [1, 1, 0, 0]
    await outbox.send()
    outbox.clock.forward(timedelta(minutes=1))
    await outbox.send()
    assert len(sink.taken) == 4
    assert len({taken.data for taken in sink.taken}) == 4


async def test_an_answer_lost_after_the_dot_is_retried_once_with_the_same_message_id(
    outbox: Outbox, sink: SmtpSink
) -> None:
    sink.plan("dot", Swallow())
    queued = await outbox.queue()
    other = await outbox.queue()
    await outbox.send()
    assert await outbox.states(queued.id) == ("outcome_unknown", ["outcome_unknown"])
    assert (await outbox.show(other.id)).attempts == 0
    row = await outbox.show(queued.id)
    assert row.unknown_outcomes == 1
    assert row.next_attempt_at is not None
    assert row.next_attempt_at >= outbox.clock.now() + timedelta(seconds=600)
    outbox.clock.forward(timedelta(seconds=599))
    await outbox.send()
    assert [taken.data.count(b"token1@") for taken in sink.taken] == [1, 0]
    outbox.clock.forward(timedelta(seconds=1))
    await outbox.send()
    assert await outbox.states(queued.id) == ("sent", ["sent"])
    copies = [taken for taken in sink.taken if queued.message_id.encode() in taken.data]
    assert len(copies) == 2
    assert copies[0].data == copies[1].data
    events = await outbox.event_types()
    assert events == ["outgoing.outcome_unknown", "outgoing.sent", "outgoing.sent"]


async def test_a_second_lost_answer_is_left_to_a_person(outbox: Outbox, sink: SmtpSink) -> None:
    sink.plan("dot", Swallow(), Swallow())
    queued = await outbox.queue()
    await outbox.send()
    outbox.clock.forward(timedelta(minutes=11))
    await outbox.send()
    assert await outbox.states(queued.id) == ("held", ["outcome_unknown"])
    outbox.clock.forward(timedelta(days=9))
    outcome = await outbox.send()
    assert outcome.next_due_at is None
    assert len(sink.taken) == 2
    row = await outbox.show(queued.id)
    assert row.reason is not None
    assert "possibly sent to 1 of 1" in row.reason
    await command(outbox.db, queued.id, Command.RETRY, outbox.clock.now())
    await outbox.send()
    assert await outbox.states(queued.id) == ("sent", ["sent"])


async def test_with_hold_a_lost_answer_is_never_followed_by_a_copy(
    outbox: Outbox, sink: SmtpSink
) -> None:
    outbox.policy = replace(outbox.policy, outcome_unknown=OutcomePolicy.HOLD)
    sink.plan("dot", Swallow())
    sink.plan("rcpt", None, Say("450 4.2.1 later"))
    queued = await outbox.queue(to=["bob@example.org", "eve@example.org"])
    await outbox.send()
    assert await outbox.states(queued.id) == ("pending_send", ["outcome_unknown", "deferred"])
    outbox.clock.forward(timedelta(minutes=1))
    await outbox.send()
    assert await outbox.states(queued.id) == ("held", ["outcome_unknown", "sent"])
    recipients = [taken.recipients for taken in sink.taken]
    assert recipients == [("bob@example.org",), ("eve@example.org",)]


async def test_a_late_answer_makes_one_copy_and_the_phase_is_committed_before(
    outbox: Outbox, sink: SmtpSink
) -> None:
    answer = asyncio.Event()
    sink.plan("dot", Hang(answer))
    queued = await outbox.queue()
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(outbox.send())
        await sink.stepped["dot"].wait()
        (row,) = await outbox.db.read(lambda reader: list_sending(reader, outbox.mailbox.id))
        assert row.after_dot_at == outbox.clock.now()
        answer.set()
        await sending
    assert await outbox.states(queued.id) == ("sent", ["sent"])
    assert len(sink.taken) == 1


async def test_cancelled_after_the_dot_is_unknown_to_the_next_owner(
    outbox: Outbox, sink: SmtpSink
) -> None:
    never = asyncio.Event()
    sink.plan("dot", Hang(never))
    queued = await outbox.queue()
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(outbox.send())
        await sink.stepped["dot"].wait()
        sending.cancel()
    await outbox.new_owner()
    recovered = await recover(outbox.work)
    assert (recovered.released, recovered.unknown) == (0, 1)
    assert await outbox.states(queued.id) == ("outcome_unknown", ["outcome_unknown"])
    assert await outbox.event_types() == ["outgoing.outcome_unknown"]
    (attempt,) = await outbox.history(queued.id)
    assert (attempt.phase, attempt.result) == ("after_dot", "outcome_unknown")
    assert outbox.settled[0][0].id == queued.id


async def test_cancelled_before_the_dot_is_sent_as_if_nothing_had_been(
    outbox: Outbox, sink: SmtpSink
) -> None:
    never = asyncio.Event()
    sink.plan("data", Hang(never))
    queued = [await outbox.queue() for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(outbox.send())
        await sink.stepped["data"].wait()
        sending.cancel()
    await outbox.new_owner()
    assert list(await outbox.db.read(due_times)) == [outbox.mailbox.id]
    outcome = await outbox.send()
    assert outcome.settled["outgoing.sent"] == 3
    assert [(await outbox.show(one.id)).attempts for one in queued] == [1, 1, 1]
    assert len(sink.taken) == 3


async def test_who_has_lost_the_lease_sends_no_dot(outbox: Outbox, sink: SmtpSink) -> None:
    class Overtaken(_Wrapped):
        async def dot(self) -> SmtpReply:
            raise AssertionError("the dot may not leave")

        async def body(self, chunks: AsyncIterable[bytes]) -> SmtpReply | None:
            refusal = await super().body(chunks)
            await outbox.db.write(lambda tx: mailboxes.claim_all(tx, "thief"))
            return refusal

    outbox.wrap = Overtaken
    await outbox.queue()
    with pytest.raises(TermLost):
        await outbox.send()
    with pytest.raises(TermLost):
        await outbox.send()
    assert sink.taken == []


async def test_a_store_that_fails_before_the_dot_sends_nothing(
    outbox: Outbox, sink: SmtpSink
) -> None:
    class Unlucky(_Wrapped):
        async def body(self, chunks: AsyncIterable[bytes]) -> SmtpReply | None:
            async def failing() -> AsyncIterator[bytes]:
                async for chunk in chunks:
                    yield chunk
                raise StoreBusy("locked by a backup")

            return await super().body(failing())

    outbox.wrap = Unlucky
    queued = await outbox.queue()
    with pytest.raises(StoreBusy):
        await outbox.send()
    assert sink.taken == []
    outbox.wrap = lambda sender: sender
    await outbox.send()
    assert await outbox.states(queued.id) == ("sent", ["sent"])
    assert len(sink.taken) == 1


@pytest.mark.parametrize("error", [StoreBusy("locked by a backup"), StoreFull("no room")])
async def test_an_answer_that_cannot_be_recorded_at_once_is_not_forgotten(
    outbox: Outbox, sink: SmtpSink, error: StoreError
) -> None:
    store = outbox.db = _Unwilling(outbox.db, error, times=20)
    queued = await outbox.queue()
    at = outbox.clock.now()
    outcome = await outbox.send()
    assert outcome.settled["outgoing.sent"] == 1
    assert await outbox.states(queued.id) == ("sent", ["sent"])
    assert (len(sink.taken), store.times) == (1, 0)
    assert timedelta(minutes=5) < outbox.clock.now() - at < timedelta(minutes=10)
    (attempt,) = await outbox.history(queued.id)
    assert attempt.at == at


async def test_an_answer_that_a_broken_store_cannot_record_ends_the_session(
    outbox: Outbox, sink: SmtpSink
) -> None:
    store = outbox.db = _Unwilling(outbox.db, StoreBroken("I/O error"), times=1000)
    await outbox.queue()
    with pytest.raises(StoreBroken):
        await outbox.send()
    assert store.times == 999


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM body_chunk WHERE id % 65536 = 1", "UPDATE body_chunk SET data = x'00'"],
)
async def test_a_message_whose_stored_bytes_are_damaged_goes_nowhere_and_holds_up_nobody(
    outbox: Outbox, sink: SmtpSink, tmp_path: Path, damage: str
) -> None:
    damaged = await outbox.queue(MESSAGE + b"x" * 700_000)
    with closing(sqlite3.connect(tmp_path / "syncd.db")) as intruder:
        intruder.execute(damage)
        intruder.commit()
    good = await outbox.queue()
    outcome = await outbox.send()
    assert outcome.error is None
    assert outcome.next_due_at == outbox.clock.now()
    await outbox.send()
    assert await outbox.states(damaged.id) == ("held", ["pending"])
    assert await outbox.states(good.id) == ("sent", ["sent"])
    (taken,) = sink.taken
    assert good.message_id.encode() in taken.data


# -- patience -----------------------------------------------------------------------------


async def test_deferred_mail_is_tried_for_its_lifetime_and_then_failed(
    outbox: Outbox, sink: SmtpSink
) -> None:
    queued = await outbox.queue()
    sink.plan("rcpt", *[Say("450 4.2.0 not yet")] * 1000)
    tries = [outbox.clock.now()]
    while (next_due_at := (await outbox.send()).next_due_at) is not None:
        outbox.clock.forward(next_due_at - outbox.clock.now())
        tries.append(outbox.clock.now())
    assert tries[-1] - tries[0] == timedelta(days=5)
    assert 120 < len(tries) < 140
    row = await outbox.show(queued.id)
    assert row.state == "failed"
    assert (
        row.recipients[0].words == "given up after 5 days; the last answer: 450 4.2.0 not yet"
    )
    assert len(await outbox.history(queued.id)) == len(tries)


async def test_a_server_that_says_yes_before_the_session_stands_has_taken_nothing(
    outbox: Outbox, sink: SmtpSink
) -> None:
    queued = await outbox.queue()
    outbox.clock.forward(timedelta(days=30))
    sink.offers_starttls = True
    outbox.endpoint = replace(outbox.endpoint, security=Security.STARTTLS)
    sink.plan("starttls", Say("250 2.0.0 ok"))
    await outbox.send()
    assert (await outbox.states(queued.id))[1] != ["sent"]
    assert "outgoing.sent" not in await outbox.event_types()


async def test_a_server_that_is_away_for_the_whole_lifetime_fails_only_what_is_as_old(
    outbox: Outbox, sink: SmtpSink
) -> None:
    old = [await outbox.queue() for _ in range(25)]
    outbox.clock.forward(timedelta(days=4))
    young = await outbox.queue()
    outbox.clock.forward(timedelta(days=1))
    working, outbox.endpoint = outbox.endpoint, plain_endpoint(port=1)
    outcome = await outbox.send()
    assert isinstance(outcome.error, Unreachable)
    assert outcome.settled["outgoing.deferred"] == 25
    assert outcome.settled["outgoing.failed"] == 0
    (attempt,) = await outbox.history(old[0].id)
    assert (attempt.phase, attempt.result) == ("connect", "deferred")
    outbox.clock.forward(timedelta(minutes=10))
    await outbox.send()
    assert len(await outbox.history(old[0].id)) == 1, "not due, so it was not tried"
    outbox.clock.forward(timedelta(minutes=50))
    outcome = await outbox.send()
    assert [(await outbox.states(one.id))[0] for one in old] == ["failed"] * 25
    assert await outbox.states(young.id) == ("pending_send", ["pending"])
    assert outcome.settled["outgoing.failed"] == 25
    outbox.endpoint = working
    await outbox.send()
    assert await outbox.states(young.id) == ("sent", ["sent"])


@pytest.mark.parametrize(("step", "times"), [("greeting", 1), ("rcpt", 3)])
async def test_after_days_off_one_excuse_of_the_server_fails_nobody(
    outbox: Outbox, sink: SmtpSink, step: str, times: int
) -> None:
    queued = [await outbox.queue() for _ in range(3)]
    outbox.clock.forward(timedelta(days=6))
    sink.plan(step, *[Say("421 4.3.2 come back in a minute")] * times)
    for _ in range(times):
        await outbox.send()
    assert [(await outbox.states(one.id))[0] for one in queued] == ["pending_send"] * 3
    outbox.clock.forward(timedelta(hours=1))
    await outbox.send()
    assert [(await outbox.states(one.id))[0] for one in queued] == ["sent"] * 3


# -- what a person asks for ---------------------------------------------------------------


async def test_a_canceled_message_stays_and_a_sent_one_cannot_be_canceled(
    outbox: Outbox, sink: SmtpSink
) -> None:
    canceled, sent = await outbox.queue(), await outbox.queue()
    now = outbox.clock.now()
    row = await command(outbox.db, canceled.id, Command.CANCEL, now)
    assert (row.state, row.recipients[0].state) == ("canceled", "canceled")
    await outbox.send()
    assert len(sink.taken) == 1
    with pytest.raises(Refused, match="a message that is sent cannot be asked to cancel"):
        await command(outbox.db, sent.id, Command.CANCEL, now)
    with pytest.raises(NotFound, match="there is no outgoing message 99"):
        await command(outbox.db, OutgoingId(99), Command.CANCEL, now)


async def test_a_message_canceled_when_some_had_it_is_sent_and_says_so(
    outbox: Outbox, sink: SmtpSink
) -> None:
    sink.plan("rcpt", Say("250 2.1.5 ok"), Say("450 4.2.0 busy"))
    queued = await outbox.queue(to=["bob@example.org", "cleo@example.org"])
    await outbox.send()
    assert await outbox.states(queued.id) == ("pending_send", ["sent", "deferred"])
    row = await command(outbox.db, queued.id, Command.CANCEL, outbox.clock.now())
    assert (row.state, [r.state for r in row.recipients]) == ("sent", ["sent", "canceled"])
    assert row.reason == "canceled when it had been sent to 1 of 2 recipients"
    assert row.final_at == outbox.clock.now()


async def test_a_failed_message_is_tried_again_for_its_refused_recipients_only(
    outbox: Outbox, sink: SmtpSink
) -> None:
    sink.plan("rcpt", Say("550 5.1.1 no"))
    queued = await outbox.queue()
    await outbox.send()
    outbox.clock.forward(timedelta(days=30))
    row = await command(outbox.db, queued.id, Command.RETRY, outbox.clock.now())
    assert row.state == "pending_send"
    sink.plan("rcpt", Say("450 4.2.0 busy"))
    await outbox.send()
    assert await outbox.states(queued.id) == ("pending_send", ["deferred"])
    outbox.clock.forward(timedelta(minutes=1))
    await outbox.send()
    assert await outbox.states(queued.id) == ("sent", ["sent"])


async def test_lists_filter_and_go_on_from_where_they_were(outbox: Outbox) -> None:
    ids = [(await outbox.queue()).id for _ in range(5)]
    await command(outbox.db, ids[1], Command.CANCEL, outbox.clock.now())
    pending = await outbox.db.read(
        lambda reader: list_rows(
            reader, state=OutgoingState.PENDING_SEND, after=ids[0], limit=2
        )
    )
    assert [row.id for row in pending] == [ids[2], ids[3]]
    own = await outbox.db.read(lambda reader: list_rows(reader, mailbox_id=outbox.mailbox.id))
    other = await outbox.db.read(lambda reader: list_rows(reader, mailbox_id=MailboxId(77)))
    assert (len(own), other) == (5, [])
    counts = await outbox.db.read(count)
    assert {(c.profile, c.state.value): c.messages for c in counts} == {
        ("contoso", "pending_send"): 4,
        ("contoso", "canceled"): 1,
    }
    assert await outbox.db.read(due_times) == {outbox.mailbox.id: outbox.clock.now()}


class _Unwilling:
    """A store that fails some essential writes: outcomes, not claims and not new mail."""

    def __init__(self, db: Database, error: StoreError, times: int) -> None:
        self._db = db
        self._error = error
        self.times = times

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        return await self._db.read(body)

    async def write(
        self, body: Callable[[Transaction], Awaitable[T]], *, essential: bool = False
    ) -> T:
        if essential and self.times:
            self.times -= 1
            raise type(self._error)(*self._error.args)
        return await self._db.write(body, essential=essential)

    def health(self) -> StoreHealth:
        return self._db.health()

    async def close(self) -> None:
        await self._db.close()


class _Wrapped:
    """A sender with one of its steps replaced."""

    def __init__(self, sender: MailSender) -> None:
        self._sender = sender

    @property
    def place(self) -> str:
        return self._sender.place

    async def envelope(
        self,
        sender: str,
        recipients: Sequence[str],
        octets: int,
        *,
        eight_bit: bool = False,
        utf8: bool = False,
    ) -> EnvelopeReplies:
        return await self._sender.envelope(
            sender, recipients, octets, eight_bit=eight_bit, utf8=utf8
        )

    async def body(self, chunks: AsyncIterable[bytes]) -> SmtpReply | None:
        return await self._sender.body(chunks)

    async def dot(self) -> SmtpReply:
        return await self._sender.dot()

    async def reset(self) -> None:
        await self._sender.reset()

    async def quit(self) -> None:
        await self._sender.quit()

    def abort(self) -> None:
        self._sender.abort()
