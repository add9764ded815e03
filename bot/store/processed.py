"""The prompts on Discord that need no more attention, and those that wait under an hourglass."""

from __future__ import annotations

import json
from collections.abc import Collection

from bot.store.part import Part

HANDLED = "SELECT 1 FROM handled WHERE prompt_id = :position AND :key GLOB 'discord:*'"
"""SQL that finds something where the prompt at a position in the conversation of that key had a turn or needs none."""


class ProcessedStore(Part):
    """The part of the store that knows prompts beyond their turns."""

    async def mark_processed(self, prompt_id: int) -> bool:
        """Commit that a prompt on Discord gets no turn: it is refused, or answered with a hint. False: it has one, or
        this was said before.
        """
        rows = await self._database.write(
            "INSERT INTO handled (prompt_id, at) VALUES (:prompt, :now) ON CONFLICT DO NOTHING RETURNING prompt_id",
            prompt=prompt_id,
            now=self._now(),
        )
        return bool(rows)

    async def processed(self, prompt_ids: Collection[int]) -> set[int]:
        """Which of these prompts on Discord, if younger than two days, had a turn or were handled without one."""
        rows = await self._database.read(
            "SELECT prompt_id FROM handled WHERE prompt_id IN (SELECT value FROM json_each(:prompts))",
            prompts=json.dumps(list(prompt_ids)),
        )
        return {row["prompt_id"] for row in rows}

    async def mark(self, channel_id: int, message_id: int) -> None:
        """Commit that a message on Discord may have the bot's hourglass from now on."""
        await self._database.write(
            "INSERT OR IGNORE INTO marked (message_id, channel_id) VALUES (:message, :channel)",
            message=message_id,
            channel=channel_id,
        )

    async def unmark(self, message_id: int) -> None:
        """Commit that it has none any more."""
        await self._database.write("DELETE FROM marked WHERE message_id = :message", message=message_id)

    async def marked(self) -> list[tuple[int, int]]:
        """Channel and id of the messages that may have one."""
        rows = await self._database.read("SELECT channel_id, message_id FROM marked ORDER BY message_id")
        return [(row["channel_id"], row["message_id"]) for row in rows]
