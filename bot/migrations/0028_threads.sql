-- The channel of the message that a thread was opened on to answer it. NULL: the thread was not opened so, or is none.
ALTER TABLE conversations ADD COLUMN asked_in TEXT;
