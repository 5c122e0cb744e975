"""`syncd once`: one round without a daemon, for cron, scripts and benchmarks."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from syncd.config.schema import Settings
from syncd.daemon.wire import Parts, open_parts
from syncd.errors import NotFound, StoreBroken, leaves
from syncd.model.mailbox import Direction
from syncd.observe.logging import configure_logging
from syncd.scheduler.book import Entry


async def run_once(
    settings: Settings, environ: Mapping[str, str], addresses: Sequence[str]
) -> Mapping[str, Any]:
    """Poll every mailbox (or those named) once, send what is due, and sum up.

    Due times are ignored; refused (StoreRefused) while a daemon holds the store. Raises
    StoreError.
    """
    configure_logging(settings.log.level, settings.log.format)
    broken: list[BaseException] = []
    try:
        return await _round(settings, environ, addresses)
    except* StoreBroken as failed:
        broken.extend(leaves(failed))
    raise broken[0]


async def _round(
    settings: Settings, environ: Mapping[str, str], addresses: Sequence[str]
) -> Mapping[str, Any]:
    async with open_parts(settings, environ) as parts:
        chosen = _chosen(parts, addresses)
        await parts.poller.recall()
        async with asyncio.TaskGroup() as tasks:
            rounds = [
                tasks.create_task(parts.poller.run()),
                tasks.create_task(parts.dispatcher.run()),
            ]
            polls = [
                tasks.create_task(parts.poller.poll_now(entry))
                for entry in chosen
                if entry.standing(Direction.INCOMING).may_connect
            ]
            reports = [await poll for poll in polls]
            sent = await parts.dispatcher.send_due_now([e.record.id for e in chosen])
            parts.poller.stop()
            parts.dispatcher.stop()
            await asyncio.wait(rounds)  # noqa: TID251 - both are this group's own tasks
    return _summary(chosen, reports, sent)


def _summary(
    chosen: Sequence[Entry], reports: Sequence[Mapping[str, Any]], sent: Mapping[str, Any]
) -> Mapping[str, Any]:
    not_polled = [
        {"address": e.record.address, "why": e.standing(Direction.INCOMING).why}
        for e in chosen
        if not e.standing(Direction.INCOMING).may_connect
    ]
    failed = sum(report["result"] != "ok" for report in reports)
    taken = sum(report["taken"] for report in reports)
    said = (
        f"{len(reports)} mailboxes polled ({failed} failed), {len(not_polled)} not polled; "
        f"{taken} messages taken; {sent['sent']} sent, {sent['deferred']} deferred, "
        f"{sent['failed']} refused, {sent['outcome_unknown']} with unknown outcome; "
        f"{len(sent['failures'])} mailboxes could not send"
    )
    return {
        "ok": not failed and not sent["failures"] and not sent["failed"],
        "mailboxes": reports,
        "not_polled": not_polled,
        "sent": sent,
        "summary": said,
    }


def _chosen(parts: Parts, addresses: Sequence[str]) -> list[Entry]:
    if not addresses:
        return [entry for entry in parts.book if entry.mailbox is not None]
    chosen = []
    for address in addresses:
        entry = parts.book.find(address)
        if entry is None:
            raise NotFound(f"there is no mailbox {address} in the configuration")
        chosen.append(entry)
    return chosen
