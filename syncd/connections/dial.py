"""Opening a session for a mailbox: slot, unlock, connect, log in. The one place that knows
which driver speaks which protocol.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from syncd.clock import Clock
from syncd.connections.budget import ByteBudget
from syncd.connections.pop3 import CapabilityMemory, SourceLimits, open_pop3
from syncd.connections.seams import MailSender, MailSource, UnlockedLogin
from syncd.connections.slots import Slots
from syncd.connections.smtp import Patience, open_smtp
from syncd.model.mailbox import Direction, Login, Mailbox
from syncd.model.profile import Endpoint

Unlock = Callable[[Mailbox, Direction], UnlockedLogin]
"""Opens a mailbox's credentials; raises SecretUnreadable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialer:
    """Everything a connection needs besides the mailbox it is for."""

    slots: Slots
    budget: ByteBudget
    unlock: Unlock
    source_limits: SourceLimits
    capabilities: CapabilityMemory
    patience: Patience
    clock: Clock

    async def open_source(self, mailbox: Mailbox, until: AsyncExitStack) -> MailSource:
        """Log in to a maildrop; the slot is given back when `until` closes."""
        endpoint, login = _needed(mailbox, Direction.INCOMING)
        unlocked = self.unlock(mailbox, Direction.INCOMING)
        await self._take_slot(mailbox, endpoint, login, until)
        source = await open_pop3(
            endpoint,
            unlocked,
            limits=self.source_limits,
            budget=self.budget,
            memory=self.capabilities,
        )
        until.callback(source.abort)
        return source

    async def open_sender(self, mailbox: Mailbox, until: AsyncExitStack) -> MailSender:
        """Log in to the submission server; the slot is given back when `until` closes."""
        endpoint, login = _needed(mailbox, Direction.OUTGOING)
        unlocked = self.unlock(mailbox, Direction.OUTGOING)
        await self._take_slot(mailbox, endpoint, login, until)
        sender = await open_smtp(endpoint, unlocked, patience=self.patience)
        until.callback(sender.abort)
        return sender

    async def _take_slot(
        self, mailbox: Mailbox, endpoint: Endpoint, login: Login, until: AsyncExitStack
    ) -> None:
        await until.enter_async_context(
            self.slots.take(
                server=endpoint.place,
                login=slot_key(mailbox, endpoint, login),
                login_limit=mailbox.profile.max_concurrent_connections,
            )
        )


def slot_key(mailbox: Mailbox, endpoint: Endpoint, login: Login) -> str:
    """Name what a login's connections are counted by (contract 7.2).

    A login that the profile holds is counted over the whole profile, also where each mailbox
    appears in its user name (impersonation).
    """
    whose = f"profile {mailbox.profile.name}" if login.of_profile else login.username
    return f"{endpoint.server}|{whose}"


def _needed(mailbox: Mailbox, direction: Direction) -> tuple[Endpoint, Login]:
    endpoint, login = mailbox.endpoint(direction), mailbox.login(direction)
    if endpoint is None or login is None:  # the lifecycle lets no such mailbox connect
        raise ValueError(f"{mailbox.address} has no {direction} server or login")
    return endpoint, login
