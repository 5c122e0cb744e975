-- The status fields of one mailbox in one direction (contract 3).

-- name: list_directions
SELECT * FROM direction ORDER BY mailbox_id, direction;

-- name: get_direction
SELECT * FROM direction WHERE mailbox_id = :mailbox_id AND direction = :direction;

-- name: save_direction
INSERT INTO direction (
        mailbox_id, direction, enabled, status, status_at, status_text, next_at,
        postponed_until, postponed_why, last_started_at, last_success_at, last_duration,
        last_error, consecutive_failures, refused_logins, first_refused_at, stopped_at, taken_total,
        failed_total)
    VALUES (
        :mailbox_id, :direction, :enabled, :status, :status_at, :status_text, :next_at,
        :postponed_until, :postponed_why, :last_started_at, :last_success_at, :last_duration,
        :last_error, :consecutive_failures, :refused_logins, :first_refused_at, :stopped_at, :taken_total,
        :failed_total)
    ON CONFLICT (mailbox_id, direction) DO UPDATE SET
        enabled = excluded.enabled, status = excluded.status,
        status_at = excluded.status_at, status_text = excluded.status_text,
        next_at = excluded.next_at, postponed_until = excluded.postponed_until,
        postponed_why = excluded.postponed_why, last_started_at = excluded.last_started_at,
        last_success_at = excluded.last_success_at, last_duration = excluded.last_duration,
        last_error = excluded.last_error,
        consecutive_failures = excluded.consecutive_failures,
        refused_logins = excluded.refused_logins,
        first_refused_at = excluded.first_refused_at, stopped_at = excluded.stopped_at,
        taken_total = excluded.taken_total, failed_total = excluded.failed_total;
