"""Sending, killed at every edge in turn: the server is the witness (faults 9, 10, 11).

For each edge the process dies the first time it comes by, in the next round the second time,
and so on until a round comes through alive; after each death it is started again.
"""

import asyncio
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from syncd.observe.edges import EDGES
from syncd.store import events
from syncd.store.sqlite import open_sqlite
from tests.support.smtp_sink import SmtpSink, running

ROOT = Path(__file__).resolve().parents[2]
MESSAGES = 2
OUTGOING = [edge for edge in EDGES if edge.startswith("outgoing.")]
POSSIBLY_SENT = {"outgoing.after_dot_committed", "outgoing.dot_sent", "outgoing.answered"}


async def run_child(folder: Path, port: int, kill_at: str = "") -> int:
    """Run the sending process to its end and return its status."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.outgoing_child", str(folder), str(port), str(MESSAGES),
        cwd=ROOT,
        env={**os.environ, "SYNCD_KILL_AT": kill_at},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await child.communicate()
    assert child.returncode in {0, -signal.SIGKILL}, output.decode()
    return child.returncode


async def outcomes(folder: Path) -> Counter[str]:
    """Count the events of the store by type."""
    db = await open_sqlite(folder / "syncd.db")
    try:
        found = await db.read(lambda reader: events.after(reader, 0, 1000))
    finally:
        await db.close()
    return Counter(event.type for event in found)


@pytest.mark.parametrize("edge", OUTGOING)
async def test_killed_at_any_edge_each_message_arrives_and_copies_are_accounted_for(
    edge: str, tmp_path: Path
) -> None:
    status, nth = -signal.SIGKILL, 0
    while status != 0:
        nth += 1
        folder = tmp_path / str(nth)
        folder.mkdir()
        async with running(SmtpSink()) as sink:
            status = await run_child(folder, sink.port, f"{edge}:{nth}")
            assert await run_child(folder, sink.port) == 0
        ids = [re.search(rb"Message-ID: (\S+)", taken.data) for taken in sink.taken]
        copies = Counter(found[1] for found in ids if found)
        told = await outcomes(folder)
        assert len(copies) == MESSAGES
        assert told["outgoing.sent"] == MESSAGES
        assert max(copies.values()) <= 2
        assert sum(copies.values()) - MESSAGES <= told["outgoing.outcome_unknown"]
        was_killed = status != 0
        assert told["outgoing.outcome_unknown"] == int(was_killed and edge in POSSIBLY_SENT)
    assert nth > 1, "the edge was never reached"
