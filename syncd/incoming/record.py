"""Recording: message, body, ledger and event in one transaction; only then may copies go.

Rule 1: `record` returns after a durable commit, or raises and nothing of the batch is kept.
Rule 2: a batch that fails because of its data is tried again message by message, so that
only the culprit is put aside.
Rule 3: the same bytes twice in one mailbox are one message with two ledger entries
(contract 7.8).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from syncd.alerts import texts
from syncd.alerts.wall import open_alert
from syncd.errors import (
    CommandRefused,
    LimitExceeded,
    Phase,
    ServerError,
    StoreBroken,
    StoreBusy,
    StoreFull,
    StoreRefused,
    TermLost,
    one_line,
)
from syncd.incoming.admit import TOO_LARGE, Admission, Admit, Filter, Skip
from syncd.incoming.new_mail import BY_CONTENT, Seen, most_tries
from syncd.incoming.quarantine import (
    LONGEST_WAIT,
    AfterRefusal,
    after_cut,
    after_refusal,
    next_try,
)
from syncd.incoming.work import MOST_TRIES, PollWork, PutOff
from syncd.model.mail import (
    BodyId,
    Headers,
    IncomingState,
    LedgerState,
    Listed,
    MessageId,
    by_size,
)
from syncd.observe.edges import reached
from syncd.store import bodies, counters, events, ledger, mailboxes, messages
from syncd.store.database import Transaction
from syncd.store.events import NewEvent
from syncd.store.ledger import Judged, LedgerKey, LeftAlone, RefusedEntry
from syncd.store.messages import KnownContent, NewMessage

_NOT_ABOUT_DATA = (StoreFull, StoreBusy, StoreBroken, StoreRefused, TermLost)
"""Errors that every message would meet alike."""


@dataclass(slots=True)
class Upload:
    """A large message whose chunks are committed as they arrive, staged."""

    body_id: BodyId | None = None
    chunks: int = 0


@dataclass(slots=True)
class Arrived:
    """One message that is here whole: its bytes, or the upload that holds them."""

    listed: Listed
    sha256: bytes
    octets: int
    headers: Headers
    state: IncomingState | None
    """What it becomes; None: nothing, it is left on the server."""
    reason: str | None
    body: bytes = b""
    upload: Upload | None = None


@dataclass(slots=True)
class Batch:
    """What one transaction records."""

    arrived: list[Arrived] = field(default_factory=list)
    refused: list[tuple[Listed, ServerError]] = field(default_factory=list)
    """What the server would not hand out, and at what it ended the session."""
    octets: int = 0


@dataclass(slots=True)
class Names:
    """How the messages of one listing are entered in the ledger."""

    key: LedgerKey
    seen: Seen
    ambiguous: frozenset[str]
    """Names that several messages share: entered by name and content."""
    entered_anew: set[str] = field(default_factory=set)
    """Ambiguous names whose earlier entries this poll has already dropped."""

    def digest_without_content(self, listed: Listed) -> bytes:
        """Return by what a message that has not come in is known besides its name."""
        is_clear = listed.uid and listed.uid not in self.ambiguous
        return b"" if is_clear else by_size(listed.octets)


@dataclass(slots=True)
class Settled:
    """What became of one message of a batch. Not frozen: one is made for every message."""

    listed: Listed
    state: LedgerState
    octets: int = 0
    may_go: bool = False
    """The server's copy may be deleted."""
    received_at: datetime | None = None
    put_off: PutOff | None = None


def verdict_of(admission: Admission) -> tuple[IncomingState | None, str | None]:
    """Return what a message becomes by its admission, and why."""
    match admission:
        case Admit():
            return IncomingState.RECEIVED, None
        case Filter(reason):
            return IncomingState.FILTERED, reason
        case Skip(reason):
            return None, reason


async def record(work: PollWork, names: Names, batch: Batch) -> list[Settled]:
    """Commit a batch; return what became of each message."""
    try:
        return await _write(work, names, batch)
    except _NOT_ABOUT_DATA:
        raise
    except Exception:
        if not batch.arrived:
            raise
        singles = _one_by_one(batch)
        if len(singles) == 1:
            return await _record_once_more(work, names, batch)
        return [done for one in singles for done in await record(work, names, one)]


async def _record_once_more(work: PollWork, names: Names, batch: Batch) -> list[Settled]:
    """Commit one message as it is, or put it aside: that it failed once may say nothing of it."""
    try:
        return await _write(work, names, batch)
    except _NOT_ABOUT_DATA:
        raise
    except Exception as exc:
        (one,) = batch.arrived
        if one.state is IncomingState.QUARANTINED:
            raise
        return await _write(work, names, _put_aside(one, exc))


async def stage(work: PollWork, upload: Upload, chunks: Sequence[bytes]) -> None:
    """Commit some more chunks of a large message."""
    first = upload.chunks

    async def body(tx: Transaction) -> BodyId:
        await mailboxes.require_term(tx, work.record.id, work.record.term)
        body_id = upload.body_id
        if body_id is None:
            body_id = await bodies.new_body_id(tx)
            await bodies.stage(tx, body_id, work.clock.now())
        for n, chunk in enumerate(chunks, start=first):
            await bodies.put_chunk(tx, body_id, n, chunk)
        return body_id

    upload.body_id = await work.db.write(body)
    upload.chunks = first + len(chunks)
    reached("incoming.staged")


async def discard(work: PollWork, upload: Upload) -> None:
    """Drop what was staged of a message that did not come whole."""
    if upload.body_id is not None:
        body = partial(bodies.discard, body_id=upload.body_id)
        await work.db.write(body, essential=True)


async def leave_alone(
    work: PollWork, names: Names, skipped: Sequence[tuple[Listed, str]]
) -> None:
    """Note messages that stay on the server unread; too large ones are worth an alert."""
    now = work.clock.now()

    async def body(tx: Transaction) -> None:
        await mailboxes.require_term(tx, work.record.id, work.record.term)
        entries = [
            LeftAlone(
                uid=listed.uid,
                reason=reason,
                digest=names.digest_without_content(listed),
                octets=listed.octets,
            )
            for listed, reason in skipped
        ]
        await ledger.leave_alone(tx, names.key, entries, now)
        for listed, reason in skipped:
            if reason == TOO_LARGE:
                await _alert_of_size(tx, work, listed, now)

    if skipped:
        await work.db.write(body)


# ---------------------------------------------------------------- one transaction


async def _write(work: PollWork, names: Names, batch: Batch) -> list[Settled]:
    now = work.clock.now()
    body = partial(_write_batch, work=work, names=names, batch=batch, now=now)
    settled = await work.db.write(body)
    names.entered_anew |= {listed.uid for listed in _ambiguous(names, batch)}
    return settled


async def _write_batch(
    tx: Transaction, *, work: PollWork, names: Names, batch: Batch, now: datetime
) -> list[Settled]:
    reached("incoming.recording")
    await mailboxes.require_term(tx, work.record.id, work.record.term)
    ambiguous = _ambiguous(names, batch)
    if ambiguous:
        uids = {listed.uid for listed in ambiguous if listed.uid}
        await ledger.forget_names(tx, names.key, uids - names.entered_anew)
        sizes = {(listed.uid, by_size(listed.octets)) for listed in ambiguous}
        await ledger.forget(tx, names.key, sizes)
    hashes = [one.sha256 for one in batch.arrived if one.state is not None]
    known = await messages.with_content(tx, work.record.id, hashes)
    fresh = _fresh(batch.arrived, known)
    stored = await _store(tx, work, fresh, now)
    entered = await _entered_by_content(tx, names, batch.arrived)
    judged: list[Judged] = []
    settled: list[Settled] = []
    for one in batch.arrived:
        is_first = fresh.get(one.sha256) is one
        if one.upload is not None and not is_first:
            await bodies.discard(tx, _body_of(one.upload))
        uid = one.listed.uid or BY_CONTENT + one.sha256.hex()
        if uid in entered:
            continue  # a message without any name, fetched only to see that it is known
        content = stored.get(one.sha256) or known.get(one.sha256)
        entry = _judge(one, uid, content, work, names, is_first=is_first)
        judged.append(entry)
        settled.append(
            Settled(
                one.listed,
                entry.state,
                one.octets,
                entry.delete_pending,
                one.headers.received_at,
            )
        )
    await ledger.judge(tx, names.key, judged, now)
    settled += await _write_refused(tx, work, names, batch.refused, now)
    return settled


def _judge(
    one: Arrived,
    uid: str,
    content: KnownContent | None,
    work: PollWork,
    names: Names,
    *,
    is_first: bool,
) -> Judged:
    """Write the ledger entry of a message; `content` is the stored message with its bytes."""
    is_ambiguous = uid in names.ambiguous
    digest = one.sha256 if is_ambiguous else b""
    if one.state is None or content is None:
        return Judged(
            uid=uid,
            digest=digest,
            state=LedgerState.SKIPPED,
            reason=one.reason,
            header_digest=one.headers.digest,
            octets=one.listed.octets,
            is_further_copy=is_ambiguous,
        )
    before = [
        entry
        for entry in names.seen.get(one.listed.uid, ())
        if entry.message_id == content.message_id
    ]
    # Some servers keep what they say they have deleted: once more would be in vain again.
    is_kept = any(entry.deleted for entry in before)
    # Under an ambiguous name an older message may be meant, taken before the setting.
    is_surely_meant = (
        is_first or not is_ambiguous or any(entry.delete_pending for entry in before)
    )
    return Judged(
        uid=uid,
        digest=digest,
        state=_LEDGER_STATES[one.state] if is_first else LedgerState.DUPLICATE,
        reason=one.reason,
        message_id=content.message_id,
        header_digest=one.headers.digest,
        delete_pending=work.deletes
        and content.state is IncomingState.RECEIVED
        and is_surely_meant
        and not is_kept,
        octets=one.listed.octets,
        is_further_copy=is_ambiguous,
    )


def _fresh(
    arrived: Sequence[Arrived], known: Mapping[bytes, KnownContent]
) -> dict[bytes, Arrived]:
    """Choose what becomes a message: the first of each content that is not known yet."""
    fresh: dict[bytes, Arrived] = {}
    for one in arrived:
        if one.state is not None and one.sha256 not in known:
            fresh.setdefault(one.sha256, one)
    return fresh


async def _store(
    tx: Transaction, work: PollWork, fresh: Mapping[bytes, Arrived], now: datetime
) -> dict[bytes, KnownContent]:
    """Write messages, bodies and events; return what they are known as from now on."""
    if not fresh:
        return {}
    first_id = await counters.take(tx, "message", len(fresh))
    body_ids = iter(await bodies.new_body_ids(tx, len(fresh)))
    new: list[NewMessage] = []
    small: list[tuple[int, bytes]] = []
    for n, one in enumerate(fresh.values(), start=first_id):
        if one.upload is None:
            body_id = BodyId(next(body_ids))
            small.append((body_id, one.body))
        else:
            body_id = _body_of(one.upload)
            await bodies.adopt(tx, body_id)
        new.append(
            NewMessage(
                id=MessageId(n),
                state=one.state or IncomingState.RECEIVED,
                reason=one.reason,
                octets=one.octets,
                sha256=one.sha256,
                body_id=body_id,
                headers=one.headers,
            )
        )
    await bodies.put_whole(tx, small)
    await messages.insert(tx, work.record.id, new, now)
    await _tell(tx, work, [_event_of(message) for message in new], now)
    for message in new:
        if message.state is IncomingState.QUARANTINED:
            await _alert(tx, work, message.reason or "", now)
    return {message.sha256: KnownContent(message.id, message.state) for message in new}


async def _entered_by_content(
    tx: Transaction, names: Names, arrived: Sequence[Arrived]
) -> Collection[str]:
    nameless = [BY_CONTENT + one.sha256.hex() for one in arrived if not one.listed.uid]
    return await ledger.seen(tx, names.key, nameless) if nameless else ()


async def _write_refused(
    tx: Transaction,
    work: PollWork,
    names: Names,
    refused: Sequence[tuple[Listed, ServerError]],
    now: datetime,
) -> list[Settled]:
    """Note what the server would not hand out, and at what it ended the session."""
    settled: list[Settled] = []
    entries: list[RefusedEntry] = []
    for listed, refusal in refused:
        before = most_tries(listed, names.seen)
        verdict = _after_failure(work, names, listed, refusal, before + 1, now)
        at = verdict.next_try_at
        put_off = PutOff(before + 1, at, refusal.words) if at is not None else None
        settled.append(Settled(listed, verdict.state, put_off=put_off))
        entries.append(
            RefusedEntry(
                uid=listed.uid,
                digest=names.digest_without_content(listed),
                state=verdict.state,
                reason=refusal.words,
                attempts=before + 1,
                next_try_at=verdict.next_try_at,
            )
        )
        if _is_about_size(refusal):
            await _alert_of_size(tx, work, listed, now)
        elif before + 1 == MOST_TRIES:
            reason = f"the server would not hand it out in {before + 1} tries: {refusal.words}"
            data = {"id": None, "uid": listed.uid, "reason": reason, "octets": listed.octets}
            await _tell(tx, work, [NewEvent("message.quarantined", data)], now)
            await _alert(tx, work, reason, now)
    await ledger.note_refused(tx, names.key, entries, now)
    return settled


def _is_about_size(error: ServerError) -> bool:
    return isinstance(error, LimitExceeded) and error.phase is Phase.FETCH


def _after_failure(
    work: PollWork,
    names: Names,
    listed: Listed,
    error: ServerError,
    tries: int,
    now: datetime,
) -> AfterRefusal:
    """Decide when a message is tried again, and as what it waits."""
    if _is_about_size(error):
        # Once more at once: of several under this name, another one then has its turn first.
        wait = LONGEST_WAIT if tries > 1 else timedelta(0)
        return AfterRefusal(LedgerState.FAILING, now + wait)
    entries = names.seen.get(listed.uid, ())
    is_unclear = names.digest_without_content(listed) != b""
    if tries >= MOST_TRIES and (is_unclear or any(one.delete_pending for one in entries)):
        # Its name does not say which message it is: never given up, another may be meant.
        return AfterRefusal(LedgerState.FAILING, next_try(tries, work.interval, now))
    if isinstance(error, CommandRefused):
        return after_refusal(tries, work.interval, now)
    verdict = after_cut(tries, work.interval, now)
    is_pending = not is_unclear and any(one.state is LedgerState.PENDING for one in entries)
    if is_pending and verdict.state is LedgerState.FAILING:
        # Its date still decides.
        return replace(verdict, state=LedgerState.PENDING)
    return verdict


async def _tell(
    tx: Transaction, work: PollWork, told: Sequence[NewEvent], now: datetime
) -> None:
    about = work.about
    await events.append(tx, about.mailbox_id, about.address, about.tenant, now, told)


async def _alert_of_size(
    tx: Transaction, work: PollWork, listed: Listed, now: datetime
) -> None:
    alert = texts.message_too_large(
        work.record.id,
        work.record.address,
        listed.octets if listed.octets > work.max_message_size else None,
        work.max_message_size,
    )
    await open_alert(tx, alert, now, work.about)


async def _alert(tx: Transaction, work: PollWork, reason: str, now: datetime) -> None:
    alert = texts.message_quarantined(work.record.id, work.record.address, reason)
    await open_alert(tx, alert, now, work.about)


# ---------------------------------------------------------------- small answers


def _ambiguous(names: Names, batch: Batch) -> set[Listed]:
    """Return what has arrived under names that several messages share, or none."""
    if not names.ambiguous:
        return set()
    return {one.listed for one in batch.arrived if one.listed.uid in names.ambiguous}


def _one_by_one(batch: Batch) -> list[Batch]:
    singles = [Batch(arrived=[one]) for one in batch.arrived]
    return [*singles, Batch(refused=batch.refused)] if batch.refused else singles


def _put_aside(one: Arrived, error: Exception) -> Batch:
    """Keep the bytes of a message that the store would not take, and nothing read from them."""
    trouble = one_line(f"{type(error).__name__}: {error}")
    aside = replace(one, headers=Headers(), state=IncomingState.QUARANTINED, reason=trouble)
    return Batch(arrived=[aside])


def _body_of(upload: Upload) -> BodyId:
    assert upload.body_id is not None  # noqa: S101 - an upload arrives when it has a chunk
    return upload.body_id


_LEDGER_STATES = {
    IncomingState.RECEIVED: LedgerState.TAKEN,
    IncomingState.FILTERED: LedgerState.FILTERED,
    IncomingState.QUARANTINED: LedgerState.QUARANTINED,
}


_EVENT_TYPES = {
    IncomingState.RECEIVED: "message.received",
    IncomingState.FILTERED: "message.filtered",
    IncomingState.QUARANTINED: "message.quarantined",
}


def _event_of(message: NewMessage) -> NewEvent:
    data = {
        "id": message.id,
        "message_id": message.headers.message_id,
        "from": message.headers.sender,
        "subject": message.headers.subject,
        "octets": message.octets,
    }
    if message.reason is not None:
        data["reason"] = message.reason
    return NewEvent(_EVENT_TYPES[message.state], data)
