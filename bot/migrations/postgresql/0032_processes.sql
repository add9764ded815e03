-- What each process of a bot last reported of its health. A row is nothing that is worth keeping through a crash of the
-- server: each process writes its own every few seconds. SQLite has no such table.
CREATE UNLOGGED TABLE processes (
    name TEXT COLLATE "C" PRIMARY KEY,
    host TEXT COLLATE "C" NOT NULL,
    pid BIGINT NOT NULL,
    -- The shards that it serves, as numbers with commas: none while it stands by.
    shards TEXT COLLATE "C" NOT NULL,
    -- Out of how many.
    count BIGINT NOT NULL,
    well BIGINT NOT NULL,
    said TEXT COLLATE "C" NOT NULL,
    reported_at TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 20);
