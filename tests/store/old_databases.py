"""Databases as earlier versions of the schema left them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bot.store.sqlite.schema import migrations

_FIRST = """
    INSERT INTO conversations (id, key) VALUES (1, 'discord:1');
    INSERT INTO turns (conversation_id, position, prompt, reply, state, created_at)
    VALUES (1, 1, 'Why?', 'Because.', 'complete', strftime('%s', 'now') + 0),
           (1, 2, 'And?', '', 'streaming', 2);
    INSERT INTO messages (turn_id, part, start, nonce, message_id) VALUES (1, 0, 0, 'n', 5);
    """
_EVERY_TABLE = """
    INSERT INTO conversations (id, key, guild_id, parent, used_at, left_at, origin_turn_id)
    VALUES (1, 'discord:11', 9, NULL, 4000000000, NULL, NULL),
           (2, 'discord:12', 9, 'discord:11', 4000000000, 7, 1),
           (3, 'terminal:a:b', NULL, NULL, 4000000000, NULL, NULL);
    INSERT INTO turns (
        id, conversation_id, position, author_id, author_name, prompt, reply, state, error, told, unshown, created_at,
        quoted_id, quote_length, prompt_tokens, reply_tokens, attempt, tries
    )
    VALUES (1, 1, 101, 7, 'Bo B (@bo)', 'Why?', 'Because.', 'complete', NULL, 1, 'too many', 4000000000, 8, 2, 5, 6,
            2, 1),
           (2, 1, 102, 8, '@cleo', 'And?', '', 'failed', 'setup', 0, NULL, 4000000000, NULL, 0, NULL, NULL, 1, 3),
           (3, 1, 103, 7, 'Bo', 'So?', '', 'failed', 'declined', 1, NULL, 4000000000, NULL, 0, NULL, NULL, 1, 1),
           (4, 2, 104, 7, NULL, 'Or?', '', 'failed', 'empty', 1, NULL, 4000000000, NULL, 0, NULL, NULL, 1, 1),
           (5, 2, 105, 7, NULL, 'Then?', '', 'failed', 'used up', 1, NULL, 4000000000, NULL, 0, NULL, NULL, 1, 1),
           (6, 3, 106, NULL, NULL, 'Here?', 'Yes.', 'failed', 'busy', 1, NULL, 4000000000, NULL, 0, NULL, NULL, 1, 1),
           (9, 3, 109, NULL, NULL, 'Last?', '', 'pending', NULL, 0, NULL, 4000000000, NULL, 0, NULL, NULL, 1, 1);
    DELETE FROM turns WHERE id = 9;
    INSERT INTO messages (turn_id, part, start, nonce, message_id) VALUES (1, 0, 0, 'n', 5);
    INSERT INTO learned (model, bytes_per_token, context_tokens) VALUES ('m', 4.5, 9000);
    INSERT INTO handled (prompt_id, at) VALUES (200, 4000000000);
    INSERT INTO marked (message_id, channel_id) VALUES (300, 11);
    INSERT INTO charges (turn_id, attempt, person_id, guild_id, model, day, prompt_tokens, reply_tokens, settled)
    VALUES (1, 1, 7, 9, 'm', 20000, 30, 12, 1), (2, 1, 8, NULL, 'm', 20000, 1, 1, 0);
    INSERT INTO told (key, person_id, until) VALUES ('blocked', 7, 4000000001), ('model', 0, 4000000001);
    INSERT INTO servers (guild_id, paused, refused_at, left_at) VALUES (9, 1, 5, NULL);
    INSERT INTO channel_rules (channel_id, guild_id, allowed) VALUES (11, 9, 1), (12, 9, 0);
    INSERT INTO blocked (guild_id, person_id, until) VALUES (9, 70, NULL);
    INSERT INTO behaviours (conversation, guild_id, person_id, persona, model)
    VALUES ('discord:11', 9, NULL, 'A pirate.', 'large'), ('discord:13', NULL, 7, 'A parrot.', NULL);
    INSERT INTO wipes_due DEFAULT VALUES;
    """
_NAMES = """
    UPDATE stored_turns SET prompt = 'Is it ⟦@70⟧?' WHERE id = 5;
    INSERT INTO names (conversation_id, user_id, name) VALUES (2, 70, 'Dee'), (2, 71, 'Whom nobody mentions');
    """
_ROWS = {1: _FIRST, 3: _EVERY_TABLE, 4: _EVERY_TABLE}
"""Rows of every table there was, by the version of the schema."""
_FURTHER_ROWS = {15: _NAMES}
"""Rows of the tables that a later version had, beside those that it took over."""


def make(path: Path, version: int, *, filled: bool = True) -> None:
    """Make a database with the schema of that version, and with its rows if wanted."""
    first = max(known for known in _ROWS if known <= version)
    steps = ["BEGIN;"]
    for number, script in enumerate(migrations()[:version], 1):
        steps.append(script)
        if filled:
            steps.append(_ROWS[first] if number == first else _FURTHER_ROWS.get(number, ""))
    steps.append(f"PRAGMA application_id = 0x5061726C; PRAGMA user_version = {version}; COMMIT;")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("\n".join(steps))
