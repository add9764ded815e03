"""The prompts on Discord that need no more attention, and those that wait under an hourglass."""

from __future__ import annotations

import json
from collections.abc import Collection

from bot.store.part import Part

HANDLED = "SELECT 1 FROM handled WHERE prompt_id = :position AND :key GLOB 'discord:*'"
"""SQL that finds something where the prompt at a position in the conversation of that key had a turn or needs none."""


class ProcessedStore(Part):
    """The part of the store that knows prompts beyond their turns."""

    async def mark(self, prompt_id: int) -> bool:
        """Commit that a prompt on Discord gets no turn: it is refused, or answered with a hint. False: it has one, or
        this was said before.
        """
        rows = await self._engine.write(
            "INSERT INTO handled (prompt_id, at) VALUES (:prompt, :now) ON CONFLICT DO NOTHING RETURNING prompt_id",
            prompt=prompt_id,
            now=self._now(),
        )
        return bool(rows)

    async def among(self, prompt_ids: Collection[int]) -> set[int]:
        """Which of these prompts on Discord, if younger than two days, had a turn or were handled without one."""
        rows = await self._engine.read(
            "SELECT prompt_id FROM handled WHERE prompt_id IN (SELECT value FROM json_each(:prompts))",
            prompts=json.dumps(list(prompt_ids)),
        )
        return {row["prompt_id"] for row in rows}

    async def claim_notice(self, key: str, until: int, person_id: int = 0) -> bool:
        """Commit that something is said, not to be said again before `until`: to a person, or (0) at all.

        False: such a time has not passed yet.
        """
        rows = await self._engine.write(
            """
            INSERT INTO told (key, person_id, until) VALUES (:key, :person, :until)
            ON CONFLICT DO UPDATE SET until = excluded.until WHERE told.until <= :now
            RETURNING key
            """,
            key=key,
            person=person_id,
            until=until,
            now=self._now(),
        )
        return bool(rows)
