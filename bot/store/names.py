"""The names of those whom prompts mention, by conversation. A prompt holds ids, so that a name can go by itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from bot.core.context import MENTION
from bot.store.engine import Engine, Rows, Statement, Value

_NOBODY = "someone"


def keeping(names: Mapping[int, str], conversation: str, values: Mapping[str, Value]) -> list[Statement]:
    """The statements that keep the names in a prompt. `conversation` is SQL for the id of its conversation."""
    if not names:
        return []
    return [
        (
            f"""
            INSERT INTO names (conversation_id, user_id, name)
            SELECT conversation.id, key, value FROM ({conversation}) AS conversation, json_each(:names)
            WHERE true
            ON CONFLICT DO UPDATE SET name = excluded.name WHERE name <> excluded.name
            """,
            {**values, "names": json.dumps(names)},
        )
    ]


async def named_prompts(engine: Engine, rows: Rows) -> list[str]:
    """The prompts of rows with `conversation_id` and `prompt`, with names for the ids of those whom they mention."""
    prompts: list[str] = [row["prompt"] for row in rows]
    if not any("⟦@" in prompt for prompt in prompts):
        return prompts
    found = await engine.read(
        """
        SELECT conversation_id, user_id, name FROM names
        WHERE conversation_id IN (SELECT value FROM json_each(:conversations))
          AND user_id IN (SELECT value FROM json_each(:users))
        """,
        conversations=json.dumps(sorted({row["conversation_id"] for row in rows})),
        users=json.dumps(sorted(_ids(prompts))),
    )
    names = {(each["conversation_id"], each["user_id"]): each["name"] for each in found}

    def named(conversation_id: int, prompt: str) -> str:
        return MENTION.sub(lambda user: f"@{names.get((conversation_id, int(user[1])), _NOBODY)}", prompt)

    return [named(row["conversation_id"], prompt) for row, prompt in zip(rows, prompts, strict=True)]


def _ids(prompts: Iterable[str]) -> set[int]:
    return {int(user[1]) for prompt in prompts for user in MENTION.finditer(prompt)}
