-- Of context and reply together.
ALTER TABLE token_statistics RENAME COLUMN context_tokens TO window_tokens;
