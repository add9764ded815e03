-- What people chose about themselves in /settings, in all servers and DMs. No row: the defaults.
CREATE TABLE person_settings (
    user_id INTEGER PRIMARY KEY,
    -- 1: their messages are not among the recent messages that go along with other people's questions.
    leave_out INTEGER NOT NULL DEFAULT 0,
    -- When an answer pings them: 'auto' (after a long wait), 'always' or 'never'.
    ping TEXT NOT NULL DEFAULT 'auto'
) STRICT;
