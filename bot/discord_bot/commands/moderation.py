"""What a server's moderators decide: /channels, /block, /unblock, /pause and /resume.

Discord shows them to members who may manage the server, or to whom the server's own settings give them, and to nobody
else: that is not checked again here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias, TypeVar

import discord
from discord import app_commands

from bot.core import access
from bot.core.access import GuildRules
from bot.discord_bot.access.policy import channel_ids
from bot.discord_bot.commands.context import BotContext, Tree
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report
from bot.discord_bot.names import shown_name
from bot.texts import access as words

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, None]])
Picked: TypeAlias = app_commands.AppCommandChannel | app_commands.AppCommandThread

_MODERATORS = discord.Permissions(manage_guild=True)
# What a command leaves open here, discord.py takes from the tree, which has commands for DMs too.
_SERVERS = app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False)
_HOUR, _YEAR_IN_HOURS = 3600, 8760
_MOST_RULES = 500
"""Channels of a server that may have a rule: all of them are read for each prompt."""


def add(tree: Tree, tools: BotContext) -> None:
    """Add the commands of this module."""
    tree.add_command(_channels(tools))

    @tree.command(description="Have me answer nobody in this server, until /resume.")
    @_for_moderators
    async def pause(interaction: discord.Interaction) -> None:
        async def work() -> str:
            paused = await tools.store.guild_rules.pause(_server(interaction))
            tools.replies.stopping.stop_waiting(_server(interaction), shown_name(interaction.user))
            return words.PAUSED if paused else words.PAUSED_ALREADY

        await _decide(interaction, work())

    @tree.command(description="Have me answer again after /pause.")
    @_for_moderators
    async def resume(interaction: discord.Interaction) -> None:
        async def work() -> str:
            rules = await _rules(tools, interaction)
            resumed = await tools.store.guild_rules.resume(_server(interaction))
            return words.resumed(rules.channels) if resumed else words.NOT_PAUSED

        await _decide(interaction, work())

    @tree.command(description="Have me no longer answer somebody in this server.")
    @app_commands.describe(
        member="Whom I am not to answer. For somebody who has left, paste their id.",
        hours="For how many hours; without it, until /unblock.",
    )
    @_for_moderators
    async def block(
        interaction: discord.Interaction,
        member: discord.User,
        hours: app_commands.Range[int, 1, _YEAR_IN_HOURS] | None = None,
    ) -> None:
        async def work() -> str:
            if member.id == interaction.application_id:
                return words.THATS_ME
            if member.bot:
                return words.A_BOT
            until = None if hours is None else int(time.time()) + hours * _HOUR
            await tools.store.guild_rules.block(_server(interaction), member.id, until)
            tools.replies.stopping.stop_person(member.id, _server(interaction), shown_name(interaction.user))
            return words.blocked(member.id, until)

        await _decide(interaction, work())

    @tree.command(description="Have me answer somebody again after /block.")
    @app_commands.describe(member="Whom I am to answer again. For somebody who has left, paste their id.")
    @_for_moderators
    async def unblock(interaction: discord.Interaction, member: discord.User) -> None:
        async def work() -> str:
            unblocked = await tools.store.guild_rules.unblock(_server(interaction), member.id)
            return words.unblocked(member.id) if unblocked else words.not_blocked(member.id)

        await _decide(interaction, work())


def _channels(tools: BotContext) -> app_commands.Group:
    group = app_commands.Group(
        name="channels",
        description="Where I answer in this server.",
        default_permissions=_MODERATORS,
        allowed_contexts=_SERVERS,
    )
    # Each rule follows from those that there are.
    deciding = asyncio.Lock()

    @group.command(description="Have me answer only here, and in what else is allowed; or lift a block.")
    @app_commands.describe(channel="The channel, category or thread; without it, the one you are in.")
    async def allow(interaction: discord.Interaction, channel: Picked | None = None) -> None:
        async def work() -> str:
            async with deciding:
                rules = (await _rules(tools, interaction)).channels
                here = _places(interaction, channel)
                if rules.get(here[0]) is True:
                    return words.allowed_already(here[0], rules)
                return await _set(tools, interaction, rules, here[0], access.rule_to_allow(rules, here))

        await _decide(interaction, work())

    @group.command(name="block", description="Have me not answer here.")
    @app_commands.describe(channel="The channel, category or thread; without it, the one you are in.")
    async def block_channel(interaction: discord.Interaction, channel: Picked | None = None) -> None:
        async def work() -> str:
            async with deciding:
                rules = (await _rules(tools, interaction)).channels
                here = _places(interaction, channel)
                if not access.channel_allowed(rules, here):
                    return words.not_allowed_already(here[0], rules)
                if access.is_last_allowed(rules, here[0]):
                    return words.last_allowed(here[0])
                return await _set(tools, interaction, rules, here[0], access.rule_to_block(rules, here))

        await _decide(interaction, work())

    @group.command(description="Have me answer in every channel again: forgets what was allowed and blocked.")
    async def everywhere(interaction: discord.Interaction) -> None:
        async def work() -> str:
            async with deciding:
                cleared = await tools.store.guild_rules.clear_channel_rules(_server(interaction))
            return words.now({}) if cleared else words.EVERYWHERE_ALREADY

        await _decide(interaction, work())

    @group.command(name="list", description="Show where I answer, and whom I don't.")
    async def list_rules(interaction: discord.Interaction) -> None:
        async def work() -> str:
            rules = await _rules(tools, interaction)
            blocks = await tools.store.guild_rules.blocks(_server(interaction), words.LISTED + 1)
            return words.rules(rules, blocks)

        await _decide(interaction, work(), failed=words.NOT_READ)

    return group


def _for_moderators(command: F) -> F:
    app_commands.default_permissions(_MODERATORS)(command)
    return app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)(command)


async def _decide(
    interaction: discord.Interaction, work: Coroutine[object, object, str], failed: str = words.NOT_SAVED
) -> None:
    """Answer with the work's sentence, in private; with `failed` where the store fails."""
    sentence = await run_or_report(interaction, work, failed=failed, doing="a moderators' command")
    if sentence is not None:
        await respond_ephemeral(interaction, sentence)


async def _rules(tools: BotContext, interaction: discord.Interaction) -> GuildRules:
    return await tools.store.guild_rules.rules_for(_server(interaction), interaction.user.id)


async def _set(
    tools: BotContext, interaction: discord.Interaction, rules: Mapping[int, bool], place: int, allowed: bool | None
) -> str:
    """Commit one channel's rule; the answer says what holds now."""
    others = {each: rule for each, rule in rules.items() if each != place}
    if len(others) >= _MOST_RULES and allowed is not None:
        return words.TOO_MANY_RULES
    await tools.store.guild_rules.set_channel_rule(_server(interaction), place, allowed)
    return words.now(others if allowed is None else {**others, place: allowed})


def _places(interaction: discord.Interaction, channel: Picked | None) -> list[int]:
    """Where a rule is to hold, and what that is in."""
    place = channel.id if channel is not None else interaction.channel_id or 0
    known = None if interaction.guild is None else interaction.guild.get_channel_or_thread(place)
    return channel_ids(known or discord.Object(place))


def _server(interaction: discord.Interaction) -> int:
    """Discord sends these commands only from servers."""
    return interaction.guild_id or 0
