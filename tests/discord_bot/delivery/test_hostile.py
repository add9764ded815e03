"""A user whose reply is costly to render keeps no other user waiting."""

from __future__ import annotations

from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Start

COSTLY = "- - -\n" * 2667


async def test_costly_replies_keep_nobody_waiting(start: Start, discord: DiscordStandin, model: ModelStandin) -> None:
    other = discord.add_channel("other")
    model.default = Reply(lambda messages: COSTLY if "rules" in messages[-1].content else "Yes.")
    async with start(reply_tokens=10_000) as world:
        await world.ask("rules", author=discord.ada)
        await world.asked(0)
        for number in range(3):
            await world.ask("there?", other)
            await world.reply(other, "Yes.", count=number + 1)
        await world.reply(discord.general)
        await world.idle()
        ((_, kept, _),) = await world.turns(discord.general)
    # The guard in tests/callbacks.py checks that no callback took long meanwhile.
    assert kept == COSTLY
