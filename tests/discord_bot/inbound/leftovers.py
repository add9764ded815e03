"""Turns as a kill leaves them, and how it is seen what became of them."""

from __future__ import annotations

from bot.core.turns import Attempt, Outcome, Prompt, TurnState, UserName
from bot.standin.entities import Channel, Message, MessageFlag, MessageType
from bot.standin.mentions import NOBODY
from bot.standin.server import DiscordStandin
from bot.store.databases import Database, open_store
from tests.discord_bot.conftest import World
from tests.discord_bot.people import ask
from tests.places import on_discord

POSTS = "/channels/{channel_id}/messages"
COULD_NOT = "-# I was restarted and couldn't finish."


async def states(file: Database, channel: Channel) -> list[tuple[str, str]]:
    """Reply and state of each turn, as another process reads them."""
    async with open_store(file, exclusive=False) as store:
        return [(turn.reply, turn.state.value) for turn in await store.turns.history(on_discord(channel.id), 10)]


async def forgotten(world: World, said: Message) -> None:
    """Wait until nothing is on record of a prompt in #general."""
    await world.until(lambda: world.store.turns.correct(said.id, said.content), False)


class Leftover:
    """A turn as a kill leaves it, with its messages."""

    def __init__(self, said: Message, messages: list[Message], attempt: Attempt) -> None:
        self.said = said
        self.messages = messages
        self.attempt = attempt


async def leave(
    discord: DiscordStandin,
    file: Database,
    *parts: str,
    text: str = "tell me",
    channel: Channel | None = None,
    end: TurnState | None = None,
) -> Leftover:
    """A prompt, and as much of a reply as there is to see; it had ended (`end`), or was broken off."""
    channel = channel or discord.general
    said = await ask(discord, text, channel)
    async with open_store(file, exclusive=True) as store:
        attempt = await store.turns.begin(
            Prompt(
                on_discord(channel.id),
                said.id,
                text,
                discord.bo.id,
                UserName("Bo", "bo"),
                channel.guild.id if channel.guild else None,
                message_id=said.id,
            )
        )
        assert isinstance(attempt, Attempt)
        await store.turns.save({attempt: "".join(parts)})
        messages = []
        for part, content in enumerate(parts):
            await store.deliveries.posting(attempt, part, sum(map(len, parts[:part])), f"nonce{part}")
            message = discord.world.post(
                channel,
                discord.bot,
                content.strip(),
                mentions=NOBODY,
                type=MessageType.DEFAULT if part else MessageType.REPLY,
                flags=MessageFlag.SUPPRESS_NOTIFICATIONS if part else MessageFlag.NONE,
                reply_to=None if part else said,
            )
            await store.deliveries.posted(attempt, part, message.id)
            messages.append(message)
        if end is not None:
            await store.turns.close(attempt, Outcome(end, "".join(parts)))
    return Leftover(said, messages, attempt)
