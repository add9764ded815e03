"""What a kill costs an answer to /ask: nothing. It goes on in the channel, or waits for the one who may see it."""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.core.records import Ping
from bot.standin.entities import Permission
from bot.standin.faults import ServerError, Slow
from bot.standin.interactions import Interaction
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.store.sqlite import open_store
from tests.discord_bot.conftest import Launch, Start, World
from tests.discord_bot.inbound.leftovers import COULD_NOT
from tests.waiting import FOR_A_PROCESS, until

Phase = Callable[[DiscordStandin, ModelStandin, Path, bool], Awaitable[Interaction]]
posix = pytest.mark.skipif(sys.platform == "win32", reason="a kill of POSIX")
WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"
ORIGINAL = f"{WEBHOOK}/messages/@original"
GOES_ON = Reply([f"word{n} " for n in range(4000)], tokens_per_second=60)
TWO_PARTS = Reply(["long " * 390, "more ", *["and more "] * 4000], tokens_per_second=60)


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than Discord allows for the first answer."""
    monkeypatch.setattr("bot.standin.interactions.DEADLINE", FOR_A_PROCESS)


async def ask(discord: DiscordStandin, only_for_me: bool) -> Interaction:
    await discord.wait_for(lambda: discord.commands.registered(None))
    return await discord.slash(discord.bo, discord.general, "ask", question="tell me", only_for_me=only_for_me)


async def while_thinking(discord: DiscordStandin, model: ModelStandin, file: Path, only_for_me: bool) -> Interaction:
    model.script.append(Reply("never", first_token_after=3600))
    used = await ask(discord, only_for_me)
    await model.request(0)
    return used


async def while_the_first_text_was_on_its_way(
    discord: DiscordStandin, model: ModelStandin, file: Path, only_for_me: bool
) -> Interaction:
    model.script.append(GOES_ON)
    discord.faults.add(Slow(3600, applied=True), method="PATCH", route=ORIGINAL)
    used = await ask(discord, only_for_me)
    await discord.wait_for(lambda: used.content)
    return used


async def asks_with_a_ping(discord: DiscordStandin, model: ModelStandin, file: Path) -> Interaction:
    async with open_store(file, exclusive=False) as store:
        await store.person_settings.set_ping(discord.bo.id, Ping.ALWAYS)
    model.script.append(GOES_ON)
    return await ask(discord, only_for_me=False)


async def before_the_ping(discord: DiscordStandin, model: ModelStandin, file: Path, only_for_me: bool) -> Interaction:
    discord.faults.add(ServerError(503), method="POST", route=WEBHOOK, times=math.inf)
    used = await asks_with_a_ping(discord, model, file)
    await discord.wait_for(lambda: discord.calls("POST", WEBHOOK))
    assert used.response is not None
    assert used.response.deleted
    return used


async def while_the_ping_was_on_its_way(
    discord: DiscordStandin, model: ModelStandin, file: Path, only_for_me: bool
) -> Interaction:
    discord.faults.add(Slow(3600, applied=True), method="POST", route=WEBHOOK)
    used = await asks_with_a_ping(discord, model, file)
    await discord.wait_for(lambda: used.followups)
    return used


async def in_mid_stream(discord: DiscordStandin, model: ModelStandin, file: Path, only_for_me: bool) -> Interaction:
    model.script.append(GOES_ON)
    used = await ask(discord, only_for_me)
    await discord.wait_for(lambda: "word9" in (used.content or ""))
    return used


async def in_the_second_message(
    discord: DiscordStandin, model: ModelStandin, file: Path, only_for_me: bool
) -> Interaction:
    model.script.append(TWO_PARTS)
    used = await ask(discord, only_for_me)
    await discord.wait_for(lambda: used.followups and "more" in used.followups[0].content)
    return used


async def before_the_end_was_seen(
    discord: DiscordStandin, model: ModelStandin, file: Path, only_for_me: bool
) -> Interaction:
    model.script.append(Reply("The whole answer."))
    fault = discord.faults.add(ServerError(503), method="PATCH", times=math.inf)
    used = await ask(discord, only_for_me)

    async def states() -> list[str]:
        async with open_store(file, exclusive=False) as store:
            rows = await store.engine.read("SELECT state FROM turns WHERE reply = 'The whole answer.'")
            return [row["state"] for row in rows]

    await until(states, ["complete"], discord.patience)
    await discord.wait_for(lambda: fault.hits)
    return used


PHASES = [
    while_thinking,
    while_the_first_text_was_on_its_way,
    in_mid_stream,
    in_the_second_message,
    before_the_end_was_seen,
]


async def killed(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, file: Path, phase: Phase, *, only_for_me: bool
) -> Interaction:
    async with launch() as process:
        await discord.ready()
        used = await phase(discord, model, file, only_for_me)
        process.kill()
        await process.wait()
    discord.faults.clear()
    model.default = Reply("The whole answer.")
    return used


async def somebody_else_is_answered(world: World) -> None:
    """What is done at the start is done by then."""
    await world.answered("still there?", world.discord.random_channel, world.discord.cleo)


@posix
@pytest.mark.parametrize("phase", [*PHASES, before_the_ping, while_the_ping_was_on_its_way])
async def test_public_answer_goes_on_in_the_channel(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start, file: Path, phase: Phase
) -> None:
    used = await killed(discord, model, launch, file, phase, only_for_me=False)
    used.started -= 15 * 60
    webhooks = len([call for call in discord.requests if "webhooks" in call.route])
    asked = "The whole answer.\n-# Bo asked: “tell me”"
    for _ in range(2):
        async with start() as world:
            await discord.wait_for(lambda: [each.content for each in discord.messages(discord.general)] == [asked])
            await somebody_else_is_answered(world)
            assert await world.turns(discord.general) == [("tell me", "The whole answer.", "complete")]
    assert len([call for call in discord.requests if "webhooks" in call.route]) == webhooks, "the token is gone"
    # Its message is on record: deleting it forgets the turn.
    async with start() as world:
        await discord.delete(discord.messages(discord.general)[0])
        await world.until(lambda: world.turns(discord.general), [])


@posix
@pytest.mark.parametrize("phase", PHASES)
async def test_private_answer_waits_for_its_asker(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start, file: Path, phase: Phase
) -> None:
    used = await killed(discord, model, launch, file, phase, only_for_me=True)
    used.started -= 15 * 60
    async with start() as world:

        async def on_record() -> list[int | None]:
            return [each.message_id for each in await world.store.deliveries.sent(1)]

        await somebody_else_is_answered(world)
        assert discord.messages(discord.general) == [], "it is never posted"
        requests = len(model.requests)
        model.script.append(Reply("Hers."))
        hers = await discord.slash(discord.cleo, discord.general, "ask", question="and I?", only_for_me=True)
        await discord.wait_for(lambda: hers.content == "Hers.")
        model.script.append(Reply("Something new."))
        again = await discord.slash(discord.bo, discord.general, "ask", question="and now?", only_for_me=True)
        await discord.wait_for(lambda: again.content == "Something new.")
        await discord.wait_for(lambda: again.followups)
        ended = phase is before_the_end_was_seen
        end = "The whole answer." if ended else COULD_NOT
        await discord.wait_for(lambda: end in again.followups[-1].content)
        assert "-# You asked earlier: “tell me”" in again.followups[0].content
        assert all(each.ephemeral for each in again.followups)
        await world.idle()
        await world.until(on_record, [each.id for each in again.followups])
        assert len(model.requests) == requests + 2, "nobody asks the model again by themselves"
        assert hers.followups == []
        if not ended:
            pressed = await world.press(again.followups[-1])
            shown = again.followups if len(again.followups) == 1 else pressed.followups
            await discord.wait_for(lambda: shown and "The whole answer." in shown[-1].content)
            await world.idle()
        third = await discord.slash(discord.bo, discord.general, "ask", question="and then?", only_for_me=True)
        await discord.wait_for(lambda: third.content == "The whole answer.")
        await world.idle()
        assert third.followups == [], "it is shown once"
    assert discord.messages(discord.general) == []


@posix
async def test_where_the_bot_may_not_write_a_public_answer_stays_on_record(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start, file: Path
) -> None:
    discord.deny(discord.general, Permission.VIEW_CHANNEL)
    used = await killed(discord, model, launch, file, in_mid_stream, only_for_me=False)
    used.started -= 15 * 60
    async with start() as world:
        await somebody_else_is_answered(world)
        await world.until(lambda: world.store.turns.undelivered("discord"), [])
    assert discord.messages(discord.general) == [used.response]
