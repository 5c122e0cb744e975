"""What the demo shows: a table that moves on a terminal, plain lines elsewhere, then the books."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from syncd.cli.demo_application import Application
from syncd.cli.demo_daemon import Daemon
from syncd.cli.demo_ledger import Books, Ledger
from syncd.cli.demo_world import ADDRESSES
from syncd.cli.output import plain, print_table, say
from syncd.clock import Clock

REDRAW_EVERY = 0.5
LINE_EVERY = 2.0
RATE_OVER = 5.0
"""Seconds over which events per second are averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The state of things at one moment."""

    seconds: float
    made: Counter[str]
    pulled: Counter[str]
    deleted: Counter[str]
    queued: Counter[str]
    sent: Counter[str]
    kills: int
    rate: float
    alerts: tuple[str, ...]
    act: str

    def sentence(self) -> str:
        """Say it in one line."""
        line = (
            f"{self.seconds:5.0f} s  arrived {self.made.total()}  pulled {self.pulled.total()}"
            f"  queued {self.queued.total()}  sent {self.sent.total()}  kills {self.kills}"
            f"  {self.rate:.1f} events/s  {self.act}"
        )
        return plain(line + "".join(f"  ALERT: {text}" for text in self.alerts))

    def table(self) -> RenderableType:
        """Draw it as a table, a row per mailbox."""
        table = Table(title="syncd demo", caption=self.sentence(), header_style="bold")
        table.add_column("mailbox")
        for column in ("arrived", "pulled", "deleted there", "queued", "sent"):
            table.add_column(column, justify="right")
        counts = (self.made, self.pulled, self.deleted, self.queued, self.sent)
        for address in ADDRESSES:
            table.add_row(address, *(str(count[address] or "") for count in counts))
        table.add_section()
        table.add_row("together", *(str(count.total()) for count in counts))
        return table


class Screen:
    """Looks at ledger, application and daemon, and shows what it sees."""

    def __init__(
        self,
        ledger: Ledger,
        application: Application,
        daemon: Daemon,
        clock: Clock,
        stream: TextIO,
    ) -> None:
        self._ledger = ledger
        self._application = application
        self._daemon = daemon
        self._clock = clock
        self._stream = stream
        self._begun = clock.monotonic()
        self._past: list[tuple[float, int]] = []
        self.act = ""
        """What the demo is doing at present."""

    async def run(self) -> None:
        """Show until cancelled."""
        if not self._stream.isatty():
            await self._every(LINE_EVERY, self._write_line)
            return
        console = Console(file=self._stream)
        with Live(console=console, auto_refresh=False, transient=True) as live:
            await self._every(
                REDRAW_EVERY, lambda scene: live.update(scene.table(), refresh=True)
            )

    def _write_line(self, scene: Scene) -> None:
        self._stream.write(scene.sentence() + "\n")
        self._stream.flush()

    async def _every(self, seconds: float, show: Callable[[Scene], None]) -> None:
        while True:
            show(self.scene())
            await self._clock.sleep(seconds)

    def scene(self) -> Scene:
        """Look at everything once."""
        ledger = self._ledger
        sent = {letter for letter, _ in ledger.reached}
        seconds = self._clock.monotonic() - self._begun
        made = Counter(copy.address for copy in ledger.made.elements())
        pulled = Counter(self._application.pulled)
        queued = Counter(ledger.offered[letter].mailbox for letter in ledger.queued)
        arrived = Counter(ledger.offered[letter].mailbox for letter in sent)
        moved = made.total() + pulled.total() + queued.total() + arrived.total()
        return Scene(
            seconds=seconds,
            made=made,
            pulled=pulled,
            deleted=Counter(copy.address for copy in ledger.gone),
            queued=queued,
            sent=arrived,
            kills=self._daemon.killed,
            rate=self._rate(seconds, moved),
            alerts=self._application.alerts,
            act=self.act,
        )

    def _rate(self, seconds: float, moved: int) -> float:
        self._past.append((seconds, moved))
        while seconds - self._past[0][0] > RATE_OVER:
            self._past.pop(0)
        then, before = self._past[0]
        return (moved - before) / (seconds - then) if seconds > then else 0.0


def print_books(books: Books) -> None:
    """Print the balance for a person, then every difference by name."""
    print_table(
        ("THE BOOKS", "COUNT"),
        (
            ("messages made", books.made),
            ("messages in the store", books.stored),
            ("missing from the store", len(books.missing)),
            ("in the store twice", len(books.doubled)),
            ("in the store, never made", len(books.strange)),
            ("deleted on the server", books.deleted),
            ("deleted there, not in the store", len(books.deleted_unstored)),
            ("messages queued", books.queued),
            ("deliveries the sandbox took", books.reached),
            ("queued, never delivered", len(books.undelivered)),
            ("counted as outcome unknown", len(books.unknown)),
            ("extra copies", books.extra_copies),
            ("delivered too often", len(books.excessive)),
            ("never queued, or with Bcc", len(books.foreign)),
            ("refused by the daemon", len(books.refused)),
        ),
    )
    for name in ("missing", "doubled", "strange", "deleted_unstored"):
        for copy in getattr(books, name):
            say(f"{name}: {copy.address} {copy.sha256}")
    for name in ("undelivered", "unknown", "excessive", "foreign", "refused"):
        for words in getattr(books, name):
            say(plain(f"{name}: {words}"))
