-- When the file was last written anew without what was deleted (VACUUM), or that was begun, in seconds since the epoch; and
-- for how many seconds the last one that ended held up all writes. Kept, so that a start does not begin another too soon.
CREATE TABLE rewriting (
    at REAL NOT NULL,
    seconds REAL NOT NULL
) STRICT;

INSERT INTO rewriting (at, seconds) VALUES (0, 0);
