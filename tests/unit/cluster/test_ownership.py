"""A sole owner: everything declared is its own, under a term that fences the dead."""

from pathlib import Path

import pytest

from syncd.cluster.ownership import SoleOwner
from syncd.errors import TermLost
from syncd.model.mailbox import MailboxId
from syncd.store import mailboxes
from syncd.store.database import Database, Transaction
from tests.support.store import declared, opened


async def _declare(db: Database, *addresses: str) -> list[MailboxId]:
    """Declare without claiming, as the start and a reload do."""

    async def body(tx: Transaction) -> list[MailboxId]:
        records = await mailboxes.declare(tx, declared(addresses))
        return [records[address].id for address in addresses]

    return await db.write(body)


async def test_it_owns_what_is_declared_under_a_new_term(tmp_path: Path) -> None:
    async with opened(tmp_path / "syncd.db") as db:
        ann, bob = await _declare(db, "ann@example.com", "bob@example.com")
        owner = SoleOwner(db, "node-a")
        assert not owner.may_work(ann)
        await owner.claim([ann, bob])
        assert owner.terms == {ann: 1, bob: 1}
        assert owner.may_work(ann)


async def test_a_mailbox_added_later_does_not_disturb_the_others(tmp_path: Path) -> None:
    async with opened(tmp_path / "syncd.db") as db:
        (ann,) = await _declare(db, "ann@example.com")
        owner = SoleOwner(db, "node-a")
        await owner.claim([ann])
        ann, bob = await _declare(db, "ann@example.com", "bob@example.com")
        await owner.claim([ann, bob])
        assert owner.terms == {ann: 1, bob: 1}
        await owner.claim([bob])
        assert owner.terms == {bob: 1}
        assert not owner.may_work(ann)


async def test_who_owned_before_a_restart_can_write_no_more(tmp_path: Path) -> None:
    async with opened(tmp_path / "syncd.db") as db:
        (ann,) = await _declare(db, "ann@example.com")
        dead, alive = SoleOwner(db, "node-a"), SoleOwner(db, "node-a")
        await dead.claim([ann])
        await alive.claim([ann])

        async def late_write(tx: Transaction) -> None:
            await mailboxes.require_term(tx, ann, dead.terms[ann])

        with pytest.raises(TermLost):
            await db.write(late_write)
