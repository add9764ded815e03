-- How many sessions all processes of a bot may still start together, as far as they have started some lately. SQLite has no
-- such table.
CREATE TABLE session_starts (
    id BIGINT PRIMARY KEY,
    remaining BIGINT NOT NULL,
    taken_at TIMESTAMPTZ NOT NULL
);
