-- The outgoing queue: messages, their recipients, the history of their attempts.

-- name: insert_outgoing
INSERT INTO outgoing (id, mailbox_id, state, idempotency_key, request_digest, rfc_message_id,
                      sender, subject, octets, sha256, body_id, eight_bit, utf8, metadata,
                      created_at, send_at, next_attempt_at)
    VALUES (:id, :mailbox_id, 'pending_send', :idempotency_key, :request_digest,
            :rfc_message_id, :sender, :subject, :octets, :sha256, :body_id, :eight_bit, :utf8,
            :metadata, :now, :send_at, :next_attempt_at);

-- name: insert_recipient
INSERT INTO recipient (outgoing_id, n, address, state, updated_at)
    VALUES (:outgoing_id, :n, :address, :state, :now);

-- name: find_outgoing_by_key
SELECT id, request_digest FROM outgoing
    WHERE mailbox_id = :mailbox_id AND idempotency_key = :idempotency_key;

-- name: claim_due_outgoing
-- One statement: who lost the lease claims nothing, and nobody claims a message twice. The
-- oldest due first, by the index `outgoing_due`.
UPDATE outgoing SET state = 'sending', claimed_term = :term, after_dot_at = NULL
    WHERE id IN (SELECT id FROM outgoing
                     WHERE mailbox_id = :mailbox_id
                       AND state IN ('pending_send', 'outcome_unknown')
                       AND next_attempt_at <= :now
                     ORDER BY next_attempt_at LIMIT :limit)
      AND EXISTS (SELECT 1 FROM mailbox WHERE id = :mailbox_id AND term = :term)
    RETURNING id, mailbox_id, rfc_message_id, sender, octets, sha256, body_id,
              eight_bit, utf8, created_at, send_at, attempts, unknown_outcomes, claimed_term,
              after_dot_at,
              (SELECT max(at) FROM attempt WHERE outgoing_id = outgoing.id) AS tried_at;

-- name: claim_expired_outgoing
-- What has waited since before :since and is due: no session came about for it.
UPDATE outgoing SET state = 'sending', claimed_term = :term, after_dot_at = NULL
    WHERE id IN (SELECT id FROM outgoing
                     WHERE mailbox_id = :mailbox_id
                       AND state IN ('pending_send', 'outcome_unknown')
                       AND next_attempt_at <= :now
                       AND max(created_at, coalesce(send_at, 0)) <= :since
                     ORDER BY next_attempt_at LIMIT :limit)
      AND EXISTS (SELECT 1 FROM mailbox WHERE id = :mailbox_id AND term = :term)
    RETURNING id, mailbox_id, rfc_message_id, sender, octets, sha256, body_id,
              eight_bit, utf8, created_at, send_at, attempts, unknown_outcomes, claimed_term,
              after_dot_at,
              (SELECT max(at) FROM attempt WHERE outgoing_id = outgoing.id) AS tried_at;

-- name: list_sending_outgoing
SELECT id, mailbox_id, rfc_message_id, sender, octets, sha256, body_id, eight_bit, utf8,
       created_at, send_at, attempts, unknown_outcomes, claimed_term, after_dot_at,
       (SELECT max(at) FROM attempt WHERE outgoing_id = outgoing.id) AS tried_at
    FROM outgoing WHERE mailbox_id = :mailbox_id AND state = 'sending' ORDER BY id;

-- name: list_sending_recipients
SELECT r.outgoing_id, r.n, r.address, r.state, r.reply_code, r.enhanced, r.words
    FROM outgoing AS o JOIN recipient AS r ON r.outgoing_id = o.id
    WHERE o.mailbox_id = :mailbox_id AND o.state = 'sending' ORDER BY r.outgoing_id, r.n;

-- name: mark_after_dot
-- Only while the lease holds: what follows is the dot itself.
UPDATE outgoing SET after_dot_at = :now
    WHERE id = :id AND state = 'sending' AND claimed_term = :term
      AND EXISTS (SELECT 1 FROM mailbox WHERE id = outgoing.mailbox_id AND term = :term);

-- name: settle_outgoing
-- The claim, not the lease, is what must still hold: an answer that came is a fact.
UPDATE outgoing SET state = :state, reason = :reason, next_attempt_at = :next_attempt_at,
       attempts = attempts + 1, unknown_outcomes = :unknown_outcomes, claimed_term = NULL,
       after_dot_at = NULL, final_at = :final_at
    WHERE id = :id AND state = 'sending' AND claimed_term = :term;

-- name: update_recipient
UPDATE recipient SET state = :state, reply_code = :reply_code, enhanced = :enhanced,
       words = :words, updated_at = :now
    WHERE outgoing_id = :outgoing_id AND n = :n;

-- name: insert_attempt
INSERT INTO attempt (outgoing_id, n, at, server, phase, result, words)
    VALUES (:outgoing_id, :n, :at, :server, :phase, :result, :words);

-- name: release_outgoing
-- Back to the state it was claimed in; nothing was said to the server.
UPDATE outgoing SET claimed_term = NULL,
       state = CASE WHEN EXISTS (SELECT 1 FROM recipient
                                     WHERE outgoing_id = outgoing.id AND state = 'outcome_unknown')
                    THEN 'outcome_unknown' ELSE 'pending_send' END
    WHERE id = :id AND state = 'sending' AND claimed_term = :term AND after_dot_at IS NULL;

-- name: command_outgoing
-- What a person asked for; the state is part of the condition.
UPDATE outgoing SET state = :state, reason = :reason, send_at = coalesce(:send_at, send_at),
       next_attempt_at = :next_attempt_at, final_at = :final_at
    WHERE id = :id AND state = :from_state;

-- name: due_outgoing
-- What is `sending` while no session runs was left by one that died: its mailbox is due too.
SELECT mailbox_id, min(next_attempt_at) AS next_attempt_at
    FROM (SELECT mailbox_id, next_attempt_at FROM outgoing
              WHERE state IN ('pending_send', 'outcome_unknown')
          UNION ALL
          SELECT mailbox_id, next_attempt_at FROM outgoing WHERE state = 'sending')
    GROUP BY mailbox_id;

-- name: next_due_outgoing
SELECT min(next_attempt_at) AS next_attempt_at FROM outgoing
    WHERE mailbox_id = :mailbox_id AND state IN ('pending_send', 'outcome_unknown');

-- name: list_outgoing
SELECT o.id, o.mailbox_id, m.address, o.state, o.reason, o.rfc_message_id, o.sender, o.subject,
       o.octets, o.body_id, o.created_at, o.send_at, o.next_attempt_at, o.attempts,
       o.unknown_outcomes, o.final_at
    FROM outgoing AS o JOIN mailbox AS m ON m.id = o.mailbox_id
    WHERE o.id > :after
      AND (:state IS NULL OR o.state = :state)
      AND (:mailbox_id IS NULL OR o.mailbox_id = :mailbox_id)
    ORDER BY o.id LIMIT :limit;

-- name: get_outgoing
SELECT o.id, o.mailbox_id, m.address, o.state, o.reason, o.rfc_message_id, o.sender, o.subject,
       o.octets, o.body_id, o.created_at, o.send_at, o.next_attempt_at, o.attempts,
       o.unknown_outcomes, o.final_at
    FROM outgoing AS o JOIN mailbox AS m ON m.id = o.mailbox_id
    WHERE o.id = :id;

-- name: list_recipients
SELECT n, address, state, reply_code, enhanced, words FROM recipient
    WHERE outgoing_id = :outgoing_id ORDER BY n;

-- name: list_attempts
SELECT n, at, server, phase, result, words FROM attempt
    WHERE outgoing_id = :outgoing_id ORDER BY n;

-- name: count_outgoing
SELECT m.profile, o.state, count(*) AS messages, min(o.created_at) AS oldest
    FROM outgoing AS o JOIN mailbox AS m ON m.id = o.mailbox_id
    GROUP BY m.profile, o.state;
