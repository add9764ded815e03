"""The names of those whom prompts mention, by conversation. A prompt holds ids, so that a name can go by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from bot.core.attached import without_ids
from bot.core.prompt_text import MENTION
from bot.store.engine import Engine, Rows, Statement, Value
from bot.store.rows import as_json

_NOBODY = "someone"
_USER = "CAST(json_extract(value, '$[0]') AS BIGINT)"
_THIS = "SELECT id, conversation_id FROM turns WHERE message_id = :message_id"


def keeping(message_id: int, names: Mapping[int, str]) -> list[Statement]:
    """The statements that put on record whom the prompt in a message mentions, if it is on record itself."""
    values: dict[str, Value] = {"message_id": message_id, "names": as_json(names.items())}
    return [
        (f"DELETE FROM mentions WHERE turn_id IN (SELECT id FROM ({_THIS}) AS turn)", values),
        (
            f"""
            INSERT INTO mentions (turn_id, user_id, conversation_id)
            SELECT turn.id, {_USER}, conversation_id FROM ({_THIS}) AS turn, json_each(:names, '$')
            """,
            values,
        ),
        (
            f"""
            INSERT INTO names (conversation_id, user_id, name)
            SELECT conversation_id, {_USER}, json_extract(value, '$[1]') FROM ({_THIS}) AS turn, json_each(:names, '$')
            WHERE true
            ON CONFLICT (conversation_id, user_id) DO UPDATE SET name = excluded.name WHERE names.name <> excluded.name
            """,
            values,
        ),
    ]


async def named_prompts(engine: Engine, rows: Rows) -> list[str]:
    """The prompts of rows with `id` and `prompt` of turns, as they are read.

    They have names for the ids of those whom they mention, and no ids of files.
    """
    prompts = [row["prompt"] for row in rows]
    mentioning = [row["id"] for row, prompt in zip(rows, prompts, strict=True) if "⟦@" in prompt]
    if not mentioning:
        return list(map(without_ids, prompts))
    found = await engine.read(
        """
        SELECT turn_id, mentions.user_id, name
        FROM mentions LEFT JOIN names
            ON names.conversation_id = mentions.conversation_id AND names.user_id = mentions.user_id
        WHERE turn_id IN (SELECT value FROM json_each(:turns))
        """,
        turns=json.dumps(mentioning),
    )
    names = {(each["turn_id"], each["user_id"]): each["name"] or _NOBODY for each in found}

    def named(turn_id: int, prompt: str) -> str:
        def name(user: re.Match[str]) -> str:
            known = names.get((turn_id, int(user[1])))
            return user[0] if known is None else f"@{known}"

        return MENTION.sub(name, without_ids(prompt))

    return [named(row["id"], row["prompt"]) for row in rows]
