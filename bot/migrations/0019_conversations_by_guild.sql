-- The guilds that have conversations are found, and those of one guild, without reading the other conversations.
CREATE INDEX conversations_by_guild ON conversations (guild_id) WHERE guild_id IS NOT NULL AND left_at IS NULL;
