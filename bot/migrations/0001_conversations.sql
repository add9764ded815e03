CREATE TABLE conversations (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    guild_id INTEGER,
    -- The turn that a thread was opened on. Linked only when the row is made, so that a reset unlinks it for good.
    origin_turn_id INTEGER REFERENCES turns ON DELETE SET NULL
) STRICT;

CREATE INDEX conversations_by_origin ON conversations (origin_turn_id) WHERE origin_turn_id IS NOT NULL;

CREATE TABLE turns (
    -- Never reused: an attempt at a forgotten turn must not find another turn under its id.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
    position INTEGER NOT NULL,
    author_id INTEGER,
    author_name TEXT,
    prompt TEXT NOT NULL,
    reply TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'pending',
    attempt INTEGER NOT NULL DEFAULT 1,
    error TEXT,
    prompt_tokens INTEGER,
    reply_tokens INTEGER,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    -- Whether a person has seen how the latest attempt ended.
    told INTEGER NOT NULL DEFAULT 0,
    UNIQUE (conversation_id, position)
) STRICT;

-- Context is read through this one, so that turns without text cost nothing however many there are.
CREATE INDEX turns_with_text ON turns (conversation_id, position) WHERE reply <> '';

CREATE INDEX turns_untold ON turns (conversation_id) WHERE told = 0;

CREATE TABLE messages (
    turn_id INTEGER NOT NULL REFERENCES turns ON DELETE CASCADE,
    part INTEGER NOT NULL,
    start INTEGER NOT NULL,
    nonce TEXT NOT NULL,
    message_id INTEGER UNIQUE,
    PRIMARY KEY (turn_id, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE learned (
    model TEXT PRIMARY KEY,
    bytes_per_token REAL,
    context_tokens INTEGER
) STRICT, WITHOUT ROWID;
