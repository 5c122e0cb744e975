"""Every mailbox this process knows: what YAML wants, what the store remembers.

The daemon keeps the book in memory and writes status back in bulk (`keeper`); a command
without a daemon reads the same book from the store.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from syncd.mailboxes.lifecycle import Standing, standing
from syncd.model.direction import DirectionRecord
from syncd.model.mailbox import Direction, Mailbox, MailboxId, address_key
from syncd.store import directions, mailboxes
from syncd.store.database import Database, Reader
from syncd.store.mailboxes import MailboxRecord


@dataclass(slots=True)
class Entry:
    """One mailbox: its configuration (None: parked), its row, its two directions."""

    mailbox: Mailbox | None
    record: MailboxRecord
    incoming: DirectionRecord
    outgoing: DirectionRecord

    def direction(self, direction: Direction) -> DirectionRecord:
        """Return the status of one direction."""
        match direction:
            case Direction.INCOMING:
                return self.incoming
            case Direction.OUTGOING:
                return self.outgoing

    def set_direction(self, record: DirectionRecord) -> None:
        """Replace the status of one direction."""
        match record.direction:
            case Direction.INCOMING:
                self.incoming = record
            case Direction.OUTGOING:
                self.outgoing = record

    def standing(self, direction: Direction) -> Standing:
        """Tell what one direction may do now, and why."""
        known = self.direction(direction)
        return standing(
            self.mailbox,
            direction,
            self.record.approval,
            has_run=known.last_success_at is not None,
            stopped_why=(known.status_text or "stopped") if known.stopped_at else None,
        )


class Book:
    """The mailboxes by id and by address."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self._by_id = {entry.record.id: entry for entry in entries}
        self._by_address = {entry.record.address_key: entry for entry in entries}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._by_id.values())

    def __getitem__(self, mailbox_id: MailboxId) -> Entry:
        return self._by_id[mailbox_id]

    def find(self, address: str) -> Entry | None:
        """Return the mailbox of an address, written in any case."""
        return self._by_address.get(address_key(address))

    def by_id(self, mailbox_id: int) -> Entry | None:
        """Return the mailbox of an id, if there is one."""
        return self._by_id.get(MailboxId(mailbox_id))

    def profile_of(self, mailbox_id: MailboxId) -> str:
        """Return the name of a mailbox's profile."""
        return self._by_id[mailbox_id].record.profile

    def address_of(self, mailbox_id: MailboxId) -> str:
        """Return a mailbox's address as it is written."""
        return self._by_id[mailbox_id].record.address


async def read_book(db: Database, configured: Sequence[Mailbox]) -> Book:
    """Read every mailbox and its status from the store, beside its configuration."""
    wanted = {address_key(mailbox.address): mailbox for mailbox in configured}

    async def rows(
        reader: Reader,
    ) -> tuple[list[MailboxRecord], dict[tuple[MailboxId, Direction], DirectionRecord]]:
        known = {(r.mailbox_id, r.direction): r for r in await directions.load_all(reader)}
        return await mailboxes.load_all(reader), known

    records, known = await db.read(rows)
    return Book(
        [
            Entry(
                wanted.get(record.address_key),
                record,
                *(
                    known.get((record.id, direction))
                    or DirectionRecord(mailbox_id=record.id, direction=direction)
                    for direction in Direction
                ),
            )
            for record in records
        ]
    )
