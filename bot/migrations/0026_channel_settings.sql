-- What moderators chose for a channel; it holds for the channel's threads too. A channel without a row has the defaults.
CREATE TABLE channel_settings (
    channel_id INTEGER PRIMARY KEY,
    guild_id INTEGER NOT NULL,
    -- Where a message needs no mention: nowhere, in threads that the bot answers in, or everywhere.
    without_mention TEXT NOT NULL DEFAULT 'never' CHECK (without_mention IN ('never', 'threads', 'all')),
    -- How many messages before a mention are sent along.
    recent INTEGER NOT NULL DEFAULT 0 CHECK (recent >= 0),
    -- Whether a new question is answered in a thread on it.
    threads INTEGER NOT NULL DEFAULT 0 CHECK (threads IN (0, 1)),
    decided_by INTEGER,
    decided_at INTEGER
) STRICT;

CREATE INDEX channel_settings_by_guild ON channel_settings (guild_id);
