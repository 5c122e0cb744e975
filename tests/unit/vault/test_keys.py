"""Key lines, rings, and noticing that a key is gone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.errors import SecretUnreadable
from syncd.store import facts
from syncd.store.database import Reader, Transaction
from syncd.store.sqlite import SqliteDatabase
from syncd.vault.keys import (
    KeyFit,
    KeyRing,
    make_ring,
    new_key_line,
    parse_key_line,
    recognise,
)
from tests.support.store import opened


def test_a_new_key_is_one_line_that_reads_back() -> None:
    line = new_key_line()
    assert line.startswith("syncd-key-v1:")
    assert line.split() == [line]
    assert len(parse_key_line(f"  {line}\n").material) == 32


def test_no_two_keys_are_alike() -> None:
    lines = {new_key_line() for _ in range(20)}
    assert len(lines) == 20
    assert len({parse_key_line(line).id for line in lines}) == 20


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "is no syncd key"),
        ("hunter2", "is no syncd key"),
        ("syncd-key-v2:AAAA", "is no syncd key"),
        ("syncd-key-v1:", "is damaged"),
        ("syncd-key-v1:c2hvcnQ=", "is damaged"),
        ("syncd-key-v1:not base64 at all!", "is damaged"),
        ("syncd-key-v1:ä", "is damaged"),
    ],
)
def test_a_line_that_is_no_key_is_refused_without_being_repeated(line: str, words: str) -> None:
    with pytest.raises(SecretUnreadable, match=words) as caught:
        parse_key_line(line)
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    try:
        parse_key_line(text)
    except SecretUnreadable:
        return


def test_a_key_prints_as_its_id_only() -> None:
    key = parse_key_line(new_key_line())
    ring = KeyRing((key,))
    for shown in (repr(key), str(key), f"{key}", repr(ring)):
        assert key.id.hex() in shown
        assert key.material.hex() not in shown
        assert repr(key.material) not in shown
    assert key.id not in key.material


def test_a_ring_finds_its_keys_and_is_never_empty() -> None:
    new, old, foreign = (parse_key_line(new_key_line()) for _ in range(3))
    ring = KeyRing((new, old))
    assert ring.first is new
    assert ring.find(old.id) is old
    assert ring.find(foreign.id) is None
    assert make_ring([]) is None
    with pytest.raises(ValueError, match="at least one key"):
        KeyRing(())


async def _recognise(db: SqliteDatabase, ring: KeyRing | None) -> KeyFit:
    async def body(tx: Transaction) -> KeyFit:
        return await recognise(tx, ring)

    return await db.write(body)


async def _remembered(db: SqliteDatabase) -> str | None:
    async def body(reader: Reader) -> str | None:
        return await facts.read_fact(reader, facts.KEY_CHECK)

    return await db.read(body)


async def test_the_store_remembers_the_key_and_follows_a_rotation(tmp_path: Path) -> None:
    old, new = (parse_key_line(new_key_line()) for _ in range(2))
    async with opened(tmp_path / "syncd.db") as db:
        assert await _recognise(db, None) is KeyFit.FIRST_USE
        assert await _recognise(db, KeyRing((old,))) is KeyFit.FIRST_USE
        assert await _recognise(db, KeyRing((old,))) is KeyFit.KNOWN
        assert await _recognise(db, KeyRing((new, old))) is KeyFit.KNOWN
        assert await _recognise(db, KeyRing((new,))) is KeyFit.KNOWN
        assert await _remembered(db) == new.id.hex()


async def test_another_key_is_noticed(tmp_path: Path) -> None:
    old, other = (parse_key_line(new_key_line()) for _ in range(2))
    async with opened(tmp_path / "syncd.db") as db:
        await _recognise(db, KeyRing((old,)))
        assert await _recognise(db, KeyRing((other,))) is KeyFit.REPLACED


async def test_a_key_that_is_gone_stops_the_start_and_nothing_is_forgotten(
    tmp_path: Path,
) -> None:
    key = parse_key_line(new_key_line())
    async with opened(tmp_path / "syncd.db") as db:
        await _recognise(db, KeyRing((key,)))
        with pytest.raises(SecretUnreadable, match="Restore the key file") as caught:
            await _recognise(db, None)
        assert key.id.hex() in str(caught.value)
        assert await _remembered(db) == key.id.hex()
