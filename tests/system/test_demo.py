"""`syncd demo` as an operator runs it: the real daemon, killed or not, and books that balance."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Books = dict[str, Any]  # as the demo prints them
COMMAND = (sys.executable, "-m", "syncd", "demo")
PATIENCE = 240
"""Seconds: making mail, settling (a poll takes 10 s), and the books, on a busy machine."""


@contextmanager
def demo(*options: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the demo in a process of its own; make sure that it ends."""
    process = subprocess.Popen(
        (*COMMAND, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def books_of(*options: str, directory: Path) -> Books:
    """Run a demo to its end and return its books; show what it said when it failed."""
    with demo(*options, "--json", "--directory", str(directory)) as process:
        printed, complaints = process.communicate(timeout=PATIENCE)
        log = (directory / "syncd.log").read_text()[-4000:]
        assert process.returncode == 0, f"{printed}\n{complaints}\n{log}"
    return dict(json.loads(printed))


def assert_worth_looking_at(books: Books) -> None:
    assert books["balanced"]
    assert books["unsettled"] == []
    assert books["made"] > 15
    assert books["stored"] == books["made"]
    assert books["deleted"] > 0
    assert books["queued"] > 0
    assert books["reached"] >= books["queued"]


@pytest.mark.timeout(PATIENCE + 60)
def test_the_books_balance_after_twenty_seconds(tmp_path: Path) -> None:
    books = books_of("--seconds", "20", directory=tmp_path / "demo")
    assert_worth_looking_at(books)
    assert books["kills"] == 0
    assert books["unknown"] == []
    assert books["extra_copies"] == 0


@pytest.mark.timeout(PATIENCE + 60)
def test_the_books_balance_although_the_daemon_is_killed_all_the_time(tmp_path: Path) -> None:
    books = books_of("--seconds", "30", "--kill-every", "4", directory=tmp_path / "demo")
    assert_worth_looking_at(books)
    assert books["kills"] >= 3


@pytest.mark.timeout(120)
def test_ctrl_c_ends_it_cleanly_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if "pulled" in line and "pulled 0" not in line:
                break
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=90)
    assert process.returncode == 0, rest + complaints
    assert "the books balance" in rest
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_a_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "syncd.db").touch()
    with demo("--seconds", "1", "--directory", str(tmp_path)) as process:
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "already holds a store" in complaints
