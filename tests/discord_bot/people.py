"""What people ask of the bot, what they are shown, and what it tells those whom it may not answer."""

from __future__ import annotations

from bot.standin.entities import Channel, Guild, Message, User
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Frame

MODERATORS = "\n-# Moderators: /server sets where I answer."
"""Stands under the first answer to a moderator of a server."""
MEMBERS = "/guilds/{guild_id}/members/{user_id}"
NOT_HERE = "-# I don't answer in this server. My owner can change that."
NOT_YOU = "-# I'm not allowed to answer you, sorry. My owner can change that."
NOT_DIRECTLY = "-# I don't answer direct messages. Please mention me in a server."
AUTHOR_DENIED = "I can't answer the person who asked this any more. Please ask it yourself."
UNCLEAR = "-# Discord takes a while to tell me whether you may use me. Try again in a minute."
STRANGER = "-# I only answer direct messages from people in my servers. Please mention me in a server first."


async def ask(
    discord: DiscordStandin, text: str = "why?", channel: Channel | None = None, author: User | None = None
) -> Message:
    """Mention the bot, as Bo in #general unless told otherwise."""
    return await discord.say(channel or discord.general, author or discord.bo, f"{discord.bot.mention} {text}")


def shown(discord: DiscordStandin, channel: Channel | None = None) -> list[str]:
    """The texts of the bot's messages in a channel, or in #general."""
    return [message.content for message in discord.bot_messages(channel or discord.general)]


def lookups(discord: DiscordStandin, guild: Guild) -> int:
    """How often Discord was asked about somebody in a server."""
    return len([each for each in discord.calls("GET", MEMBERS) if f"/{guild.id}/" in each.path])


def heard_of(discord: DiscordStandin) -> list[int]:
    """The messages that the bot is told of from now on, as it is told of them: its own too."""
    heard: list[int] = []

    def listen(frame: Frame) -> None:
        if frame.name == "MESSAGE_CREATE":
            heard.append(int(frame.data["id"]))

    discord.gateway.on_frame.append(listen)
    return heard
