"""Values of the core from rows of more than one part of the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from bot.core.turns import Conversation, UserName
from bot.store.engine import Lock, Row, Rows

RUNNING = "state IN ('pending', 'streaming')"
"""SQL condition for a turn with an attempt under way."""
TURN_IDS = "SELECT group_concat(id) AS ids FROM turns WHERE {which}"
"""SQL for the ids of turns, for `ids_in`. One row for all of them keeps the transaction that forgets them short."""


def as_json(rows: Iterable[Sequence[str | int | None]]) -> str:
    """Rows as JSON that every engine can read. A NUL, at which SQLite's JSON ends a text, becomes U+FFFD."""
    return json.dumps(
        [[each.replace("\0", "\ufffd") if isinstance(each, str) else each for each in row] for row in rows],
        ensure_ascii=False,
    )


def lock_of(conversation: Conversation) -> Lock:
    return Lock("conversation", f"{conversation.platform} {conversation.channel}")


def conversation_of(row: Row) -> Conversation:
    """The conversation of a row with `platform` and `channel`."""
    return Conversation(row["platform"], row["channel"])


def name_of(row: Row) -> UserName | None:
    """Return the name in a row with `display_name` and `user_name`, or None if the row has none."""
    return None if row["display_name"] is None else UserName(row["display_name"], row["user_name"])


def ids_in(rows: Rows) -> set[int]:
    """The ids that `TURN_IDS` returned."""
    return set(map(int, rows[0]["ids"].split(","))) if rows[0]["ids"] else set()
