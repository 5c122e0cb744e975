"""Every command once as a person types it and once for a program, with a daemon and without.

Exit statuses are those of the contract: 0 done, 1 failed, 2 usage, 69 daemon not reachable,
75 try later (see test_store_trouble.py, test_start_and_stop.py), 78 configuration.
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from syncd.cli.main import app
from syncd.sandbox.misbehaviour import Delay, Instead, Misbehaviour
from syncd.sandbox.witness import Service
from tests.docs.test_commands import commands
from tests.support.process import (
    PATIENCE,
    PROJECT,
    Daemon,
    Ended,
    Json,
    all_of,
    daemon_running,
    syncd,
    until,
)
from tests.support.world import (
    ELSEWHERE,
    QUEUE,
    USER,
    World,
    a_letter,
    a_reply,
    empty_world,
    world_open,
)

pytestmark = pytest.mark.timeout(300)  # on a busy machine; every wait has its own end

BOB, NOBODY = f"bob@{ELSEWHERE}", f"nobody@{ELSEWHERE}"
OTHERS = {("run",), ("once",), ("demo",), ("sandbox",)}
"""Commands that are no questions to a daemon: tested below, in test_start_and_stop.py and in
test_demo.py."""


@asynccontextmanager
async def something_of_everything(folder: Path) -> AsyncIterator[tuple[World, Daemon]]:
    """Run a daemon over mail taken and refused, mail sent and waiting, an unapproved queue."""
    async with empty_world(folder) as world:
        world.open(USER)
        world.open(QUEUE, type="queue")
        world.settings["email_settings"]["process_only_approved_queues"] = True
        world.profile["retry"] = {"first": "1h", "longest": "1h"}  # nothing moves by itself
        world.profile["minimum_polling_interval"] = "24h"
        world.write()
        world.receive(USER, *(a_letter(USER) for _ in range(4)))
        no, later = Instead("-ERR not today"), Instead("450 4.2.1 not today")
        for mail in world.sandbox.drop(USER).mails[2:]:
            world.sandbox.misbehave(Misbehaviour(on="RETR", act=no, argument=mail.uid))
        world.sandbox.misbehave(Misbehaviour(on="RCPT", act=later, argument=NOBODY))
        async with daemon_running(world.config) as daemon:
            assert (await daemon.poll(USER))["taken"] == 2
            for recipient in (BOB, NOBODY, NOBODY):
                await submit(daemon, recipient)
            await until(lambda: _attempts(world) == 3)
            yield world, daemon


async def submit(daemon: Daemon, recipient: str) -> None:
    """Hand a message over, as an application does."""
    reply = a_reply(USER, recipient)
    path, kind = f"/api/v1/mailboxes/{USER}/outgoing", {"content-type": "message/rfc822"}
    await daemon.ask("POST", path, reply.octets, kind)


def _attempts(world: World) -> int:
    ((attempts,),) = world.store.ask("SELECT count(*) FROM attempt")
    return int(attempts)


Command = tuple[str, ...]
Pair = tuple[Command, Command]
"""A command for a person, and the same for a program: on another thing, where it changes it."""

LOOKING: Mapping[Command, str] = {
    ("status",): "status",
    ("mailbox", "list"): "mailboxes",
    ("mailbox", "show", USER): f"mailboxes/{USER}",
    ("queue", "list"): "outgoing",
    ("queue", "show", "2"): "outgoing/2",
    ("message", "list"): "messages",
    ("message", "show", "1"): "messages/1",
    ("quarantine", "list"): "quarantine",
}
"""Commands that only look, and the routes where a daemon answers the same."""
NEEDING_NOTHING: tuple[Command, ...] = (
    ("config", "check"),
    ("config", "show"),
    ("secret", "new-key"),
)


def pairs(folder: Path, quarantined: Sequence[str]) -> list[Pair]:
    """Return every command that asks a daemon something, or needs none."""
    first, second = quarantined
    changing: list[Pair] = [
        (("mailbox", "poll", USER), ("mailbox", "poll", USER)),
        (("mailbox", "approve", QUEUE), ("mailbox", "approve", "--all")),
        (("mailbox", "reject", QUEUE), ("mailbox", "reject", QUEUE)),
        (("queue", "retry", "2"), ("queue", "retry", "3")),
        (("queue", "cancel", "2"), ("queue", "cancel", "3")),
        (("quarantine", "replay", first), ("quarantine", "replay", second)),
        (("quarantine", "drop", first), ("quarantine", "drop", second)),
    ]
    maildirs = [str(folder / name) for name in ("one", "two")]
    export = [("message", "export", "--all", "--maildir", maildir) for maildir in maildirs]
    schema: Pair = (("config", "schema"), ("config", "schema"))
    same: list[Pair] = [(words, words) for words in (*LOOKING, *NEEDING_NOTHING)]
    return [*same, *changing, (export[0], export[1]), schema]


async def test_every_command_answers_a_person_and_a_program(tmp_path: Path) -> None:
    async with something_of_everything(tmp_path / "world") as (world, daemon):
        ask = partial(syncd, config=world.config)
        items = (await daemon.get("/api/v1/quarantine"))["items"]
        asked = pairs(tmp_path, [item["id"] for item in items])
        for plain, for_program in asked:
            first, second = await all_of(
                partial(ask, *plain), partial(ask, *for_program, "--json")
            )
            await _require_good(first, plain)
            await _require_good(second, for_program)
            assert second.json is not None
            assert second.err == ""
        await _send(world)
        await _seal(world)
        await _export_one(world)
        tried = {_name(plain) for plain, _ in asked}
        tried |= {("send",), ("secret", "encrypt")}
        assert tried | OTHERS == set(commands(app))
        assert await daemon.stopped() == 0


def _name(words: Command) -> Command:
    return next(known for known in commands(app) if words[: len(known)] == known)


async def _require_good(ended: Ended, words: Command) -> None:
    assert ended.status == 0, (words, ended.err)
    assert ended.out or "--maildir" in words, words
    assert all(line.isprintable() for line in ended.out.split("\n")), words


async def _send(world: World) -> None:
    letter = a_reply(USER, BOB).octets
    file = world.folder / "letter"
    file.write_bytes(letter)
    from_file = await syncd("send", str(file), config=world.config)
    assert from_file.out.startswith("queued as 4, ")
    from_pipe = await syncd("send", "--json", config=world.config, stdin=letter)
    assert from_pipe.json["recipients"][0]["address"] == BOB


async def _seal(world: World) -> None:
    key = world.folder / "key"
    key.touch(mode=0o600)
    key.write_text((await syncd("secret", "new-key", "--json")).json["key"])
    encrypt = ("secret", "encrypt", "--for", USER, "--key-file", str(key))
    plain = await syncd(*encrypt, config=world.config, stdin=b"geheim\n")
    assert plain.out.startswith('{encrypted: "v1:')
    for_program = await syncd(*encrypt, "--json", config=world.config, stdin=b"geheim\n")
    assert for_program.json["encrypted"].startswith("v1:")


async def _export_one(world: World) -> None:
    exported = await syncd("message", "export", "1", config=world.config)
    assert exported.status == 0
    assert exported.out.encode() == world.sandbox.drop(USER).mails[0].body


async def test_without_a_daemon_reading_commands_say_the_same_and_others_what_to_do(
    tmp_path: Path,
) -> None:
    async with something_of_everything(tmp_path / "world") as (world, daemon):
        ask = partial(syncd, config=world.config)
        before = [await daemon.get(f"/api/v1/{route}") for route in LOOKING.values()]
        assert await daemon.stopped() == 0
        without = await all_of(*(partial(ask, *words, "--json") for words in LOOKING))
        for words, answer, ended in zip(LOOKING, before, without, strict=True):
            await _require_good(ended, words)
            assert "reading the store itself" in ended.err
            assert _lasting(ended.json) == _lasting(answer), words
        plain = await ask("queue", "list")
        assert "reading the store itself" in plain.err
        await _require_good(plain, ("queue", "list"))
        await _require_a_daemon(ask)
        sent = await ask("send", "--json", stdin=a_reply(USER, BOB).octets)
        assert sent.json["id"] == 4
        assert "writing into the store itself" in sent.err


OF_A_PROCESS = {"daemon", "started_at", "polling", "sending", "connections", "store"}
MOVES_WITH_EACH_POLL = {
    "next_at", "postponed_until", "last_started_at", "last_success_at", "last_duration", "why",
    "consecutive_failures", "next_attempt_at", "attempts", "reason", "last_seen_at", "count",
    "next_try_at", "status_at", "updated_at", "text", "history",
}  # fmt: skip
"""What a cycle between the two looks changes: the daemon works on until it is told to stop."""


def _lasting(facts: Json) -> Json:
    """Leave out what only a running process has, and what its next cycle changes."""
    match facts:
        case dict():
            left_out = OF_A_PROCESS | MOVES_WITH_EACH_POLL
            return {name: _lasting(v) for name, v in facts.items() if name not in left_out}
        case list():
            return [_lasting(item) for item in facts]
        case _:
            return facts


async def _require_a_daemon(ask: "partial[Json]") -> None:
    needing: list[Command] = [
        ("mailbox", "poll", USER),
        ("mailbox", "approve", QUEUE),
        ("mailbox", "reject", QUEUE),
        ("queue", "retry", "2"),
        ("queue", "cancel", "2"),
        ("quarantine", "replay", "m1"),
        ("quarantine", "drop", "m1", "--json"),
    ]
    for ended in await all_of(*(partial(ask, *words) for words in needing)):
        assert ended.status == 69
        assert ended.out == ""
        assert "no daemon answers" in ended.err
        assert "syncd run" in ended.err


async def test_a_round_by_hand_is_summed_up_and_its_failures_are_its_status(
    tmp_path: Path,
) -> None:
    async with world_open(tmp_path) as world:
        world.receive(USER, a_letter(USER))
        plain = await world.once()
        assert plain.status == 0
        assert "1 mailboxes polled" in plain.out
        assert "1 messages taken" in plain.out
        for_program = await world.once(USER, "--json")
        assert for_program.status == 0
        assert for_program.json["mailboxes"][0]["result"] == "ok"
        world.sandbox.misbehave(Misbehaviour(on="STAT", act=Instead("-ERR no")))
        failed = await world.once("--json")
        assert failed.status == 1
        assert failed.json["mailboxes"][0]["failure"]["words"] == "no"


async def test_each_kind_of_failure_has_its_status(tmp_path: Path) -> None:
    async with world_open(tmp_path / "world") as world:
        assert (await world.once()).status == 0  # so that there is a store
        ask = partial(syncd, config=world.config)
        bad = tmp_path / "bad.yaml"
        bad.write_text("colour: blue\n")
        unknown = a_reply(NOBODY, BOB).octets
        expected = {
            2: [
                partial(ask, "mailbox"),
                partial(ask, "mailbox", "show"),
                partial(ask, "status", "--nonsense"),
                partial(ask, "queue", "show", "two"),
                partial(ask, "message", "export", "--all"),
                partial(ask, "send", str(tmp_path / "not there")),
                partial(ask, "reload"),
                partial(ask, "mailbox", "test", USER),
            ],
            1: [
                partial(ask, "mailbox", "show", NOBODY),
                partial(ask, "queue", "show", "99", "--json"),
                partial(ask, "message", "export", "99"),
                partial(ask, "once", NOBODY),
                partial(ask, "send", stdin=unknown),
            ],
            78: [
                partial(syncd, "config", "check", config=bad),
                partial(syncd, "config", "check", "--json", config=bad),
                partial(syncd, "status", config=bad),
                partial(syncd, "once", config=tmp_path / "nowhere.yaml"),
            ],
        }
        for status, asked in expected.items():
            for wish, ended in zip(asked, await all_of(*asked), strict=True):
                assert ended.status == status, (wish.args, ended.err)
                assert ended.err or json.loads(ended.out)["ok"] is False
                assert "Traceback" not in ended.err


async def test_a_daemon_that_goes_away_in_mid_request_is_named_so(tmp_path: Path) -> None:
    async with world_open(tmp_path) as world:
        world.profile["minimum_polling_interval"] = "24h"
        world.write()
        heard = world.sandbox.journal.words
        world.sandbox.misbehave(Misbehaviour(on="STAT", act=Delay(60), skip=1))
        async with daemon_running(world.config) as daemon, asyncio.TaskGroup() as tasks:
            await daemon.poll(USER)  # the next one comes when it is asked for
            poll = syncd("mailbox", "poll", USER, config=world.config)
            asked = tasks.create_task(poll)
            await until(lambda: heard(Service.POP3).count("STAT") == 2)
            daemon.tell(signal.SIGKILL)
            ended = await asked
    assert ended.status == 69
    assert "went away" in ended.err
    assert "Traceback" not in ended.err


async def test_the_mail_server_of_the_demo_runs_by_itself() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "syncd", "sandbox", "--json"),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        listening = json.loads(await process.stdout.readline())
        _, writer = await asyncio.open_connection(listening["host"], listening["pop3"])
        writer.close()
        await writer.wait_closed()
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0
