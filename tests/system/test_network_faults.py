"""What servers and networks do to a running daemon; the mail server's journal is the witness.

Numbers are the rows of the project's fault matrix.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from syncd.sandbox.misbehaviour import Act, Cut, Delay, Drop, Instead, Misbehaviour
from syncd.sandbox.witness import Service
from tests.support.process import Daemon, all_of, daemon_running, syncd, until
from tests.support.proxy import Ending, Proxy, Way
from tests.support.world import (
    ELSEWHERE,
    LARGE,
    QUEUE,
    Letter,
    World,
    a_letter,
    a_reply,
    empty_world,
    side,
    world_open,
)

pytestmark = pytest.mark.timeout(300)  # on a busy machine; every wait has its own end

CUTS = 130
LONGEST_RECORD = 4096
"""Octets of a log line about a failure: the server's words (512 characters, of at most four
octets), and as much again for everything else."""
BOB = f"bob@{ELSEWHERE}"


# ---------------------------------------------------------------- a connection that is cut


async def test_row_4_cut_after_any_octet_nothing_is_lost_and_nothing_doubled(
    tmp_path: Path,
) -> None:
    async with (
        empty_world(tmp_path / "world") as world,
        Proxy(world.sandbox.host, world.sandbox.pop3_port) as road,
    ):
        world.open(QUEUE, type="queue", delete_after_processing=True)
        # It polls when it is told to, and at no other time.
        world.profile.update(incoming=side(road.port), minimum_polling_interval="24h")
        world.write()
        async with daemon_running(world.config) as daemon:
            octets = await _uncut_session(world, road, daemon)
            phases = [
                await _cut_session(world, road, daemon, octets * n // CUTS, ENDINGS[n % 2])
                for n in range(CUTS)
            ]
        world.assert_incoming_balances()
        assert world.sandbox.drop(QUEUE).mails == []
        assert Counter(phases)["fetch"] >= 100


ENDINGS = tuple(Ending)


async def _uncut_session(world: World, road: Proxy, daemon: Daemon) -> int:
    """Return how many octets the server says in a session like those that will be cut."""
    await daemon.poll(QUEUE)  # the server's capabilities are known from now on
    world.receive(QUEUE, *_some_letters())
    assert (await daemon.poll(QUEUE))["deleted"] == len(_some_letters())
    return road.passages[-1].bytes_passed[Way.TO_CLIENT]


async def _cut_session(
    world: World, road: Proxy, daemon: Daemon, after: int, ending: Ending
) -> str | None:
    """Cut a session, then let one through; return how far the first had come."""
    world.receive(QUEUE, *_some_letters())
    road.cut_next(Way.TO_CLIENT, after=after, ending=ending)
    failure = (await daemon.poll(QUEUE))["failure"]
    assert world.deleted() <= set(world.store.digests())
    report = await daemon.poll(QUEUE)
    assert report["result"] == "ok"
    assert world.sandbox.drop(QUEUE).mails == []
    return failure and str(failure["phase"])


def _some_letters() -> list[Letter]:
    return [a_letter(QUEUE), a_letter(QUEUE), a_letter(QUEUE, octets=LARGE), a_letter(QUEUE)]


# ---------------------------------------------------------------- after the dot


@asynccontextmanager
async def sending(folder: Path, *rules: Misbehaviour) -> AsyncIterator[tuple[World, Daemon]]:
    """Run a daemon that sends a message for every rule, each from a mailbox of its own.

    An unknown outcome is tried again after a second.
    """
    senders = [f"sender{n}@sandbox.example" for n, _ in enumerate(rules)]
    async with world_open(folder, senders) as world:
        for sender, rule in zip(senders, rules, strict=True):
            world.sandbox.misbehave(replace(rule, user=sender))
        async with daemon_running(world.config, {"SYNCD_TEST_UNKNOWN_WAIT": "1"}) as daemon:
            for sender in senders:
                await queue(world, daemon, a_reply(sender, BOB), sender)
            yield world, daemon


async def queue(world: World, daemon: Daemon, reply: Letter, sender: str) -> None:
    """Hand a message over, as an application does."""
    world.replies[reply.number] = (BOB,)
    path, kind = f"/api/v1/mailboxes/{sender}/outgoing", {"content-type": "message/rfc822"}
    await daemon.ask("POST", path, reply.octets, kind)


@dataclass(frozen=True, slots=True)
class Lost:
    """How the answer to the dot gets lost, and what must follow."""

    act: Act
    times: int
    copies: int
    state: str


LOST = (
    Lost(Cut(0), times=1, copies=2, state="sent"),  # it was taken
    Lost(Drop(), times=1, copies=1, state="sent"),  # it was not
    Lost(Drop(reset=True), times=1, copies=1, state="sent"),
    Lost(Cut(0), times=2, copies=2, state="held"),
    Lost(Drop(), times=2, copies=0, state="held"),
)


async def test_row_12_a_lost_answer_makes_one_more_copy_at_most_and_a_second_one_a_question(
    tmp_path: Path,
) -> None:
    rules = (Misbehaviour(on="DOT", act=lost.act, times=lost.times) for lost in LOST)
    async with sending(tmp_path, *rules) as (world, daemon):
        await until(lambda: {one.state for one in world.store.queue()} == {"sent", "held"})
        items = (await daemon.get("/api/v1/outgoing"))["items"]
        for lost, item, copies in zip(LOST, items, world.copies().values(), strict=True):
            assert item["state"] == lost.state, lost
            assert item["unknown_outcomes"] == lost.times, lost
            assert copies[BOB] == lost.copies, lost
            if lost.state == "held":
                assert item["reason"].startswith("possibly sent to 1 of 1 recipients")
        assert await daemon.stopped() == 0
        told = Counter(world.store.events("outgoing."))
        assert told["outgoing.outcome_unknown"] == sum(lost.times for lost in LOST)
        attempts = [r for r in daemon.records if r["event"] == "outgoing.attempt"]
        assert {attempt["phase"] for attempt in attempts} == {"after_dot"}


async def test_row_13_an_answer_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    # Later than an unknown outcome is tried again here: whoever gave up would send it twice.
    late = Misbehaviour(on="DOT", act=Delay(2.5))
    async with sending(tmp_path, late) as (world, daemon):
        await daemon.logged("outgoing.attempt", state="sent")
        world.assert_outgoing_balances()
        assert list(world.copies().values()) == [{BOB: 1}]
        assert world.store.events("outgoing.") == ["outgoing.sent"]


# ---------------------------------------------------------------- what servers say

FORGED = '{"event":"forged","level":"info"}'
WORDS = (
    f"no \n{FORGED}",
    f"no \r{FORGED}",
    f"no \x1b[2J\x07\x00\x85\u2028{FORGED}\u202e",
    'no","password":"x","event":"forged"}',
    "no " + "ü" * 2**19,
)


async def test_row_66_no_words_of_a_server_forge_or_flood_log_or_terminal(
    tmp_path: Path,
) -> None:
    listeners = [f"listener{n}@sandbox.example" for n, _ in enumerate(WORDS)]
    async with world_open(tmp_path, listeners) as world:
        world.settings["log"] = {"level": "debug"}
        world.write()
        for listener, words in zip(listeners, WORDS, strict=True):
            no, refused = Instead(f"-ERR {words}"), Instead(f"550 5.1.1 {words}")
            world.sandbox.misbehave(
                Misbehaviour(on="LOGIN", service=Service.POP3, user=listener, act=no),
                Misbehaviour(on="RCPT", user=listener, act=refused),
            )
        async with daemon_running(world.config) as daemon:
            for listener in listeners:
                assert (await daemon.poll(listener))["result"] != "ok"
                await queue(world, daemon, a_reply(listener, BOB), listener)
            await until(lambda: len(world.store.events("outgoing.")) >= len(WORDS))
            shown = [("mailbox", "show", listener) for listener in listeners]
            commands = [("status",), ("queue", "list"), ("queue", "show", "3"), *shown]
            printed = await all_of(*(partial(syncd, *c, config=world.config) for c in commands))
            assert await daemon.stopped() == 0
    events = Counter(record["event"] for record in daemon.records)
    assert events["poll failed"] >= len(WORDS)
    assert "forged" not in events
    assert max(len(line.encode()) for line in daemon.lines) <= LONGEST_RECORD
    for ended in printed:
        assert ended.status == 0
        assert all(line.isprintable() for line in ended.out.split("\n"))
        assert max(len(line) for line in ended.out.split("\n")) <= LONGEST_RECORD
