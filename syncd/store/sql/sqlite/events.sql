-- Everything an application may want to hear of, in the order of the commits.

-- name: take_event_sequence
-- Each mailbox counts its own events, so that a reader sees a gap.
UPDATE mailbox SET event_sequence = event_sequence + :count WHERE id = :mailbox_id
    RETURNING event_sequence - :count + 1 AS first;

-- name: append_event
INSERT INTO event (type, version, at, tenant, mailbox_id, address, sequence, data)
    VALUES (:type, :version, :at, :tenant, :mailbox_id, :address, :sequence, :data);

-- name: events_after
SELECT id, type, version, at, tenant, mailbox_id, address, sequence, data
    FROM event WHERE id > :cursor ORDER BY id LIMIT :limit;

-- name: last_event
SELECT max(id) AS id FROM event;
