-- An attempt is charged to whoever asked for it, and what failed through no fault of theirs does not count.

DROP TRIGGER turns_counted;

DROP TRIGGER charges_changed;

-- Who asked for which attempt and when, for the last hour, and for as long as the attempt is not delivered. Not with the
-- turns: a question counts although it was forgotten.
CREATE TABLE new_recent_questions (
    id INTEGER PRIMARY KEY,
    -- NULL: in nobody's name any more.
    user_id INTEGER,
    at INTEGER NOT NULL,
    -- NULL: asked before this was on record.
    turn_id INTEGER,
    attempt INTEGER,
    -- Whether it counts for the quota.
    counts INTEGER NOT NULL DEFAULT 1,
    UNIQUE (turn_id, attempt)
) STRICT;

INSERT INTO new_recent_questions (id, user_id, at) SELECT id, user_id, at FROM recent_questions;

DROP TABLE recent_questions;

ALTER TABLE new_recent_questions RENAME TO recent_questions;

CREATE INDEX recent_questions_by_user ON recent_questions (user_id, at) WHERE user_id IS NOT NULL;

CREATE TRIGGER turns_counted AFTER INSERT ON stored_turns WHEN NEW.user_id IS NOT NULL BEGIN
    INSERT INTO recent_questions (user_id, at, turn_id, attempt)
    VALUES (NEW.user_id, NEW.created_at, NEW.id, NEW.attempt);
END;

-- What a user asked of another person's turn stays until it is delivered, so that its recovery charges them.
CREATE TRIGGER old_questions_deleted AFTER INSERT ON recent_questions WHEN NEW.user_id IS NOT NULL BEGIN
    DELETE FROM recent_questions
    WHERE user_id = NEW.user_id AND at <= NEW.at - 3600 AND NOT EXISTS (
        SELECT 1 FROM stored_turns
        WHERE stored_turns.id = turn_id AND delivered = 0 AND stored_turns.user_id IS NOT recent_questions.user_id
    );
END;

-- A charge loses its user when it is settled as not theirs.
CREATE TRIGGER charges_changed AFTER UPDATE OF prompt_tokens, cached_tokens, reply_tokens ON charges BEGIN
    -- Not in one statement, which would go through all of the day's sums.
    UPDATE daily_usage
    SET tokens = tokens + iif(NEW.user_id IS NULL, 0, NEW.quota_tokens) - OLD.quota_tokens,
        cost = cost + coalesce(iif(NEW.user_id IS NULL, 0, NEW.cost) - OLD.cost, 0)
    WHERE day = NEW.day AND scope = 'user' AND id = OLD.user_id;
    UPDATE daily_usage
    SET tokens = tokens + NEW.quota_tokens - OLD.quota_tokens, cost = cost + coalesce(NEW.cost - OLD.cost, 0)
    WHERE day = NEW.day AND scope = 'guild' AND id = NEW.guild_id;
    UPDATE daily_usage
    SET tokens = tokens + NEW.quota_tokens - OLD.quota_tokens, cost = cost + coalesce(NEW.cost - OLD.cost, 0)
    WHERE day = NEW.day AND scope = 'total' AND id = 0;
END;
