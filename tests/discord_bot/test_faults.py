"""What fails beside the calls of a reply: the person sees something, and the next prompt is answered."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path

import pytest

from bot.core.errors import DiscordError
from bot.standin.entities import Permission
from bot.standin.faults import ConnectionReset, ServerError, Twice
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import COMMANDS, Start, World, one_and_three_shards, serving
from tests.store.steps import database_of, disk_full

pytestmark = [pytest.mark.virtual_time, one_and_three_shards]

WORDS = [f"word{n} " for n in range(30)]


async def test_full_disk(world: World) -> None:
    discord = world.discord
    async with disk_full(database_of(world.store)):
        for _ in range(3):
            await world.ask("x" * 1900)
        await world.reply(
            discord.general, "-# I can't save right now, so I'd forget this. Please try again later.", count=3
        )
        await world.idle()
    await assert_the_next_prompt_works(world)


async def test_hint_survives_a_failed_post(world: World) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    discord.deny(discord.general, Permission.READ_MESSAGE_HISTORY)
    discord.faults.add(ServerError(503), method="POST", route="/channels/{channel_id}/messages")
    discord.faults.add(Twice(), event="MESSAGE_CREATE")
    await discord.say(discord.general, discord.bo, bot)
    await world.reply(discord.general, "Hi! Put your question in the same message")
    await assert_the_next_prompt_works(world)
    assert len(discord.bot_messages(discord.general)) == 2, "told once, though the event came twice"


async def test_hourglass_goes_after_a_failed_removal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.discord_bot.delivery.activity.HOURGLASS_AFTER", 0.05)
    discord = world.discord
    discord.faults.add(ServerError(503), method="DELETE")
    world.model.script.extend([Reply("slow", first_token_after=0.4), Reply("done")])
    await world.ask("first")
    waiting = await world.ask("second")
    await discord.wait_for(lambda: waiting.reactions.get("⏳") == [discord.bot])
    await discord.wait_for(lambda: not waiting.reactions.get("⏳"))
    await world.idle()


async def test_failed_reset_answer_is_told_in_the_channel(world: World) -> None:
    discord = world.discord
    route = "/interactions/{interaction_id}/{interaction_token}/callback"
    await assert_the_next_prompt_works(world)
    discord.faults.add(ConnectionReset(), method="POST", route=route)
    await discord.slash(discord.cleo, discord.general, "reset")
    await world.reply(discord.general, "Cleo cleared my memory here")


async def test_bot_starts_without_registered_commands(discord: DiscordStandin, start: Start) -> None:
    discord.faults.add(ServerError(503), method="GET", route=COMMANDS)
    async with start() as world:
        await assert_the_next_prompt_works(world)


async def test_fatal_close_during_a_reply_ends_the_bot(
    discord: DiscordStandin, model: ModelStandin, tmp_path: Path
) -> None:
    model.script.append(Reply(WORDS * 40, tokens_per_second=40))

    async def served() -> None:
        async with asyncio.timeout(10), serving(discord, model, tmp_path / "parley.db", asyncio.Event()):
            await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> tell me")
            await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) == 1)
            await discord.gateway.drop(code=4004)
            await asyncio.sleep(10)

    with pytest.raises(ExceptionGroup) as failed:
        await served()
    assert failed.group_contains(DiscordError, match="Discord refused DISCORD_TOKEN")


async def test_shutdown_is_timely_while_discord_is_down(discord: DiscordStandin, start: Start) -> None:
    async with start() as world:
        world.model.script.append(Reply(WORDS * 40, tokens_per_second=40))
        await world.ask("tell me")
        message = await world.reply(discord.general, "word0")
        discord.faults.add(ServerError(503), method="PATCH", times=math.inf)
        began = time.monotonic()
    assert time.monotonic() - began < 20, "the reply would have gone on for 30 s"
    assert "restarted" not in message.content
    discord.faults.clear()
    async with start() as world:
        world.model.default = Reply("The whole of it.")
        await discord.wait_for(lambda: message.content == "The whole of it.")
        await world.idle()
    assert len(discord.bot_messages(discord.general)) == 1


async def test_prompt_during_shutdown_is_told_to_ask_later(discord: DiscordStandin, start: Start) -> None:
    async with start() as world:
        world.model.script.append(Reply(WORDS, tokens_per_second=5))
        await world.ask("tell me")
        await world.reply(discord.general, "word0")
        world.stop.set()
        await asyncio.sleep(0.05)
        await world.ask("hello?", author=discord.cleo)
        await world.reply(discord.general, "-# I'm restarting. Please ask again in a minute.", count=2)


async def assert_the_next_prompt_works(world: World) -> None:
    discord = world.discord
    discord.faults.clear()
    await world.idle()
    world.model.default = Reply("Here I am.")
    await world.ask("are you there?", author=discord.cleo)
    await world.reply(discord.general, "Here I am.")
    await world.idle()
