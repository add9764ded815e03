"""/persona, as members, moderators and people in DMs use it."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.turns import Behaviour, Conversation
from bot.discord_bot.commands.verbatim import verbatim
from bot.standin.entities import Channel, Message, MessageFlag, User
from bot.standin.interactions import Interaction
from tests.discord_bot.commands.conftest import ask
from tests.discord_bot.conftest import Start, World
from tests.places import on_discord
from tests.store.steps import slow_disk

pytestmark = pytest.mark.virtual_time

LONG = "Arr! " * 798 + "You parrot"
"""As long as it may be: with what is said about it, more than two messages hold."""


def labels(message: Message) -> list[str]:
    return [each["label"] for each in message.buttons]


async def persona(world: World, user: User, channel: Channel) -> Interaction:
    used = await world.discord.slash(user, channel, "persona")
    await used.answered()
    assert used.ephemeral
    return used


async def press(world: World, user: User, message: Message, act: str) -> Interaction:
    return await (await world.press(message, user, f"persona:{act}")).acknowledged()


async def set_persona(world: World, user: User, channel: Channel, text: str) -> Interaction:
    """As a person does it: the command, its button, the form."""
    used = await persona(world, user, channel)
    form = await press(world, user, used.followups[-1] if used.followups else (await used.answered()), "change")
    sent = await world.discord.submit(form, text=text)
    await sent.answered()
    assert sent.ephemeral
    return sent


async def test_moderator_changes_the_persona_publicly(world: World) -> None:
    discord = world.discord
    used = await persona(world, discord.max, discord.general)
    assert used.content == "No persona is set for this channel; I use my default."
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
    assert cleared.content == "Done. In this channel I use my default again."
    assert "pirate" not in (await ask(world, discord.bo, discord.general))[0]["content"]
    assert [each.content for each in discord.bot_messages(discord.general)].count(public.content) == 2


async def test_persona_form_holds_the_current_text(world: World) -> None:
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
    assert (await cleared.answered()).content == "Done. In this channel I use my default again."
    again = await discord.submit(form, text="")
    assert (await again.answered()).content == "That's how it was already."
    told = [each for each in discord.bot_messages(discord.general) if "changed how I behave" in each.content]
    assert len(told) == 2, "only of what was changed"


async def test_unusable_persona_buttons_are_removed(world: World) -> None:
    discord = world.discord
    await set_persona(world, discord.max, discord.general, "You are a pirate.")
    shown = await (await persona(world, discord.max, discord.general)).answered()
    form = await press(world, discord.max, shown, "change")
    await (await discord.submit(form, text="You are a parrot.")).answered()
    assert shown.content == "Done. From the next question on I behave like that in this channel."
    assert labels(shown) == []
    public = await world.reply(discord.general, "/persona shows it.")
    assert public.flags & MessageFlag.SUPPRESS_EMBEDS


async def test_persona_is_shown_verbatim(world: World) -> None:
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


def test_nothing_in_a_persona_is_invisible() -> None:
    """What Unicode has as ignorable, blanks, controls and fillers; and what stays, since it is part of an emoji."""
    hidden = "\x07\r\x85\xa0\xad\u034f\u061c\u115f\u1680\u17b4\u180e\u2003\u200b\u200d\u2028\u202e\u2060\u2065"
    hidden += (
        "\u2800\u3164\ufe0f\ufeff\uffa0\ufff0\U0001bca0\U0001d159\U0001d173\U000e0001\U000e0041\U000e01ef\U000e0fff"
    )
    for emoji in ("👩🏽‍🚀", "👨‍👩‍👧", "🏳️‍🌈", "❤️", "1️⃣", "日本　語\tx"):
        [shown] = verbatim(f"a{emoji}b", "Here:")
        assert shown == f"Here:\n```\na{emoji}b\n```"
        for each in hidden:
            [shown] = verbatim(f"a{each}b{emoji}", "Here:")
            assert shown == f"Here:\n```\na[U+{ord(each):04X}]b{emoji}\n```"
    assert verbatim("1\ufe0f👩\ufe0f\ufe0f\u200d\u200dx", "Here:") == [
        "Here:\n```\n1[U+FE0F]👩\ufe0f[U+FE0F][U+200D][U+200D]x\n```"
    ]


async def test_late_persona_form_is_abandoned(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = world.discord
    shown = await (await persona(world, discord.max, discord.general)).answered()

    async def never(conversation: Conversation, parent: str | None = None) -> Behaviour:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(world.store.personas, "settings_of", never)
    monkeypatch.setattr("bot.discord_bot.commands.persona.READ_WITHIN", 0.02)
    pressed = await press(world, discord.max, shown, "change")
    assert (await pressed.answered()).content == "I can't reach my memory right now. Please try again later."


async def test_member_sees_the_persona_but_cannot_change_it(world: World) -> None:
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
        assert refused.content.startswith("Only people who can manage this server can change how I behave here.")
    assert (await world.store.personas.settings_of(on_discord(discord.general.id))).persona == "You are a pirate."


async def test_too_long_persona_is_refused(world: World) -> None:
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
    sentence = "That is 4,001 characters long. 4,000 is the limit. Please shorten it."
    assert (await refused.answered()).content == sentence
    taken = await discord.submit(form, text="🦜" * 4000)
    assert (await taken.answered()).content.startswith("Done.")


async def test_thread_inherits_its_channels_persona(world: World) -> None:
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
        f"This thread uses the persona of its channel. To clear that one, use /persona in <#{discord.general.id}>."
    )
    assert (await ask(world, discord.bo, thread))[0]["content"].startswith("You are a pirate.")
    await set_persona(world, discord.max, thread, "You are a nun.")
    assert (await ask(world, discord.bo, thread))[0]["content"].startswith("You are a nun.")
    assert (await ask(world, discord.bo, discord.general))[0]["content"].startswith("You are a pirate.")
    used = await persona(world, discord.max, thread)
    assert used.content == "**How I'm told to behave in this thread:**\n```\nYou are a nun.\n```"
    cleared = await press(world, discord.max, await used.answered(), "clear")
    assert (await cleared.answered()).content == "Done. In this thread I use its channel's persona again."


async def test_anyone_sets_the_persona_in_their_direct_messages(world: World) -> None:
    discord = world.discord
    direct = discord.open_dm(discord.bo)
    sent = await set_persona(world, discord.bo, direct, "You are a parrot.")
    assert sent.content == "Done. From the next question on I behave like that in this chat."
    assert (await ask(world, discord.bo, direct))[0]["content"].startswith("You are a parrot.")
    [reply] = discord.bot_messages(direct)
    assert "/persona" not in reply.content, "nobody else is there to be told of the change"


async def test_persona_controls_work_after_a_restart(start: Start) -> None:
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


async def test_a_persona_that_cannot_be_read_or_saved_is_said(world: World) -> None:
    discord = world.discord
    used = await persona(world, discord.max, discord.general)
    form = await press(world, discord.max, await used.answered(), "change")
    await world.store.engine.write("DROP TABLE personas")
    not_read = "I can't reach my memory right now. Please try again later."
    not_saved = "I can't save right now, so nothing is changed. Please try again later."
    for answer, sentence in (
        (await persona(world, discord.bo, discord.general), not_read),
        (await press(world, discord.max, await used.answered(), "change"), not_read),
        (await discord.submit(form, text="You are a pirate."), not_saved),
    ):
        assert (await answer.answered()).content == sentence


async def test_a_slow_disk_delays_a_persona_but_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = world.discord
    monkeypatch.setattr("bot.discord_bot.interactions.responses.DEFER_AFTER", 0.02)
    used = await persona(world, discord.max, discord.general)
    form = await press(world, discord.max, await used.answered(), "change")
    async with slow_disk(world.store):
        sent = await discord.submit(form, text="You are a pirate.")
        await sent.acknowledged()
        assert sent.deferred
    assert sent.ephemeral
    await discord.wait_for(lambda: (sent.content or "").startswith("Done."))
    told = await world.reply(discord.general)
    assert told.content == "Max changed how I behave here. /persona shows it."
