"""Which migrations run, and when a store is left alone."""

import pytest

from syncd.errors import StoreRefused
from syncd.store.migrate import Migration, choose_pending, load_migrations

_FIRST = Migration(1, "initial", "CREATE TABLE a (x);")
_SECOND = Migration(2, "more", "CREATE TABLE b (x);")


def test_an_empty_store_needs_every_migration_in_order() -> None:
    assert choose_pending([_FIRST, _SECOND], {}) == (_FIRST, _SECOND)


def test_only_what_is_missing_runs() -> None:
    assert choose_pending([_FIRST, _SECOND], {1: _FIRST.checksum}) == (_SECOND,)


def test_a_current_store_needs_nothing() -> None:
    assert choose_pending([_FIRST], {1: _FIRST.checksum}) == ()


def test_a_store_newer_than_the_code_is_refused() -> None:
    with pytest.raises(StoreRefused, match="a newer syncd has used it"):
        choose_pending([_FIRST], {1: _FIRST.checksum, 2: _SECOND.checksum})


def test_a_migration_that_was_edited_is_noticed() -> None:
    with pytest.raises(StoreRefused, match="made by a different build"):
        choose_pending([_FIRST, _SECOND], {1: "something else"})


def test_the_package_carries_its_migrations_numbered_without_a_gap() -> None:
    numbers = [migration.number for migration in load_migrations("sqlite")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers
