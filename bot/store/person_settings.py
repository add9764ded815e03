"""What people chose about themselves, in all guilds and DMs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from bot.core.records import PersonSettings, Ping
from bot.store.engine import Value
from bot.store.part import Part

_DROP_DEFAULTS = "DELETE FROM person_settings WHERE user_id = :user AND leave_out = 0 AND ping = 'auto'"
"""SQL that keeps no row of a user who has chosen nothing but the defaults."""
LEAVE_OUT = """
    INSERT INTO person_settings (user_id, leave_out) VALUES (:user, :choice)
    ON CONFLICT (user_id) DO UPDATE SET leave_out = excluded.leave_out
    """
"""SQL that leaves the messages of a user out (`choice` 1) or no longer does (0)."""
_PING = """
    INSERT INTO person_settings (user_id, ping) VALUES (:user, :ping)
    ON CONFLICT (user_id) DO UPDATE SET ping = excluded.ping
    """


class PersonSettingsStore(Part):
    """The settings of users. They stay until the user is forgotten, however long the user is away."""

    async def of(self, user_id: int) -> PersonSettings:
        rows = await self._engine.read(
            "SELECT leave_out, ping FROM person_settings WHERE user_id = :user", user=user_id
        )
        return PersonSettings(bool(rows[0]["leave_out"]), Ping(rows[0]["ping"])) if rows else PersonSettings()

    async def left_out(self, user_ids: Collection[int]) -> set[int]:
        """Those of these users whose messages are not to go along with other people's questions."""
        rows = await self._engine.read(
            """
            SELECT user_id FROM person_settings
            WHERE leave_out = 1 AND user_id IN (SELECT value FROM json_each(:users))
            """,
            users=json.dumps(list(user_ids)),
        )
        return {row["user_id"] for row in rows}

    async def set_leave_out(self, user_id: int, leave_out: bool) -> None:
        """Commit whether a user's messages are left out of what goes along with other people's questions."""
        await self._set(LEAVE_OUT, {"user": user_id, "choice": int(leave_out)})

    async def set_ping(self, user_id: int, ping: Ping) -> None:
        """Commit when answers ping a user."""
        await self._set(_PING, {"user": user_id, "ping": ping.value})

    async def _set(self, sql: str, values: Mapping[str, Value]) -> None:
        await self._engine.transaction((sql, values), (_DROP_DEFAULTS, values))
