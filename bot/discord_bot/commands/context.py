"""What the commands share: the parts of the bot that they act on, and the place that a command is used in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import discord
from discord import app_commands

from bot.core.service import ConversationService
from bot.core.turns import Conversation
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.channels import conversation_in, private_conversation
from bot.discord_bot.delivery.replies import Replies
from bot.discord_bot.inbound.ask_handler import AskHandler
from bot.discord_bot.inbound.files import PromptFiles
from bot.discord_bot.inbound.pictures import DiscordPictures
from bot.discord_bot.inbound.recent import RecentMessages
from bot.discord_bot.inbound.targets import Targets
from bot.discord_bot.interactions.button_handler import ButtonHandler
from bot.discord_bot.interactions.responses import Forms, respond_ephemeral
from bot.discord_bot.options import Options
from bot.discord_bot.tasks import TaskSupervisor
from bot.store import Store
from bot.texts import access as access_words
from bot.texts import channel_settings as words

Given = TypeVar("Given")
F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, None]])

_EVERYWHERE = frozenset({"help", "memory", "export", "forget-me", "settings"})
"""The commands that work in guilds that are not served too. They keep nothing of the guild."""


def for_moderators(command: F) -> F:
    """Have Discord show a command to those who may manage the guild, unless its own settings say otherwise."""
    app_commands.default_permissions(discord.Permissions(manage_guild=True))(command)
    # discord.py gives a command without contexts those of the tree, which include DMs.
    return app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)(command)


class Tree(app_commands.CommandTree[discord.Client]):
    """The commands of one bot, which refuse in a guild that is not served."""

    def __init__(self, client: discord.Client, policy: Policy) -> None:
        super().__init__(
            client,
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        )
        self._policy = policy

    async def interaction_check(self, interaction: discord.Interaction) -> bool:
        if interaction.type is not discord.InteractionType.application_command:
            return True
        data: Any = interaction.data
        denied = None if data["name"] in _EVERYWHERE else await self._policy.check_guild(interaction)
        if denied is not None:
            await respond_ephemeral(interaction, access_words.denied(denied))
        return denied is None


@dataclass(frozen=True, slots=True)
class BotContext:
    """The parts of one bot that commands act on."""

    client: discord.Client
    conversations: ConversationService
    store: Store
    replies: Replies
    policy: Policy
    forms: Forms
    options: Options
    tasks: TaskSupervisor
    files: PromptFiles
    pictures: DiscordPictures
    targets: Targets
    button_handler: ButtonHandler
    recent: RecentMessages
    asking: AskHandler


Handler = Callable[[discord.Interaction, Given], Awaitable[None]]
"""Handles a press on a button or a submitted form, with the match of its id or its text."""


def where_served(policy: Policy, handler: Handler[Given]) -> Handler[Given]:
    """The handler, with a refusal in its place in a guild that is not served."""

    async def checked(interaction: discord.Interaction, given: Given) -> None:
        if denied := await policy.check_guild(interaction):
            await respond_ephemeral(interaction, access_words.denied(denied))
        else:
            await handler(interaction, given)

    return checked


@dataclass(frozen=True, slots=True)
class Place:
    """The channel, thread or DM that a command is used in."""

    conversation: Conversation
    """What everybody says there; or what only the user sees, if that is asked for."""
    channel: Conversation
    """The conversation whose persona and model hold there."""
    parent: Conversation | None
    """The channel's conversation, for a thread."""
    guild_id: int | None
    user_id: int | None
    """The user whose DM it is."""
    private: bool
    """Whether only one user sees the conversation."""

    @property
    def label(self) -> str:
        """What sentences call the place."""
        if self.guild_id is None:
            return words.DIRECT
        return words.CHANNEL if self.parent is None else words.THREAD


def place(interaction: discord.Interaction, *, only_for_me: bool = False) -> Place:
    """The place of an interaction, for everybody or for the user alone."""
    channel = interaction.channel
    parent = conversation_in(channel.parent_id) if isinstance(channel, discord.Thread) else None
    in_dm = interaction.guild_id is None
    channel_id, user_id = interaction.channel_id or 0, interaction.user.id
    here = conversation_in(channel_id)
    conversation = private_conversation(channel_id, user_id) if only_for_me else here
    return Place(
        conversation, here, parent, interaction.guild_id, user_id if in_dm else None, private=only_for_me or in_dm
    )
