-- What the store knows of itself.

-- name: read_fact
SELECT value FROM store_fact WHERE name = :name;

-- name: write_fact
INSERT INTO store_fact (name, value) VALUES (:name, :value)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value;
