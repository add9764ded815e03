-- The last statement of each transaction of a process that serves shards: it undoes what one would write that was frozen
-- just before, for so long that others have taken its shards. No rows. SQLite has no such function.
CREATE FUNCTION require_claims(of TEXT, number BIGINT) RETURNS SETOF BIGINT LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM shards WHERE holder = of) < number THEN
        RAISE EXCEPTION 'its shards are those of another process' USING ERRCODE = 'PA001';
    END IF;
END $$;
