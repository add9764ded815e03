-- Platform, channel, names and message ids become columns of their own, and tables and columns get the field's words.
-- Nothing is copied that can be renamed: a database may hold gigabytes of turns.

DROP TRIGGER turns_begun;

DROP TRIGGER turns_counted;

DROP TRIGGER charges_made;

DROP TRIGGER charges_changed;

-- Conversations: "discord:123" becomes platform and channel.
CREATE TABLE new_conversations (
    id INTEGER PRIMARY KEY,
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
SELECT id, substr(key, 1, instr(key, ':') - 1), substr(key, instr(key, ':') + 1), guild_id,
    substr(parent, instr(parent, ':') + 1), origin_turn_id, used_at, left_at
FROM conversations;

DROP TABLE conversations;

ALTER TABLE new_conversations RENAME TO conversations;

CREATE INDEX conversations_by_origin ON conversations (origin_turn_id) WHERE origin_turn_id IS NOT NULL;

CREATE INDEX conversations_by_parent ON conversations (parent_channel) WHERE parent_channel IS NOT NULL;

CREATE INDEX conversations_by_use ON conversations (used_at);

CREATE INDEX conversations_left ON conversations (left_at) WHERE left_at IS NOT NULL;

-- Turns.
DROP INDEX turns_untold;

DROP INDEX turns_by_author;

DROP INDEX turns_by_person;

ALTER TABLE turns RENAME COLUMN author_id TO user_id;

ALTER TABLE turns RENAME COLUMN told TO delivered;

ALTER TABLE turns RENAME COLUMN unshown TO delivery_error;

ALTER TABLE turns RENAME COLUMN error TO failure;

-- The platform's id of the prompt's message. NULL: the platform has none, as a terminal.
ALTER TABLE turns ADD COLUMN message_id INTEGER;

-- The names of whoever asked, as the model is told them. NULL: only one person can be speaking.
ALTER TABLE turns ADD COLUMN display_name TEXT;

ALTER TABLE turns ADD COLUMN user_name TEXT;

-- "Bo (@bo)" or "@bo"; neither name can hold a bracket or an @.
UPDATE turns SET
    message_id = iif((SELECT platform FROM conversations WHERE id = conversation_id) = 'discord', position, NULL),
    display_name = CASE
        WHEN author_name LIKE '@%' THEN ''
        WHEN instr(author_name, ' (@') THEN substr(author_name, 1, instr(author_name, ' (@') - 1)
        ELSE author_name
    END,
    user_name = CASE
        WHEN author_name LIKE '@%' THEN substr(author_name, 2)
        WHEN instr(author_name, ' (@') THEN rtrim(substr(author_name, instr(author_name, ' (@') + 3), ')')
        WHEN author_name IS NOT NULL THEN ''
    END,
    failure = CASE failure
        WHEN 'setup' THEN 'configuration'
        WHEN 'declined' THEN 'content filtered'
        WHEN 'empty' THEN 'empty reply'
        WHEN 'used up' THEN 'quota'
        ELSE failure
    END;

ALTER TABLE turns DROP COLUMN author_name;

CREATE INDEX turns_undelivered ON turns (conversation_id) WHERE delivered = 0;

CREATE INDEX turns_by_message ON turns (message_id) WHERE message_id IS NOT NULL;

CREATE INDEX turns_by_user ON turns (user_id) WHERE user_id IS NOT NULL;

-- Who spoke in a conversation, without reading what was said.
CREATE INDEX turns_by_conversation_and_user ON turns (conversation_id, user_id);

-- Prompts that need no more attention, answered or refused. They outlive their turns: an event that comes once more
-- after its turn was forgotten is not answered again.
ALTER TABLE handled RENAME TO processed_messages;

ALTER TABLE processed_messages RENAME COLUMN prompt_id TO message_id;

-- Messages that may have one of the bot's reactions. Not with the turns: the reaction outlives a reset.
ALTER TABLE marked RENAME TO pending_reactions;

ALTER TABLE learned RENAME TO token_statistics;

-- Notices that are not given again before a time: to a user, or (0) to anybody.
ALTER TABLE told RENAME TO notices;

ALTER TABLE notices RENAME COLUMN person_id TO user_id;

-- When each user began a turn, for the last hour. Not with the turns: a question counts although it was forgotten.
DROP INDEX asked_by_person;

ALTER TABLE asked RENAME TO recent_questions;

ALTER TABLE recent_questions RENAME COLUMN person_id TO user_id;

CREATE INDEX recent_questions_by_user ON recent_questions (user_id, at);

ALTER TABLE wipes_due RENAME TO pending_erasures;

ALTER TABLE rewriting RENAME TO last_vacuum;

-- What was used.
DROP INDEX charges_by_person;

DROP INDEX charges_by_server;

ALTER TABLE charges RENAME COLUMN person_id TO user_id;

CREATE INDEX charges_by_user ON charges (user_id, day) WHERE user_id IS NOT NULL;

CREATE INDEX charges_by_guild ON charges (guild_id, day) WHERE guild_id IS NOT NULL;

-- The sums of the ledger for each day: of each user, each guild, and the total (id 0).
CREATE TABLE daily_usage (
    day INTEGER NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('user', 'guild', 'total')),
    id INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (day, scope, id)
) STRICT, WITHOUT ROWID;

INSERT INTO daily_usage (day, scope, id, tokens)
SELECT day, CASE scope WHEN 'person' THEN 'user' WHEN 'server' THEN 'guild' ELSE 'total' END, id, tokens FROM spent;

DROP TABLE spent;

-- What moderators decided. A guild without a row has decided nothing.
ALTER TABLE servers RENAME TO guilds;

ALTER TABLE blocked RENAME TO blocks;

ALTER TABLE blocks RENAME COLUMN person_id TO user_id;

DROP INDEX blocked_by_person;

CREATE INDEX blocks_by_user ON blocks (user_id);

CREATE TABLE new_channel_rules (
    guild_id INTEGER NOT NULL,
    -- A channel, a thread or a category.
    channel_id INTEGER NOT NULL,
    allowed INTEGER NOT NULL,
    PRIMARY KEY (guild_id, channel_id)
) STRICT, WITHOUT ROWID;

INSERT INTO new_channel_rules (guild_id, channel_id, allowed) SELECT guild_id, channel_id, allowed FROM channel_rules;

DROP TABLE channel_rules;

ALTER TABLE new_channel_rules RENAME TO channel_rules;

CREATE INDEX channel_rules_by_channel ON channel_rules (channel_id);

-- How the bot is to behave in a channel. Not with the conversations: a reset keeps it, and so does the pruning of what
-- nobody uses.
CREATE TABLE personas (
    platform TEXT NOT NULL,
    channel TEXT NOT NULL,
    guild_id INTEGER,
    -- Whose DM it is.
    user_id INTEGER,
    persona TEXT,
    model TEXT,
    PRIMARY KEY (platform, channel)
) STRICT, WITHOUT ROWID;

INSERT INTO personas (platform, channel, guild_id, user_id, persona, model)
SELECT substr(conversation, 1, instr(conversation, ':') - 1), substr(conversation, instr(conversation, ':') + 1),
    guild_id, person_id, persona, model
FROM behaviours;

DROP TABLE behaviours;

-- Triggers, since they belong to the statement that begins a turn or a charge: a kill may come between any two.
CREATE TRIGGER turns_begun AFTER INSERT ON turns BEGIN
    UPDATE conversations SET used_at = NEW.created_at, left_at = NULL WHERE id = NEW.conversation_id;
    INSERT OR IGNORE INTO processed_messages (message_id, at)
    SELECT NEW.message_id, NEW.created_at WHERE NEW.message_id IS NOT NULL;
END;

CREATE TRIGGER turns_counted AFTER INSERT ON turns WHEN NEW.user_id IS NOT NULL BEGIN
    DELETE FROM recent_questions WHERE user_id = NEW.user_id AND at <= NEW.created_at - 3600;
    INSERT INTO recent_questions (user_id, at) VALUES (NEW.user_id, NEW.created_at);
END;

CREATE TRIGGER charges_made AFTER INSERT ON charges BEGIN
    INSERT INTO daily_usage (day, scope, id, tokens)
    SELECT NEW.day, scope, id, NEW.prompt_tokens + NEW.reply_tokens FROM (
        SELECT 'user' AS scope, NEW.user_id AS id
        UNION ALL SELECT 'guild', NEW.guild_id
        UNION ALL SELECT 'total', 0
    )
    WHERE id IS NOT NULL
    ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens;
END;

CREATE TRIGGER charges_changed AFTER UPDATE OF prompt_tokens, reply_tokens ON charges BEGIN
    -- Not in one statement, which would go through all of the day's sums.
    UPDATE daily_usage
    SET tokens = tokens + (NEW.prompt_tokens + NEW.reply_tokens) - (OLD.prompt_tokens + OLD.reply_tokens)
    WHERE day = NEW.day AND scope = 'user' AND id = NEW.user_id;
    UPDATE daily_usage
    SET tokens = tokens + (NEW.prompt_tokens + NEW.reply_tokens) - (OLD.prompt_tokens + OLD.reply_tokens)
    WHERE day = NEW.day AND scope = 'guild' AND id = NEW.guild_id;
    UPDATE daily_usage
    SET tokens = tokens + (NEW.prompt_tokens + NEW.reply_tokens) - (OLD.prompt_tokens + OLD.reply_tokens)
    WHERE day = NEW.day AND scope = 'total' AND id = 0;
END;

