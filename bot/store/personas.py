"""How the bot is to behave in a channel, a thread or a DM: what people decided there."""

from __future__ import annotations

from typing import Literal

from bot.core.records import EffectiveBehaviour
from bot.core.turns import Behaviour
from bot.store.engine import Value
from bot.store.part import Part


class PersonaStore(Part):
    """The part of the store that knows personas and models. A reset keeps them."""

    async def settings_of(self, conversation: str, parent: str | None = None) -> Behaviour:
        """What is in force in a conversation, as `behaviours` says."""
        return (await self.effective_settings(conversation, parent)).in_force

    async def effective_settings(self, conversation: str, parent: str | None = None) -> EffectiveBehaviour:
        """What was decided for a conversation and for its thread's channel.

        `parent` is the channel's key; without it, the one that came with the thread's prompts.
        """
        rows = await self._engine.read(
            """
            SELECT conversation = :key AS own, persona, model FROM behaviours WHERE conversation IN
                (:key, coalesce(:parent, (SELECT parent FROM conversations WHERE key = :key)))
            """,
            key=conversation,
            parent=parent,
        )
        found = {bool(row["own"]): Behaviour(row["persona"], row["model"]) for row in rows}
        return EffectiveBehaviour(found.get(True, Behaviour()), found.get(False, Behaviour()))

    async def set_persona(
        self, conversation: str, guild_id: int | None, persona: str | None, *, person_id: int | None = None
    ) -> bool:
        """Commit the persona of a conversation, None for none of its own. False: so it was already.

        `person_id` is whose DM it is. A persona that is cleared is gone from the file's bytes a minute later.
        """
        return await self._set("persona", conversation, guild_id, person_id, persona)

    async def set_model(
        self, conversation: str, guild_id: int | None, model: str | None, *, person_id: int | None = None
    ) -> bool:
        """Commit which model answers in a conversation, None for no choice of its own. False: so it was already."""
        return await self._set("model", conversation, guild_id, person_id, model)

    async def _set(
        self,
        side: Literal["persona", "model"],
        conversation: str,
        guild_id: int | None,
        person_id: int | None,
        text: str | None,
    ) -> bool:
        """Write one side; a row with nothing left in it goes. False: nothing was changed."""
        values: dict[str, Value] = {"key": conversation, "guild": guild_id, "person": person_id, "text": text}
        write = f"""
            INSERT INTO behaviours (conversation, guild_id, person_id, {side})
            SELECT :key, :guild, :person, :text
            WHERE :text IS NOT NULL OR EXISTS (SELECT 1 FROM behaviours WHERE conversation = :key)
            ON CONFLICT (conversation) DO UPDATE SET {side} = excluded.{side} WHERE {side} IS NOT excluded.{side}
            RETURNING conversation
            """
        empty = "DELETE FROM behaviours WHERE conversation = :key AND persona IS NULL AND model IS NULL"
        clears = side == "persona" and text is None
        commit = self._engine.delete_securely if clears else self._engine.transaction
        changed, _ = await commit((write, values), (empty, values))
        return bool(changed)
