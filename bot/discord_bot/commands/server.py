"""Where the bot answers in a guild, and how it takes part in each channel: /server, a private message of pages.

Discord shows the command only to members who may manage the guild, or whom the guild's own settings allow it. The ids
of the buttons and menus say which of the two it was, since only the first can be checked again at each press.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import discord
from discord import app_commands
from discord.ext.commands import Cog

from bot.core import access
from bot.core.channel_settings import ChannelSettings, WithoutMention
from bot.discord_bot.access.policy import channel_ids
from bot.discord_bot.channels import conversation_in
from bot.discord_bot.commands.context import BotContext, for_moderators, where_served
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.threads import may_open_threads
from bot.discord_bot.delivery.view import PlatformError, TargetGone, Unavailable
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report, update
from bot.discord_bot.names import shown_name
from bot.markdown import Document
from bot.texts import access as access_words
from bot.texts import server as words

log = logging.getLogger(__name__)

Page: TypeAlias = tuple[Sequence[str], discord.ui.View]
"""The texts of a page, of which all but the last are messages of their own, and what is under the last one."""
Menu: TypeAlias = Mapping[str, tuple[str, str]]

_IDS = re.compile(r"server(?P<granted>\+?):(?P<action>[a-z]+)(?::(?P<channel>[0-9]{1,19}))?")
_READING = frozenset({"overview", "open", "here"})
"""The actions that change nothing."""
_ON, _OFF = "on", "off"
_DOING = "/server"
_MAX_RULES = 500
"""Channels of a guild that may have a rule: all rules are read for each prompt."""
_LOOKED_UP = 5
"""Channels on record that discord.py does not know, of which Discord is asked whether they were deleted."""
_LISTED = (15, 8, 4, 2)
"""How many channels and people a list names: as many as there is room for."""
_WRITTEN_IN = (discord.TextChannel, discord.VoiceChannel, discord.StageChannel)
_KINDS = [
    discord.ChannelType.text,
    discord.ChannelType.news,
    discord.ChannelType.voice,
    discord.ChannelType.stage_voice,
    discord.ChannelType.forum,
    discord.ChannelType.category,
    discord.ChannelType.public_thread,
    discord.ChannelType.private_thread,
    discord.ChannelType.news_thread,
]


class ServerCommand(Cog):
    """/server."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot
        self._changing: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        """By guild, held from the reading of what is set there to the change that depends on it."""
        buttons.listen(bot.client, _IDS, where_served(bot.policy, self._pressed))

    @app_commands.command(description="See and change where I answer in this server, and how I take part.")
    @for_moderators
    async def server(self, interaction: discord.Interaction) -> None:
        granted = not interaction.permissions.manage_guild
        reading = self._overview(_guild_id(interaction), granted=granted)
        page = await run_or_report(interaction, reading, failed=access_words.NOT_READ, doing=_DOING)
        if page is not None:
            (*before, last), view = page
            for each in before:
                await respond_ephemeral(interaction, each)
            await respond_ephemeral(interaction, last, view=view)

    async def _pressed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        if not id_["granted"] and not interaction.permissions.manage_guild:
            await respond_ephemeral(interaction, words.NOT_ALLOWED)
            return
        failed = access_words.NOT_READ if id_["action"] in _READING else access_words.NOT_SAVED
        page = await run_or_report(interaction, self._act(interaction, id_), failed=failed, doing=_DOING)
        if isinstance(page, str):
            await respond_ephemeral(interaction, page)
        elif page is not None:
            (*_, last), view = page
            await update(interaction, last, view=view)

    async def _act(self, interaction: discord.Interaction, id_: re.Match[str]) -> Page | str:
        """Do what a button or a menu says. Returns the page that is shown then, or a sentence beside it."""
        guild_id, granted, action = _guild_id(interaction), bool(id_["granted"]), id_["action"]
        match action:
            case "overview":
                return await self._overview(guild_id, granted=granted, fits=True)
            case "everywhere":
                return await self._overview(guild_id, await self._clear_rules(guild_id), granted=granted, fits=True)
            case "open" | "here":
                ids = _opened(interaction)
                if ids is None:
                    return access_words.NOT_OF_THIS_SERVER
                return await self._channel_page(interaction, ids, granted=granted)
        if action in ("mention", "recent") and not self._bot.options.message_content:
            # The page was opened before it was switched off.
            return words.SWITCHED_OFF
        guild, channel = interaction.guild, discord.Object(int(id_["channel"]))
        try:
            ids = [] if guild is None else await self._bot.policy.places(guild, channel)
        except Unavailable:
            return access_words.NOT_READ
        if guild is None or (len(ids) < 2 and guild.get_channel_or_thread(channel.id) is None):
            return access_words.NOT_OF_THIS_SERVER
        async with self._changes_in(guild.id):
            if action in ("allow", "block"):
                change = self._allow if action == "allow" else self._block
                return await self._channel_page(interaction, ids, await change(interaction, ids), granted=granted)
            refused = await self._change(interaction, ids[0], action, _values(interaction)[0])
        return refused or await self._channel_page(interaction, ids, granted=granted)

    def _changes_in(self, guild_id: int) -> asyncio.Lock:
        return self._changing.setdefault(guild_id, asyncio.Lock())

    # Pages

    async def _overview(self, guild_id: int, said: str = "", *, granted: bool, fits: bool = False) -> Page:
        """What is set in a guild, with who decided it and when. With `fits` it is shortened to one message."""
        store, content = self._bot.store, self._bot.options.message_content

        async def read() -> tuple[access.GuildDecisions, Sequence[tuple[int, ChannelSettings, access.Decision]]]:
            return await asyncio.gather(
                store.guild_rules.decisions(guild_id, _MAX_RULES), store.channel_settings.decisions(guild_id)
            )

        decisions, settings = await read()
        if await self._forget_deleted(guild_id, [each for each, *_ in (*decisions.channels, *settings)]):
            decisions, settings = await read()
        for listed in _LISTED if fits else _LISTED[:1]:
            sections = [
                said,
                access_words.decisions(decisions, listed),
                "\n".join(words.takes_part(settings, message_content=content, listed=listed)),
                "" if content else words.SWITCHED_OFF,
            ]
            document = Document()
            document.update("\n\n".join(filter(None, sections)), final=True)
            parts = [part.content for part in document.parts]
            if len(parts) == 1:
                break
        item = _ids(granted)
        choose: discord.ui.ChannelSelect[discord.ui.View] = discord.ui.ChannelSelect(
            custom_id=item("open"), channel_types=_KINDS, placeholder=words.CHOOSE
        )
        everywhere = [_button(words.EVERYWHERE, item("everywhere"))] if decisions.channels else []
        return parts, buttons.row(choose, _button(words.HERE, item("here")), *everywhere)

    async def _forget_deleted(self, guild_id: int, channels: Sequence[int]) -> bool:
        """Delete what is set for channels that were deleted while the bot was away. Returns whether there are any."""
        guild, deleted = self._bot.client.get_guild(guild_id), False
        if guild is None or guild.unavailable:
            return False
        for channel_id in [each for each in channels if guild.get_channel_or_thread(each) is None][:_LOOKED_UP]:
            try:
                with platform_errors():
                    await self._bot.client.fetch_channel(channel_id)
            except TargetGone as error:
                if error.deleted:
                    await self._bot.store.guilds.forget_channel(channel_id, conversation_in(channel_id))
                    deleted = True
            except PlatformError as error:
                log.info("could not look up channel %d: %s", channel_id, error)
                break
        return deleted

    async def _channel_page(
        self, interaction: discord.Interaction, ids: Sequence[int], said: str = "", *, granted: bool
    ) -> Page:
        """The page of a channel, of which the first id is its own, those of its parent and its category follow."""
        guild, place, store = interaction.guild, ids[0], self._bot.store
        channel = None if guild is None else guild.get_channel(place)
        rules = await self._rules(interaction)
        parent = None if channel is not None or len(ids) < 2 else ids[1]
        item, content = _ids(granted, place), self._bot.options.message_content
        menus = list[discord.ui.Select[discord.ui.View]]()
        settings = await store.channel_settings.of(_guild_id(interaction), place)
        if content and _has_settings(channel):
            without = {each.value: shown for each, shown in words.WITHOUT_MENTION.items()}
            menus.append(_menu(item("mention"), without, settings.without_mention.value))
            if isinstance(channel, _WRITTEN_IN):
                recent = {str(count): shown for count, shown in words.RECENT.items()}
                menus.append(_menu(item("recent"), recent, str(settings.recent)))
        no_threads = False
        if isinstance(channel, discord.TextChannel):
            needs_mention = not content or settings.without_mention is WithoutMention.NEVER
            threads = {_ON if on else _OFF: shown for on, shown in words.threads(needs_mention=needs_mention).items()}
            menus.append(_menu(item("threads"), threads, _ON if settings.threads else _OFF))
            no_threads = settings.threads and not may_open_threads(channel)
        text = words.channel_page(
            place, answers=access.channel_allowed(rules, ids), parent=parent, no_threads=no_threads
        )
        under = buttons.row(
            *menus,
            _button(words.ALLOW, item("allow")),
            _button(words.BLOCK, item("block")),
            _button(words.BACK, _ids(granted)("overview")),
        )
        return ["\n\n".join(filter(None, [said, text]))], under

    # Channel rules

    async def _allow(self, interaction: discord.Interaction, ids: Sequence[int]) -> str:
        rules = await self._rules(interaction)
        if rules.get(ids[0]) is True:
            return access_words.allowed_already(ids[0], rules)
        return await self._set_rule(interaction, rules, ids[0], access.rule_to_allow(rules, ids))

    async def _block(self, interaction: discord.Interaction, ids: Sequence[int]) -> str:
        rules = await self._rules(interaction)
        if not access.channel_allowed(rules, ids):
            return access_words.not_allowed_already(ids[0], rules)
        if access.is_last_allowed(rules, ids[0]):
            return access_words.last_allowed(ids[0])
        return await self._set_rule(interaction, rules, ids[0], access.rule_to_block(rules, ids))

    async def _clear_rules(self, guild_id: int) -> str:
        async with self._changes_in(guild_id):
            cleared = await self._bot.store.guild_rules.clear_channel_rules(guild_id)
        return access_words.rules_changed({}) if cleared else access_words.EVERYWHERE_ALREADY

    async def _rules(self, interaction: discord.Interaction) -> Mapping[int, bool]:
        rules = await self._bot.store.guild_rules.rules_for(_guild_id(interaction), interaction.user.id)
        return rules.channels

    async def _set_rule(
        self, interaction: discord.Interaction, rules: Mapping[int, bool], channel_id: int, allowed: bool | None
    ) -> str:
        """Save the rule of one channel, or remove it (None). The answer says what is in force now."""
        others = {each: rule for each, rule in rules.items() if each != channel_id}
        if len(others) >= _MAX_RULES and allowed is not None:
            return access_words.TOO_MANY_RULES
        await self._bot.store.guild_rules.set_channel_rule(
            _guild_id(interaction), channel_id, allowed, by=interaction.user.id
        )
        return access_words.rules_changed(others if allowed is None else {**others, channel_id: allowed})

    # Channel settings

    async def _change(self, interaction: discord.Interaction, place: int, action: str, value: str) -> str | None:
        """Save a choice in a menu, once the channel's people know of it. Returns why it was not saved, if so."""
        settings, guild_id = self._bot.store.channel_settings, _guild_id(interaction)
        before = await settings.of(guild_id, place)
        change = _CHANGES[action](value)
        after = ChannelSettings(
            change.get("without_mention", before.without_mention),
            change.get("recent", before.recent),
            change.get("threads", before.threads),
        )
        if place not in await settings.of_guild(guild_id) and await settings.is_full(guild_id):
            # Before anybody is told of it.
            return words.TOO_MANY_CHANNELS
        if not await self._announce(interaction, place, before, after):
            return words.not_announced(place)
        changed = await settings.change(guild_id, place, by=interaction.user.id, **change)
        return words.TOO_MANY_CHANNELS if changed is None else None

    async def _announce(
        self, interaction: discord.Interaction, place: int, before: ChannelSettings, after: ChannelSettings
    ) -> bool:
        """Tell the people of a channel what the bot reads of them from now on. False: they could not be told."""
        guild, moderator = interaction.guild, shown_name(interaction.user)
        channel = None if guild is None else guild.get_channel(place)
        if not isinstance(channel, (*_WRITTEN_IN, discord.ForumChannel)):
            return True
        mentioned = after.without_mention is WithoutMention.NEVER
        sentences = []
        if not mentioned and after.without_mention is not before.without_mention:
            whole = after.without_mention is WithoutMention.ALL
            in_posts = isinstance(channel, discord.ForumChannel)
            sentences.append(words.answers_without_mention(moderator, whole_channel=whole, in_posts=in_posts))
        if after.recent > before.recent or (after.recent and sentences):
            providers = await self._providers(place)
            sentences.append(words.reads_recent(moderator, after.recent, providers, mentioned=mentioned))
        for sentence in sentences:
            try:
                with platform_errors():
                    if isinstance(channel, discord.ForumChannel):
                        # There messages are in posts only.
                        await channel.create_thread(name=words.ABOUT_ME, content=sentence, suppress_embeds=True)
                    else:
                        await channel.send(sentence, silent=True, suppress_embeds=True)
            except PlatformError:
                return False
        return True

    async def _providers(self, place: int) -> list[str]:
        """Who is sent the messages of a channel: the provider of its model, and of those that help it out."""
        settings = self._bot.conversations.settings
        chosen = (await self._bot.store.personas.settings_of(conversation_in(place))).model
        models = [settings.chosen_model(chosen), settings.fallback_model, settings.vision_model]
        return list(dict.fromkeys(settings.servers.provider(model) for model in models if model is not None))


_CHANGES: Mapping[str, Callable[[str], Mapping[str, Any]]] = {
    "mention": lambda value: {"without_mention": WithoutMention(value)},
    "recent": lambda value: {"recent": int(value)},
    "threads": lambda value: {"threads": value == _ON},
}
"""By menu: the setting that a choice in it changes."""


def _ids(granted: bool, channel_id: int | None = None) -> Callable[[str], str]:
    """The ids of what is under a page, by action."""
    prefix = f"server{'+' if granted else ''}"
    return lambda action: f"{prefix}:{action}" if channel_id is None else f"{prefix}:{action}:{channel_id}"


def _button(label: str, custom_id: str) -> discord.ui.Button[discord.ui.View]:
    return discord.ui.Button(label=label, custom_id=custom_id)


def _menu(custom_id: str, choices: Menu, chosen: str) -> discord.ui.Select[discord.ui.View]:
    return discord.ui.Select(
        custom_id=custom_id,
        options=[
            discord.SelectOption(label=label, value=value, description=does, default=value == chosen)
            for value, (label, does) in choices.items()
        ],
    )


def _has_settings(channel: discord.abc.GuildChannel | None) -> bool:
    """Whether a channel has settings of its own: messages are in it, or in its posts. Threads have their channel's."""
    return channel is not None and not isinstance(channel, discord.CategoryChannel)


def _opened(interaction: discord.Interaction) -> list[int] | None:
    """The ids of the channel whose page is opened, its parent and its category. None: it is of another guild."""
    guild, values = interaction.guild, _values(interaction)
    id_ = int(values[0]) if values else interaction.channel_id or 0
    known = None if guild is None else guild.get_channel_or_thread(id_)
    if known is None and not values and interaction.channel is not None:
        return channel_ids(interaction.channel)
    if known is None and guild is not None and not guild.unavailable:
        # discord.py does not know an archived thread, but its parent.
        data: Any = interaction.data
        parent_id = data["resolved"]["channels"][str(id_)].get("parent_id") if values else None
        parent = None if parent_id is None else guild.get_channel(int(parent_id))
        return None if parent is None else [id_, *channel_ids(parent)]
    return channel_ids(known or discord.Object(id_))


def _values(interaction: discord.Interaction) -> list[str]:
    """What was chosen in a menu. A button has nothing to choose from."""
    data: Any = interaction.data
    return list(data.get("values") or ())


def _guild_id(interaction: discord.Interaction) -> int:
    """The guild of a command that Discord offers only in guilds."""
    return interaction.guild_id or 0
