"""What the moderators of a guild decide: /channels, /block, /unblock, /pause and /resume.

The permissions of these commands are not checked here. Discord shows the commands only to members who may manage the
guild, or whom the guild's own settings allow them.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias, TypeVar

import discord
from discord import app_commands
from discord.ext.commands import Cog

from bot.core import access
from bot.core.access import GuildRules
from bot.discord_bot.access.policy import channel_ids
from bot.discord_bot.commands.context import BotContext, where_served
from bot.discord_bot.delivery import buttons
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report, update
from bot.discord_bot.names import shown_name
from bot.markdown import Document
from bot.texts import access as words

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, None]])
PickedChannel: TypeAlias = app_commands.AppCommandChannel | app_commands.AppCommandThread

_MODERATORS = discord.Permissions(manage_guild=True)
# discord.py gives a command without contexts those of the tree, which include DMs.
_GUILDS = app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False)
_CONFIRMATION = re.compile(r"block:(?P<user_id>[0-9]{1,19}):(?P<until>[0-9]{1,12})")
_HOUR = 3600
_YEAR_IN_HOURS = 8760
_MAX_RULES = 500
"""Channels of a guild that may have a rule: all rules are read for each prompt."""


def _for_moderators(command: F) -> F:
    app_commands.default_permissions(_MODERATORS)(command)
    return app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)(command)


class ModerationCommands(Cog):
    """/channels, /block, /unblock, /pause and /resume."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot
        self._changing_rules = asyncio.Lock()
        """Held from the reading of a guild's rules to the change that depends on them."""
        buttons.listen(bot.client, _CONFIRMATION, where_served(bot.policy, self._confirmed))

    channels = app_commands.Group(
        name="channels",
        description="Where I answer in this server.",
        default_permissions=_MODERATORS,
        allowed_contexts=_GUILDS,
    )

    @channels.command(description="Answer only here and in other allowed channels, or lift a block.")
    @app_commands.describe(channel="The channel, category or thread; without it, the one you are in.")
    async def allow(self, interaction: discord.Interaction, channel: PickedChannel | None = None) -> None:
        await _answer(interaction, self._allow(interaction, channel))

    async def _allow(self, interaction: discord.Interaction, channel: PickedChannel | None) -> str:
        async with self._changing_rules:
            rules = (await self._rules(interaction)).channels
            if (ids := _target(interaction, channel)) is None:
                return words.NOT_OF_THIS_SERVER
            if rules.get(ids[0]) is True:
                return words.allowed_already(ids[0], rules)
            return await self._set_rule(interaction, rules, ids[0], access.rule_to_allow(rules, ids))

    @channels.command(name="block", description="Stop answering here.")
    @app_commands.describe(channel="The channel, category or thread; without it, the one you are in.")
    async def block_channel(self, interaction: discord.Interaction, channel: PickedChannel | None = None) -> None:
        await _answer(interaction, self._block_channel(interaction, channel))

    async def _block_channel(self, interaction: discord.Interaction, channel: PickedChannel | None) -> str:
        async with self._changing_rules:
            rules = (await self._rules(interaction)).channels
            if (ids := _target(interaction, channel)) is None:
                return words.NOT_OF_THIS_SERVER
            if not access.channel_allowed(rules, ids):
                return words.not_allowed_already(ids[0], rules)
            if access.is_last_allowed(rules, ids[0]):
                return words.last_allowed(ids[0])
            return await self._set_rule(interaction, rules, ids[0], access.rule_to_block(rules, ids))

    @channels.command(description="Answer in every channel again. This clears all channel rules.")
    async def everywhere(self, interaction: discord.Interaction) -> None:
        await _answer(interaction, self._clear_rules(interaction))

    async def _clear_rules(self, interaction: discord.Interaction) -> str:
        async with self._changing_rules:
            cleared = await self._bot.store.guild_rules.clear_channel_rules(_guild_id(interaction))
        return words.rules_changed({}) if cleared else words.EVERYWHERE_ALREADY

    @channels.command(name="list", description="See where I answer, and whom I don't.")
    async def list_rules(self, interaction: discord.Interaction) -> None:
        reading = self._bot.store.guild_rules.decisions(_guild_id(interaction), _MAX_RULES)
        decisions = await run_or_report(interaction, reading, failed=words.NOT_READ, doing="a moderators' command")
        if decisions is not None:
            document = Document()
            document.update(words.decisions(decisions), final=True)
            for part in document.parts:
                await respond_ephemeral(interaction, part.content)

    @app_commands.command(description="Stop answering in this server until /resume.")
    @_for_moderators
    async def pause(self, interaction: discord.Interaction) -> None:
        await _answer(interaction, self._pause(interaction))

    async def _pause(self, interaction: discord.Interaction) -> str:
        paused = await self._bot.store.guild_rules.pause(_guild_id(interaction), by=interaction.user.id)
        self._bot.replies.stopping.stop_waiting(_guild_id(interaction), shown_name(interaction.user))
        return words.PAUSED if paused else words.PAUSED_ALREADY

    @app_commands.command(description="Answer again after /pause.")
    @_for_moderators
    async def resume(self, interaction: discord.Interaction) -> None:
        await _answer(interaction, self._resume(interaction))

    async def _resume(self, interaction: discord.Interaction) -> str:
        rules = await self._rules(interaction)
        resumed = await self._bot.store.guild_rules.resume(_guild_id(interaction))
        return words.resumed(rules.channels) if resumed else words.NOT_PAUSED

    @app_commands.command(description="Stop answering someone in this server.")
    @app_commands.describe(
        member="Who to block. If they have left, paste their id.",
        hours="For how many hours; without it, until /unblock.",
    )
    @_for_moderators
    async def block(
        self,
        interaction: discord.Interaction,
        member: discord.User,
        hours: app_commands.Range[int, 1, _YEAR_IN_HOURS] | None = None,
    ) -> None:
        until = None if hours is None else int(time.time()) + hours * _HOUR
        if member.id == interaction.application_id:
            await respond_ephemeral(interaction, words.THATS_ME)
        elif member.bot:
            await respond_ephemeral(interaction, words.A_BOT)
        elif member.id == interaction.user.id or _is_as_high(member, interaction.user):
            sure = words.confirm_block(member.id, oneself=member.id == interaction.user.id)
            await respond_ephemeral(interaction, sure, view=_confirmation(member.id, until))
        else:
            await _answer(interaction, self._block(interaction, member.id, until))

    async def _confirmed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        """Block whom the button names; who presses may have lost the right to since they were asked."""
        if not interaction.permissions.manage_guild:
            await respond_ephemeral(interaction, words.NOT_A_MODERATOR)
            return
        until = int(id_["until"]) or None
        blocking = self._block(interaction, int(id_["user_id"]), until)
        sentence = await run_or_report(interaction, blocking, failed=words.NOT_SAVED, doing="a moderators' command")
        if sentence is not None:
            await update(interaction, sentence)

    async def _block(self, interaction: discord.Interaction, user_id: int, until: int | None) -> str:
        await self._bot.store.guild_rules.block(_guild_id(interaction), user_id, until, by=interaction.user.id)
        self._bot.replies.stopping.stop_user(user_id, _guild_id(interaction), shown_name(interaction.user))
        return words.blocked(user_id, until)

    @app_commands.command(description="Answer someone again after /block.")
    @app_commands.describe(member="Who to unblock. If they have left, paste their id.")
    @_for_moderators
    async def unblock(self, interaction: discord.Interaction, member: discord.User) -> None:
        await _answer(interaction, self._unblock(interaction, member))

    async def _unblock(self, interaction: discord.Interaction, member: discord.User) -> str:
        unblocked = await self._bot.store.guild_rules.unblock(_guild_id(interaction), member.id)
        return words.unblocked(member.id) if unblocked else words.not_blocked(member.id)

    async def _rules(self, interaction: discord.Interaction) -> GuildRules:
        return await self._bot.store.guild_rules.rules_for(_guild_id(interaction), interaction.user.id)

    async def _set_rule(
        self, interaction: discord.Interaction, rules: Mapping[int, bool], channel_id: int, allowed: bool | None
    ) -> str:
        """Save the rule of one channel, or remove it (None). The answer says what is in force now."""
        others = {each: rule for each, rule in rules.items() if each != channel_id}
        if len(others) >= _MAX_RULES and allowed is not None:
            return words.TOO_MANY_RULES
        await self._bot.store.guild_rules.set_channel_rule(
            _guild_id(interaction), channel_id, allowed, by=interaction.user.id
        )
        return words.rules_changed(others if allowed is None else {**others, channel_id: allowed})


async def _answer(
    interaction: discord.Interaction, work: Coroutine[object, object, str], failed: str = words.NOT_SAVED
) -> None:
    """Answer in private with the result of `work`, or with `failed` if the store fails."""
    sentence = await run_or_report(interaction, work, failed=failed, doing="a moderators' command")
    if sentence is not None:
        await respond_ephemeral(interaction, sentence)


def _is_as_high(member: discord.User | discord.Member, moderator: discord.User | discord.Member) -> bool:
    """Whether a member's highest role is not below a moderator's. Nobody is as high as the owner of the guild."""
    if not isinstance(member, discord.Member) or not isinstance(moderator, discord.Member):
        return False
    if moderator.id == member.guild.owner_id:
        return False
    return member.id == member.guild.owner_id or member.top_role >= moderator.top_role


def _confirmation(user_id: int, until: int | None) -> discord.ui.View:
    id_ = f"block:{user_id}:{until or 0}"
    return buttons.row(discord.ui.Button(label=words.BLOCK, style=discord.ButtonStyle.danger, custom_id=id_))


def _target(interaction: discord.Interaction, channel: PickedChannel | None) -> list[int] | None:
    """The id of the channel that a rule is for, followed by those of its parent and its category.

    None: the channel is of another guild.
    """
    guild = interaction.guild
    id_ = channel.id if channel is not None else interaction.channel_id or 0
    known = None if guild is None else guild.get_channel_or_thread(id_)
    if known is None and channel is not None and guild is not None and not guild.unavailable:
        # discord.py takes every channel for one of the guild. It does not know an archived thread, but its parent.
        parent = guild.get_channel(channel.parent_id) if isinstance(channel, app_commands.AppCommandThread) else None
        if parent is None:
            return None
    return channel_ids(known or discord.Object(id_))


def _guild_id(interaction: discord.Interaction) -> int:
    """The guild of a command that Discord offers only in guilds."""
    return interaction.guild_id or 0
