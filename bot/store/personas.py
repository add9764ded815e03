"""Personas and models that people chose for a channel, a thread or a DM."""

from __future__ import annotations

from typing import Literal

from bot.core.records import EffectiveBehaviour
from bot.core.turns import Behaviour, Conversation
from bot.store.engine import Value
from bot.store.part import Part


class PersonaStore(Part):
    """Personas and models by conversation. A reset keeps them."""

    async def settings_of(self, conversation: Conversation, parent: Conversation | None = None) -> Behaviour:
        return (await self.effective_settings(conversation, parent)).in_force

    async def effective_settings(
        self, conversation: Conversation, parent: Conversation | None = None
    ) -> EffectiveBehaviour:
        """The choices for a conversation itself and, in a thread, for its channel.

        `parent` is that channel; without it, the one on record counts.
        """
        rows = await self._engine.read(
            """
            SELECT channel = :channel AS own, persona, model FROM personas WHERE platform = :platform AND channel IN (
                :channel,
                coalesce(
                    :parent,
                    (SELECT parent_channel FROM conversations WHERE platform = :platform AND channel = :channel)
                )
            )
            """,
            **_place(conversation),
            parent=parent.channel if parent else None,
        )
        found = {bool(row["own"]): Behaviour(row["persona"], row["model"]) for row in rows}
        return EffectiveBehaviour(found.get(True, Behaviour()), found.get(False, Behaviour()))

    async def set_persona(
        self, conversation: Conversation, guild_id: int | None, persona: str | None, *, user_id: int | None = None
    ) -> bool:
        """Commit the persona of a conversation, None for none of its own. The result is False if nothing changed.

        `user_id` is the user whose DM it is. A cleared persona is gone from the file's bytes a minute later.
        """
        return await self._set("persona", conversation, guild_id, user_id, persona)

    async def set_model(
        self, conversation: Conversation, guild_id: int | None, model: str | None, *, user_id: int | None = None
    ) -> bool:
        """Commit the model of a conversation, None for no choice of its own. The result is False if nothing changed."""
        return await self._set("model", conversation, guild_id, user_id, model)

    async def _set(
        self,
        side: Literal["persona", "model"],
        conversation: Conversation,
        guild_id: int | None,
        user_id: int | None,
        text: str | None,
    ) -> bool:
        """Write the persona or the model, and delete a row with neither. The result is False if nothing changed."""
        values: dict[str, Value] = {**_place(conversation), "guild": guild_id, "user": user_id, "text": text}
        here = "platform = :platform AND channel = :channel"
        write = f"""
            INSERT INTO personas (platform, channel, guild_id, user_id, {side})
            SELECT :platform, :channel, :guild, :user, :text
            WHERE :text IS NOT NULL OR EXISTS (SELECT 1 FROM personas WHERE {here})
            ON CONFLICT (platform, channel) DO UPDATE SET {side} = excluded.{side}
            WHERE coalesce(personas.{side}, '') <> coalesce(excluded.{side}, '')
            RETURNING channel
            """
        empty = f"DELETE FROM personas WHERE {here} AND persona IS NULL AND model IS NULL"
        clears = side == "persona" and text is None
        commit = self._engine.delete_securely if clears else self._engine.transaction
        changed, _ = await commit((write, values), (empty, values))
        return bool(changed)


def _place(conversation: Conversation) -> dict[str, Value]:
    return {"platform": conversation.platform, "channel": conversation.channel}
