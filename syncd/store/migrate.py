"""Which migrations a store still needs, and when it must not be touched.

Rule 1: a migration that has run anywhere is never edited; its checksum is remembered.
Rule 2: migrations are additive first, so that the version before can still work.
Rule 3: a store that is newer than the code is refused, never "repaired".
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from syncd.errors import StoreRefused

_FILE_NAME = re.compile(r"^(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.sql$")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step of the schema."""

    number: int
    name: str
    script: str

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of its text, as the store remembers it."""
        return hashlib.sha256(self.script.encode()).hexdigest()


def load_migrations(dialect: str) -> tuple[Migration, ...]:
    """Read the migrations of one dialect from the package's own files, in order."""
    folder = resources.files("syncd.store") / "sql" / dialect / "migrations"
    found = [
        Migration(int(match["number"]), match["name"], entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if (match := _FILE_NAME.match(entry.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.number))


def choose_pending(
    known: Sequence[Migration], applied: Mapping[int, str]
) -> tuple[Migration, ...]:
    """Tell which migrations a store needs, given the checksums of those it had.

    Raises StoreRefused for a store that a newer syncd made, or that another one altered.
    """
    newest = known[-1].number if known else 0
    if any(number > newest for number in applied):
        raise StoreRefused(
            f"the store's schema is number {max(applied)}, this syncd knows {newest}: "
            "a newer syncd has used it. Install that version again, or restore the copy made "
            "before its upgrade."
        )
    for migration in known:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise StoreRefused(
                f"migration {migration.number} ({migration.name}) of the store is not the one "
                "this syncd knows: the store was made by a different build. Use that build."
            )
    return tuple(migration for migration in known if migration.number not in applied)
