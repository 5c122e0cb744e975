"""Mailboxes as the store knows them: their stable id, approval, epoch and owner.

Rule 1: what YAML no longer names is parked, never deleted (contract 7.4).
Rule 2: a write for a mailbox carries its term, and `require_term` stands in the same
transaction: whoever lost the lease fails there, alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.errors import StoreError, TermLost
from syncd.model.mailbox import Approval, MailboxId, MailboxType, address_key
from syncd.store.database import Parameters, Reader, Row, Transaction
from syncd.store.moments import optional_moment, to_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredMailbox:
    """What the configuration says of a mailbox, as far as the store keeps it."""

    address: str
    type: MailboxType
    profile: str
    tenant: str | None = None
    needs_approval: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxRecord:
    """One row of the table `mailbox`."""

    id: MailboxId
    address: str
    address_key: str
    type: MailboxType
    profile: str
    tenant: str | None
    declared: bool
    """False: parked."""
    approval: Approval
    approval_by: str | None
    approval_at: datetime | None
    first_enabled_at: datetime | None
    epoch: int
    """0 until the first listing."""
    epoch_identity: str | None
    """protocol|server|login of the epoch; another one opens a new epoch."""
    node: str | None
    term: int


async def declare(
    tx: Transaction, mailboxes: Sequence[DeclaredMailbox]
) -> dict[str, MailboxRecord]:
    """Make the store know exactly these mailboxes: new ones added, missing ones parked.

    Returns the records of all that are declared, by address key.
    """
    known = {record.address_key: record for record in await load_all(tx)}
    wanted = {address_key(mailbox.address): mailbox for mailbox in mailboxes}
    new = [key for key in wanted if key not in known]
    changed = [key for key in wanted if key in known and _differs(known[key], wanted[key])]
    gone = [known[key] for key in known if known[key].declared and key not in wanted]
    await tx.execute_many(
        "insert_mailbox", [_declared_row(wanted[key], Approval.EMPTY) for key in new]
    )
    await tx.execute_many(
        "update_mailbox",
        [
            {
                **_declared_row(wanted[key], known[key].approval),
                "mailbox_id": known[key].id,
            }
            for key in changed
        ],
    )
    await tx.execute_many("park_mailbox", [{"mailbox_id": record.id} for record in gone])
    if new or changed:
        known = {record.address_key: record for record in await load_all(tx)}
    return {key: known[key] for key in wanted}


async def load_all(reader: Reader) -> list[MailboxRecord]:
    """Return every mailbox, parked ones included, by address."""
    return [_record(row) for row in await reader.fetch_all("list_mailboxes")]


async def get(reader: Reader, mailbox_id: MailboxId) -> MailboxRecord | None:
    """Return a mailbox by its id."""
    row = await reader.fetch_one("get_mailbox", {"mailbox_id": mailbox_id})
    return None if row is None else _record(row)


async def find(reader: Reader, address: str) -> MailboxRecord | None:
    """Return a mailbox by its address, written in any case."""
    row = await reader.fetch_one("find_mailbox", {"address_key": address_key(address)})
    return None if row is None else _record(row)


async def claim_all(tx: Transaction, node: str) -> dict[MailboxId, int]:
    """Own every declared mailbox under a new term; return the terms."""
    rows = await tx.fetch_all("claim_all_mailboxes", {"node": node})
    return {MailboxId(row["id"]): row["term"] for row in rows}


async def claim(
    tx: Transaction, node: str, mailbox_ids: Iterable[MailboxId]
) -> dict[MailboxId, int]:
    """Own these mailboxes, as far as they are declared, under a new term; return the terms."""
    terms: dict[MailboxId, int] = {}
    for mailbox_id in mailbox_ids:
        row = await tx.fetch_one("claim_mailbox", {"node": node, "mailbox_id": mailbox_id})
        if row is not None:
            terms[mailbox_id] = row["term"]
    return terms


async def require_term(tx: Transaction, mailbox_id: MailboxId, term: int) -> None:
    """Raise TermLost unless this term is the mailbox's present one."""
    row = await tx.fetch_one("holds_term", {"mailbox_id": mailbox_id, "term": term})
    if row is None:
        raise TermLost(f"mailbox {mailbox_id}: term {term} is over, another owner has begun")


async def open_epoch(tx: Transaction, mailbox_id: MailboxId, identity: str) -> int:
    """Begin a new epoch of the ledger and return it.

    For a changed identity (protocol, server, login), and for the same one when the re-key
    guard asks (contract 7.0): the caller decides, this always begins a new one.
    """
    row = await tx.fetch_one("open_epoch", {"mailbox_id": mailbox_id, "identity": identity})
    if row is None:
        raise StoreError(f"the store has no mailbox {mailbox_id}")
    epoch: int = row["epoch"]
    return epoch


async def set_first_enabled(tx: Transaction, mailbox_id: MailboxId, now: datetime) -> bool:
    """Note the moment of the first enabling; tell whether this was the first."""
    parameters = {"mailbox_id": mailbox_id, "at": to_micros(now)}
    return await tx.execute("set_first_enabled", parameters) == 1


async def approve(tx: Transaction, mailbox_id: MailboxId, by: str, now: datetime) -> None:
    """Let syncd touch this address."""
    await _set_approval(tx, mailbox_id, Approval.APPROVED, by, now)


async def reject(tx: Transaction, mailbox_id: MailboxId, by: str, now: datetime) -> None:
    """Forbid syncd this address."""
    await _set_approval(tx, mailbox_id, Approval.REJECTED, by, now)


async def _set_approval(
    tx: Transaction, mailbox_id: MailboxId, approval: Approval, by: str, now: datetime
) -> None:
    parameters: Parameters = {
        "mailbox_id": mailbox_id,
        "approval": approval.value,
        "approval_by": by,
        "at": to_micros(now),
    }
    if not await tx.execute("set_approval", parameters):
        raise StoreError(f"the store has no mailbox {mailbox_id}")


def _declared_row(mailbox: DeclaredMailbox, approval: Approval) -> Parameters:
    return {
        "address": mailbox.address,
        "address_key": address_key(mailbox.address),
        "type": mailbox.type.value,
        "profile": mailbox.profile,
        "tenant": mailbox.tenant,
        "approval": _approval_to_ask(mailbox, approval).value,
    }


def _approval_to_ask(mailbox: DeclaredMailbox, approval: Approval) -> Approval:
    """An empty approval becomes a pending one as soon as somebody has to give it."""
    if approval is Approval.EMPTY and mailbox.needs_approval:
        return Approval.PENDING
    return approval


def _differs(record: MailboxRecord, mailbox: DeclaredMailbox) -> bool:
    return (
        not record.declared
        or record.address != mailbox.address
        or record.type != mailbox.type
        or record.profile != mailbox.profile
        or record.tenant != mailbox.tenant
        or record.approval is not _approval_to_ask(mailbox, record.approval)
    )


def _record(row: Row) -> MailboxRecord:
    return MailboxRecord(
        id=MailboxId(row["id"]),
        address=row["address"],
        address_key=row["address_key"],
        type=MailboxType(row["type"]),
        profile=row["profile"],
        tenant=row["tenant"],
        declared=bool(row["declared"]),
        approval=Approval(row["approval"]),
        approval_by=row["approval_by"],
        approval_at=optional_moment(row["approval_at"]),
        first_enabled_at=optional_moment(row["first_enabled_at"]),
        epoch=row["epoch"],
        epoch_identity=row["epoch_identity"],
        node=row["node"],
        term=row["term"],
    )
