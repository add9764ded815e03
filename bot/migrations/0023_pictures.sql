-- Where the pictures of a prompt are found again. The pictures themselves are in no file.
-- As with the turns' texts, the padding has SQLite keep a name in pages of its own, which deleting it overwrites.
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY,
    turn_id INTEGER NOT NULL REFERENCES stored_turns ON DELETE CASCADE,
    -- Its place among the pictures of the prompt.
    place INTEGER NOT NULL,
    -- Whether it is part of the message that the prompt quotes.
    quoted INTEGER NOT NULL,
    -- In pixels, as the platform says. NULL: it says nothing.
    width INTEGER,
    height INTEGER,
    padding BLOB NOT NULL GENERATED ALWAYS AS (
        zeroblob(489 + 4091 - (length(CAST(source AS BLOB)) + length(CAST(name AS BLOB)) + 391) % 4092)
    ) STORED,
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (turn_id, place)
) STRICT;

-- A quote that was forgotten takes its pictures along.
CREATE TRIGGER pictures_of_quotes AFTER UPDATE OF quoted_id ON stored_turns WHEN NEW.quoted_id IS NULL BEGIN
    DELETE FROM pictures WHERE turn_id = NEW.id AND quoted;
END;

-- Tokens of pictures for each estimated one, apart from those of text. NULL: the server has counted none.
ALTER TABLE token_statistics ADD COLUMN picture_ratio REAL;
