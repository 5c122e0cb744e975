-- Incoming messages; their bytes are in body_chunk.

-- name: messages_with_content
-- SQLite has no arrays: the hashes come as one blob of :count times 32 octets, and each is
-- looked up in the unique index.
WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)
SELECT m.id, m.state, m.sha256 FROM n CROSS JOIN message m
    ON m.mailbox_id = :mailbox_id AND m.sha256 = substr(:hashes, n.i * 32 + 1, 32);

-- name: insert_message
INSERT INTO message (id, mailbox_id, state, reason, octets, sha256, body_id, stored_at,
                     rfc_message_id, subject, sender, headers)
    VALUES (:id, :mailbox_id, :state, :reason, :octets, :sha256, :body_id, :stored_at,
            :rfc_message_id, :subject, :sender, :headers);

-- name: list_messages
SELECT m.id, m.mailbox_id, b.address, b.tenant, m.state, m.reason, m.octets, m.sha256, m.body_id,
       m.stored_at, m.rfc_message_id, m.subject, m.sender, m.headers
    FROM message m JOIN mailbox b ON b.id = m.mailbox_id
    WHERE m.id > :after ORDER BY m.id LIMIT :limit;

-- name: list_messages_of
SELECT m.id, m.mailbox_id, b.address, b.tenant, m.state, m.reason, m.octets, m.sha256, m.body_id,
       m.stored_at, m.rfc_message_id, m.subject, m.sender, m.headers
    FROM message m JOIN mailbox b ON b.id = m.mailbox_id
    WHERE m.mailbox_id = :mailbox_id AND m.id > :after ORDER BY m.id LIMIT :limit;

-- name: list_quarantined_messages
SELECT m.id, m.mailbox_id, b.address, b.tenant, m.state, m.reason, m.octets, m.sha256, m.body_id,
       m.stored_at, m.rfc_message_id, m.subject, m.sender, m.headers
    FROM message m JOIN mailbox b ON b.id = m.mailbox_id
    WHERE m.state = 'quarantined' AND (:mailbox_id IS NULL OR m.mailbox_id = :mailbox_id)
    ORDER BY m.id;

-- name: get_message
SELECT m.id, m.mailbox_id, b.address, b.tenant, m.state, m.reason, m.octets, m.sha256, m.body_id,
       m.stored_at, m.rfc_message_id, m.subject, m.sender, m.headers
    FROM message m JOIN mailbox b ON b.id = m.mailbox_id WHERE m.id = :id;

-- name: rejudge_message
UPDATE message SET state = :state, reason = :reason, rfc_message_id = :rfc_message_id,
       subject = :subject, sender = :sender, headers = :headers
    WHERE id = :id AND state = 'quarantined';

-- name: give_up_message
UPDATE message SET state = 'filtered', reason = :reason WHERE id = :id AND state = 'quarantined';
