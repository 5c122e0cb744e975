"""How things look as JSON: one function a kind, used by every route that shows it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from syncd.incoming.quarantine import Quarantined
from syncd.model.direction import DirectionRecord
from syncd.model.mail import OutgoingState
from syncd.model.mailbox import Direction
from syncd.model.outgoing import Recipient
from syncd.scheduler.book import Entry
from syncd.store.alerts import AlertRecord
from syncd.store.messages import MessageRecord
from syncd.store.outbox import AttemptRow, OutgoingRow

Json = dict[str, Any]  # JSON as orjson takes it

DIRECTIONS = tuple(Direction)

LARGEST_ID = 2**63 - 1
"""What a database counts to; no larger number names anything."""

_WAITING = frozenset({OutgoingState.PENDING_SEND, OutgoingState.OUTCOME_UNKNOWN})


def page(items: Sequence[Json], following: str | int | None) -> Json:
    """Wrap a list: `next` goes on from here, null at the end (contract 5)."""
    return {"items": list(items), "next": following}


def moment(at: datetime | None) -> str | None:
    """Write a moment as RFC 3339 in UTC."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def mailbox(entry: Entry) -> Json:
    """Show one mailbox."""
    record, configured = entry.record, entry.mailbox
    return {
        "id": record.id,
        "address": record.address,
        "name": configured.name if configured else None,
        "type": record.type,
        "profile": record.profile,
        "owner": configured.owner if configured else None,
        "tenant": record.tenant,
        "parked": configured is None,
        "approval": {
            "state": record.approval,
            "by": record.approval_by,
            "at": moment(record.approval_at),
        },
        "incoming": direction(entry, Direction.INCOMING),
        "outgoing": direction(entry, Direction.OUTGOING),
        "appointments_contacts_tasks_status": "not_run",
        "first_enabled_at": moment(record.first_enabled_at),
    }


def direction(entry: Entry, which: Direction) -> Json:
    """Show the status fields of one direction (contract 3)."""
    known: DirectionRecord = entry.direction(which)
    standing = entry.standing(which)
    error = known.last_error
    return {
        "state": standing.state,
        "why": trouble(entry, which) or standing.why or None,
        "enabled": known.enabled,
        "status": known.status,
        "status_at": moment(known.status_at),
        "status_text": known.status_text,
        "next_at": moment(known.next_at) if standing.may_connect else None,
        "postponed_until": moment(known.postponed_until),
        "postponed_why": known.postponed_why,
        "last_started_at": moment(known.last_started_at),
        "last_success_at": moment(known.last_success_at),
        "last_duration": known.last_duration and known.last_duration.total_seconds(),
        "last_error": error
        and {
            "code": error.code,
            "level": error.level,
            "words": error.words,
            "remedy": error.remedy,
        },
        "consecutive_failures": known.consecutive_failures,
        "taken_total": known.taken_total,
        "failed_total": known.failed_total,
    }


def trouble(entry: Entry, which: Direction) -> str | None:
    """Say what a direction that may connect is waiting for, in the server's words too."""
    known, standing = entry.direction(which), entry.standing(which)
    if not standing.may_connect or known.last_error is None:
        return None
    cause = known.postponed_why or standing.why
    words = f" ({known.last_error.words})" if known.last_error.words else ""
    again = f"; next try {moment(known.postponed_until)}" if known.postponed_until else ""
    return f"{cause}{words}{again}"


def outgoing(row: OutgoingRow, entry: Entry) -> Json:
    """Show one queued message; one that only waits says for what (contract 3)."""
    reason, next_at = row.reason, row.next_attempt_at
    if row.state in _WAITING:
        standing = entry.standing(Direction.OUTGOING)
        if not standing.may_connect:
            reason, next_at = standing.why, None
        else:
            reason = trouble(entry, Direction.OUTGOING) or reason
            postponed = entry.outgoing.postponed_until
            next_at = max(next_at, postponed) if next_at and postponed else next_at
    return {
        "id": row.id,
        "mailbox_id": row.mailbox_id,
        "address": row.address,
        "state": row.state,
        "reason": reason,
        "message_id": row.message_id,
        "sender": row.sender,
        "subject": row.subject,
        "octets": row.octets,
        "created_at": moment(row.created_at),
        "send_at": moment(row.send_at),
        "next_attempt_at": moment(next_at),
        "attempts": row.attempts,
        "unknown_outcomes": row.unknown_outcomes,
        "final_at": moment(row.final_at),
        "recipients": [recipient(one) for one in row.recipients],
    }


def recipient(one: Recipient) -> Json:
    """Show what became of one recipient, with the server's words."""
    return {
        "address": one.address,
        "state": one.state,
        "reply_code": one.reply_code,
        "enhanced": one.enhanced,
        "words": one.words,
    }


def attempt(row: AttemptRow) -> Json:
    """Show one line of the delivery history."""
    return {
        "n": row.n,
        "at": moment(row.at),
        "server": row.server,
        "phase": row.phase,
        "result": row.result,
        "words": row.words,
    }


def message(record: MessageRecord) -> Json:
    """Show one stored message."""
    known = record.headers
    return {
        "id": record.id,
        "mailbox_id": record.mailbox_id,
        "address": record.address,
        "state": record.state,
        "reason": record.reason,
        "octets": record.octets,
        "sha256": record.sha256.hex(),
        "stored_at": moment(record.stored_at),
        "message_id": record.rfc_message_id,
        "in_reply_to": known.get("in_reply_to"),
        "references": known.get("references", []),
        "from": record.sender,
        "to": known.get("to", []),
        "cc": known.get("cc", []),
        "delivered_to": known.get("delivered_to", []),
        "subject": record.subject,
        "date": known.get("date"),
        "received_at": known.get("received_at"),
        "auto_submitted": known.get("auto_submitted"),
    }


def alert(record: AlertRecord) -> Json:
    """Show one alert of the wall."""
    return {
        "id": record.id,
        "code": record.alert.code,
        "object": record.alert.object,
        "level": record.alert.level,
        "text": record.alert.text,
        "remedy": record.alert.remedy,
        "opened_at": moment(record.opened_at),
        "last_seen_at": moment(record.last_seen_at),
        "count": record.count,
        "acknowledged_at": moment(record.acknowledged_at),
        "resolved_at": moment(record.resolved_at),
    }


def quarantined(item: Quarantined) -> Json:
    """Show one line of the quarantine."""
    return {
        "id": item.id,
        "mailbox_id": item.mailbox_id,
        "address": item.address,
        "stored": item.is_stored,
        "reason": item.reason,
        "attempts": item.attempts,
        "most_attempts": item.most_attempts,
        "next_try_at": moment(item.next_try_at),
        "since": moment(item.since),
    }
