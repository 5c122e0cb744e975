"""What is written down of a maildrop, and when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from syncd.incoming.look import is_worth_saving
from syncd.model.poll import ListingMemory

NOW = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
MEMORY = ListingMemory(
    epoch=1, identity="i", count=3, octets=300, last_uid="c", full_at=NOW, whole=True
)


def test_a_first_listing_and_every_change_are_written_down() -> None:
    assert is_worth_saving(None, MEMORY)
    assert is_worth_saving(MEMORY, replace(MEMORY, count=4))
    assert is_worth_saving(MEMORY, replace(MEMORY, retry_at=NOW))
    assert is_worth_saving(MEMORY, replace(MEMORY, whole=False))


def test_the_mere_time_of_looking_is_written_down_hourly() -> None:
    later = replace(MEMORY, full_at=NOW + timedelta(minutes=59))
    assert not is_worth_saving(MEMORY, later)
    assert is_worth_saving(MEMORY, replace(MEMORY, full_at=NOW + timedelta(hours=1)))
