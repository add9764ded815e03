-- The names of those whom prompts mention. A prompt holds their ids only, so that a name can be forgotten by itself.
-- As with the turns' texts, the padding has SQLite keep a name in a page of its own, which deleting it overwrites.
CREATE TABLE names (
    conversation_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    padding BLOB NOT NULL GENERATED ALWAYS AS (
        zeroblob(489 + 4091 - (length(CAST(name AS BLOB)) + 391) % 4092)
    ) STORED,
    name TEXT NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX names_by_user ON names (user_id);

CREATE TRIGGER names_deleted AFTER DELETE ON conversations BEGIN
    DELETE FROM names WHERE conversation_id = OLD.id;
END;

CREATE TRIGGER names_reset AFTER UPDATE OF id ON conversations BEGIN
    DELETE FROM names WHERE conversation_id = OLD.id;
END;
