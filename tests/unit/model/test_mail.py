"""A ledger entry tells what it stands for."""

import pytest

from syncd.model.mail import LedgerEntry, LedgerState, by_size


@pytest.mark.parametrize("octets", [0, -1, 10_000, 2**64, 2**200])
def test_what_is_known_by_its_size_only_is_told_from_what_is_known_by_its_content(
    octets: int,
) -> None:
    digest = by_size(octets)
    assert len(digest) < 32
    assert LedgerEntry(uid="a", digest=digest, state=LedgerState.FAILING).is_by_size
    assert not LedgerEntry(uid="a", digest=b"\x01" * 32, state=LedgerState.TAKEN).is_by_size
    assert not LedgerEntry(uid="a", state=LedgerState.TAKEN).is_by_size
