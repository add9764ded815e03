-- Which process serves which shard of the bot, out of how many. It holds a lock beside each row: a row without one is of
-- a process that has lost its connection, or has ended without releasing the shard. SQLite has no such table.
CREATE TABLE shards (
    count BIGINT NOT NULL,
    shard BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    released BOOLEAN NOT NULL DEFAULT false,
    PRIMARY KEY (count, shard)
);

-- Rises whenever a shard is claimed, and whenever its holder claims it again.
CREATE SEQUENCE shard_epochs;
