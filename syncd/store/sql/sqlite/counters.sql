-- Numbers handed out in blocks. A number whose transaction failed is handed out again.

-- name: take_numbers
UPDATE counter SET next = next + :count WHERE name = :name RETURNING next - :count AS first;
