"""Logs: JSON lines that hold no secret, stay one line, and never stop anybody."""

import json
import subprocess
import sys

import pytest

from syncd.observe.logging import guard_values

SCRIPT = """
import structlog
from syncd.observe.logging import configure_logging
configure_logging("info", "json")
log = structlog.get_logger()
for n in range(3):
    log.info("said", n=n)
print("still here")
"""


def test_a_value_named_like_a_secret_is_masked() -> None:
    event = guard_values(None, "info", {"event": "x", "password": "s3cret", "address": "a@b"})
    assert event == {"event": "x", "password": "***", "address": "a@b"}


def test_foreign_text_stays_one_line_and_is_cut() -> None:
    event = guard_values(None, "info", {"event": "x", "words": "-ERR\nno\x1b[2J" + "y" * 10**6})
    assert "\n" not in event["words"]
    assert "\x1b" not in event["words"]
    assert len(event["words"]) <= 512


def test_a_record_is_one_json_object_a_line() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    records = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [record["n"] for record in records] == [0, 1, 2]
    assert {record["level"] for record in records} == {"info"}


@pytest.mark.parametrize("where", ["/dev/full", "closed pipe"])
def test_a_log_that_cannot_be_written_stops_nobody(where: str) -> None:
    below = f"{sys.executable} -c '{SCRIPT}' 2>/dev/full"
    if where == "closed pipe":
        below = f"({sys.executable} -c '{SCRIPT}' 2>&3 | cat) 3>&1 >&2 | true"
    ran = subprocess.run(["bash", "-c", below], capture_output=True, check=False)
    assert b"still here" in ran.stdout + ran.stderr
