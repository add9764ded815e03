-- Discord's limits that all processes of a bot share. A row is nothing that is worth keeping through a crash of the
-- server, and is written some ten times a second. SQLite has no such tables.
CREATE UNLOGGED TABLE request_budget (
    id BIGINT PRIMARY KEY,
    taken_until TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 20);

CREATE UNLOGGED TABLE identify_turns (
    bucket BIGINT PRIMARY KEY,
    next_at TIMESTAMPTZ NOT NULL
);
