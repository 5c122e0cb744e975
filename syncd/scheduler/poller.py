"""Polls mailboxes as they fall due; one poll of a mailbox at a time."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from syncd.errors import StoreBroken, StoreError, StoreFull
from syncd.incoming.poll import poll_mailbox
from syncd.incoming.work import PollWork
from syncd.mailboxes.health import classify
from syncd.mailboxes.status import record_poll
from syncd.model.failure import Failure, Scope
from syncd.model.mailbox import Direction, Mailbox, MailboxId
from syncd.model.poll import ListingMemory, PollOutcome
from syncd.scheduler.aftermath import conclude, place_of
from syncd.scheduler.book import Entry
from syncd.scheduler.due import first_start, next_start
from syncd.scheduler.rounds import Cycle, Rounds
from syncd.scheduler.store_watch import refuse_broken, refuse_full
from syncd.scheduler.tools import Tools
from syncd.store import listings, mailboxes

_log = structlog.get_logger()

Report = Mapping[str, Any]  # JSON of one poll, for commands and routes


class Poller:
    """The rounds of incoming mail."""

    def __init__(self, tools: Tools, most: int) -> None:
        self._tools = tools
        self._rounds: Rounds[Report] = Rounds(
            self._cycle, tools.clock, crowd=tools.book.profile_of, most=most
        )
        self._memories: dict[MailboxId, ListingMemory] = {}

    @property
    def running(self) -> int:
        """How many mailboxes are being polled."""
        return self._rounds.running

    async def plan_all(self) -> None:
        """Plan every mailbox that may be polled: overdue ones first, new ones spread."""
        await self.recall()
        now = self._tools.clock.now()
        for entry in self._tools.book:
            if entry.mailbox is not None and entry.standing(Direction.INCOMING).may_connect:
                interval = entry.mailbox.profile.minimum_polling_interval
                remembered = entry.incoming.next_at
                at = first_start(remembered, now, interval, self._tools.dice())
                if entry.incoming.stopped_at is not None and remembered is not None:
                    at = max(now, remembered)  # a probe's pace outlives a restart, too
                self._rounds.plan(entry.record.id, at)

    async def recall(self) -> None:
        """Remember how each maildrop was left, so that a poll may still be a short one."""
        self._memories = await self._tools.db.read(listings.load_all)

    def forget_listing(self, mailbox_id: MailboxId) -> None:
        """Let the next poll list everything."""
        self._memories.pop(mailbox_id, None)

    def plan_now(self, entry: Entry) -> None:
        """Poll a mailbox as soon as there is room; what may not connect is left alone."""
        self._rounds.plan(entry.record.id, self._tools.clock.now())

    async def poll_now(self, entry: Entry) -> Report:
        """Poll now, or join the poll under way; return what came."""
        return await self._rounds.run_now(entry.record.id)

    async def run(self) -> None:
        """Poll as mailboxes fall due, until `stop`."""
        await self._rounds.run()

    def stop(self) -> None:
        """Start nothing new; `run` returns when the polls under way have ended."""
        self._rounds.stop()

    def drop_all(self) -> None:
        """End the polls under way without QUIT: what is not committed comes again."""
        self._rounds.drop_all()

    async def _cycle(self, mailbox_id: MailboxId) -> Cycle[Report]:
        entry = self._tools.book[mailbox_id]
        standing = entry.standing(Direction.INCOMING)
        mailbox = entry.mailbox
        if mailbox is None or not standing.may_connect:
            return Cycle(_not_polled(entry, standing.why), None)
        outcome = await self._poll(entry, mailbox)
        if outcome.failure is not None and outcome.failure.scope is Scope.STORE:
            refuse_broken(self._tools.db)
        if outcome.memory is None:
            self._memories.pop(mailbox_id, None)
        else:
            self._memories[mailbox_id] = outcome.memory
        await self._reread_record(entry)
        return await self._conclude(entry, mailbox, outcome)

    async def _poll(self, entry: Entry, mailbox: Mailbox) -> PollOutcome:
        tools = self._tools
        started_at, started = tools.clock.now(), tools.clock.monotonic()
        try:
            refuse_full(tools.db)
            async with AsyncExitStack() as until:
                return await poll_mailbox(
                    PollWork(
                        mailbox=mailbox,
                        record=entry.record,
                        db=tools.db,
                        open_source=partial(tools.dialer.open_source, mailbox, until),
                        memory=self._memories.get(entry.record.id),
                        classify=classify,
                        budget=tools.dialer.budget,
                        clock=tools.clock,
                        max_message_size=tools.max_message_size,
                    )
                )
        except StoreBroken:
            raise
        except StoreFull as error:
            return PollOutcome(
                started_at=started_at, duration=timedelta(0), failure=classify(error)
            )
        except Exception as error:  # noqa: BLE001 - the top of the loop, logged below
            # The top of the loop: whatever we did wrong here stops this mailbox's poll only.
            _log.exception("poll failed unexpectedly", address=mailbox.address)
            return PollOutcome(
                started_at=started_at,
                duration=timedelta(seconds=tools.clock.monotonic() - started),
                failure=classify(error),
            )

    async def _reread_record(self, entry: Entry) -> None:
        """Take over what the poll wrote into the mailbox's row (epoch, first enabling)."""
        if entry.record.first_enabled_at is None or entry.record.epoch == 0:
            reading = partial(mailboxes.get, mailbox_id=entry.record.id)
            try:
                record = await self._tools.db.read(reading)
                entry.record = record or entry.record
            except StoreError as error:  # the next poll reads it
                _log.warning("mailbox not read again", error=str(error))

    async def _conclude(
        self, entry: Entry, mailbox: Mailbox, outcome: PollOutcome
    ) -> Cycle[Report]:
        now = self._tools.clock.now()
        recorded = record_poll(
            entry.incoming,
            outcome,
            place_of(entry, Direction.INCOMING),
            next_at=next_start(
                outcome.started_at, now, mailbox.profile.minimum_polling_interval
            ),
            now=now,
            dice=self._tools.dice(),
        )
        next_at = await conclude(self._tools, entry, recorded, now)
        report = _report(entry, outcome, next_at)
        if outcome.failure is not None:
            _log.warning("poll failed", **_for_log(report, outcome.failure))
        elif _is_news(outcome):
            _log.info("polled", **_for_log(report, None))
        else:
            _log.debug("polled", address=entry.record.address)
        return Cycle(report, next_at)


def _report(entry: Entry, outcome: PollOutcome, next_at: datetime | None) -> Report:
    failure = outcome.failure
    return {
        "address": entry.record.address,
        "result": _result(failure),
        "summary": _summary(outcome),
        "taken": outcome.taken,
        "filtered": outcome.filtered,
        "duplicates": outcome.duplicates,
        "skipped": outcome.skipped,
        "quarantined": outcome.quarantined,
        "adopted": outcome.adopted,
        "refused": outcome.refused,
        "deleted": outcome.deleted,
        "octets": outcome.octets,
        "more": outcome.more,
        "remark": outcome.remark,
        "duration": outcome.duration.total_seconds(),
        "next_at": _rfc3339(next_at),
        "failure": failure
        and {
            "code": failure.code,
            "lasting": failure.lasting.value,
            "scope": failure.scope.value,
            "server": failure.server,
            "phase": failure.phase,
            "words": failure.words,
            "cause": failure.cause,
            "remedy": failure.remedy,
            "next_try": _rfc3339(next_at),
        },
    }


def _not_polled(entry: Entry, why: str) -> Report:
    failure = {"code": "not_polled", "cause": why, "remedy": "see `syncd mailbox show`"}
    return {
        "address": entry.record.address,
        "result": "permanent",
        "summary": f"not polled: {why}",
        "taken": 0,
        "failure": failure,
    }


def _is_news(outcome: PollOutcome) -> bool:
    counts = (outcome.taken, outcome.adopted, outcome.skipped, outcome.quarantined)
    return any(counts) or outcome.refused > 0


def _result(failure: Failure | None) -> str:
    return "ok" if failure is None else failure.lasting.value


def _summary(outcome: PollOutcome) -> str:
    counts = (
        (outcome.taken, "taken"),
        (outcome.adopted, "recognised again"),
        (outcome.duplicates, "known by content"),
        (outcome.filtered, "filtered"),
        (outcome.skipped, "skipped"),
        (outcome.quarantined, "quarantined"),
        (outcome.deleted, "deleted on the server"),
    )
    told = ", ".join(f"{count} {what}" for count, what in counts if count)
    said = told or ("nothing new" if outcome.failure is None else "failed")
    return f"{said}; {outcome.remark}" if outcome.remark else said


def _for_log(report: Report, failure: Failure | None) -> dict[str, Any]:
    shown = {
        name: value
        for name, value in report.items()
        if value and name not in ("failure", "summary", "result")
    }
    if failure is not None:
        shown |= {
            "code": failure.code,
            "server": failure.server,
            "phase": failure.phase,
            "words": failure.words,
        }
    return shown


def _rfc3339(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
