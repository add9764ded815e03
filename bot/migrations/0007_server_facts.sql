-- What requests to the models of a server have shown, as JSON.
CREATE TABLE server_facts (
    -- The server's address without a password or a query.
    server TEXT NOT NULL,
    model TEXT NOT NULL,
    facts TEXT NOT NULL,
    learned_at INTEGER NOT NULL,
    PRIMARY KEY (server, model)
) STRICT, WITHOUT ROWID;

-- Secret keys of the hashes that are sent to model servers in place of ids. Each key has one purpose.
CREATE TABLE hash_keys (
    purpose TEXT PRIMARY KEY NOT NULL,
    key TEXT NOT NULL
) STRICT, WITHOUT ROWID;
