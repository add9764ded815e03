"""Nobody is told through the bot what Discord does not let them read: what others said in a channel before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.standin.entities import Channel, Message, Permission, User
from bot.standin.model import Request
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Start, World

pytestmark = [pytest.mark.usefixtures("echo"), pytest.mark.virtual_time]
HISTORY = Permission.READ_MESSAGE_HISTORY
BOS, CLEOS = "the key is under the mat", "and mine is in the shed"


def hide_from_member(discord: DiscordStandin) -> None:
    discord.world.set_permissions(discord.general, discord.cleo, deny=HISTORY)


def hide_from_role(discord: DiscordStandin) -> None:
    guests = discord.add_role("Guests")
    discord.guild.members[discord.cleo.id].roles.append(guests)
    discord.world.set_permissions(discord.general, guests, deny=HISTORY)


def hide_from_everyone(discord: DiscordStandin) -> None:
    discord.guild.everyone.permissions &= ~HISTORY
    for place in (discord.general, discord.random_channel):
        for each in (discord.bot, discord.bo, discord.max):
            discord.world.set_permissions(place, each, allow=HISTORY)


def sent(request: Request) -> list[str]:
    """What people and the bot said in a request, without the lines that name the speaker."""
    said = [str(message["content"]).splitlines()[-1] for message in request.messages]
    return said[1:]


async def context(world: World, author: User, text: str = "why?", channel: Channel | None = None) -> list[str]:
    """What the model is sent with a question."""
    await world.answered(text, channel, author)
    return sent(world.model.requests[-1])


@pytest.mark.parametrize("hide", [hide_from_member, hide_from_role, hide_from_everyone])
async def test_member_without_history_gets_their_own_turns(
    start: Start, discord: DiscordStandin, hide: Callable[[DiscordStandin], None]
) -> None:
    hide(discord)
    async with start() as world:
        asked = await world.answered(BOS)
        assert await context(world, discord.cleo, CLEOS) == [CLEOS]
        assert await context(world, discord.cleo) == [CLEOS, f"To {CLEOS}.", "why?"]
        # Nor what is said at the same time.
        world.model.script.append(Reply([BOS, " x"] * 400, tokens_per_second=60))
        running = await world.ask("tell me")
        await discord.wait_for(lambda: BOS in discord.bot_messages(discord.general)[-1].content)
        count = len(world.model.requests)
        await world.ask("hm?", author=discord.cleo)
        request = await world.asked(count)
        assert not any(BOS in each for each in sent(request))
        await discord.delete(running)
        await world.idle()
        # A thread has the rules of its channel, whichever message it is opened on.
        thread = await discord.open_thread(discord.general, "side", discord.bo, message=asked)
        assert await context(world, discord.bo, "go on", thread) == [BOS, f"To {BOS}.", "go on"]
        assert await context(world, discord.cleo, "and me?", thread) == ["and me?"]
        assert BOS in await context(world, discord.bo)
        memory = await discord.slash(discord.cleo, discord.general, "memory")
        answer = (await memory.answered()).content
        assert ": 2 people." in answer
        assert "Bo" not in answer


async def test_permission_counts_as_it_is_at_each_question(start: Start, discord: DiscordStandin) -> None:
    guests = discord.add_role("Guests")
    discord.world.set_permissions(discord.general, guests, deny=HISTORY)
    roles = discord.guild.members[discord.cleo.id].roles
    async with start() as world:
        await world.answered(BOS)
        assert BOS in await context(world, discord.cleo)
        roles.append(guests)
        assert BOS not in await context(world, discord.cleo)
        roles.remove(guests)
        assert BOS in await context(world, discord.cleo)


async def test_retry_keeps_the_stricter_view(start: Start, discord: DiscordStandin) -> None:
    async with start() as world:

        async def seen(message: Message, presser: User) -> bool:
            """Whether a retry that fails again shows the model what Max said."""
            world.model.script.append(Reply(""))
            count = len(world.model.requests)
            await world.press(message, presser)
            request = await world.asked(count)
            await world.idle()
            await discord.wait_for(lambda: message.buttons)
            return BOS in sent(request)

        async def failed() -> Message:
            world.model.script.append(Reply(""))
            return await world.answered()

        await world.answered(BOS, author=discord.max)
        message = await failed()
        discord.world.set_permissions(discord.general, discord.cleo, allow=Permission.MANAGE_MESSAGES, deny=HISTORY)
        assert await seen(message, discord.max)
        assert not await seen(message, discord.cleo)
        assert not await seen(message, discord.max), "who asked for it first may not read it"
        discord.world.set_permissions(discord.general, discord.bo, deny=HISTORY)
        assert not await seen(await failed(), discord.max)


async def test_missed_question_is_read_with_care(start: Start, discord: DiscordStandin) -> None:
    # Its author's roles are not known.
    discord.world.set_permissions(discord.general, discord.moderators, deny=HISTORY)
    places = (discord.general, discord.random_channel)
    async with start() as world:
        for place in places:
            await world.answered(BOS, place)
    for place in places:
        await discord.say(place, discord.cleo, f"{discord.bot.mention} {place.name}")
    async with start() as world:
        for place in places:
            await world.reply(place, f"To {place.name}.", count=2)
        await world.idle()
        seen = {said[-1]: BOS in said for said in map(sent, world.model.requests[2:])}
        assert seen == {"general": False, "random": True}
