-- The name and the provider of the fallback model, as people are told them, where it wrote the reply.
DROP VIEW turns;

ALTER TABLE stored_turns ADD COLUMN answered_by TEXT;

-- The turns that are not forgotten.
CREATE VIEW turns AS
SELECT id, conversation_id, position, message_id, user_id, state, failure, attempt, tries, prompt_tokens, reply_tokens,
    created_at, ended_at, delivered, size, display_name, user_name, reply, delivery_error, answered_by,
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
