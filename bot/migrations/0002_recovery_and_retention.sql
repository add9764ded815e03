-- The prompts that need no more attention, answered or refused. They outlive their turns: an event that comes once more
-- after its turn was forgotten is not answered again.
CREATE TABLE handled (
    prompt_id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;

-- The messages that may have an hourglass of ours on them. Not with the turns: the hourglass outlives a reset.
CREATE TABLE marked (
    message_id INTEGER PRIMARY KEY,
    channel_id INTEGER NOT NULL
) STRICT;

ALTER TABLE conversations ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;

-- When the bot was last found to be no longer in the conversation's server.
ALTER TABLE conversations ADD COLUMN left_at INTEGER;

-- How often in a row the reply was tried without anybody asking for it.
ALTER TABLE turns ADD COLUMN tries INTEGER NOT NULL DEFAULT 1;

-- Why the platform would not show all of the reply, where it would not.
ALTER TABLE turns ADD COLUMN unshown TEXT;

CREATE INDEX conversations_by_use ON conversations (used_at);

CREATE INDEX conversations_left ON conversations (left_at) WHERE left_at IS NOT NULL;

-- Snowflakes are unique among Discord's messages; a terminal's positions are none of these.
INSERT INTO handled (prompt_id, at)
SELECT position, max(created_at) FROM turns JOIN conversations ON conversations.id = conversation_id
WHERE key GLOB 'discord:*' GROUP BY position;

UPDATE conversations SET used_at = coalesce(
    (SELECT max(created_at) FROM turns WHERE conversation_id = conversations.id),
    CAST(strftime('%s', 'now') AS INTEGER)
);

-- Triggers, since they belong to the statement that begins the turn: a kill may come between any two.
CREATE TRIGGER turns_begun AFTER INSERT ON turns BEGIN
    UPDATE conversations SET used_at = NEW.created_at, left_at = NULL WHERE id = NEW.conversation_id;
    INSERT OR IGNORE INTO handled (prompt_id, at)
    SELECT NEW.position, NEW.created_at FROM conversations WHERE id = NEW.conversation_id AND key GLOB 'discord:*';
END;
