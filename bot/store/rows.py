"""Values of the core from rows of more than one part of the store."""

from __future__ import annotations

from bot.core.turns import Conversation, UserName
from bot.store.engine import Row


def conversation_of(row: Row) -> Conversation:
    """The conversation of a row with `platform` and `channel`."""
    return Conversation(row["platform"], row["channel"])


def name_of(row: Row) -> UserName | None:
    """Return the name in a row with `display_name` and `user_name`, or None if the row has none."""
    return None if row["display_name"] is None else UserName(row["display_name"], row["user_name"])
