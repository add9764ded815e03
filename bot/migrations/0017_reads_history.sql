-- Whether everybody who asked for the turn could read the history of its place. If not, it gets its author's turns only.
ALTER TABLE stored_turns ADD COLUMN reads_history INTEGER NOT NULL DEFAULT 1;
