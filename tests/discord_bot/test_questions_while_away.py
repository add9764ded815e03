"""The database is away for some seconds when a question comes: it waits, and is answered once, in its order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bot.core.outages import AWAY_FOR
from bot.core.records import Ping
from bot.standin.entities import Attachment, Intent
from bot.standin.model import ModelStandin
from bot.standin.parts import text_of
from bot.standin.script import Refusal, Reply
from bot.store.channel_settings import ChannelSettingsStore
from bot.store.databases import Database
from bot.store.files import FileStore
from bot.store.guild_rules import GuildRuleStore
from bot.store.part import Part
from bot.store.person_settings import PersonSettingsStore
from bot.store.personas import PersonaStore
from bot.store.quotas import QuotaStore
from bot.store.recent_authors import RecentAuthorStore
from bot.store.token_statistics import TokenStatisticsStore
from bot.store.turns import TurnStore
from bot.store.windows import WindowStore
from tests.discord_bot.conftest import Held, Start, World
from tests.discord_bot.inbound.recent_messages import READING, heard, let
from tests.discord_bot.outages import Outage, away

pytestmark = [pytest.mark.virtual_time, pytest.mark.both_engines]

CANNOT_SAVE = "-# I can't save right now, so I'd forget this. Please try again later."


def asked(model: ModelStandin, *words: str) -> bool:
    """Whether each request's question has its word, and there is no other request."""
    questions = [text_of(request.messages[-1]["content"]) for request in model.requests]
    return len(questions) == len(words) and all(map(str.__contains__, questions, words))


@pytest.mark.parametrize(
    ("part", "call"),
    [
        (GuildRuleStore, "rules_for"),
        (ChannelSettingsStore, "of"),
        (TurnStore, "begin"),
        (PersonaStore, "settings_of"),
        (TurnStore, "of_attempt"),
        (TokenStatisticsStore, "of_all"),
        (WindowStore, "ahead"),
        (WindowStore, "earlier"),
        (QuotaStore, "reserve"),
    ],
)
async def test_question_waits_for_the_database_wherever_that_goes_away(
    world: World, outage: Outage, part: type[Part], call: str
) -> None:
    discord, model = world.discord, world.model
    model.script += [Reply("First."), Reply("Second.")]
    outage.begin_at(part, call, AWAY_FOR / 2)
    await world.ask("one")
    await discord.wait_for(lambda: outage.on)
    await world.ask("two")
    await discord.wait_for(lambda: world.shown() == ["First.", "Second."])
    await world.idle()
    assert asked(model, "one", "two")
    assert [state for *_, state in await world.turns(discord.general)] == ["complete", "complete"]


@pytest.mark.real_time
@pytest.mark.usefixtures("echo")
@pytest.mark.parametrize("call", ["unread", "add"])
async def test_file_of_a_question_waits_for_the_database(world: World, outage: Outage, call: str) -> None:
    discord = world.discord
    outage.begin_at(FileStore, call, 1.0)
    file = Attachment("app.log", b"all is well")
    await discord.say(discord.general, discord.bo, f"{discord.bot.mention} one", attachments=[file])
    await world.reply(discord.general)
    await world.idle()
    [request] = world.model.requests
    assert "all is well" in str(request.messages[-1])


@pytest.mark.parametrize(("part", "call"), [(QuotaStore, "settle_replaced"), (TurnStore, "set_answered_by")])
async def test_fallback_waits_for_the_database(
    start: Start, model: ModelStandin, outage: Outage, part: type[Part], call: str
) -> None:
    model.script += [Refusal(401, {}), Reply("From another.")]
    async with start(fallback_model="spare") as world:
        outage.begin_at(part, call, AWAY_FOR / 2)
        await world.ask("one")
        await world.reply(world.discord.general, "From another.")
        await world.idle()
        assert asked(model, "one", "one")
        rows = await world.store.engine.read("SELECT 1 FROM charges WHERE settled = 1")
        assert len(rows) == 2, "each model is charged once"


@pytest.mark.parametrize(("part", "call"), [(GuildRuleStore, "rules_for"), (TurnStore, "begin")])
async def test_question_of_a_command_waits_for_the_database(
    world: World, outage: Outage, part: type[Part], call: str
) -> None:
    discord = world.discord
    world.model.default = Reply("Since it is.")
    outage.begin_at(part, call, AWAY_FOR / 2)
    used = await discord.slash(discord.bo, discord.general, "ask", question="one")
    await discord.wait_for(lambda: used.response is not None and "Since it is." in used.response.content)
    await world.idle()


@pytest.mark.usefixtures("echo")
@pytest.mark.standin(privileged=Intent.MESSAGE_CONTENT)
@pytest.mark.parametrize(("part", "call"), [(PersonSettingsStore, "left_out"), (RecentAuthorStore, "add")])
async def test_what_goes_along_with_a_question_waits_for_the_database(
    start: Start, outage: Outage, part: type[Part], call: str
) -> None:
    async with start(options=READING) as world:
        discord = world.discord
        await let(world)
        await discord.say(discord.general, discord.cleo, "a word")
        outage.begin_at(part, call, AWAY_FOR / 2)
        await world.answered("what do they say?")
        assert heard(world) == "[Cleo (@cleo)]\n> a word"


async def test_answer_to_a_question_that_waited_pings_as_its_author_has_chosen(world: World, outage: Outage) -> None:
    discord = world.discord
    world.model.default = Reply("Since it is.")
    await world.store.person_settings.set_ping(discord.bo.id, Ping.ALWAYS)
    outage.begin(AWAY_FOR / 2)
    await world.ask("one")
    message = await world.reply(discord.general, "Since it is.")
    await world.idle()
    assert message.pinged == {discord.bo}


@pytest.mark.parametrize(
    ("part", "call", "told"),
    [
        (GuildRuleStore, "rules_for", CANNOT_SAVE),
        (TurnStore, "begin", CANNOT_SAVE),
        (QuotaStore, "reserve", CANNOT_SAVE),
    ],
)
async def test_whoever_has_waited_for_too_long_is_told(
    world: World, outage: Outage, part: type[Part], call: str, told: str
) -> None:
    discord = world.discord
    outage.begin_at(part, call, 2 * AWAY_FOR)
    await world.ask("one")
    await discord.wait_for(lambda: outage.on)
    await asyncio.sleep(AWAY_FOR - 1.0)
    assert world.shown() == []
    if call == "reserve":
        assert discord.bot.id in discord.general.typing
    message = await world.reply(discord.general, told)
    assert [each["label"] for each in message.buttons] == (["Retry"] if call == "reserve" else [])
    await world.until(lambda: not outage.on)
    await world.idle()
    assert world.model.requests == []
    world.model.default = Reply("Since it is.")
    if call == "reserve":
        await asyncio.sleep(AWAY_FOR)
        await world.press(message)
        await discord.wait_for(lambda: message.content == "Since it is.")
    else:
        await world.answered("one")


@pytest.mark.parametrize(("part", "call"), [(TurnStore, "begin"), (QuotaStore, "reserve")])
async def test_question_that_is_deleted_meanwhile_is_not_answered(
    world: World, outage: Outage, part: type[Part], call: str
) -> None:
    outage.begin_at(part, call, AWAY_FOR / 2)
    said = await world.ask("one")
    await world.discord.wait_for(lambda: outage.on)
    await world.discord.delete(said)
    await world.until(lambda: not outage.on)
    await world.idle()
    assert world.model.requests == []
    assert world.shown() == []
    await world.until(lambda: world.store.engine.read("SELECT 1 FROM turns"), [])


@pytest.mark.parametrize(("part", "call"), [(TurnStore, "begin"), (QuotaStore, "reserve")])
async def test_edit_meanwhile_is_taken(world: World, outage: Outage, part: type[Part], call: str) -> None:
    discord = world.discord
    world.model.script += [Reply("First."), Reply("Second.")]
    outage.begin_at(part, call, AWAY_FOR / 2)
    said = await world.ask("one")
    await discord.wait_for(lambda: outage.on)
    await discord.edit(said, f"{discord.bot.mention} two")
    message = await world.reply(discord.general, "First.")
    await discord.wait_for(lambda: [each["label"] for each in message.buttons] == ["Retry"])
    await world.press(message)
    await discord.wait_for(lambda: message.content == "Second.")
    await world.idle()
    assert asked(world.model, "one", "two")


@pytest.mark.real_time
@pytest.mark.usefixtures("echo")
@pytest.mark.parametrize(("part", "call"), [(TurnStore, "begin"), (QuotaStore, "reserve")])
async def test_restart_of_the_database_is_not_noticed(
    request: pytest.FixtureRequest,
    start: Start,
    file: Database,
    hold: Callable[[type[Part], str], Held],
    monkeypatch: pytest.MonkeyPatch,
    part: type[Part],
    call: str,
) -> None:
    monkeypatch.setattr("bot.store.sqlite.connection.BUSY_S", 0.2)
    async with start() as world:
        held = hold(part, call)
        await world.ask("one")
        await held.begun.wait()
        async with away(file, request):
            held.go_on.set()
            await asyncio.sleep(0.5)
            assert world.shown() == []
        await world.reply(world.discord.general, "To one.")
        await world.idle()
        assert world.shown() == ["To one."]
        assert len(world.model.requests) == 1
