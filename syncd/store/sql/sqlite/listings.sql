-- How each maildrop was left: the short poll's memory.

-- name: list_listings
-- Of the present epoch only: an older one says nothing any more.
SELECT l.mailbox_id, l.epoch, l.count, l.octets, l.last_uid, l.full_at, l.whole, l.retry_at,
       m.epoch_identity
    FROM listing l JOIN mailbox m ON m.id = l.mailbox_id AND m.epoch = l.epoch
    WHERE m.epoch_identity IS NOT NULL;

-- name: save_listing
INSERT INTO listing (mailbox_id, epoch, count, octets, last_uid, full_at, whole, retry_at)
    VALUES (:mailbox_id, :epoch, :count, :octets, :last_uid, :full_at, :whole, :retry_at)
    ON CONFLICT (mailbox_id) DO UPDATE
    SET epoch = excluded.epoch, count = excluded.count, octets = excluded.octets,
        last_uid = excluded.last_uid, full_at = excluded.full_at, whole = excluded.whole,
        retry_at = excluded.retry_at;

-- name: doubt_listing
-- The next poll lists everything.
UPDATE listing SET whole = 0 WHERE mailbox_id = :mailbox_id;
