-- Forgetting becomes one short commit, however much is forgotten, and leaves no copy of a text in the file.
--
-- A deleted row is overwritten (secure_delete), but where SQLite moves the rows of a page to balance its B-tree, it
-- leaves stale copies in the page's unused bytes. It never moves what overflows a page: an overflow page belongs to one
-- row, and is overwritten as a whole when the row goes. So every text is kept in overflow pages. Of a row that does not
-- fit its page, SQLite keeps only the beginning there: 489 bytes, unless the rest would leave up to 3,572 bytes over
-- from whole overflow pages of 4,092 bytes (https://www.sqlite.org/fileformat2.html#b_tree_pages). `padding` fills the
-- beginning, and makes the row long enough that it always is 489 bytes. The columns with text come after it, as does
-- every one that is added. A row with up to 3,700 bytes of text takes one overflow page.

DROP TRIGGER turns_begun;

DROP TRIGGER turns_counted;

-- Conversations that were deleted or reset, by the id that their turns still have. The turns go step by step.
CREATE TABLE forgotten_conversations (
    id INTEGER PRIMARY KEY
) STRICT;

-- Users who were forgotten, with the last turn that was theirs or may quote them, and the line in place of a quote. The
-- rows that name them go step by step.
CREATE TABLE forgotten_users (
    user_id INTEGER NOT NULL,
    -- 0: in every one.
    conversation_id INTEGER NOT NULL,
    through INTEGER NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (user_id, conversation_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE new_conversations (
    -- Never reused: what began in a forgotten conversation must not find itself in another.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    platform TEXT NOT NULL,
    -- Discord's id of a channel, thread or DM, or the name of a conversation in the terminal.
    channel TEXT NOT NULL,
    guild_id INTEGER,
    -- The channel that a thread belongs to, whose persona and model it has while it has none of its own.
    parent_channel TEXT,
    -- The turn that a thread was opened on. Linked only when the row is made, so that a reset unlinks it for good.
    origin_turn_id INTEGER REFERENCES turns ON DELETE SET NULL,
    used_at INTEGER NOT NULL,
    -- When the bot was last found to be no longer in the conversation's guild.
    left_at INTEGER,
    UNIQUE (platform, channel)
) STRICT;

INSERT INTO new_conversations (id, platform, channel, guild_id, parent_channel, origin_turn_id, used_at, left_at)
SELECT id, platform, channel, guild_id, parent_channel, origin_turn_id, used_at, left_at FROM conversations;

DROP TABLE conversations;

ALTER TABLE new_conversations RENAME TO conversations;

CREATE INDEX conversations_by_origin ON conversations (origin_turn_id) WHERE origin_turn_id IS NOT NULL;

CREATE INDEX conversations_by_parent ON conversations (parent_channel) WHERE parent_channel IS NOT NULL;

CREATE INDEX conversations_by_use ON conversations (used_at);

CREATE INDEX conversations_left ON conversations (left_at) WHERE left_at IS NOT NULL;

CREATE TABLE new_turns (
    -- Never reused: an attempt at a forgotten turn must not find another turn under its id.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- No reference: the turns of a forgotten conversation go after it.
    conversation_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    -- The platform's id of the prompt's message. NULL: the platform has none, as a terminal.
    message_id INTEGER,
    user_id INTEGER,
    -- Whom the beginning of the prompt quotes, and how many characters of it.
    quoted_id INTEGER,
    quote_length INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'pending',
    failure TEXT,
    attempt INTEGER NOT NULL DEFAULT 1,
    -- How often in a row the reply was tried without anybody asking for it.
    tries INTEGER NOT NULL DEFAULT 1,
    prompt_tokens INTEGER,
    reply_tokens INTEGER,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    -- Whether a person has seen how the latest attempt ended.
    delivered INTEGER NOT NULL DEFAULT 0,
    -- Bytes of the prompt and the reply.
    size INTEGER NOT NULL
        GENERATED ALWAYS AS (length(CAST(prompt AS BLOB)) + length(CAST(reply AS BLOB))) STORED,
    padding BLOB NOT NULL GENERATED ALWAYS AS (
        zeroblob(
            489 + 4091 - (
                size + coalesce(length(CAST(display_name AS BLOB)), 0) + coalesce(length(CAST(user_name AS BLOB)), 0)
                + coalesce(length(CAST(delivery_error AS BLOB)), 0) + 391
            ) % 4092
        )
    ) STORED,
    -- The names of whoever asked, as the model is told them. NULL: only one person can be speaking.
    display_name TEXT,
    user_name TEXT,
    prompt TEXT NOT NULL,
    reply TEXT NOT NULL DEFAULT '',
    -- Why the platform would not show all of the reply, where it would not.
    delivery_error TEXT,
    UNIQUE (conversation_id, position)
) STRICT;

INSERT INTO new_turns (
    id, conversation_id, position, message_id, user_id, quoted_id, quote_length, state, failure, attempt, tries,
    prompt_tokens, reply_tokens, created_at, ended_at, delivered, display_name, user_name, prompt, reply, delivery_error
)
SELECT id, conversation_id, position, message_id, user_id, quoted_id, quote_length, state, failure, attempt, tries,
    prompt_tokens, reply_tokens, created_at, ended_at, delivered, display_name, user_name, prompt, reply, delivery_error
FROM turns ORDER BY id;

DELETE FROM sqlite_sequence WHERE name = 'new_turns';

INSERT INTO sqlite_sequence (name, seq) SELECT 'new_turns', seq FROM sqlite_sequence WHERE name = 'turns';

DROP TABLE turns;

-- First by the name that other tables refer to, which then follow.
ALTER TABLE new_turns RENAME TO turns;

ALTER TABLE turns RENAME TO stored_turns;

-- Context is read through this one, so that turns without text cost nothing however many there are.
CREATE INDEX turns_with_text ON stored_turns (conversation_id, position) WHERE reply <> '';

CREATE INDEX turns_undelivered ON stored_turns (conversation_id) WHERE delivered = 0;

CREATE INDEX turns_by_message ON stored_turns (message_id) WHERE message_id IS NOT NULL;

CREATE INDEX turns_by_user ON stored_turns (user_id) WHERE user_id IS NOT NULL;

-- Who spoke in a conversation, without reading what was said.
CREATE INDEX turns_by_conversation_and_user ON stored_turns (conversation_id, user_id);

CREATE INDEX turns_by_quoted ON stored_turns (quoted_id) WHERE quoted_id IS NOT NULL;

-- The turns that are not forgotten. Everything reads this view; what writes names the table, and may have to ask the view.
CREATE VIEW turns AS
SELECT id, conversation_id, position, message_id, user_id, state, failure, attempt, tries, prompt_tokens, reply_tokens,
    created_at, ended_at, delivered, size, display_name, user_name, reply, delivery_error,
    coalesce(
        (
            SELECT line || substr(prompt, quote_length + 1) FROM forgotten_users AS gone
            WHERE gone.user_id = quoted_id AND gone.conversation_id IN (0, turn.conversation_id) AND turn.id <= through
        ),
        prompt
    ) AS prompt
FROM stored_turns AS turn
WHERE NOT EXISTS (SELECT 1 FROM forgotten_conversations AS gone WHERE gone.id = conversation_id)
    AND NOT EXISTS (
        SELECT 1 FROM forgotten_users AS gone
        WHERE gone.user_id = turn.user_id AND gone.conversation_id IN (0, turn.conversation_id) AND turn.id <= through
    );

-- Triggers, since they belong to the statement that begins a turn: a kill may come between any two.
CREATE TRIGGER turns_begun AFTER INSERT ON stored_turns BEGIN
    UPDATE conversations SET used_at = NEW.created_at, left_at = NULL WHERE id = NEW.conversation_id;
    INSERT OR IGNORE INTO processed_messages (message_id, at)
    SELECT NEW.message_id, NEW.created_at WHERE NEW.message_id IS NOT NULL;
END;

CREATE TRIGGER turns_counted AFTER INSERT ON stored_turns WHEN NEW.user_id IS NOT NULL BEGIN
    DELETE FROM recent_questions WHERE user_id = NEW.user_id AND at <= NEW.created_at - 3600;
    INSERT INTO recent_questions (user_id, at) VALUES (NEW.user_id, NEW.created_at);
END;

CREATE TRIGGER conversations_deleted AFTER DELETE ON conversations BEGIN
    INSERT INTO forgotten_conversations (id) VALUES (OLD.id);
END;

-- A reset gives the conversation a new id, and leaves its turns behind with the old one.
CREATE TRIGGER conversations_reset AFTER UPDATE OF id ON conversations BEGIN
    INSERT INTO forgotten_conversations (id) VALUES (OLD.id);
    UPDATE sqlite_sequence SET seq = max(seq, NEW.id) WHERE name = 'conversations';
END;

-- How the bot is to behave in a channel. Not with the conversations: a reset keeps it, and so does the pruning of what
-- nobody uses.
CREATE TABLE new_personas (
    platform TEXT NOT NULL,
    channel TEXT NOT NULL,
    guild_id INTEGER,
    -- Whose DM it is.
    user_id INTEGER,
    model TEXT,
    padding BLOB NOT NULL GENERATED ALWAYS AS (
        zeroblob(489 + 4091 - (coalesce(length(CAST(persona AS BLOB)), 0) + 391) % 4092)
    ) STORED,
    persona TEXT,
    PRIMARY KEY (platform, channel)
) STRICT, WITHOUT ROWID;

INSERT INTO new_personas (platform, channel, guild_id, user_id, model, persona)
SELECT platform, channel, guild_id, user_id, model, persona FROM personas;

DROP TABLE personas;

ALTER TABLE new_personas RENAME TO personas;

CREATE INDEX personas_by_user ON personas (user_id) WHERE user_id IS NOT NULL;

-- Nothing is written anew any more.
DROP TABLE pending_erasures;

DROP TABLE last_vacuum;
