"""The benchmark's proof that programs stored every message notices what it must."""

import statistics
from pathlib import Path

import pytest

from tests.bench.corpus import fingerprint, letters, notes, parcels
from tests.bench.measure import RunFailed, Usage, run
from tests.bench.peers.programs import bsmtp_messages
from tests.bench.results import Contest, Figure, Goal, Level, Series

LETTER = b"Subject: x\r\nTo: y\r\n\r\nbody\r\n.dot\r\n"


@pytest.mark.parametrize(
    "stored",
    [
        LETTER.replace(b"\r\n", b"\n"),
        b"Received: by x\r\n\tfor y\r\nReturn-Path: <a@b>\r\n" + LETTER,
        LETTER.replace(b"\r\n\r\n", b"\r\nX-TUID: abc\r\n\r\n"),
        LETTER + b"\r\n",
    ],
)
def test_line_ends_and_added_headers_are_no_change(stored: bytes) -> None:
    assert fingerprint(stored) == fingerprint(LETTER)


@pytest.mark.parametrize(
    "stored",
    [
        LETTER.replace(b".dot", b"dot"),
        LETTER.replace(b".dot", b"..dot"),
        LETTER.replace(b"Subject: x", b"Subject: z"),
        LETTER.replace(b"body\r\n", b""),
        LETTER.replace(b"body", b"body "),
    ],
)
def test_anything_else_is_a_change(stored: bytes) -> None:
    assert fingerprint(stored) != fingerprint(LETTER)


def test_the_corpus_is_the_same_every_time_and_holds_no_message_twice() -> None:
    once, again = list(letters(500)), list(letters(500))
    assert once == again
    assert len({fingerprint(letter) for letter in once}) == 500


def test_the_corpus_has_the_sizes_of_real_mail() -> None:
    sizes = [len(letter) for letter in letters(3_000)]
    assert 7_000 < statistics.median(sizes) < 9_000
    assert 9_000 < statistics.mean(sizes) < 11_000
    assert [len(parcel) for parcel in parcels(2, 1_000_000)] == [1_000_000] * 2
    assert max(len(note) for note in notes(50)) < 600


def test_a_batch_of_smtp_gives_back_what_was_put_in(tmp_path: Path) -> None:
    batch = tmp_path / "batch"
    batch.write_bytes(
        b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
        + LETTER.replace(b"\r\n.dot", b"\r\n..dot")
        + b".\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: 2\r\n\r\n.\r\n"
    )
    first, second = bsmtp_messages(batch)
    assert fingerprint(first) == fingerprint(LETTER)
    assert second == b"Subject: 2\n\n"


def test_a_run_counts_the_time_of_children(tmp_path: Path) -> None:
    loop = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
    usage = run(["sh", "-c", f"sh -c '{loop}'"], folder=tmp_path)
    assert usage.cpu > 0.02
    assert usage.wall > 0.02


def test_a_program_that_fails_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="status 3\nthe reason"):
        run(["sh", "-c", "echo the reason; exit 3"], folder=tmp_path)


def test_ratios_are_taken_inside_each_round() -> None:
    contest = Contest("G", "", [Goal(Level.MUST, Figure.WALL, "we", 0.5, "they")])
    contest.series["we"] = Series([Usage(1, 0), Usage(10, 0), Usage(4, 0)])
    contest.series["they"] = Series([Usage(4, 0), Usage(100, 0), Usage(4, 0)])
    (verdict,) = contest.verdicts()
    assert verdict.values == (0.25, 0.1, 1.0)
    assert verdict.median == 0.25
    assert verdict.reached
