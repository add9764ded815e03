-- Cached and reasoning tokens, and what a request costs.

DROP TRIGGER charges_made;

DROP TRIGGER charges_changed;

-- Those of the prompt's tokens that the server read from its cache, and those of the reply's that nobody is shown.
ALTER TABLE charges ADD COLUMN cached_tokens INTEGER NOT NULL DEFAULT 0;

ALTER TABLE charges ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0;

-- The prices of a million tokens when they were reserved, in millionths of the operator's currency. NULL: none was set.
ALTER TABLE charges ADD COLUMN prompt_price INTEGER;

ALTER TABLE charges ADD COLUMN cached_price INTEGER;

ALTER TABLE charges ADD COLUMN reply_price INTEGER;

-- The tokens that count for the quotas: cached ones at their share of the price. Both are rounded up. A product of over 64
-- bits becomes a real number, hence the casts.
ALTER TABLE charges ADD COLUMN quota_tokens INTEGER GENERATED ALWAYS AS (
    prompt_tokens - cached_tokens + reply_tokens + coalesce(
        CAST((cached_tokens * cached_price + prompt_price - 1) / nullif(prompt_price, 0) AS INTEGER), cached_tokens
    )
) VIRTUAL;

-- In millionths of the operator's currency. NULL: no price was set.
ALTER TABLE charges ADD COLUMN cost INTEGER GENERATED ALWAYS AS (
    CAST(
        (
            (prompt_tokens - cached_tokens) * prompt_price + cached_tokens * cached_price + reply_tokens * reply_price
            + 999999
        ) / 1000000 AS INTEGER
    )
) VIRTUAL;

-- The sum of the costs that are known.
ALTER TABLE daily_usage ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER charges_made AFTER INSERT ON charges BEGIN
    INSERT INTO daily_usage (day, scope, id, tokens, cost)
    SELECT NEW.day, scope, id, NEW.quota_tokens, coalesce(NEW.cost, 0) FROM (
        SELECT 'user' AS scope, NEW.user_id AS id
        UNION ALL SELECT 'guild', NEW.guild_id
        UNION ALL SELECT 'total', 0
    )
    WHERE id IS NOT NULL
    ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens, cost = cost + excluded.cost;
END;

CREATE TRIGGER charges_changed AFTER UPDATE OF prompt_tokens, cached_tokens, reply_tokens ON charges BEGIN
    -- Not in one statement, which would go through all of the day's sums.
    UPDATE daily_usage
    SET tokens = tokens + NEW.quota_tokens - OLD.quota_tokens, cost = cost + coalesce(NEW.cost - OLD.cost, 0)
    WHERE day = NEW.day AND scope = 'user' AND id = NEW.user_id;
    UPDATE daily_usage
    SET tokens = tokens + NEW.quota_tokens - OLD.quota_tokens, cost = cost + coalesce(NEW.cost - OLD.cost, 0)
    WHERE day = NEW.day AND scope = 'guild' AND id = NEW.guild_id;
    UPDATE daily_usage
    SET tokens = tokens + NEW.quota_tokens - OLD.quota_tokens, cost = cost + coalesce(NEW.cost - OLD.cost, 0)
    WHERE day = NEW.day AND scope = 'total' AND id = 0;
END;
