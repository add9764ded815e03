"""The pages of /server: what is set for a server and its channels, and who may change it."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.core.access import AccessSettings, Servers
from bot.core.channel_settings import DEFAULTS, ChannelSettings, WithoutMention
from bot.standin.entities import Channel, Intent, Message, Permission, User, walk_components
from bot.standin.faults import Refused, Slow
from bot.standin.server import DiscordStandin
from bot.texts.server import TOO_MANY_CHANNELS
from tests.discord_bot.conftest import OPTIONS, Start, World
from tests.discord_bot.server_pages import (
    BLOCK,
    LIST,
    change,
    choose,
    chosen_in,
    done,
    id_of,
    offered,
    overview,
    page_of,
)

pytestmark = [
    pytest.mark.usefixtures("echo"),
    # Its menus are checked against Discord's description, if there is one.
    pytest.mark.standin(privileged=Intent.MESSAGE_CONTENT, openapi=os.environ.get("DISCORD_OPENAPI")),
]
POSTS = "/channels/{channel_id}/messages"
CANNOT_SAVE = "I can't reach my memory right now, so nothing has changed. Please try again later."


@pytest.fixture
async def reading(start: Start) -> AsyncIterator[World]:
    """The bot with MESSAGE_CONTENT."""
    async with start(options=replace(OPTIONS, message_content=True)) as world:
        yield world


async def settings(world: World, channel: Channel) -> ChannelSettings:
    return await world.store.channel_settings.of(world.discord.guild.id, channel.id)


async def test_first_page_lists_what_is_set_by_whom_and_when(reading: World) -> None:
    discord = reading.discord
    first = await overview(discord)
    assert first.content == "I answer everywhere in this server."
    assert offered(first) == ["open", "here"]
    await choose(discord, "mention", "threads")
    await choose(discord, "recent", "10")
    await choose(discord, "mention", "all", discord.random_channel)
    who = rf"\({discord.max.mention}, <t:\d+:f>\)"
    assert re.fullmatch(
        "I answer everywhere in this server.\n\nHow I take part:\n"
        rf"- {discord.general.mention}: without @ in my threads, with the last 10 messages {who}"
        "\n"
        rf"- {discord.random_channel.mention}: without @ in the whole channel {who}",
        (await overview(discord)).content,
    )
    await choose(discord, "mention", "never")
    page = await choose(discord, "recent", "0")
    assert (chosen_in(page, "mention"), chosen_in(page, "recent")) == ("Without @: never", "Recent messages: none")
    assert await settings(reading, discord.general) == DEFAULTS
    back = await discord.press(discord.max, page, id_of(page, "overview"))
    assert discord.general.mention not in await done(discord, page, back)


async def test_people_are_told_in_their_channel_what_is_read_of_them(reading: World) -> None:
    discord, random = reading.discord, reading.discord.random_channel
    read = (
        "Max lets me read the last {} messages here when {}. They go to OpenAI. I don't save them, but my answers may"
        " repeat them. /settings leaves yours out."
    )
    mentioned, asked = "someone mentions me", "someone asks me something"
    await choose(discord, "recent", "10", random)
    await choose(discord, "recent", "25", random)
    await choose(discord, "recent", "10", random)
    assert reading.shown(random) == [read.format(10, mentioned), read.format(25, mentioned)], "less is no news"
    await choose(discord, "mention", "all", random)
    without = "Max lets me answer here without a mention. What mentions or replies to someone else isn't for me."
    assert reading.shown(random)[2:] == [without, read.format(10, asked)], "what is read is more now"
    await choose(discord, "recent", "0", random)
    await choose(discord, "mention", "never", random)
    assert len(reading.shown(random)) == 4
    assert all(message.pinged == set() for message in discord.bot_messages(random))
    assert reading.shown() == [], "nobody elsewhere is told"


async def test_people_of_a_forum_are_told_in_a_post(reading: World) -> None:
    discord, forum = reading.discord, reading.discord.add_forum("help")
    discord.deny(forum, Permission.SEND_MESSAGES)
    said = await choose(discord, "mention", "all", forum)
    assert said.content.startswith("Nothing has changed: I have to tell people")
    assert await settings(reading, forum) == DEFAULTS
    discord.deny(forum, Permission.NONE)
    await choose(discord, "mention", "threads", forum)
    await choose(discord, "mention", "all", forum)
    posts = [each for each in discord.world.channels.values() if each.parent is forum]
    assert [post.name for post in posts] == ["How I take part in this forum"] * 2
    assert [reading.shown(post) for post in posts] == [
        [f"Max lets me answer in {where} without a mention. What mentions or replies to someone else isn't for me."]
        for where in ("the posts here that I have answered in", "all posts here")
    ]
    post = await discord.open_post(forum, "Boats", discord.bo, "how do I moor one?")
    await discord.wait_for(lambda: reading.shown(post.channel))
    await reading.idle()


async def test_nothing_is_read_of_people_who_cannot_be_told(reading: World) -> None:
    discord, random = reading.discord, reading.discord.random_channel
    discord.faults.add(Refused(403, 50013, "Missing Permissions"), method="POST", route=POSTS)
    said = await choose(discord, "recent", "10", random)
    assert said.content == (
        f"Nothing has changed: I have to tell people in {random.mention} first, and I can't write there."
    )
    assert await settings(reading, random) == DEFAULTS
    await choose(discord, "recent", "10", random)
    assert await settings(reading, random) == ChannelSettings(recent=10)


async def test_page_offers_what_a_channel_can_have(reading: World) -> None:
    discord = reading.discord
    category = discord.add_category("Staff")
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    rules = ["allow", "block", "overview"]
    forum = discord.add_forum("help")
    every = ["mention", "recent", "threads"]
    for channel, menus in ((discord.general, every), (forum, ["mention"]), (category, []), (thread, [])):
        page = await page_of(discord, channel)
        assert offered(page) == [*menus, *rules]
        assert page.content.startswith(f"**{channel.mention}**: I answer here.\n")
    assert f"What is set for {discord.general.mention} holds here too." in page.content


async def test_without_message_content_nothing_of_it_is_offered(start: Start, discord: DiscordStandin) -> None:
    async with start(options=replace(OPTIONS, message_content=True)) as world:
        await choose(discord, "mention", "all")
        await choose(discord, "recent", "25")
    async with start() as world:
        assert offered(await page_of(discord, discord.general)) == ["threads", "allow", "block", "overview"]
        text = (await overview(discord)).content
        assert "How I take part" not in text
        assert "I need Discord's Message Content Intent. My owner can switch it on." in text
        said = await discord.say(discord.general, discord.bo, "is anybody there?")
        await world.answered("why?", discord.random_channel)
        assert all(message.reply_to is not said for message in discord.bot_messages(discord.general))


GO_ON = "New questions get a thread. To go on in it, people mention me or reply to me with the ping on."


async def test_threads_are_switched_on_and_say_how_to_go_on_there(start: Start, discord: DiscordStandin) -> None:
    async with start() as world:
        assert told_of_threads(await page_of(discord, discord.general)) == GO_ON
        page = await choose(discord, "threads", "on")
        assert chosen_in(page, "threads") == "Threads: on"
        assert f"- {discord.general.mention}: new questions in threads (" in (await overview(discord)).content
        assert (await world.ask_and_wait("why?")).thread is not None
        discord.deny(discord.general, Permission.CREATE_PUBLIC_THREADS)
        assert (
            "Give me **Create Public Threads** and **Send Messages in Threads**"
            in (await page_of(discord, discord.general)).content
        )
        page = await choose(discord, "threads", "off")
        assert "Create Public Threads" not in page.content
        assert (await world.ask_and_wait("why?")).thread is None
    async with start(options=replace(OPTIONS, message_content=True)):
        assert told_of_threads(await page_of(discord, discord.general)) == GO_ON
        page = await choose(discord, "mention", "threads")
        assert told_of_threads(page) == "New questions get a thread."


def told_of_threads(page: Message) -> str:
    """What the choice to switch threads on says that it does."""
    [menu] = [each for each in walk_components(page.components) if each.get("custom_id") == id_of(page, "threads")]
    return str(menu["options"][1]["description"])


async def test_only_who_may_use_the_command_changes_anything(reading: World) -> None:
    discord = reading.discord
    refused = "Only people who can manage this server can change that."
    page = await page_of(discord, discord.general)
    discord.member(discord.max).roles.clear()
    for used in (
        await discord.choose(discord.max, page, id_of(page, "recent"), "10"),
        await discord.press(discord.max, page, id_of(page, "block")),
        await discord.press(discord.max, page, id_of(page, "overview")),
    ):
        assert (await used.answered()).content == refused
        assert used.ephemeral
    assert await settings(reading, discord.general) == DEFAULTS
    with pytest.raises(LookupError):
        await overview(discord, discord.bo)
    # A server may give the command to somebody who does not manage it.
    discord.permit("server", discord.bo, True)
    page = await choose(discord, "recent", "10", person=discord.bo)
    assert page.content.startswith(f"**{discord.general.mention}**")
    assert await settings(reading, discord.general) == ChannelSettings(recent=10)
    assert Permission.MANAGE_GUILD not in discord.world.permissions(discord.bo, discord.general)


async def test_channel_that_is_gone_or_elsewhere_gets_no_settings(reading: World) -> None:
    discord = reading.discord
    doomed = discord.add_channel("doomed")
    page = await page_of(discord, doomed)
    await choose(discord, "mention", "all", doomed)
    discord.world.delete_channel(doomed)
    await reading.until(lambda: reading.store.channel_settings.decisions(discord.guild.id), [])
    said = await done(discord, page, await discord.choose(discord.max, page, id_of(page, "recent"), "10"))
    assert said.startswith("That channel isn't in this server, so nothing has changed.")
    assert await reading.store.channel_settings.decisions(discord.guild.id) == []


async def test_channel_that_was_deleted_meanwhile_is_not_listed(start: Start, discord: DiscordStandin) -> None:
    doomed, hidden = discord.add_channel("doomed"), discord.add_channel("hidden")
    async with start(options=replace(OPTIONS, message_content=True)) as world:
        for place in (doomed, hidden, discord.general):
            await choose(discord, "mention", "all", place)
        await change(discord, BLOCK, doomed)
    discord.world.delete_channel(doomed)
    discord.deny(hidden, Permission.VIEW_CHANNEL)
    async with start(options=replace(OPTIONS, message_content=True)) as world:
        listed = await change(discord, LIST)
        assert doomed.mention not in listed
        assert hidden.mention in listed
        assert discord.general.mention in listed
        left = [each for each, *_ in await world.store.channel_settings.decisions(discord.guild.id)]
        assert sorted(left) == sorted([hidden.id, discord.general.id])


async def test_nobody_is_told_of_what_a_server_has_no_room_for(reading: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord, random = reading.discord, reading.discord.random_channel
    monkeypatch.setattr("bot.store.channel_settings.MOST_CHANNELS", 1)
    await choose(discord, "recent", "10")
    said = await choose(discord, "recent", "10", random)
    assert said.content == TOO_MANY_CHANNELS
    assert reading.shown(random) == []
    await choose(discord, "recent", "25")
    assert (await settings(reading, discord.general)).recent == 25


async def test_announcement_that_takes_long_keeps_no_other_server_waiting(
    start: Start, discord: DiscordStandin, eve: User, lobby: Channel
) -> None:
    everywhere = AccessSettings(servers=Servers(any=True))
    async with start(options=replace(OPTIONS, message_content=True, access=everywhere)):
        here, there = await page_of(discord, discord.general), await overview(discord, eve, lobby)
        discord.faults.add(Slow(3600.0), method="POST", route=POSTS)
        await discord.choose(discord.max, here, id_of(here, "recent"), "10")
        await discord.wait_for(lambda: discord.calls("POST", POSTS))
        for action in ("here", "block"):
            await done(discord, there, await discord.press(eve, there, id_of(there, action)))
        assert "I don't answer here." in there.content


async def test_page_from_before_message_content_was_switched_off_changes_nothing_of_it(
    start: Start, discord: DiscordStandin
) -> None:
    async with start(options=replace(OPTIONS, message_content=True)):
        page = await page_of(discord, discord.general)
    async with start() as world:
        used = await discord.choose(discord.max, page, id_of(page, "recent"), "10")
        assert "I need Discord's Message Content Intent" in (await used.answered()).content
        assert await settings(world, discord.general) == DEFAULTS
        assert world.shown() == [], "nobody is told what is not so"


async def test_choices_at_once_are_all_kept(reading: World) -> None:
    discord = reading.discord
    pages = [await page_of(discord, discord.general) for _ in range(2)]
    chosen = [
        await discord.choose(discord.max, pages[0], id_of(pages[0], "mention"), WithoutMention.THREADS.value),
        await discord.choose(discord.max, pages[1], id_of(pages[1], "recent"), "25"),
    ]
    for page, used in zip(pages, chosen, strict=True):
        await done(discord, page, used)
    assert await settings(reading, discord.general) == ChannelSettings(WithoutMention.THREADS, 25)
