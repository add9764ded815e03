-- A server that fails empties unlogged tables, but Discord still counts the session that was started just before.
ALTER TABLE identify_turns SET LOGGED;
