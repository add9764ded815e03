-- Whether the moderators were told, or know, which command sets where the bot answers.
ALTER TABLE guilds ADD COLUMN moderators_told INTEGER NOT NULL DEFAULT 0;
