-- Who paused the bot, blocked somebody or set a rule, and when. NULL: decided before this was kept, or forgotten since.
ALTER TABLE guilds ADD COLUMN paused_by INTEGER;

ALTER TABLE guilds ADD COLUMN paused_at INTEGER;

ALTER TABLE channel_rules ADD COLUMN set_by INTEGER;

ALTER TABLE channel_rules ADD COLUMN set_at INTEGER;

ALTER TABLE blocks ADD COLUMN set_by INTEGER;

ALTER TABLE blocks ADD COLUMN set_at INTEGER;
