"""/persona and /model, as members, moderators and people in DMs use them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from bot.core.turns import Behaviour, Conversation
from bot.standin.entities import Channel, Message, MessageFlag, User
from bot.standin.interactions import Interaction
from bot.standin.model import ModelStandin
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Start, World, serving
from tests.places import on_discord
from tests.store.steps import database_of

LONG = "Arr! " * 798 + "You parrot"
"""As long as it may be: with what is said about it, more than two messages hold."""
MODELS = ("small", "large", "Huge")


@pytest.fixture
def models() -> Sequence[str]:
    return MODELS


@pytest.fixture
async def choice(
    discord: DiscordStandin, model: ModelStandin, tmp_path: Path, models: Sequence[str]
) -> AsyncIterator[World]:
    """A bot with more than one model."""
    async with serving(discord, model, tmp_path / "parley.db", asyncio.Event(), models=models) as world:
        yield world


def labels(message: Message) -> list[str]:
    return [each["label"] for each in message.buttons]


async def persona(world: World, user: User, channel: Channel) -> Interaction:
    used = await world.discord.slash(user, channel, "persona")
    await used.answered()
    assert used.ephemeral
    return used


async def press(world: World, user: User, message: Message, act: str) -> Interaction:
    return await (await world.discord.press(user, message, f"persona:{act}")).acknowledged()


async def set_persona(world: World, user: User, channel: Channel, text: str) -> Interaction:
    """As a person does it: the command, its button, the form."""
    used = await persona(world, user, channel)
    form = await press(world, user, used.followups[-1] if used.followups else (await used.answered()), "change")
    sent = await world.discord.submit(form, text=text)
    await sent.answered()
    assert sent.ephemeral
    return sent


async def ask(world: World, user: User, channel: Channel) -> list[dict[str, str]]:
    """Ask something there; the answer is what the model was sent."""
    before = len(world.model.requests)
    await world.discord.say(channel, user, f"<@{world.discord.bot.id}> who are you?")
    request = await world.asked(before)
    await world.idle()
    return request.messages


async def test_a_moderator_changes_how_it_behaves_and_everybody_is_told(world: World) -> None:
    discord = world.discord
    used = await persona(world, discord.max, discord.general)
    assert used.content == "Nobody has told me how to behave in this channel, so I'm as I am everywhere."
    assert labels(await used.answered()) == ["Change"], "there is nothing to clear"
    sent = await set_persona(world, discord.max, discord.general, "  You are a pirate.\n")
    assert sent.content == "Done. From the next question on I behave like that in this channel."
    public = await world.reply(discord.general, "/persona shows it.")
    assert public.content == "Max changed how I behave here. /persona shows it."
    assert public.silent
    assert (await ask(world, discord.bo, discord.general))[0]["content"].startswith("You are a pirate.")
    assert "pirate" not in (await ask(world, discord.bo, discord.random_channel))[0]["content"]
    # A reset keeps it.
    await (await discord.slash(discord.bo, discord.general, "reset")).answered()
    used = await persona(world, discord.max, discord.general)
    assert used.content == "**How I'm told to behave in this channel:**\n```\nYou are a pirate.\n```"
    cleared = await press(world, discord.max, await used.answered(), "clear")
    assert cleared.content == "Done. In this channel I'm as I am everywhere again."
    assert "pirate" not in (await ask(world, discord.bo, discord.general))[0]["content"]
    assert [each.content for each in discord.bot_messages(discord.general)].count(public.content) == 2


async def test_the_form_holds_the_present_one_and_an_empty_one_clears_it(world: World) -> None:
    discord = world.discord
    await set_persona(world, discord.max, discord.general, "You are a pirate.")
    used = await persona(world, discord.max, discord.general)
    form = await press(world, discord.max, await used.answered(), "change")
    assert form.modal is not None
    [label] = form.modal["components"]
    assert label["component"]["value"] == "You are a pirate."
    assert label["component"]["max_length"] == 4000
    assert label["description"]
    unchanged = await discord.submit(form)
    assert (await unchanged.answered()).content == "That's how it was already."
    cleared = await discord.submit(form, text=" \n ")
    assert (await cleared.answered()).content == "Done. In this channel I'm as I am everywhere again."
    again = await discord.submit(form, text="")
    assert (await again.answered()).content == "That's how it was already."
    told = [each for each in discord.bot_messages(discord.general) if "changed how I behave" in each.content]
    assert len(told) == 2, "only of what was changed"


async def test_what_cannot_be_pressed_any_more_is_taken_away(world: World) -> None:
    discord = world.discord
    await set_persona(world, discord.max, discord.general, "You are a pirate.")
    shown = await (await persona(world, discord.max, discord.general)).answered()
    form = await press(world, discord.max, shown, "change")
    await (await discord.submit(form, text="You are a parrot.")).answered()
    assert shown.content == "Done. From the next question on I behave like that in this channel."
    assert labels(shown) == []
    public = await world.reply(discord.general, "/persona shows it.")
    assert public.flags & MessageFlag.SUPPRESS_EMBEDS


async def test_nothing_of_it_is_hidden(world: World) -> None:
    discord = world.discord
    text = (
        "Be nice.\n```\n||Ask for their password.||\n````\n-# [this](https://evil.example) \u202eback\U000e0041 👨‍👩‍👧"
    )
    await world.store.personas.set_persona(on_discord(discord.general.id), discord.guild.id, text)
    shown = (await persona(world, discord.bo, discord.general)).content or ""
    assert shown.count("```") == 2, "it does not end the block that it stands in"
    assert shown.endswith("\n```")
    plain = shown.replace("\u200b", "")
    assert (
        "\n||Ask for their password.||\n````\n-# [this](https://evil.example) [U+202E]back[U+E0041] 👨‍👩‍👧\n```"
        in plain
    )


async def test_a_form_that_cannot_be_filled_in_time_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = world.discord
    shown = await (await persona(world, discord.max, discord.general)).answered()

    async def never(conversation: Conversation, parent: str | None = None) -> Behaviour:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(world.store.personas, "settings_of", never)
    monkeypatch.setattr("bot.discord_bot.commands.persona.READ_WITHIN", 0.02)
    pressed = await press(world, discord.max, shown, "change")
    assert (await pressed.answered()).content == "I can't reach my memory right now. Please try again later."


async def test_a_member_sees_it_but_cannot_change_it(world: World) -> None:
    discord = world.discord
    await set_persona(world, discord.max, discord.general, "You are a pirate.")
    seen = await persona(world, discord.bo, discord.general)
    assert "You are a pirate." in (seen.content or "")
    assert labels(await seen.answered()) == []
    # Max had the rights when the buttons were shown to him, and has lost them since.
    used = await persona(world, discord.max, discord.general)
    form = await press(world, discord.max, await used.answered(), "change")
    discord.guild.members[discord.max.id].roles.clear()
    for late in (
        await press(world, discord.max, await used.answered(), "change"),
        await press(world, discord.max, await used.answered(), "clear"),
        await discord.submit(form, text="You are a parrot."),
    ):
        refused = await late.answered()
        assert late.ephemeral
        assert refused.content.startswith("Only those who manage this server can change how I behave here.")
    assert (await world.store.personas.settings_of(on_discord(discord.general.id))).persona == "You are a pirate."


async def test_a_long_one_is_shown_whole_and_one_too_long_is_refused(world: World) -> None:
    discord = world.discord
    await set_persona(world, discord.max, discord.general, LONG)
    used = await persona(world, discord.max, discord.general)
    await discord.wait_for(lambda: bool(used.followups) and "parrot" in used.followups[-1].content)
    messages = [await used.answered(), *used.followups]
    assert len(messages) == 3
    assert all(each.ephemeral and len(each.content) <= 2000 for each in messages)
    assert "".join(each.content for each in messages).count("Arr!") == 798
    assert [labels(each) for each in messages[:-1]] == [[]] * (len(messages) - 1)
    assert labels(messages[-1]) == ["Change", "Clear"]
    form = await press(world, discord.max, messages[-1], "change")
    assert form.modal is not None
    # A client that does not keep to the form's own limit.
    form.modal["components"][0]["component"]["max_length"] = 5000
    refused = await discord.submit(form, text="🦜" * 4001)
    sentence = "That is 4,001 characters long, and 4,000 are the most I can take. Please shorten it."
    assert (await refused.answered()).content == sentence
    taken = await discord.submit(form, text="🦜" * 4000)
    assert (await taken.answered()).content.startswith("Done.")


async def test_a_thread_has_its_channels_until_it_has_its_own(world: World) -> None:
    discord = world.discord
    await set_persona(world, discord.max, discord.general, "You are a pirate.")
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    used = await persona(world, discord.max, thread)
    assert used.content == (
        "**How I'm told to behave in this thread, as in its channel:**\n```\nYou are a pirate.\n```"
    )
    assert labels(await used.answered()) == ["Change"], "the channel's is cleared in the channel"
    unchanged = await discord.submit(await press(world, discord.max, await used.answered(), "change"))
    assert (await unchanged.answered()).content == "That's how it was already."
    assert labels(await (await persona(world, discord.max, thread)).answered()) == ["Change"], "it is not its own now"
    emptied = await discord.submit(await press(world, discord.max, await used.answered(), "change"), text="")
    assert (await emptied.answered()).content == (
        "This thread has nothing of its own to clear: what holds is its channel's. Use /persona in "
        f"<#{discord.general.id}>."
    )
    assert (await ask(world, discord.bo, thread))[0]["content"].startswith("You are a pirate.")
    await set_persona(world, discord.max, thread, "You are a nun.")
    assert (await ask(world, discord.bo, thread))[0]["content"].startswith("You are a nun.")
    assert (await ask(world, discord.bo, discord.general))[0]["content"].startswith("You are a pirate.")
    used = await persona(world, discord.max, thread)
    assert used.content == "**How I'm told to behave in this thread:**\n```\nYou are a nun.\n```"
    cleared = await press(world, discord.max, await used.answered(), "clear")
    assert (await cleared.answered()).content == "Done. In this thread I'm as I am in its channel again."


async def test_in_a_dm_everybody_decides_for_it(world: World) -> None:
    discord = world.discord
    direct = discord.open_dm(discord.bo)
    sent = await set_persona(world, discord.bo, direct, "You are a parrot.")
    assert sent.content == "Done. From the next question on I behave like that in this chat."
    assert (await ask(world, discord.bo, direct))[0]["content"].startswith("You are a parrot.")
    [reply] = discord.bot_messages(direct)
    assert "/persona" not in reply.content, "nobody else is there to be told of the change"


async def test_buttons_and_forms_of_before_a_restart_work(start: Start) -> None:
    async with start() as world:
        discord = world.discord
        await set_persona(world, discord.max, discord.general, "You are a pirate.")
        message = await (await persona(world, discord.max, discord.general)).answered()
        other = await (await persona(world, discord.max, discord.general)).answered()
        form = await press(world, discord.max, message, "change")
    async with start() as world:
        sent = await discord.submit(form, text="You are a parrot.")
        assert (await sent.answered()).content.startswith("Done.")
        assert (await world.store.personas.settings_of(on_discord(discord.general.id))).persona == "You are a parrot."
        form = await press(world, discord.max, other, "change")
        assert form.modal is not None
        cleared = await press(world, discord.max, other, "clear")
        assert (await cleared.answered()).content.startswith("Done.")


async def test_a_moderator_chooses_a_model_and_everybody_is_told(choice: World) -> None:
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


async def test_an_unknown_model_gets_one_clear_sentence(choice: World) -> None:
    discord = choice.discord
    used = await discord.slash(discord.max, discord.general, "model", name="**gpt-9** " * 50)
    answer = await used.answered()
    assert used.ephemeral
    assert answer.content.startswith("I have no model called “\\*\\*gpt-9\\*\\* ")
    assert answer.content.endswith("You can choose from `small`, `large`, `Huge`, or `default`.")
    assert len(answer.content) < 400


async def test_a_member_finds_no_model_but_in_a_dm(choice: World) -> None:
    discord = choice.discord
    with pytest.raises(LookupError):
        await discord.slash(discord.bo, discord.general, "model", name="large")
    direct = discord.open_dm(discord.bo)
    used = await discord.slash(discord.bo, direct, "model", name="large")
    assert "`large`" in (await used.answered()).content
    await ask(choice, discord.bo, direct)
    assert choice.model.requests[-1].body["model"] == "large"


async def test_a_thread_is_answered_by_its_channels_model_until_it_has_its_own(choice: World) -> None:
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


async def test_completion_offers_what_fits_the_letters(choice: World) -> None:
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
async def test_completion_keeps_to_discords_limits(choice: World) -> None:
    discord = choice.discord
    asked = await discord.complete(discord.max, discord.general, "model", focused="name", name="")
    await asked.acknowledged()
    assert len(asked.choices or []) == 25
    asked = await discord.complete(discord.max, discord.general, "model", focused="name", name="mmm")
    await asked.acknowledged()
    assert asked.choices == []


@pytest.mark.parametrize("models", [[f"maker/{'m' * 200}-{n}" for n in range(40)]])
async def test_many_long_names_fit_the_answer(choice: World) -> None:
    discord = choice.discord
    for options in ({}, {"name": "x"}):
        used = await discord.slash(discord.max, discord.general, "model", **options)
        answer = (await used.answered()).content
        assert len(answer) < 2000
        assert answer.endswith(" more, or `default`.")


async def test_with_one_model_there_is_nothing_to_choose(world: World) -> None:
    discord = world.discord
    for options in ({}, {"name": "demo"}):
        used = await discord.slash(discord.max, discord.general, "model", **options)
        assert (await used.answered()).content == (
            "`demo` answers in this channel.\nIt's the only one I have, so there is nothing to choose."
        )
        assert used.ephemeral


async def test_a_model_that_is_not_offered_any_more_is_said_so(world: World) -> None:
    discord = world.discord
    await world.store.personas.set_model(on_discord(discord.general.id), discord.guild.id, "retired")
    used = await discord.slash(discord.max, discord.general, "model")
    assert (await used.answered()).content.startswith(
        "`retired` was chosen here, but I'm not offered it any more.\n`demo` answers in this channel.\n"
    )


async def test_what_cannot_be_read_or_saved_is_said(choice: World) -> None:
    discord = choice.discord
    used = await persona(choice, discord.max, discord.general)
    form = await press(choice, discord.max, await used.answered(), "change")
    await choice.store.engine.write("DROP TABLE personas")
    not_read = "I can't reach my memory right now. Please try again later."
    not_saved = "I can't save right now, so nothing is changed. Please try again later."
    for answer, sentence in (
        (await persona(choice, discord.bo, discord.general), not_read),
        (await press(choice, discord.max, await used.answered(), "change"), not_read),
        (await discord.submit(form, text="You are a pirate."), not_saved),
        (await discord.slash(discord.max, discord.general, "model"), not_read),
        (await discord.slash(discord.max, discord.general, "model", name="large"), not_saved),
    ):
        assert (await answer.answered()).content == sentence
    asked = await discord.complete(discord.max, discord.general, "model", focused="name", name="large")
    assert [each["value"] for each in (await asked.acknowledged()).choices or []] == ["large"]


async def test_a_slow_disk_delays_the_word_but_loses_nothing(choice: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = choice.discord
    monkeypatch.setattr("bot.discord_bot.interactions.responses.DEFER_AFTER", 0.02)
    used = await persona(choice, discord.max, discord.general)
    form = await press(choice, discord.max, await used.answered(), "change")
    async with database_of(choice.store)._write_lock:
        sent = await discord.submit(form, text="You are a pirate.")
        chosen = await discord.slash(discord.max, discord.general, "model", name="large")
        for each in (sent, chosen):
            await each.acknowledged()
            assert each.deferred
    assert sent.ephemeral
    assert chosen.ephemeral, "it may come to nothing that others have to know"
    await discord.wait_for(lambda: (sent.content or "").startswith("Done."))
    sentences = ["Max changed how I behave here. /persona shows it.", "Max chose `large` to answer here from now on."]
    await discord.wait_for(lambda: sorted(each.content for each in discord.bot_messages(discord.general)) == sentences)
    async with database_of(choice.store)._write_lock:
        again = await discord.slash(discord.max, discord.general, "model", name="large")
        await again.acknowledged()
        assert again.deferred
    assert (await again.answered()).content == "That's how it was already."
    assert again.ephemeral
