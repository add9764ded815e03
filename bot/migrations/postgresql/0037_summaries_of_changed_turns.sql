-- As before, but not beside a transaction that saves a summary, which would not see that the turn goes, as this one would
-- not see the summary. The number is that of the lock "summaries" (`_keys` in `bot/store/postgresql/engine.py`).
CREATE OR REPLACE FUNCTION drop_summaries(conversation BIGINT, turn_number BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM stored_summaries WHERE conversation_id = conversation) THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(-1242886044124826876);
    UPDATE stored_summaries SET text = NULL, since = NULL, until = NULL, failures = 0, due_at = 0
    WHERE due_at IS NULL AND id IN (
        SELECT (
            SELECT CASE WHEN ends > turn_number THEN id END FROM stored_summaries AS latest
            WHERE latest.conversation_id = conversation AND latest.level = levels.level AND begins <= turn_number
            ORDER BY begins DESC LIMIT 1
        )
        FROM (VALUES (1), (2), (3), (4), (5), (6), (7), (8)) AS levels (level)
    );
END $$;
