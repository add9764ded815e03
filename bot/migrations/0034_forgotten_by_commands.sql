-- Users whom another process than the running bot has forgotten, until the bot has heard of it. It empties its memory
-- of them, and then deletes the row.
CREATE TABLE forgotten_by_commands (
    -- Never reused: it tells what was heard.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL
) STRICT;
