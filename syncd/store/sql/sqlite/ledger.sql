-- The ledger: every server message ever seen, by mailbox, epoch, UIDL (and content hash).

-- name: ledger_facts
-- What a poll must know of its mailbox besides its entries. A listing that was not judged
-- whole says nothing of how many messages are known.
SELECT m.epoch, m.epoch_identity, m.first_enabled_at, l.count AS listed
    FROM mailbox m
    LEFT JOIN listing l ON l.mailbox_id = m.id AND l.epoch = m.epoch AND l.whole = 1
    WHERE m.id = :mailbox_id;

-- name: ledger_seen
-- Only what the listing names is looked up: cost follows the listing, not the history.
SELECT l.uid, l.digest, l.state, l.copies, l.attempts, l.next_try_at, l.delete_pending,
       l.deleted, l.octets, l.message_id,
       CASE WHEN l.delete_pending = 1 THEN l.header_digest END AS header_digest,
       CASE WHEN l.digest <> x'' THEN l.seen_at END AS seen_at
    FROM json_each(:uids) j CROSS JOIN ledger l
    ON l.mailbox_id = :mailbox_id AND l.epoch = :epoch AND l.uid = j.value;

-- name: ledger_note
-- Entries of a first listing, or what is left alone. Whatever is there already stays.
INSERT INTO ledger (mailbox_id, epoch, uid, digest, state, reason, copies, seen_at)
    VALUES (:mailbox_id, :epoch, :uid, x'', :state, :reason, :copies, :seen_at)
    ON CONFLICT (mailbox_id, epoch, uid, digest) DO NOTHING;

-- name: ledger_skip
-- The judgement on entries that waited for it, or were never seen.
INSERT INTO ledger (mailbox_id, epoch, uid, digest, state, reason, copies, header_digest, octets,
                    seen_at)
    VALUES (:mailbox_id, :epoch, :uid, :digest, 'skipped', :reason, :copies, :header_digest,
            :octets, :seen_at)
    ON CONFLICT (mailbox_id, epoch, uid, digest) DO UPDATE
    SET state = 'skipped', reason = excluded.reason, header_digest = excluded.header_digest,
        octets = excluded.octets, delete_pending = 0, deleted = 0, next_try_at = NULL;

-- name: ledger_judge
-- The judgement on a fetched message; under an ambiguous name each further one adds a copy.
-- What was fetched again only to be sure stays what it was.
INSERT INTO ledger (mailbox_id, epoch, uid, digest, state, reason, message_id, header_digest,
                    delete_pending, octets, seen_at)
    VALUES (:mailbox_id, :epoch, :uid, :digest, :state, :reason, :message_id, :header_digest,
            :delete_pending, :octets, :seen_at)
    ON CONFLICT (mailbox_id, epoch, uid, digest) DO UPDATE
    SET state = CASE WHEN ledger.message_id = excluded.message_id
                          AND ledger.state NOT IN ('pending', 'failing')
                     THEN ledger.state ELSE excluded.state END,
        reason = excluded.reason, message_id = excluded.message_id,
        header_digest = excluded.header_digest, delete_pending = excluded.delete_pending,
        deleted = 0, octets = excluded.octets, copies = ledger.copies + :more_copies,
        attempts = 0, next_try_at = NULL;

-- name: ledger_refuse
-- The server would not hand it out. What is in the store and waits for its deletion stays so;
-- where the name's last message was deleted, this is another one.
INSERT INTO ledger (mailbox_id, epoch, uid, digest, state, reason, attempts, next_try_at, seen_at)
    VALUES (:mailbox_id, :epoch, :uid, :digest, :state, :reason, :attempts, :next_try_at, :seen_at)
    ON CONFLICT (mailbox_id, epoch, uid, digest) DO UPDATE
    SET state = CASE WHEN ledger.delete_pending = 1 THEN ledger.state ELSE excluded.state END,
        reason = excluded.reason, attempts = excluded.attempts,
        next_try_at = excluded.next_try_at,
        message_id = CASE WHEN ledger.deleted = 1 THEN NULL ELSE ledger.message_id END,
        deleted = 0;

-- name: ledger_forget_name
-- Before an ambiguous name's messages are entered anew, each by its content; what is known by
-- its size only ('size:…') waits for its own turn.
DELETE FROM ledger WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND uid = :uid
    AND (digest = x'' OR substr(digest, 1, 5) <> x'73697a653a');

-- name: ledger_forget
-- What was known by its size only is here, and entered by its content.
DELETE FROM ledger
    WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND uid = :uid AND digest = :digest;

-- name: ledger_deleted
-- The name may come again: then it is another message's.
UPDATE ledger SET delete_pending = 0, deleted = 1, attempts = 0, next_try_at = NULL
    WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND delete_pending = 1
      AND uid IN (SELECT value FROM json_each(:uids));

-- name: ledger_delete_refused
UPDATE ledger SET attempts = :attempts, next_try_at = :next_try_at
    WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND uid = :uid AND delete_pending = 1;

-- name: ledger_adoptable
-- Entries of earlier epochs whose headers are those of messages under new names. Headers are
-- too little to delete by: where a deletion is due, the message is fetched again instead.
SELECT epoch, uid, digest, header_digest, copies, octets FROM ledger
    WHERE mailbox_id = :mailbox_id AND epoch < :epoch
      AND state NOT IN ('pending', 'failing') AND delete_pending = 0 AND deleted = 0
      AND hex(header_digest) IN (SELECT value FROM json_each(:header_digests))
    ORDER BY epoch DESC, seen_at DESC;

-- name: ledger_adopt
-- One copy of an earlier entry gets a new name; what it waited under goes first.
INSERT INTO ledger (mailbox_id, epoch, uid, digest, state, reason, message_id, header_digest,
                    copies, octets, seen_at)
    SELECT mailbox_id, :new_epoch, :new_uid, x'', state, reason, message_id, header_digest,
           1, octets, seen_at
    FROM ledger
    WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND uid = :uid AND digest = :digest
    ON CONFLICT (mailbox_id, epoch, uid, digest) DO UPDATE
    SET state = excluded.state, reason = excluded.reason, message_id = excluded.message_id,
        header_digest = excluded.header_digest, octets = excluded.octets, attempts = 0;

-- name: ledger_take_copy
UPDATE ledger SET copies = copies - 1
    WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND uid = :uid AND digest = :digest;

-- name: ledger_drop_empty
DELETE FROM ledger
    WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND uid = :uid AND digest = :digest
      AND copies = 0;

-- name: ledger_quarantined
-- What a server would not hand out, this time or in all its tries; the store holds nothing of
-- it. Each half has an index of its own.
SELECT l.mailbox_id, l.epoch, l.uid, l.digest, l.reason, l.attempts, l.next_try_at, l.seen_at,
       m.address
    FROM (SELECT * FROM ledger WHERE state = 'quarantined' AND message_id IS NULL
          UNION ALL
          SELECT * FROM ledger WHERE state = 'failing') l
    JOIN mailbox m ON m.id = l.mailbox_id
    WHERE (:mailbox_id IS NULL OR l.mailbox_id = :mailbox_id)
    ORDER BY l.mailbox_id, l.epoch, l.seen_at, l.uid;

-- name: ledger_release
-- A person's word on a refused message: try it again now, or never.
UPDATE ledger SET state = :state, reason = :reason, attempts = 0, next_try_at = NULL
    WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND uid = :uid AND digest = :digest
      AND state IN ('quarantined', 'failing');

-- name: ledger_release_message
-- The same, for an entry whose message the store holds.
UPDATE ledger SET state = :state, reason = :reason
    WHERE mailbox_id = :mailbox_id AND message_id = :message_id AND state = 'quarantined';

-- name: ledger_counts
SELECT state, count(*) AS entries FROM ledger
    WHERE mailbox_id = :mailbox_id AND epoch = :epoch GROUP BY state;
