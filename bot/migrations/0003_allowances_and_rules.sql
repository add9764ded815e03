-- The ledger: one row for each attempt that asked a model. Until it has ended, its tokens are those it may use at the most;
-- from then on those it did use.
CREATE TABLE charges (
    id INTEGER PRIMARY KEY,
    -- No reference: what is forgotten has been paid for all the same.
    turn_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    -- NULL: in nobody's name any more.
    person_id INTEGER,
    guild_id INTEGER,
    model TEXT NOT NULL,
    -- Days since the epoch, UTC.
    day INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    reply_tokens INTEGER NOT NULL,
    -- Of the reply, as it was last saved: what is paid for where the process ended under it.
    reply_so_far INTEGER NOT NULL DEFAULT 0,
    settled INTEGER NOT NULL DEFAULT 0,
    UNIQUE (turn_id, attempt)
) STRICT;

CREATE INDEX charges_open ON charges (id) WHERE settled = 0;

CREATE INDEX charges_by_person ON charges (person_id, day) WHERE person_id IS NOT NULL;

CREATE INDEX charges_by_server ON charges (guild_id, day) WHERE guild_id IS NOT NULL;

CREATE INDEX charges_by_day ON charges (day);

-- The sums of the ledger for each day: of each person, each server, and of all together (id 0).
CREATE TABLE spent (
    day INTEGER NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('person', 'server', 'bot')),
    id INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (day, scope, id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER charges_made AFTER INSERT ON charges BEGIN
    INSERT INTO spent (day, scope, id, tokens)
    SELECT NEW.day, scope, id, NEW.prompt_tokens + NEW.reply_tokens FROM (
        SELECT 'person' AS scope, NEW.person_id AS id
        UNION ALL SELECT 'server', NEW.guild_id
        UNION ALL SELECT 'bot', 0
    )
    WHERE id IS NOT NULL
    ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens;
END;

CREATE TRIGGER charges_changed AFTER UPDATE OF prompt_tokens, reply_tokens ON charges BEGIN
    -- Not in one statement, which would go through all of the day's sums.
    UPDATE spent
    SET tokens = tokens + (NEW.prompt_tokens + NEW.reply_tokens) - (OLD.prompt_tokens + OLD.reply_tokens)
    WHERE day = NEW.day AND scope = 'person' AND id = NEW.person_id;
    UPDATE spent
    SET tokens = tokens + (NEW.prompt_tokens + NEW.reply_tokens) - (OLD.prompt_tokens + OLD.reply_tokens)
    WHERE day = NEW.day AND scope = 'server' AND id = NEW.guild_id;
    UPDATE spent
    SET tokens = tokens + (NEW.prompt_tokens + NEW.reply_tokens) - (OLD.prompt_tokens + OLD.reply_tokens)
    WHERE day = NEW.day AND scope = 'bot' AND id = 0;
END;

-- When each person began a turn, for the last hour. Not with the turns: what was asked counts although it was forgotten.
CREATE TABLE asked (
    id INTEGER PRIMARY KEY,
    person_id INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX asked_by_person ON asked (person_id, at);

CREATE TRIGGER turns_counted AFTER INSERT ON turns WHEN NEW.author_id IS NOT NULL BEGIN
    DELETE FROM asked WHERE person_id = NEW.author_id AND at <= NEW.created_at - 3600;
    INSERT INTO asked (person_id, at) VALUES (NEW.author_id, NEW.created_at);
END;

-- What is not to be said again before a time: to a person, or (0) at all.
CREATE TABLE told (
    key TEXT NOT NULL,
    person_id INTEGER NOT NULL DEFAULT 0,
    until INTEGER NOT NULL,
    PRIMARY KEY (key, person_id)
) STRICT, WITHOUT ROWID;

-- What moderators decided. A server without a row has decided nothing.
CREATE TABLE servers (
    guild_id INTEGER PRIMARY KEY,
    paused INTEGER NOT NULL DEFAULT 0,
    -- When it was first found to be none that is served, and was told so.
    refused_at INTEGER,
    -- When the bot was last found to be no longer in it.
    left_at INTEGER
) STRICT;

CREATE TABLE channel_rules (
    channel_id INTEGER PRIMARY KEY,
    guild_id INTEGER NOT NULL,
    allowed INTEGER NOT NULL
) STRICT;

CREATE INDEX channel_rules_by_server ON channel_rules (guild_id);

CREATE TABLE blocked (
    guild_id INTEGER NOT NULL,
    person_id INTEGER NOT NULL,
    -- NULL: for good.
    until INTEGER,
    PRIMARY KEY (guild_id, person_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX blocked_by_person ON blocked (person_id);

-- Not with the conversations: a reset keeps it, and so does the pruning of what nobody uses.
CREATE TABLE behaviours (
    conversation TEXT PRIMARY KEY,
    guild_id INTEGER,
    -- Whose DM it is.
    person_id INTEGER,
    persona TEXT,
    model TEXT
) STRICT, WITHOUT ROWID;

-- The key of the channel that a thread belongs to, whose behaviour it has while it has none of its own.
ALTER TABLE conversations ADD COLUMN parent TEXT;

-- Whom the beginning of the prompt quotes, and how many characters of it.
ALTER TABLE turns ADD COLUMN quoted_id INTEGER;

ALTER TABLE turns ADD COLUMN quote_length INTEGER NOT NULL DEFAULT 0;

CREATE INDEX turns_by_author ON turns (author_id) WHERE author_id IS NOT NULL;

-- Who spoke in a conversation, without reading what was said.
CREATE INDEX turns_by_person ON turns (conversation_id, author_id);

CREATE INDEX turns_by_quoted ON turns (quoted_id) WHERE quoted_id IS NOT NULL;

-- A row for each transaction that deleted something while its bytes may still be in the file; written by that transaction,
-- so that a kill cannot come between. The numbers are never used again: another process may add one meanwhile.
CREATE TABLE wipes_due (
    id INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;
