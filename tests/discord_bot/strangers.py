"""What people ask of a bot that may not answer everybody, and what they are told."""

from __future__ import annotations

from bot.standin.entities import Channel, Guild, Message, User
from tests.discord_bot.conftest import World

MEMBERS = "/guilds/{guild_id}/members/{user_id}"
NOT_HERE = "-# I don't answer in this server. Whoever runs me can change that."
NOT_YOU = "-# I may not answer you, sorry. Whoever runs me can change that."
NOT_DIRECTLY = "-# I don't answer direct messages. Please mention me in a server."
UNCLEAR = "-# I can't tell just now who you are to me. Please try again later."
STRANGER = "-# I only answer direct messages of people I share a server with. Please mention me there first."


async def mention(world: World, channel: Channel, author: User, text: str = "hello") -> Message:
    said = await world.discord.say(channel, author, f"{world.discord.bot.mention} {text}")
    await world.taken(said)
    return said


def told(world: World, channel: Channel) -> list[str]:
    return [message.content for message in world.discord.bot_messages(channel)]


def lookups(world: World, guild: Guild) -> int:
    """How often Discord was asked about somebody in a server."""
    return len([each for each in world.discord.calls("GET", MEMBERS) if f"/{guild.id}/" in each.path])
