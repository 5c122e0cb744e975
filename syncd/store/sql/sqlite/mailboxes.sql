-- Mailboxes: what YAML declares, their approval, their epoch, their owner.

-- name: list_mailboxes
SELECT id, address, address_key, type, profile, tenant, declared, approval, approval_by,
       approval_at, first_enabled_at, epoch, epoch_identity, node, term
    FROM mailbox ORDER BY address_key;

-- name: get_mailbox
SELECT id, address, address_key, type, profile, tenant, declared, approval, approval_by,
       approval_at, first_enabled_at, epoch, epoch_identity, node, term
    FROM mailbox WHERE id = :mailbox_id;

-- name: find_mailbox
SELECT id, address, address_key, type, profile, tenant, declared, approval, approval_by,
       approval_at, first_enabled_at, epoch, epoch_identity, node, term
    FROM mailbox WHERE address_key = :address_key;

-- name: insert_mailbox
INSERT INTO mailbox (address, address_key, type, profile, tenant, declared, approval)
    VALUES (:address, :address_key, :type, :profile, :tenant, 1, :approval);

-- name: update_mailbox
UPDATE mailbox SET address = :address, type = :type, profile = :profile, tenant = :tenant,
       declared = 1, approval = :approval
    WHERE id = :mailbox_id;

-- name: park_mailbox
-- Nothing of it goes; only `mailbox purge` deletes (contract 7.4).
UPDATE mailbox SET declared = 0 WHERE id = :mailbox_id;

-- name: claim_all_mailboxes
-- A new term fences whoever held it before, a daemon that was killed included.
UPDATE mailbox SET node = :node, term = term + 1 WHERE declared = 1 RETURNING id, term;

-- name: claim_mailbox
UPDATE mailbox SET node = :node, term = term + 1 WHERE id = :mailbox_id AND declared = 1
    RETURNING id, term;

-- name: holds_term
SELECT 1 AS held FROM mailbox WHERE id = :mailbox_id AND term = :term;

-- name: open_epoch
UPDATE mailbox SET epoch = epoch + 1, epoch_identity = :identity WHERE id = :mailbox_id
    RETURNING epoch;

-- name: set_first_enabled
-- Once only: earlier mail is told from later mail by it, for ever (contract 7.1).
UPDATE mailbox SET first_enabled_at = :at WHERE id = :mailbox_id AND first_enabled_at IS NULL;

-- name: set_approval
UPDATE mailbox SET approval = :approval, approval_by = :approval_by, approval_at = :at
    WHERE id = :mailbox_id;
