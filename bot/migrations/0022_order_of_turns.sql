-- The order in which a conversation's turns are sent, and where the part of it that is sent begins. Both stand still, so
-- that the beginning of a request equals that of the request before.
DROP VIEW turns;

-- Given when the reply first ends, and kept at retries. NULL: the first attempt is under way.
ALTER TABLE stored_turns ADD COLUMN number INTEGER;

-- The last number given. Numbers of deleted turns are not given again.
ALTER TABLE conversations ADD COLUMN last_number INTEGER NOT NULL DEFAULT 0;

-- The number of the first turn that is sent. 0: everything is, with the turn that a thread was opened on.
ALTER TABLE conversations ADD COLUMN window_begins INTEGER NOT NULL DEFAULT 0;

UPDATE stored_turns SET number = ordered.number
FROM (
    SELECT id, row_number() OVER (PARTITION BY conversation_id ORDER BY position) AS number FROM stored_turns
) AS ordered
WHERE ordered.id = stored_turns.id;

UPDATE conversations
SET last_number = (SELECT count(*) FROM stored_turns WHERE conversation_id = conversations.id);

-- Context is read through this one, so that turns without text cost nothing however many there are.
CREATE INDEX turns_in_order ON stored_turns (conversation_id, number) WHERE reply <> '';

-- The turns that are not forgotten.
CREATE VIEW turns AS
SELECT id, conversation_id, position, message_id, user_id, state, failure, attempt, tries, prompt_tokens, reply_tokens,
    created_at, ended_at, delivered, size, display_name, user_name, reply, delivery_error, answered_by, number,
    coalesce(
        (
            SELECT line || substr(prompt, quote_length + 1) FROM forgotten_users AS gone
            WHERE gone.user_id = quoted_id AND gone.conversation_id IN (0, turn.conversation_id) AND turn.id <= through
        ),
        prompt
    ) AS prompt
FROM stored_turns AS turn
WHERE NOT (
        EXISTS (SELECT 1 FROM forgotten_conversations)
        AND EXISTS (SELECT 1 FROM forgotten_conversations AS gone WHERE gone.id = conversation_id)
    )
    AND NOT (
        EXISTS (SELECT 1 FROM forgotten_users) AND EXISTS (
            SELECT 1 FROM forgotten_users AS gone
            WHERE gone.user_id = turn.user_id AND gone.conversation_id IN (0, turn.conversation_id) AND turn.id <= through
        )
    );
