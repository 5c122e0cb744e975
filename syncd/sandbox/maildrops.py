"""Maildrops in memory, and who may open them."""

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mail:
    """One message of a maildrop: its UIDL (bytes as code points) and its exact octets."""

    uid: str
    body: bytes


class Maildrop:
    """What one address has received and not deleted; at most one session holds it."""

    __slots__ = ("_numbers", "address", "holder", "mails", "octets", "password", "username")

    def __init__(self, address: str, password: str, username: str) -> None:
        self.address = address
        self.password = password
        self.username = username
        self.mails: list[Mail] = []
        self.octets = 0
        self.holder: object | None = None
        self._numbers: Iterator[int] | None = None

    def deposit(self, body: bytes, uid: str | None = None) -> Mail:
        """Add a message at the end; a final CRLF is added where it is missing.

        Without that CRLF no POP3 server could hand the octets out as they are.
        """
        if body and not body.endswith(b"\r\n"):
            body += b"\r\n"
        mail = Mail(self._new_uid() if uid is None else uid, body)
        self.mails.append(mail)
        self.octets += len(body)
        return mail

    def remove(self, gone: Collection[Mail]) -> None:
        """Forget messages, as QUIT does with those marked by DELE."""
        doomed = {id(mail) for mail in gone}
        self.mails = [mail for mail in self.mails if id(mail) not in doomed]
        self.octets = sum(len(mail.body) for mail in self.mails)

    def renumber(self, prefix: str) -> None:
        """Give every message another UIDL, as a migrated server does."""
        self.mails = [Mail(f"{prefix}{mail.uid}", mail.body) for mail in self.mails]

    def _new_uid(self) -> str:
        if self._numbers is None:  # made late: most of 100,000 maildrops never get mail
            self._numbers = itertools.count(1)
        return f"{next(self._numbers):08x}"


class PostOffice:
    """All maildrops of a sandbox, by address and by login name."""

    def __init__(self) -> None:
        self._by_address: dict[str, Maildrop] = {}
        self._by_username: dict[bytes, Maildrop] = {}

    def open(self, address: str, password: str, username: str | None = None) -> Maildrop:
        """Make a maildrop; the login name is the address unless another is given."""
        drop = Maildrop(address, password, username or address)
        self._by_address[address.casefold()] = drop
        self._by_username[drop.username.encode()] = drop
        return drop

    def at(self, address: str) -> Maildrop | None:
        """Return the maildrop of an address, None where the address is not local."""
        return self._by_address.get(address.casefold())

    def of(self, username: bytes) -> Maildrop | None:
        """Return the maildrop that a login name opens."""
        return self._by_username.get(username)

    def __iter__(self) -> Iterator[Maildrop]:
        return iter(self._by_address.values())

    def __len__(self) -> int:
        return len(self._by_address)
