-- The message that a prompt without one of its own is about: the reply hangs on it. NULL: the reply hangs on the prompt's
-- message. What asked is then no message, and has its id in `message_id` all the same.
ALTER TABLE stored_turns ADD COLUMN target_id INTEGER;

CREATE INDEX turns_by_target ON stored_turns (target_id) WHERE target_id IS NOT NULL;

DROP VIEW turns;

-- The turns that are not forgotten.
CREATE VIEW turns AS
SELECT id, conversation_id, position, message_id, target_id, user_id, state, failure, attempt, tries, prompt_tokens,
    reply_tokens, created_at, ended_at, delivered, size, display_name, user_name, reply, delivery_error, answered_by,
    number,
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
