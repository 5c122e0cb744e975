"""The composition root: from settings to running parts. The only place that names them all."""

import gc
import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from syncd.clock import Clock, SystemClock
from syncd.cluster.ownership import SoleOwner
from syncd.config.resolve import Plan, resolve
from syncd.config.schema import Settings
from syncd.connections.budget import ByteBudget
from syncd.connections.dial import Dialer
from syncd.connections.pop3 import CapabilityMemory, SourceLimits
from syncd.connections.slots import LoginRate, Slots
from syncd.connections.smtp import Patience
from syncd.model.mailbox import Mailbox
from syncd.outgoing.conclusion import UNKNOWN_WAIT
from syncd.scheduler.book import Book, read_book
from syncd.scheduler.dispatcher import Dispatcher
from syncd.scheduler.janitor import sweep
from syncd.scheduler.keeper import Keeper
from syncd.scheduler.poller import Poller
from syncd.scheduler.tools import Tools
from syncd.store import facts, mailboxes
from syncd.store.database import Database, Transaction
from syncd.store.mailboxes import DeclaredMailbox
from syncd.store.sqlite import open_sqlite
from syncd.vault.keys import KeyFit, KeyRing, make_ring, recognise
from syncd.vault.logins import unlock_mailbox

UNKNOWN_WAIT_FOR_TESTS = "SYNCD_TEST_UNKNOWN_WAIT"
"""Seconds instead of the ten minutes after an unknown outcome: for tests and the demo, whose
servers are known to have made up their minds."""

_log = structlog.get_logger()


@dataclass(slots=True)
class Parts:
    """What polling and sending work with, open and ready."""

    plan: Plan
    db: Database
    book: Book
    keeper: Keeper
    tools: Tools
    clock: Clock
    poller: Poller
    dispatcher: Dispatcher


@asynccontextmanager
async def open_parts(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Parts]:
    """Open the store, claim the mailboxes, put polling and sending together.

    Raises StoreError and SecretUnreadable; nothing was connected to then.
    """
    _spare_the_collector()
    plan, clock = resolve(settings), SystemClock()
    ring = make_ring([key.reveal() for key in plan.keys])
    db = await open_sqlite(plan.store, clock=clock)
    try:
        await db.write(partial(_prepare_store, plan=plan, ring=ring), essential=True)
        owner = SoleOwner(db, socket.gethostname())
        before = await read_book(db, plan.mailboxes)
        await owner.claim(entry.record.id for entry in before if entry.mailbox is not None)
        book = await read_book(db, plan.mailboxes)
        await sweep(db, clock, timedelta(0))  # nobody else writes: what is staged is orphaned
        keeper = Keeper(db, book, clock)
        tools = Tools(
            db=db,
            book=book,
            keeper=keeper,
            dialer=_dialer(plan, ring, clock),
            clock=clock,
            dice=random.random,  # noqa: TID251 - this is where the dice come from
            max_message_size=plan.max_message_size,
            unknown_wait=_unknown_wait(environ),
        )
        # More than may connect at once, so that a freed slot never waits for its next user.
        most = 2 * plan.network.max_connections_per_server
        yield Parts(
            plan=plan,
            db=db,
            book=book,
            keeper=keeper,
            tools=tools,
            clock=clock,
            poller=Poller(tools, most),
            dispatcher=Dispatcher(tools, most),
        )
        await keeper.flush()
    finally:
        await db.close()


def _spare_the_collector() -> None:
    """Let the cyclic collector look seldom, and never at what lives as long as the process.

    Polls make hardly a cycle: nearly everything goes by reference count. Looking for cycles
    every 700 objects was measured as 7 % of the CPU of a pull.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _prepare_store(tx: Transaction, plan: Plan, ring: KeyRing | None) -> None:
    """Make sure that this is our store and our key, and let it know our mailboxes."""
    await facts.claim_for_instance(tx, plan.instance)
    sealed_with = await facts.read_fact(tx, facts.KEY_CHECK)
    if await recognise(tx, ring) is KeyFit.REPLACED and ring is not None:
        _log.warning(
            "the key used before is not configured any more: what it sealed does not open",
            used_before=sealed_with,
            configured=[key.id.hex() for key in ring.keys],
            remedy="name the key file used before under encryption.keys as well, or seal the"
            " passwords anew with `syncd secret encrypt`",
        )
    await mailboxes.declare(tx, [_declared(mailbox) for mailbox in plan.mailboxes])


def _declared(mailbox: Mailbox) -> DeclaredMailbox:
    return DeclaredMailbox(
        address=mailbox.address,
        type=mailbox.type,
        profile=mailbox.profile.name,
        tenant=mailbox.tenant,
        needs_approval=mailbox.needs_approval,
    )


def _dialer(plan: Plan, ring: KeyRing | None, clock: Clock) -> Dialer:
    network = plan.network
    return Dialer(
        slots=Slots(
            network.max_connections,
            network.max_connections_per_server,
            LoginRate(network.logins_per_server, network.logins_period),
            clock,
        ),
        budget=ByteBudget(plan.memory),
        unlock=partial(unlock_mailbox, ring),
        source_limits=SourceLimits(
            connect_timeout=network.connect_timeout,
            command_timeout=network.command_timeout,
            session_timeout=network.session_timeout,
            max_message_size=plan.max_message_size,
        ),
        capabilities=CapabilityMemory(clock),
        patience=Patience(connect=network.connect_timeout.total_seconds()),
        clock=clock,
    )


def _unknown_wait(environ: Mapping[str, str]) -> timedelta:
    wish = environ.get(UNKNOWN_WAIT_FOR_TESTS)
    return UNKNOWN_WAIT if wish is None else timedelta(seconds=float(wish))
