"""Channel settings: how the bot takes part in a channel, as the moderators of its guild chose."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from bot.core.access import Decision
from bot.core.changes import Announcement, Change, Changes
from bot.core.channel_settings import DEFAULTS, ChannelSettings, WithoutMention
from bot.store.engine import Engine, Lock, Row, Value
from bot.store.part import Part

MOST_CHANNELS = 500
"""Channels of a guild that may have settings, as many as a guild of Discord's may have."""
_MOST_KEPT = 20_000
"""Guilds and channels with settings that are kept in memory: a few megabytes."""
_KEPT_FOR = 600.0
"""Seconds for which they are. Records of guilds that were left change them too."""


class ChannelSettingsStore(Part):
    """The settings of channels by guild. Those read lately are in memory, since each message is held against them."""

    def __init__(self, engine: Engine, clock: Callable[[], float], changes: Changes) -> None:
        super().__init__(engine, clock)
        changes.on(Change.CHANNEL_SETTINGS, self._changed, self._all_changed)
        self._known: dict[int, tuple[float, Mapping[int, ChannelSettings]]] = {}
        """By guild, the latest read last: until when they count, and the settings."""
        self._size = 0
        """The guilds and channels in it."""
        self._changes = 0

    def known(self, guild_id: int) -> Mapping[int, ChannelSettings] | None:
        """The settings of a guild's channels as far as they are in memory, or None if they have to be read."""
        found = self._known.get(guild_id)
        return found[1] if found is not None and time.monotonic() < found[0] else None

    async def of_guild(self, guild_id: int) -> Mapping[int, ChannelSettings]:
        """The settings of those channels of a guild that do not have the defaults."""
        if (known := self.known(guild_id)) is not None:
            return known
        changes = self._changes
        rows = await self._engine.read(
            "SELECT channel_id, without_mention, recent, threads FROM channel_settings WHERE guild_id = :guild",
            guild=guild_id,
        )
        settings = {row["channel_id"]: _settings(row) for row in rows}
        if changes == self._changes:
            self._drop(guild_id)
            self._known[guild_id] = time.monotonic() + _KEPT_FOR, settings
            self._size += 1 + len(settings)
            while self._size > _MOST_KEPT:
                self._drop(next(iter(self._known)))
        return settings

    def _changed(self, guild_id: int) -> None:
        # What is being read may be older.
        self._changes += 1
        self._drop(guild_id)

    def _all_changed(self) -> None:
        self._changes += 1
        self._known.clear()
        self._size = 0

    def _drop(self, guild_id: int) -> None:
        if (known := self._known.pop(guild_id, None)) is not None:
            self._size -= 1 + len(known[1])

    async def of(self, guild_id: int, channel_id: int) -> ChannelSettings:
        """The settings of a channel. Those of a thread are its channel's."""
        return (await self.of_guild(guild_id)).get(channel_id, DEFAULTS)

    async def is_full(self, guild_id: int) -> bool:
        """Whether no further channel of a guild may have settings."""
        return len(await self.of_guild(guild_id)) >= MOST_CHANNELS

    async def change(
        self,
        guild_id: int,
        channel_id: int,
        *,
        by: int,
        without_mention: WithoutMention | None = None,
        recent: int | None = None,
        threads: bool | None = None,
    ) -> ChannelSettings | None:
        """Commit those settings of a channel that are not None here. The result is the settings before.

        It is None, with nothing changed, if the guild has too many channels with settings.
        """
        values: dict[str, Value] = {
            "channel_id": channel_id,
            "guild": guild_id,
            "without_mention": without_mention.value if without_mention is not None else None,
            "recent": recent,
            "threads": threads,
            "by": by,
            "now": self._now(),
            "most": MOST_CHANNELS,
        }
        before, changed, _ = await self._engine.transaction(
            ("SELECT without_mention, recent, threads FROM channel_settings WHERE channel_id = :channel_id", values),
            (
                """
                INSERT INTO channel_settings
                    (channel_id, guild_id, without_mention, recent, threads, decided_by, decided_at)
                SELECT
                    :channel_id, :guild,
                    coalesce(:without_mention, 'never'), coalesce(:recent, 0), coalesce(:threads, 0), :by, :now
                WHERE EXISTS (SELECT 1 FROM channel_settings WHERE channel_id = :channel_id)
                    OR (SELECT count(*) FROM channel_settings WHERE guild_id = :guild) < :most
                ON CONFLICT (channel_id) DO UPDATE SET
                    without_mention = coalesce(:without_mention, channel_settings.without_mention),
                    recent = coalesce(:recent, channel_settings.recent),
                    threads = coalesce(:threads, channel_settings.threads),
                    decided_by = :by,
                    decided_at = :now
                RETURNING channel_id
                """,
                values,
            ),
            (
                """
                DELETE FROM channel_settings
                WHERE channel_id = :channel_id AND without_mention = 'never' AND recent = 0 AND threads = 0
                """,
                values,
            ),
            locks=[Lock("guild", guild_id)],
            tells=[Announcement(Change.CHANNEL_SETTINGS, guild_id)],
        )
        self._changed(guild_id)
        if not changed:
            return None
        return _settings(before[0]) if before else DEFAULTS

    async def decided_at(self, channel_id: int) -> int | None:
        """When the settings of a channel were last changed, as far as that is known."""
        rows = await self._engine.read(
            "SELECT decided_at FROM channel_settings WHERE channel_id = :channel_id", channel_id=channel_id
        )
        return rows[0]["decided_at"] if rows else None

    async def decisions(self, guild_id: int) -> Sequence[tuple[int, ChannelSettings, Decision]]:
        """The channels of a guild that do not have the defaults, with who decided it and when."""
        rows = await self._engine.read(
            """
            SELECT channel_id, without_mention, recent, threads, decided_by, decided_at FROM channel_settings
            WHERE guild_id = :guild ORDER BY channel_id
            """,
            guild=guild_id,
        )
        return [(row["channel_id"], _settings(row), Decision(row["decided_by"], row["decided_at"])) for row in rows]


def _settings(row: Row) -> ChannelSettings:
    return ChannelSettings(WithoutMention(row["without_mention"]), row["recent"], bool(row["threads"]))
