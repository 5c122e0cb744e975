-- Message bodies in chunks; a chunk's id is body_id * 65536 + n.

-- name: put_chunk
INSERT INTO body_chunk (id, data) VALUES (:id, :data);

-- name: read_chunks
-- A slice of one body, from :first on.
SELECT id, data FROM body_chunk WHERE id >= :first AND id < :end ORDER BY id LIMIT :limit;

-- name: stage_body
INSERT INTO staged_body (body_id, staged_at) VALUES (:body_id, :staged_at);

-- name: adopt_body
DELETE FROM staged_body WHERE body_id = :body_id;

-- name: list_staged_bodies
SELECT body_id FROM staged_body WHERE staged_at < :older_than ORDER BY body_id LIMIT :limit;

-- name: delete_chunks
-- Highest first, so that an interrupted sweep leaves no body with a missing head.
DELETE FROM body_chunk WHERE id IN (
    SELECT id FROM body_chunk WHERE id >= :first AND id < :end ORDER BY id DESC LIMIT :limit
);
