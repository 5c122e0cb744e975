"""Who works for a mailbox: ownership with a term that fences whoever held it before.

One node is the same code with nobody else in the table: it owns whatever is declared, under
a term that is new at every start, so that nothing an earlier process left behind can write.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

from syncd.model.mailbox import MailboxId
from syncd.store import mailboxes
from syncd.store.database import Database, Transaction


class Ownership(Protocol):
    """What the scheduler asks: which mailboxes are mine, and under which term."""

    async def claim(self, declared: Iterable[MailboxId]) -> None:
        """Own what may be owned of these, and let go of everything else."""
        ...

    @property
    def terms(self) -> Mapping[MailboxId, int]:
        """The owned mailboxes and the term of each."""
        ...

    def may_work(self, mailbox_id: MailboxId) -> bool:
        """Tell whether work for a mailbox may begin or go on now."""
        ...


class SoleOwner:
    """Ownership where there is one node: everything declared is its own."""

    def __init__(self, db: Database, node: str) -> None:
        self._db = db
        self._node = node
        self._terms: dict[MailboxId, int] = {}

    async def claim(self, declared: Iterable[MailboxId]) -> None:
        """Own every mailbox of these that is not owned yet, under a new term.

        Those already owned keep their term: their work under way is not disturbed.
        """
        wanted = frozenset(declared)
        missing = sorted(wanted - self._terms.keys())

        async def body(tx: Transaction) -> dict[MailboxId, int]:
            if not self._terms:
                return await mailboxes.claim_all(tx, self._node)
            return await mailboxes.claim(tx, self._node, missing)

        claimed = await self._db.write(body, essential=True) if missing else {}
        terms = self._terms | claimed
        self._terms = {key: term for key, term in terms.items() if key in wanted}

    @property
    def terms(self) -> Mapping[MailboxId, int]:
        """The owned mailboxes and the term of each."""
        return MappingProxyType(self._terms)

    def may_work(self, mailbox_id: MailboxId) -> bool:
        """Tell whether it is owned: a sole owner's lease never ends."""
        return mailbox_id in self._terms
