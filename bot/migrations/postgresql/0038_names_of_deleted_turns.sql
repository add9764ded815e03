-- As before, but one transaction after the other in a conversation: of two that delete the last two mentions of somebody
-- at once, each would keep the name for the other's sake. The lock's first number is used by this function alone.
CREATE OR REPLACE FUNCTION delete_unused_name() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1312902469, CAST(OLD.conversation_id % 2147483647 AS INTEGER));
    DELETE FROM names
    WHERE conversation_id = OLD.conversation_id AND user_id = OLD.user_id AND NOT EXISTS (
        SELECT 1 FROM mentions WHERE conversation_id = OLD.conversation_id AND user_id = OLD.user_id
    );
    RETURN NULL;
END $$;
