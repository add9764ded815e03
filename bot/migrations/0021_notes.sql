-- What people want the model to know about them, sent with their own questions in one guild or in their DM.
-- As with the turns' texts, the padding has SQLite keep a text in pages of its own, which deleting it overwrites.
CREATE TABLE notes (
    -- Never reused: a button that deletes a note must not find another under its id.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    -- NULL: in the user's DM with the bot.
    guild_id INTEGER,
    -- Characters of the text as its user is shown it.
    size INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- When the user last asked there, to the day.
    used_at INTEGER NOT NULL,
    padding BLOB NOT NULL GENERATED ALWAYS AS (
        zeroblob(489 + 4091 - (length(CAST(text AS BLOB)) + 391) % 4092)
    ) STORED,
    text TEXT NOT NULL
) STRICT;

CREATE INDEX notes_by_user ON notes (user_id, guild_id);

CREATE INDEX notes_by_guild ON notes (guild_id) WHERE guild_id IS NOT NULL;

CREATE INDEX notes_by_use ON notes (used_at);
