"""/model, as members, moderators and people in DMs use it."""

from __future__ import annotations

import pytest

from bot.standin.entities import Channel
from tests.discord_bot.commands.conftest import MODELS, ask
from tests.discord_bot.conftest import World
from tests.places import on_discord
from tests.store.steps import slow_disk

pytestmark = pytest.mark.virtual_time


async def test_moderator_chooses_a_model_publicly(choice: World) -> None:
    discord = choice.discord
    shown = await discord.slash(discord.max, discord.general, "model")
    assert (await shown.answered()).content == (
        "`small` answers in this channel.\nYou can choose from `small`, `large`, `Huge`, or `default`."
    )
    assert shown.ephemeral
    used = await discord.slash(discord.max, discord.general, "model", name=" huge")
    told = await used.answered()
    assert told.content == "Max chose `Huge` to answer here from now on."
    assert told.silent
    assert not used.ephemeral
    await ask(choice, discord.bo, discord.general)
    await ask(choice, discord.bo, discord.random_channel)
    assert [request.body["model"] for request in choice.model.requests] == ["Huge", "small"]
    again = await discord.slash(discord.max, discord.general, "model", name="Huge")
    assert (await again.answered()).content == "That's how it was already."
    assert again.ephemeral
    await (await discord.slash(discord.bo, discord.general, "reset")).answered()
    back = await discord.slash(discord.max, discord.general, "model", name="default")
    assert (await back.answered()).content == "Max chose `small` to answer here from now on."


async def test_unknown_model_gets_one_sentence(choice: World) -> None:
    discord = choice.discord
    used = await discord.slash(discord.max, discord.general, "model", name="**gpt-9** " * 50)
    answer = await used.answered()
    assert used.ephemeral
    assert answer.content.startswith("I have no model called “\\*\\*gpt-9\\*\\* ")
    assert answer.content.endswith("You can choose from `small`, `large`, `Huge`, or `default`.")
    assert len(answer.content) < 400


async def test_member_chooses_a_model_only_in_direct_messages(choice: World) -> None:
    discord = choice.discord
    with pytest.raises(LookupError):
        await discord.slash(discord.bo, discord.general, "model", name="large")
    direct = discord.open_dm(discord.bo)
    used = await discord.slash(discord.bo, direct, "model", name="large")
    assert "`large`" in (await used.answered()).content
    await ask(choice, discord.bo, direct)
    assert choice.model.requests[-1].body["model"] == "large"


async def test_thread_inherits_its_channels_model(choice: World) -> None:
    discord = choice.discord
    await (await discord.slash(discord.max, discord.general, "model", name="large")).answered()
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    shown = await discord.slash(discord.max, thread, "model")
    assert (await shown.answered()).content.startswith("`large` answers in this thread, as in its channel.")
    await ask(choice, discord.bo, thread)
    await (await discord.slash(discord.max, thread, "model", name="small")).answered()
    await ask(choice, discord.bo, thread)
    assert [request.body["model"] for request in choice.model.requests] == ["large", "small"]
    back = await discord.slash(discord.max, thread, "model", name="default")
    assert (await back.answered()).content == "Max chose `large` to answer here from now on."


async def test_completion_offers_matching_models(choice: World) -> None:
    discord = choice.discord

    async def offered(channel: Channel, typed: str) -> list[tuple[str, str]]:
        asked = await discord.complete(discord.max, channel, "model", focused="name", name=typed)
        await asked.acknowledged()
        return [(each["name"], each["value"]) for each in asked.choices or []]

    everything = [("default (as everywhere: small)", "default"), *((each, each) for each in MODELS)]
    assert await offered(discord.general, "") == everything
    assert await offered(discord.general, "hU") == [("Huge", "Huge")]
    assert await offered(discord.general, "x") == []
    await (await discord.slash(discord.max, discord.general, "model", name="large")).answered()
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    assert (await offered(thread, "default"))[0] == ("default (as in the channel: large)", "default")


@pytest.mark.parametrize("models", [[f"model-{n}" for n in range(40)] + ["m" * 101]])
async def test_completion_respects_discords_limits(choice: World) -> None:
    discord = choice.discord
    asked = await discord.complete(discord.max, discord.general, "model", focused="name", name="")
    await asked.acknowledged()
    assert len(asked.choices or []) == 25
    asked = await discord.complete(discord.max, discord.general, "model", focused="name", name="mmm")
    await asked.acknowledged()
    assert asked.choices == []


@pytest.mark.parametrize("models", [[f"maker/{'m' * 200}-{n}" for n in range(40)]])
async def test_answer_fits_many_long_model_names(choice: World) -> None:
    discord = choice.discord
    for options in ({}, {"name": "x"}):
        used = await discord.slash(discord.max, discord.general, "model", **options)
        answer = (await used.answered()).content
        assert len(answer) < 2000
        assert answer.endswith(" more, or `default`.")


async def test_single_model_leaves_no_choice(world: World) -> None:
    discord = world.discord
    for options in ({}, {"name": "demo"}):
        used = await discord.slash(discord.max, discord.general, "model", **options)
        assert (await used.answered()).content == (
            "`demo` answers in this channel.\nIt's the only one I have, so there is nothing to choose."
        )
        assert used.ephemeral


async def test_withdrawn_model_is_reported(world: World) -> None:
    discord = world.discord
    await world.store.personas.set_model(on_discord(discord.general.id), discord.guild.id, "retired")
    used = await discord.slash(discord.max, discord.general, "model")
    assert (await used.answered()).content.startswith(
        "`retired` was chosen here, but it's no longer available.\n`demo` answers in this channel.\n"
    )


async def test_a_model_that_cannot_be_read_or_saved_is_said(choice: World) -> None:
    discord = choice.discord
    await choice.store.engine.write("DROP TABLE personas")
    for options, sentence in (
        ({}, "I can't reach my memory right now. Please try again later."),
        ({"name": "large"}, "I can't save right now, so nothing is changed. Please try again later."),
    ):
        used = await discord.slash(discord.max, discord.general, "model", **options)
        assert (await used.answered()).content == sentence
    asked = await discord.complete(discord.max, discord.general, "model", focused="name", name="large")
    assert [each["value"] for each in (await asked.acknowledged()).choices or []] == ["large"]


async def test_a_slow_disk_delays_a_choice_but_loses_nothing(choice: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = choice.discord
    monkeypatch.setattr("bot.discord_bot.interactions.responses.DEFER_AFTER", 0.02)
    async with slow_disk(choice.store):
        chosen = await discord.slash(discord.max, discord.general, "model", name="large")
        await chosen.acknowledged()
        assert chosen.deferred
    assert chosen.ephemeral, "it may come to nothing that others have to know"
    told = await choice.reply(discord.general)
    assert told.content == "Max chose `large` to answer here from now on."
    async with slow_disk(choice.store):
        again = await discord.slash(discord.max, discord.general, "model", name="large")
        await again.acknowledged()
        assert again.deferred
    assert (await again.answered()).content == "That's how it was already."
    assert again.ephemeral
