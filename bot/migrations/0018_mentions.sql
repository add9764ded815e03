-- Which turn's prompt mentions whom, so that a name goes with the last prompt that holds it.
CREATE TABLE mentions (
    turn_id INTEGER NOT NULL REFERENCES stored_turns ON DELETE CASCADE,
    user_id INTEGER NOT NULL,
    -- That of the turn, also once it is forgotten.
    conversation_id INTEGER NOT NULL,
    PRIMARY KEY (turn_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX mentions_by_conversation ON mentions (conversation_id, user_id);

INSERT INTO mentions (turn_id, user_id, conversation_id)
SELECT turn.id, names.user_id, names.conversation_id
FROM names JOIN stored_turns AS turn ON turn.conversation_id = names.conversation_id
WHERE instr(prompt, '⟦@' || names.user_id || '⟧');

DELETE FROM names WHERE NOT EXISTS (
    SELECT 1 FROM mentions
    WHERE mentions.conversation_id = names.conversation_id AND mentions.user_id = names.user_id
);

-- Those of a forgotten conversation go with its turns, step by step.
DROP TRIGGER names_deleted;

DROP TRIGGER names_reset;

CREATE TRIGGER mentions_deleted AFTER DELETE ON mentions BEGIN
    DELETE FROM names
    WHERE conversation_id = OLD.conversation_id AND user_id = OLD.user_id AND NOT EXISTS (
        SELECT 1 FROM mentions WHERE conversation_id = OLD.conversation_id AND user_id = OLD.user_id
    );
END;
