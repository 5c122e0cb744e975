"""How the daemon starts, or does not; that it is alone; how it ends.

Numbers are the rows of the project's fault matrix.
"""

import asyncio
import re
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest

from syncd.sandbox.misbehaviour import Delay, Misbehaviour
from syncd.sandbox.witness import Service
from tests.support.process import Daemon, Json, all_of, daemon_running, syncd, until
from tests.support.world import (
    ELSEWHERE,
    PASSWORD,
    QUEUE,
    USER,
    World,
    a_letter,
    a_reply,
    empty_world,
    world_open,
)

BOB = f"bob@{ELSEWHERE}"
SOON = 10.0
"""Seconds in which an idle daemon has ended; it takes a tenth of one."""


# ---------------------------------------------------------------- it does not start


def assert_nothing_has_started(world: World) -> None:
    assert not world.store.path.exists()
    assert not world.config.with_name("syncd.sock").exists()
    assert set(world.sandbox.most_open.values()) == {0}


@pytest.mark.parametrize("command", ["run", "once"])
async def test_row_17_a_bad_file_is_refused_with_everything_that_is_wrong_in_it(
    tmp_path: Path, command: str
) -> None:
    async with world_open(tmp_path) as world:
        world.settings |= {"colour": "blue", "limits": {"memory": "lots"}}
        world.settings["include"] = ["more.yaml"]
        world.settings["mailboxes"][0]["profile"] = "nowhere"
        world.write()
        more = tmp_path / "more.yaml"
        more.touch(mode=0o600)
        more.write_text(
            "mailboxes:\n"
            f"  - address: {USER.upper()}\n"
            f"    credentials: {{username: x, password: {PASSWORD}}}\n"
            "    delete_after_processing: true\n"
            "    delete_after_processing: false\n"
        )
        ended = await syncd(command, config=world.config)
        assert ended.status == 78
        assert_nothing_has_started(world)
    wrong = [line for line in ended.err.splitlines() if re.search(r"\.yaml:\d+:\d+: ", line)]
    for culprit in ("colour", "limits.memory", "more.yaml:5:5", "nowhere"):
        assert any(culprit in line for line in wrong), ended.err
    assert PASSWORD not in ended.err


async def test_row_43_a_secret_that_others_can_read_starts_nothing(tmp_path: Path) -> None:
    key = tmp_path / "key"
    password = tmp_path / "password"
    for path, text in (
        (key, (await syncd("secret", "new-key")).out),
        (password, PASSWORD),
    ):
        path.touch(mode=0o600)
        path.write_text(text)
    async with world_open(tmp_path / "world") as world:
        login = world.settings["mailboxes"][0]["credentials"]
        world.settings["encryption"] = {"keys": [{"file": str(key)}]}

        world.write()
        await _require_refusal(world, world.config)
        login["password"] = {"file": str(password)}
        world.write()
        await _require_refusal(world, key)
        await _require_refusal(world, password)

        world.config.chmod(0o644)  # holds no secret any more
        ended = await world.once()
        assert ended.status == 0, ended.err


async def _require_refusal(world: World, exposed: Path) -> None:
    exposed.chmod(0o644)
    for command in ("run", "once"):
        ended = await syncd(command, config=world.config)
        assert ended.status == 78
        assert f"its mode is 0644; type: chmod 600 {exposed}" in ended.err
    assert_nothing_has_started(world)
    exposed.chmod(0o600)


async def test_row_43_what_the_daemon_makes_is_private_from_its_first_byte(
    tmp_path: Path, strace: list[str]
) -> None:
    trace = tmp_path / "trace"
    under = [str(trace) if word == "/dev/null" else word for word in strace]
    under += ["-e", "trace=open,openat,creat,mkdir"]
    careless = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
    async with world_open(tmp_path / "world") as world:
        world.receive(USER, a_letter(USER))
        async with daemon_running(world.config, under=[*careless, *under]) as daemon:
            assert (await daemon.poll(USER))["taken"] == 1
            modes = {
                file.name: stat.S_IMODE(file.stat().st_mode) for file in world.folder.iterdir()
            }
            assert await daemon.stopped() == 0
    assert modes.pop("syncd.sock") == 0o660
    assert {"syncd.db", "syncd.db-wal", "syncd.db.lock"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    made = [
        line
        for line in trace.read_text().splitlines()
        if f'"{world.folder}' in line and ("O_CREAT" in line or "mkdir" in line)
    ]
    made = [line for line in made if " = -1 EEXIST" not in line]
    assert len(made) >= len(modes) - 1
    assert all(", 0600) = " in line for line in made), made


# ---------------------------------------------------------------- it is alone


async def test_row_78_a_second_one_on_the_same_store_is_refused_and_the_first_goes_on(
    tmp_path: Path,
) -> None:
    async with (
        world_open(tmp_path / "first") as world,
        world_open(tmp_path / "second") as other,
    ):
        other.settings["store"] = world.settings["store"]  # but a socket of its own
        other.write()
        async with daemon_running(world.config) as daemon:
            pid = daemon.process.pid
            for config in (world.config, other.config):
                for command in ("run", "once"):
                    ended = await syncd(command, config=config)
                    assert ended.status == 75
                    assert f"another syncd holds the store (process {pid}" in ended.err
                    assert "Traceback" not in ended.err
            world.receive(USER, a_letter(USER))
            assert (await daemon.poll(USER))["taken"] == 1
            assert await daemon.stopped() == 0
        assert set(other.sandbox.most_open.values()) == {0}
        assert (await syncd("once", config=other.config)).status == 0


async def test_row_78_however_often_it_is_asked_a_mailbox_is_polled_once_at_a_time(
    tmp_path: Path,
) -> None:
    async with world_open(tmp_path) as world:
        # The server is slow, so that polls last: whoever would come too early meets another.
        world.sandbox.misbehave(Misbehaviour(on="STAT", act=Delay(0.05)))
        async with daemon_running(world.config) as daemon:
            for _ in range(4):
                world.receive(USER, a_letter(USER))
                asked = [partial(daemon.poll, USER)] * 25
                reports = await all_of(*asked, at_once=len(asked))
                assert {report["result"] for report in reports} == {"ok"}
            assert await daemon.stopped() == 0
        world.assert_incoming_balances()
        assert world.sandbox.most_open[Service.POP3] == 1
        assert 4 <= world.sandbox.journal.logins[Service.POP3, USER] <= 20


async def test_row_79_a_poll_that_outlasts_its_interval_is_followed_by_one_and_not_by_many(
    tmp_path: Path,
) -> None:
    interval = 10  # the shortest that counts
    async with world_open(tmp_path) as world:
        slow = Misbehaviour(on="STAT", act=Delay(interval + 1), times=1)
        world.sandbox.misbehave(slow)
        journal = world.sandbox.journal
        async with daemon_running(world.config) as daemon:
            report = await daemon.poll(USER)
            assert report["duration"] > interval
            await until(lambda: journal.words(Service.POP3).count("QUIT") == 2, SOON)
            known = (await daemon.mailbox(USER))["incoming"]
            assert await daemon.stopped() == 0
        assert world.sandbox.most_open[Service.POP3] == 1
        # What was missed meanwhile is missed: the next one has its interval again.
        assert journal.logins[Service.POP3, USER] == 2
        assert known["state"] == "running"


# ---------------------------------------------------------------- it ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_daemon_ends_at_once_and_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with world_open(tmp_path) as world, daemon_running(world.config) as daemon:
        daemon.tell(number)
        await until(lambda: daemon.process.returncode is not None, SOON)
        assert await daemon.ended() == 0
        assert daemon.records[-1]["event"] == "stopped"
        assert {file.name for file in tmp_path.iterdir()} <= {
            "syncd.yaml",
            "syncd.db",
            "syncd.db.lock",
            "syncd.db.ballast",
        }


@asynccontextmanager
async def under_way(
    folder: Path, seconds: float
) -> AsyncIterator[tuple[World, Daemon, "asyncio.Task[Json]"]]:
    """Run a daemon that is polling one mailbox and waits for the answer to another one's dot.

    The server makes it wait for so many seconds; the task is the poll that was asked for.
    """
    reply = a_reply(USER, BOB)
    async with empty_world(folder) as world:
        world.open(QUEUE, type="queue", delete_after_processing=True)
        world.open(USER)
        world.profile["minimum_polling_interval"] = "24h"
        world.write()
        world.replies[reply.number] = (BOB,)
        world.receive(QUEUE, a_letter(QUEUE))
        world.sandbox.misbehave(
            *(Misbehaviour(on=on, act=Delay(seconds)) for on in ("RETR", "DOT"))
        )
        async with daemon_running(world.config) as daemon, asyncio.TaskGroup() as tasks:
            path = f"/api/v1/mailboxes/{USER}/outgoing"
            kind = {"content-type": "message/rfc822"}
            await daemon.ask("POST", path, reply.octets, kind)
            await until(lambda: bool(world.sandbox.journal.acceptances))
            poll = tasks.create_task(_poll_or_give_up(daemon))
            await until(lambda: "RETR" in world.sandbox.journal.words(Service.POP3))
            yield world, daemon, poll


async def _poll_or_give_up(daemon: Daemon) -> Json | None:
    """Ask for a poll; None if it was dropped, and the request with it."""
    try:
        return await daemon.poll(QUEUE)
    except (httpx2.TransportError, AssertionError):
        return None


async def test_row_76_what_is_under_way_is_brought_to_its_end(tmp_path: Path) -> None:
    async with under_way(tmp_path, seconds=3) as (world, daemon, poll):
        daemon.tell(signal.SIGTERM)
        stopping = await daemon.logged("stopping")
        assert (stopping["polling"], stopping["sending"]) == (1, 1)
        assert (await poll)["taken"] == 1
        assert await daemon.ended() == 0
        world.assert_incoming_balances()
        world.assert_outgoing_balances()
        assert world.sandbox.drop(QUEUE).mails == []
        assert world.store.events("outgoing.") == ["outgoing.sent"]


async def test_row_76_a_second_signal_does_not_wait_and_costs_nothing(tmp_path: Path) -> None:
    async with under_way(tmp_path, seconds=60) as (world, daemon, poll):
        daemon.tell(signal.SIGTERM)
        await daemon.logged("stopping")
        daemon.tell(signal.SIGTERM)
        await until(lambda: daemon.process.returncode is not None, SOON)
        assert await daemon.ended() == 0
        assert [r for r in daemon.records if "exception" in r] == []
        assert await poll is None
        assert world.deleted() == set()
        world.sandbox.behave()
        await world.settle()
        world.assert_incoming_balances()
        world.assert_outgoing_balances()
        told = world.store.events("outgoing.")
        assert told == ["outgoing.outcome_unknown", "outgoing.sent"]


async def test_a_wish_to_reload_is_answered_and_ends_nothing(tmp_path: Path) -> None:
    async with world_open(tmp_path) as world, daemon_running(world.config) as daemon:
        daemon.tell(signal.SIGHUP)
        answer = await daemon.logged(
            "reload is not in this version of syncd; restart to apply the file"
        )
        assert answer["level"] == "warning"
        world.receive(USER, a_letter(USER))
        assert (await daemon.poll(USER))["taken"] == 1
        assert await daemon.stopped() == 0
