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
SELECT l.uid, l.digest, l.state, l.copies, l.attempts, l.next_try_at, l.delete_pending
    FROM json_each(:uids) j CROSS JOIN ledger l
    ON l.mailbox_id = :mailbox_id AND l.epoch = :epoch AND l.uid = j.value;

-- name: ledger_note
-- Entries of a first listing, or what is left alone. Whatever is there already stays.
INSERT INTO ledger (mailbox_id, epoch, uid, digest, state, reason, copies, seen_at)
    VALUES (:mailbox_id, :epoch, :uid, x'', :state, :reason, :copies, :seen_at)
    ON CONFLICT (mailbox_id, epoch, uid, digest) DO NOTHING;

-- name: ledger_skip
-- The judgement on entries that waited for it, or were never seen.
INSERT INTO ledger (mailbox_id, epoch, uid, digest, state, reason, copies, header_digest, seen_at)
    VALUES (:mailbox_id, :epoch, :uid, x'', 'skipped', :reason, :copies, :header_digest, :seen_at)
    ON CONFLICT (mailbox_id, epoch, uid, digest) DO UPDATE
    SET state = 'skipped', reason = excluded.reason, header_digest = excluded.header_digest,
        next_try_at = NULL;

-- name: ledger_judge
-- The judgement on a fetched message; under an ambiguous name each further one adds a copy.
INSERT INTO ledger (mailbox_id, epoch, uid, digest, state, reason, message_id, header_digest,
                    delete_pending, seen_at)
    VALUES (:mailbox_id, :epoch, :uid, :digest, :state, :reason, :message_id, :header_digest,
            :delete_pending, :seen_at)
    ON CONFLICT (mailbox_id, epoch, uid, digest) DO UPDATE
    SET state = excluded.state, reason = excluded.reason, message_id = excluded.message_id,
        header_digest = excluded.header_digest, delete_pending = excluded.delete_pending,
        copies = ledger.copies + :more_copies, attempts = 0, next_try_at = NULL;

-- name: ledger_refuse
-- The server would not hand it out.
INSERT INTO ledger (mailbox_id, epoch, uid, digest, state, reason, attempts, next_try_at, seen_at)
    VALUES (:mailbox_id, :epoch, :uid, x'', :state, :reason, :attempts, :next_try_at, :seen_at)
    ON CONFLICT (mailbox_id, epoch, uid, digest) DO UPDATE
    SET state = excluded.state, reason = excluded.reason, attempts = excluded.attempts,
        next_try_at = excluded.next_try_at;

-- name: ledger_forget_name
-- Before an ambiguous name's messages are entered anew, each by its content.
DELETE FROM ledger WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND uid = :uid;

-- name: ledger_deleted
UPDATE ledger SET delete_pending = 0, attempts = 0, next_try_at = NULL
    WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND delete_pending = 1
      AND uid IN (SELECT value FROM json_each(:uids));

-- name: ledger_delete_refused
UPDATE ledger SET attempts = :attempts, next_try_at = :next_try_at
    WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND uid = :uid AND delete_pending = 1;

-- name: ledger_adoptable
-- Entries of earlier epochs whose headers are those of messages under new names.
SELECT epoch, uid, digest, header_digest, copies FROM ledger
    WHERE mailbox_id = :mailbox_id AND epoch < :epoch
      AND state NOT IN ('pending', 'failing')
      AND hex(header_digest) IN (SELECT value FROM json_each(:header_digests))
    ORDER BY epoch DESC, seen_at DESC;

-- name: ledger_adopt
-- One copy of an earlier entry gets a new name; what it waited under goes first.
INSERT INTO ledger (mailbox_id, epoch, uid, digest, state, reason, message_id, header_digest,
                    copies, delete_pending, seen_at)
    SELECT mailbox_id, :new_epoch, :new_uid, x'', state, reason, message_id, header_digest,
           1, delete_pending, seen_at
    FROM ledger
    WHERE mailbox_id = :mailbox_id AND epoch = :epoch AND uid = :uid AND digest = :digest
    ON CONFLICT (mailbox_id, epoch, uid, digest) DO UPDATE
    SET state = excluded.state, reason = excluded.reason, message_id = excluded.message_id,
        header_digest = excluded.header_digest, delete_pending = excluded.delete_pending;

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
