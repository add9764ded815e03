-- When something was last due to be deleted for its age, and since when the clock is doubted (NULL: it is not).
CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    looked_at INTEGER NOT NULL,
    doubted_since INTEGER
) STRICT;
