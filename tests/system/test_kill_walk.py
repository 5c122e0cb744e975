"""The whole product, killed at every edge in turn; the mail server is the witness.

Faults 5 (before the commit: `incoming.fetched`, `.staged`, `.recording`), 6 (`.committed`),
7 (`.deleted`), 8 (`.quitting`, `.quit`), 9 (`outgoing.claimed`, `.enveloped`, `.before_dot`),
10 (`.after_dot_committed`, `.dot_sent`) and 11 (`.answered`).

For each edge of EDGES the process dies the first time it comes by, in another world the second
time, and so on until one comes through alive; after each death it is started again. An edge
that nobody reaches fails the test: so does a new one that nothing here brings about.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx2
import pytest

from syncd.observe.edges import EDGES
from tests.support.process import Daemon, all_of, daemon_running, syncd, until
from tests.support.world import (
    ELSEWHERE,
    LARGE,
    QUEUE,
    USER,
    Letter,
    World,
    a_letter,
    a_reply,
    empty_world,
)

pytestmark = pytest.mark.timeout(300)  # on a busy machine; every wait has its own end

RECIPIENTS = (f"bob@{ELSEWHERE}", f"carol@{ELSEWHERE}")
REPLIES = 2
ENQUEUED = "outgoing.enqueued"
POSSIBLY_SENT = {"outgoing.after_dot_committed", "outgoing.dot_sent", "outgoing.answered"}
AT_ONCE = 2
MOST_PASSES = 20


@asynccontextmanager
async def two_mailboxes(folder: Path) -> AsyncIterator[World]:
    """Run a server with a user's mailbox and a queue whose mail is deleted once it is stored."""
    async with empty_world(folder) as world:
        world.open(USER)
        world.open(QUEUE, type="queue", delete_after_processing=True)
        world.write()
        yield world


@dataclass(frozen=True, slots=True)
class Waiting:
    """A store in whose queue some messages wait."""

    store: Path
    letters: list[Letter]


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Waiting:
    """Queue messages without a daemon, once: every walk begins with a copy of the store."""
    folder = tmp_path_factory.mktemp("waiting")
    letters = [a_reply(QUEUE, *RECIPIENTS) for _ in range(REPLIES)]

    async def queue() -> None:
        async with two_mailboxes(folder) as world:
            for letter in letters:
                ended = await syncd("send", config=world.config, stdin=letter.octets)
                assert ended.status == 0, ended.err

    asyncio.run(queue())
    return Waiting(folder / "syncd.db", letters)


@pytest.mark.parametrize("edge", [edge for edge in EDGES if edge != ENQUEUED])
async def test_killed_at_any_edge_nothing_is_lost_and_nothing_doubled(
    edge: str, waiting: Waiting, tmp_path: Path
) -> None:
    died: list[bool] = []
    while all(died):
        ns = range(len(died) + 1, len(died) + 1 + AT_ONCE)
        assert ns[0] < MOST_PASSES
        died += await all_of(
            *(partial(die_and_go_on, edge, n, waiting, tmp_path / str(n)) for n in ns)
        )
    assert died[0], "the edge is never reached"
    assert died == sorted(died, reverse=True)


async def die_and_go_on(edge: str, nth: int, waiting: Waiting, folder: Path) -> bool:
    """Die in a round of polls and sends, and run others; tell whether it did die."""
    async with two_mailboxes(folder) as world:
        shutil.copy(waiting.store, world.store.path)
        world.replies = {letter.number: RECIPIENTS for letter in waiting.letters}
        for address in (USER, QUEUE):
            world.receive(address, *(a_letter(address) for _ in range(3)))
            world.receive(address, a_letter(address, octets=LARGE), a_letter(address))
        ended = await world.once(env={"SYNCD_KILL_AT": f"{edge}:{nth}"})
        assert ended.was_killed or ended.status == 0, ended.err
        world.assert_nothing_is_lost()
        if ended.was_killed:
            await world.settle()
        world.assert_incoming_balances()
        world.assert_outgoing_balances()
        assert world.sandbox.drop(QUEUE).mails == []
        assert len(world.sandbox.drop(USER).mails) == 5
        unknown = sum(one.unknown_outcomes for one in world.store.queue())
        assert unknown == int(ended.was_killed and edge in POSSIBLY_SENT)
    return ended.was_killed


async def test_who_died_before_the_application_had_its_answer_gives_the_same_answer_later(
    tmp_path: Path,
) -> None:
    died: list[bool] = []
    while all(died):
        died.append(await die_with_the_answer(len(died) + 1, tmp_path / str(len(died))))
    assert died == [True] * REPLIES + [False]


async def die_with_the_answer(nth: int, folder: Path) -> bool:
    """Die while messages are queued, and queue all of them again; tell whether it did die."""
    letters = [a_reply(QUEUE, *RECIPIENTS) for _ in range(REPLIES)]
    async with two_mailboxes(folder) as world:
        world.replies = {letter.number: RECIPIENTS for letter in letters}
        answered: list[int] = []
        env = {"SYNCD_KILL_AT": f"{ENQUEUED}:{nth}"}
        async with daemon_running(world.config, env) as daemon:
            try:
                for letter in letters:
                    answered.append(await queue(daemon, letter))  # noqa: PERF401 - those before its end count
            except httpx2.TransportError:
                await daemon.ended()
            has_died = daemon.process.returncode is not None
        committed = {one.number: one.id for one in world.store.queue()}
        assert len(committed) == len(answered) + has_died
        async with daemon_running(world.config, {"SYNCD_TEST_UNKNOWN_WAIT": "1"}) as daemon:
            again = {letter.number: await queue(daemon, letter) for letter in letters}
            assert committed.items() <= again.items()
            await until(lambda: all(one.state == "sent" for one in world.store.queue()))
        world.assert_outgoing_balances()
        assert all(set(reached.values()) == {1} for reached in world.copies().values())
    return has_died


async def queue(daemon: Daemon, letter: Letter) -> int:
    """Hand a message over as an application does; return the id that it gets."""
    headers = {"content-type": "message/rfc822", "idempotency-key": str(letter.number)}
    path = f"/api/v1/mailboxes/{QUEUE}/outgoing"
    answer = await daemon.ask("POST", path, letter.octets, headers)
    return int(answer["id"])


async def test_killed_without_a_daemon_the_command_gives_the_same_answer_later(
    tmp_path: Path,
) -> None:
    letter = a_reply(QUEUE, *RECIPIENTS)
    send = ("send", "--json", "--idempotency-key", "order-1")
    async with two_mailboxes(tmp_path) as world:
        env = {"SYNCD_KILL_AT": ENQUEUED}
        ended = await syncd(*send, config=world.config, stdin=letter.octets, env=env)
        assert ended.was_killed
        (committed,) = world.store.queue()
        again = await syncd(*send, config=world.config, stdin=letter.octets)
        assert again.status == 0, again.err
        assert again.json["id"] == committed.id
        assert world.store.queue() == [committed]
