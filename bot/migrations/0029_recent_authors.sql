-- Whose recent messages went along with a turn's question. The messages themselves are kept nowhere, but the reply may
-- repeat them: it goes with each of these people.
CREATE TABLE recent_authors (
    turn_id INTEGER NOT NULL REFERENCES stored_turns ON DELETE CASCADE,
    user_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, turn_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX recent_authors_by_turn ON recent_authors (turn_id);

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
    )
    AND NOT (
        EXISTS (SELECT 1 FROM forgotten_users) AND EXISTS (
            SELECT 1 FROM forgotten_users AS gone JOIN recent_authors AS author
            ON author.user_id = gone.user_id AND author.turn_id = turn.id
            WHERE gone.conversation_id = 0 AND turn.id <= through
        )
    );

DROP VIEW summaries;

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
                OR (
                    gone.conversation_id = 0 AND EXISTS (
                        SELECT 1 FROM stored_turns AS turn
                        WHERE turn.conversation_id = summary.conversation_id
                            AND reply <> '' AND number >= begins AND number < ends AND turn.id <= through
                            AND EXISTS (
                                SELECT 1 FROM recent_authors AS author
                                WHERE author.user_id = gone.user_id AND author.turn_id = turn.id
                            )
                    )
                )
            )
        )
    );
