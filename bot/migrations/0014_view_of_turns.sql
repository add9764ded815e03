-- Whether anything is forgotten at all is asked once and first: then an index may be enough, without the rows.
DROP VIEW turns;

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
