-- Summaries of the blocks of turns that have left a conversation's window, or that will leave it next. A row without a
-- text is one that is to be made, so that no kill loses it.
CREATE TABLE stored_summaries (
    -- Never reused: charges name it, negative, in place of a turn.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- No reference: those of a forgotten conversation go after it.
    conversation_id INTEGER NOT NULL,
    -- 1: made from turns. Above: from the summaries of the level below.
    level INTEGER NOT NULL,
    -- The number of the first turn, and of the first one after it.
    begins INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    -- It is part of a context once the window begins with this number, or further on.
    shown_from INTEGER NOT NULL,
    -- When it is to be made. NULL: it is made, or given up.
    due_at INTEGER DEFAULT 0,
    -- How often the model was asked for it, and how often in a row that failed.
    attempt INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    -- When the first and the last of its questions were asked.
    since INTEGER,
    until INTEGER,
    padding BLOB NOT NULL GENERATED ALWAYS AS (
        zeroblob(489 + 4091 - (coalesce(length(CAST(text AS BLOB)), 0) + 391) % 4092)
    ) STORED,
    text TEXT
) STRICT;

CREATE INDEX summaries_in_order ON stored_summaries (conversation_id, level, begins, ends);

CREATE INDEX summaries_by_end ON stored_summaries (conversation_id, ends, level, shown_from) WHERE text IS NOT NULL;

CREATE INDEX summaries_due ON stored_summaries (due_at) WHERE due_at IS NOT NULL;

-- Whether somebody spoke in a block, or was quoted in it, is found without reading it.
DROP INDEX turns_by_conversation_and_user;

CREATE INDEX turns_by_conversation_and_user ON stored_turns (conversation_id, user_id, number);

DROP INDEX turns_by_quoted;

CREATE INDEX turns_by_quoted ON stored_turns (quoted_id, conversation_id, number) WHERE quoted_id IS NOT NULL;

-- The summaries of which no part is forgotten.
CREATE VIEW summaries AS
SELECT id, conversation_id, level, begins, ends, shown_from, since, until, text
FROM stored_summaries AS summary
WHERE text IS NOT NULL
    AND NOT (
        EXISTS (SELECT 1 FROM forgotten_conversations)
        AND EXISTS (SELECT 1 FROM forgotten_conversations AS gone WHERE gone.id = conversation_id)
    )
    AND NOT (
        EXISTS (SELECT 1 FROM forgotten_users) AND EXISTS (
            SELECT 1 FROM forgotten_users AS gone
            WHERE gone.conversation_id IN (0, summary.conversation_id) AND (
                EXISTS (
                    SELECT 1 FROM stored_turns AS turn
                    WHERE turn.conversation_id = summary.conversation_id AND turn.user_id = gone.user_id
                        AND number >= begins AND number < ends AND turn.id <= through
                )
                OR EXISTS (
                    SELECT 1 FROM stored_turns AS turn
                    WHERE turn.conversation_id = summary.conversation_id AND quoted_id = gone.user_id
                        AND number >= begins AND number < ends AND turn.id <= through
                )
            )
        )
    );

-- What is derived from a turn goes with it, in the same commit, and is made again. Of each level one summary has it.
CREATE TRIGGER summaries_of_deleted AFTER DELETE ON stored_turns WHEN OLD.number IS NOT NULL BEGIN
    UPDATE stored_summaries SET text = NULL, since = NULL, until = NULL, failures = 0, due_at = 0
    WHERE due_at IS NULL AND id IN (
        SELECT (
            SELECT iif(ends > OLD.number, id, NULL) FROM stored_summaries AS latest
            WHERE latest.conversation_id = OLD.conversation_id AND latest.level = levels.column1
                AND begins <= OLD.number
            ORDER BY begins DESC LIMIT 1
        )
        FROM (VALUES (1), (2), (3), (4), (5), (6), (7), (8)) AS levels
    );
END;

CREATE TRIGGER summaries_of_changed AFTER UPDATE OF prompt, reply, attempt ON stored_turns
WHEN OLD.number IS NOT NULL
    AND (NEW.prompt <> OLD.prompt OR NEW.reply <> OLD.reply OR NEW.attempt <> OLD.attempt)
BEGIN
    UPDATE stored_summaries SET text = NULL, since = NULL, until = NULL, failures = 0, due_at = 0
    WHERE due_at IS NULL AND id IN (
        SELECT (
            SELECT iif(ends > OLD.number, id, NULL) FROM stored_summaries AS latest
            WHERE latest.conversation_id = OLD.conversation_id AND latest.level = levels.column1
                AND begins <= OLD.number
            ORDER BY begins DESC LIMIT 1
        )
        FROM (VALUES (1), (2), (3), (4), (5), (6), (7), (8)) AS levels
    );
END;

-- The name of somebody who is mentioned is not in the prompt, but in what was made from it.
CREATE TRIGGER summaries_with_names AFTER DELETE ON names BEGIN
    UPDATE stored_summaries SET text = NULL, since = NULL, until = NULL, failures = 0, due_at = 0
    WHERE due_at IS NULL AND id IN (
        SELECT (
            SELECT iif(ends > turn.number, id, NULL) FROM stored_summaries AS latest
            WHERE latest.conversation_id = OLD.conversation_id AND latest.level = levels.column1
                AND begins <= turn.number
            ORDER BY begins DESC LIMIT 1
        )
        FROM mentions JOIN stored_turns AS turn ON turn.id = turn_id
        CROSS JOIN (VALUES (1), (2), (3), (4), (5), (6), (7), (8)) AS levels
        WHERE mentions.conversation_id = OLD.conversation_id AND mentions.user_id = OLD.user_id
            AND turn.number IS NOT NULL
    );
END;
