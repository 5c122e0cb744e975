"""Sends what is due: woken by the queue, not polling it; one session of a mailbox at a time."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from syncd.connections.seams import MailSender
from syncd.errors import Refused, SecretUnreadable, StoreBroken, StoreError
from syncd.mailboxes.health import classify
from syncd.mailboxes.status import record_failure, record_success
from syncd.model.failure import Failure
from syncd.model.mailbox import Direction, Mailbox, MailboxId
from syncd.outgoing.conclusion import SendPolicy
from syncd.outgoing.send import SendWork
from syncd.outgoing.session import SessionOutcome, send_due
from syncd.scheduler.aftermath import conclude, place_of
from syncd.scheduler.book import Entry
from syncd.scheduler.rounds import Cycle, Rounds
from syncd.scheduler.store_watch import refuse_broken
from syncd.scheduler.tools import Tools
from syncd.store import outbox

_log = structlog.get_logger()


class Sent:
    """What a cycle of sending brought: events by type, and the failure that ended it."""

    __slots__ = ("failure", "settled")

    def __init__(self, settled: Counter[str], failure: Failure | None = None) -> None:
        self.settled = settled
        self.failure = failure


class Dispatcher:
    """The rounds of outgoing mail."""

    def __init__(self, tools: Tools, most: int) -> None:
        self._tools = tools
        self._rounds: Rounds[Sent] = Rounds(
            self._cycle, tools.clock, crowd=tools.book.profile_of, most=most
        )
        self._opening: set[MailboxId] = set()

    @property
    def running(self) -> int:
        """How many mailboxes are sending."""
        return self._rounds.running

    async def plan_all(self) -> None:
        """Plan every mailbox that has mail waiting, and those that were sending when killed."""
        due = await self._tools.db.read(outbox.due_times)
        for mailbox_id, at in due.items():
            self._rounds.plan(mailbox_id, _not_before(self._tools.book[mailbox_id], at))

    def wake(self, mailbox_id: MailboxId) -> None:
        """Look after a mailbox's queue now, unless its server is being waited for."""
        entry = self._tools.book[mailbox_id]
        self._rounds.plan(mailbox_id, _not_before(entry, self._tools.clock.now()))

    async def send_due_now(self, mailbox_ids: Iterable[MailboxId]) -> Mapping[str, Any]:
        """Run one session for each mailbox that has mail due, one after the other's start."""
        due = await self._tools.db.read(outbox.due_times)
        now = self._tools.clock.now()
        totals: Counter[str] = Counter()
        failures = []
        for mailbox_id in mailbox_ids:
            if mailbox_id in due and due[mailbox_id] <= now:
                sent = await self._rounds.run_now(mailbox_id)
                totals.update(sent.settled)
                if sent.failure is not None:
                    failures.append(
                        {
                            "address": self._tools.book.address_of(mailbox_id),
                            "code": sent.failure.code,
                            "server": sent.failure.server,
                            "words": sent.failure.words,
                            "cause": sent.failure.cause,
                            "remedy": sent.failure.remedy,
                        }
                    )
        return {
            "sent": totals["outgoing.sent"],
            "deferred": totals["outgoing.deferred"],
            "failed": totals["outgoing.failed"],
            "outcome_unknown": totals["outgoing.outcome_unknown"],
            "failures": failures,
        }

    async def run(self) -> None:
        """Send as mail falls due, until `stop`."""
        await self._rounds.run()

    def stop(self) -> None:
        """Start nothing new; `run` returns when the sessions under way have ended.

        Who has no session yet (waits for a slot, an address, a greeting) has nothing to end.
        """
        self._rounds.stop()
        for mailbox_id in list(self._opening):
            self._rounds.drop(mailbox_id)

    async def _cycle(self, mailbox_id: MailboxId) -> Cycle[Sent]:
        entry = self._tools.book[mailbox_id]
        standing = entry.standing(Direction.OUTGOING)
        mailbox = entry.mailbox
        if mailbox is None or not standing.may_connect:
            return Cycle(Sent(Counter()), None)  # its mail waits; lists say why
        now = self._tools.clock.now()
        try:
            async with AsyncExitStack() as until:
                outcome = await send_due(self._work(entry, mailbox, until))
        except StoreBroken:
            raise
        except StoreError as error:
            refuse_broken(self._tools.db)
            return await self._failed(entry, classify(error), now, Counter())
        except (SecretUnreadable, Refused) as error:
            return await self._failed(entry, classify(error), now, Counter())
        except Exception as error:  # noqa: BLE001 - the top of the loop, logged below
            # The top of the loop: whatever we did wrong here stops this mailbox's cycle only.
            _log.exception("sending failed unexpectedly", address=mailbox.address)
            return await self._failed(entry, classify(error), now, Counter())
        return await self._settled(entry, outcome, now)

    def _work(self, entry: Entry, mailbox: Mailbox, until: AsyncExitStack) -> SendWork:
        tools, endpoint = self._tools, mailbox.profile.outgoing
        return SendWork(
            db=tools.db,
            mailbox=entry.record,
            place=endpoint.place if endpoint else "",
            policy=SendPolicy(
                retry=mailbox.profile.retry,
                outcome_unknown=mailbox.profile.outcome_unknown,
                unknown_wait=tools.unknown_wait,
            ),
            open_sender=partial(self._open_sender, entry, mailbox, until),
            clock=tools.clock,
            dice=tools.dice,
        )

    async def _open_sender(
        self, entry: Entry, mailbox: Mailbox, until: AsyncExitStack
    ) -> MailSender:
        self._opening.add(entry.record.id)
        try:
            return await self._tools.dialer.open_sender(mailbox, until)
        finally:
            self._opening.discard(entry.record.id)

    async def _settled(
        self, entry: Entry, outcome: SessionOutcome, now: datetime
    ) -> Cycle[Sent]:
        failure = outcome.trouble
        if failure is None and outcome.error is not None:
            failure = classify(outcome.error)
        counts = {name.partition(".")[2]: n for name, n in outcome.settled.items() if n}
        if counts.keys() - {"sent", "deferred"}:
            _log.warning("not all was sent", address=entry.record.address, **counts)
        elif counts:
            _log.info("sent", address=entry.record.address, **counts)
        if failure is not None:
            return await self._failed(entry, failure, now, outcome.settled)
        record = entry.direction(Direction.OUTGOING)
        if any(outcome.settled.values()):
            recorded = record_success(
                record, place_of(entry, Direction.OUTGOING), next_at=None, now=now
            )
            await conclude(self._tools, entry, recorded, now)
        return Cycle(Sent(outcome.settled), outcome.next_due_at)

    async def _failed(
        self, entry: Entry, failure: Failure, now: datetime, settled: Counter[str]
    ) -> Cycle[Sent]:
        recorded = record_failure(
            entry.direction(Direction.OUTGOING),
            failure,
            place_of(entry, Direction.OUTGOING),
            now=now,
            dice=self._tools.dice(),
        )
        next_at = await conclude(self._tools, entry, recorded, now)
        _log.warning(
            "sending postponed",
            address=entry.record.address,
            code=failure.code,
            server=failure.server,
            words=failure.words,
            next_at=next_at and next_at.isoformat(),
        )
        return Cycle(Sent(settled, failure), next_at, is_postponed=True)


def _not_before(entry: Entry, at: datetime) -> datetime:
    """Keep away from a server that is being waited for."""
    postponed = entry.direction(Direction.OUTGOING).postponed_until
    return at if postponed is None else max(at, postponed)
