"""The demo: the real daemon as a child, a sandbox mail server and an outside ledger around it.

Mail is made for a while; the application answers some of it; the daemon may be killed all the
time. Then everything may settle, the daemon is stopped, and what comes out of its store is held
against the ledger: every message made is there exactly once with its exact octets, nothing was
deleted that is not there, every message queued was delivered once, or was counted as outcome
unknown and delivered at most twice.
"""

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from syncd.cli.demo_application import Application
from syncd.cli.demo_daemon import UNKNOWN_WAIT, Daemon, Kills, command
from syncd.cli.demo_ledger import Books, Copy, Ledger, Outgoing, balance, copy_of
from syncd.cli.demo_screen import Screen, print_books
from syncd.cli.demo_world import ADDRESSES, DELETING, PASSWORD, configuration, write_letter
from syncd.cli.exits import Exit
from syncd.cli.output import print_json, remark, say
from syncd.clock import Clock, SystemClock
from syncd.errors import Refused
from syncd.sandbox.server import Sandbox

LETTER_EVERY = 0.5
SETTLE_SHARE, SETTLE_MOST = 0.5, 15.0
"""Of `--seconds`, this share (at most so many seconds) is kept for settling."""
SETTLE_BOUND = 120.0
"""Settling takes a poll of every mailbox and the retry of unknown outcomes; what has not come
to rest by then never will."""
LOOK_EVERY = 0.3
START_BOUND = 60.0
LONGEST_SOCKET = 100
"""Octets of a Unix socket's path: Linux takes 107."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line asked for."""

    seconds: float | None
    kill_every: float | None
    json: bool
    directory: Path | None


def run_demo(
    *,
    seconds: float | None,
    kill_every: float | None,
    json: bool,
    directory: Path | None,
) -> int:
    """Run the demo; exit status 0 only if its books balance."""
    wishes = Wishes(seconds=seconds, kill_every=kill_every, json=json, directory=directory)
    with _place(directory) as place:
        if asyncio.run(_play(wishes, place)):
            return Exit.DONE
        if directory is None:
            place.keep()
            remark(f"configuration, store and log are kept in {place.directory}")
        return Exit.FAILED


async def _play(wishes: Wishes, place: "_Place") -> bool:
    return await Demo(wishes, place, SystemClock()).play()


class _Place:
    """Where a demo keeps its files, and its socket, whose path must be short."""

    def __init__(self, directory: Path, socket: Path) -> None:
        self.directory = directory
        self.socket = socket
        self.kept = False

    def keep(self) -> None:
        """Do not remove it in the end."""
        self.kept = True


@contextmanager
def _place(directory: Path | None) -> Iterator[_Place]:
    temporary = Path(tempfile.mkdtemp(prefix="syncd-demo-"))
    chosen = temporary if directory is None else directory.resolve()
    if (chosen / "syncd.db").exists():
        temporary.rmdir()
        raise Refused("--directory", f"{chosen} already holds a store; name an empty one")
    chosen.mkdir(parents=True, exist_ok=True)
    short = chosen if len(str(chosen / "syncd.sock").encode()) < LONGEST_SOCKET else temporary
    place = _Place(chosen, short / "syncd.sock")
    try:
        yield place
    finally:
        if not place.kept:
            shutil.rmtree(temporary)


class Demo:
    """One performance, from the first letter to the books."""

    def __init__(self, wishes: Wishes, place: _Place, clock: Clock) -> None:
        self._wishes = wishes
        self._place = place
        self._clock = clock
        self._dice = Random()  # noqa: S311 - invents letters, guards nothing
        self._curtain = asyncio.Event()
        """Set by Ctrl-C, SIGTERM, or a daemon that ended by itself."""
        self._ledger = Ledger()
        self._sandbox = Sandbox(witness=self._ledger)
        self._config = place.directory / "syncd.yaml"
        self._daemon = Daemon(
            self._config,
            place.directory / "syncd.log",
            Kills(wishes.kill_every, self._dice),
            clock,
            self._curtain,
        )
        self._application = Application(
            place.socket, self._ledger, self._dice, clock, self._daemon.answering
        )
        self._screen = Screen(
            self._ledger,
            self._application,
            self._daemon,
            clock,
            sys.stderr if wishes.json else sys.stdout,
        )

    async def play(self) -> bool:
        """Let mail flow until time is up or Ctrl-C, settle, stop, do the books.

        Returns whether they balance.
        """
        begun = self._clock.monotonic()
        self._listen()
        for address in ADDRESSES:
            self._sandbox.open(address, PASSWORD)
        async with self._sandbox:
            self._write_configuration()
            try:
                await self._perform()
            finally:
                await self._daemon.stop()
        if self._daemon.failure is not None:
            remark(
                f"syncd: {self._daemon.failure}; its last words:\n{self._daemon.last_words()}"
            )
            return False
        unsettled = self._unsettled()
        books = await self._do_the_books()
        # Whoever pressed Ctrl-C did not wait for what was on its way.
        interrupted = self._curtain.is_set()
        well = books.nothing_wrong if interrupted else books.balanced and not unsettled
        self._report(books, unsettled, self._clock.monotonic() - begun, well=well)
        return well

    def _listen(self) -> None:
        """Let the first Ctrl-C end the demo in order, and a second one at once."""
        loop = asyncio.get_running_loop()

        def told(number: signal.Signals) -> None:
            self._curtain.set()
            loop.remove_signal_handler(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, told, number)

    def _write_configuration(self) -> None:
        self._config.touch(mode=0o600)  # it holds passwords
        self._config.write_text(
            configuration(
                self._place.directory,
                self._place.socket,
                pop3_port=self._sandbox.pop3_port,
                smtp_port=self._sandbox.smtp_port,
            )
        )

    async def _perform(self) -> None:
        async with asyncio.TaskGroup() as parts:
            players = [
                parts.create_task(player.run())
                for player in (self._daemon, self._application, self._screen)
            ]
            self._screen.act = "the daemon starts"
            await self._until_it_answers()
            self._screen.act = "mail flows"
            await self._let_mail_flow()
            self._screen.act = "settling"
            self._daemon.spare()
            self._application.restless = False
            await self._settle()
            for player in players:
                player.cancel()

    async def _until_it_answers(self) -> None:
        """Begin only when the daemon is up: `seconds` are seconds of mail, not of starting."""
        bound = self._clock.monotonic() + START_BOUND
        while not (self._daemon.answering.is_set() or self._curtain.is_set()):
            await self._pause(LOOK_EVERY)
            if self._clock.monotonic() > bound:
                return  # the books will tell

    async def _let_mail_flow(self) -> None:
        seconds = self._wishes.seconds
        end = None
        if seconds is not None:
            end = self._clock.monotonic() + seconds - min(SETTLE_MOST, seconds * SETTLE_SHARE)
        for address in ADDRESSES:  # nobody starts with nothing
            self._write(address)
        while not self._curtain.is_set() and (end is None or self._clock.monotonic() < end):
            self._write()
            await self._pause(LETTER_EVERY * (0.5 + self._dice.random()))

    def _write(self, to: str | None = None) -> None:
        letter = write_letter(self._dice, self._clock.now(), to)
        self._sandbox.deposit(letter.to, letter.octets)

    async def _settle(self) -> None:
        bound = self._clock.monotonic() + SETTLE_BOUND
        while (
            self._unsettled() and not self._curtain.is_set() and self._clock.monotonic() < bound
        ):
            await self._pause(LOOK_EVERY)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not once the curtain falls."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._curtain.wait()

    def _unsettled(self) -> tuple[str, ...]:
        """Say what is still on its way."""
        on_its_way = self._ledger.made.total() - sum(self._application.pulled.values())
        matters = {
            f"{on_its_way} messages made, not yet stored": on_its_way > 0,
            "replies written, not yet acknowledged": not self._application.idle,
            "messages in the queue": self._application.waiting != 0,
            f"messages of {DELETING} not yet deleted on the server": bool(
                self._sandbox.drop(DELETING).mails
            ),
        }
        return tuple(matter for matter, holds in matters.items() if holds)

    # ------------------------------------------------------------ the books

    async def _do_the_books(self) -> Books:
        """Read the store through the product's own commands, the octets included."""
        stored, outgoing = await self._read_messages(), await self._read_queue()
        return balance(self._ledger, stored, outgoing)

    async def _read_messages(self) -> list[Copy]:
        listed = await command(self._config, "message", "list")
        address_of = {item["id"]: item["address"] for item in listed["items"]}
        maildir = self._place.directory / "Maildir"
        exported = await command(
            self._config, "message", "export", "--all", "--maildir", str(maildir)
        )
        return [
            copy_of(address_of[item["id"]], (maildir / item["file"]).read_bytes())
            for item in exported["items"]
        ]

    async def _read_queue(self) -> dict[int, Outgoing]:
        queue = await command(self._config, "queue", "list")
        return {
            item["id"]: Outgoing(item["id"], item["state"], item["unknown_outcomes"])
            for item in queue["items"]
        }

    def _report(
        self, books: Books, unsettled: tuple[str, ...], seconds: float, *, well: bool
    ) -> None:
        if self._wishes.json:
            print_json(
                {
                    **books.as_json(),
                    "unsettled": unsettled,
                    "seconds": round(seconds, 1),
                    "kills": self._daemon.killed,
                    "kills_at_edges": self._daemon.killed_at_edges,
                    "unknown_wait_seconds": UNKNOWN_WAIT,
                    "ok": well,
                }
            )
            return
        print_books(books)
        for matter in unsettled:
            say(f"still on its way: {matter}")
        say(
            f"{seconds:.0f} seconds, {self._daemon.killed} kills, of which"
            f" {self._daemon.killed_at_edges} at a named edge; unknown outcomes were tried"
            f" again after {UNKNOWN_WAIT} s (in earnest: 600 s)"
        )
        say("the books balance" if well else "THE BOOKS DO NOT BALANCE")
