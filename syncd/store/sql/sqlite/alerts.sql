-- The wall of alerts: one open row per code and object.

-- name: open_alert
-- Seen again while it is open, it is counted and gets the latest words.
INSERT INTO alert (code, object, level, text, remedy, opened_at, last_seen_at, count)
    VALUES (:code, :object, :level, :text, :remedy, :now, :now, 1)
    ON CONFLICT (code, object) WHERE resolved_at IS NULL DO UPDATE
    SET level = excluded.level, text = excluded.text, remedy = excluded.remedy,
        last_seen_at = excluded.last_seen_at, count = alert.count + 1
    RETURNING id, count;

-- name: resolve_alerts_of
-- What is open about an object, under one code or (NULL) under any.
UPDATE alert SET resolved_at = :now
    WHERE object = :object AND resolved_at IS NULL AND (:code IS NULL OR code = :code)
    RETURNING id, code, object, level;

-- name: list_alerts
SELECT id, code, object, level, text, remedy, opened_at, last_seen_at, count, acknowledged_at,
       resolved_at
    FROM alert
    WHERE id > :after AND (:all = 1 OR resolved_at IS NULL)
    ORDER BY id LIMIT :limit;

-- name: acknowledge_alert
UPDATE alert SET acknowledged_at = :now WHERE id = :id AND acknowledged_at IS NULL;

-- name: delete_alert
DELETE FROM alert WHERE id = :id;

-- name: count_open_alerts
SELECT level, count(*) AS alerts FROM alert WHERE resolved_at IS NULL GROUP BY level;
