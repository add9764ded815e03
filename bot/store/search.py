"""Search in the questions and replies of one conversation.

It reads the conversation's own rows, from one end to the other: there is no index, which would have to forget too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

from bot.core.matching import Query
from bot.core.records import FoundTurn, SearchResult
from bot.core.turns import Conversation
from bot.store.engine import Rows
from bot.store.names import named_prompts
from bot.store.part import Part
from bot.store.rows import name_of

_TURNS_AT_ONCE = 100
"""Turns that are read together. Other readers wait for a few milliseconds."""
_NEWEST = 2**63 - 1


class SearchStore(Part):
    """Finds turns by their words."""

    async def find(
        self,
        conversation: Conversation,
        query: Query,
        position: int | None = None,
        *,
        newer: bool = False,
        most: int,
        seconds: float,
    ) -> SearchResult:
        """Up to `most` turns that match, from a position on: older ones, the newest first, or newer ones, oldest first.

        Without a position, it looks from the newest turn on. Once it has looked for so many seconds, it returns what it
        has found.
        """
        where = "position > :border ORDER BY position" if newer else "position < :border ORDER BY position DESC"
        border = _NEWEST if position is None else position
        found: list[FoundTurn] = []
        looked_at, whole = None, False
        now = asyncio.get_running_loop().time
        give_up = now() + seconds
        while not whole and len(found) < most:
            rows = await self._engine.read(
                f"""
                SELECT id, position, coalesce(target_id, message_id) AS message_id, created_at,
                    display_name, user_name, prompt, reply
                FROM turns
                WHERE conversation_id = (SELECT id FROM conversations WHERE platform = :platform AND channel = :channel)
                  AND {where} LIMIT :limit
                """,
                platform=conversation.platform,
                channel=conversation.channel,
                border=border,
                limit=_TURNS_AT_ONCE,
            )
            whole = len(rows) < _TURNS_AT_ONCE
            if rows:
                border, looked_at = rows[-1]["position"], rows[-1]["created_at"]
                prompts = await named_prompts(self._engine, rows)
                # Hundreds of texts take longer than a callback may.
                found += await asyncio.to_thread(matching, query, rows, prompts)
            if now() >= give_up:
                break
        if len(found) > most:
            whole = False
            del found[most:]
            border, looked_at = found[-1].position, found[-1].asked_at
        return SearchResult(await self._on_record(found), border, looked_at, whole)

    async def _on_record(self, found: list[FoundTurn]) -> list[FoundTurn]:
        """Those of the turns that were not forgotten meanwhile, with the messages that show their replies."""
        rows = await self._engine.read(
            """
            SELECT turns.id, part.start, part.message_id
            FROM turns
            LEFT JOIN messages AS part ON turn_id = turns.id AND part.part >= 0 AND part.message_id IS NOT NULL
            WHERE turns.id IN (SELECT value FROM json_each(:turns))
            ORDER BY part
            """,
            turns=json.dumps([turn.id for turn in found]),
        )
        parts: dict[int, list[tuple[int, int]]] = {}
        for turn_id, start, message_id in rows:
            shown = parts.setdefault(turn_id, [])
            if message_id is not None:
                shown.append((start, message_id))
        return [replace(turn, parts=parts[turn.id]) for turn in found if turn.id in parts]


def matching(query: Query, rows: Rows, prompts: Sequence[str]) -> list[FoundTurn]:
    return [
        FoundTurn(row["id"], row["position"], row["message_id"], row["created_at"], name_of(row), prompt, row["reply"])
        for row, prompt in zip(rows, prompts, strict=True)
        if query.matches(prompt, row["reply"])
    ]
