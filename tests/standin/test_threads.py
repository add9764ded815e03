"""Threads and forums of the stand-in, as an unmodified discord.py client meets them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp
import discord
import pytest

from bot.standin.entities import Channel, ChannelType, MessageFlag, MessageType, Permission
from bot.standin.server import DiscordStandin
from tests.standin.conftest import Client, Open, text_channel
from tests.standin.test_limits import Raw


async def code_of(call: Awaitable[object]) -> int:
    with pytest.raises(discord.HTTPException) as refused:
        await call
    return refused.value.code


async def asked(standin: DiscordStandin, client: Client) -> discord.Message:
    await standin.say(standin.general, standin.bo, f"{standin.bot.mention} discuss")
    await client.until(client.heard)
    return client.heard()[-1]


async def test_a_message_has_one_thread(standin: DiscordStandin, client: Client) -> None:
    message = await asked(standin, client)
    thread = await message.create_thread(name="Discussion")
    assert (thread.id, thread.owner_id) == (message.id, standin.bot.id)
    assert await code_of(message.create_thread(name="Again")) == 160004


async def test_its_creator_renames_a_thread_twice_in_ten_minutes(
    open_standin: Open, http: aiohttp.ClientSession
) -> None:
    standin = await open_standin()
    raw, thread = Raw(standin, http), standin.world.open_thread(standin.general, "Plain", standin.bot)
    answers = [await raw("PATCH", f"/channels/{thread.id}", {"name": name}) for name in ("First", "Second", "Third")]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert 590 < answers[-1][2]["retry_after"] <= 600
    assert thread.name == "Second"


async def test_nobody_else_renames_it(standin: DiscordStandin, client: Client) -> None:
    theirs = standin.world.open_thread(standin.general, "Bo's", standin.bo)
    await client.until(lambda: client.get_channel(theirs.id))
    thread = client.get_channel(theirs.id)
    assert isinstance(thread, discord.Thread)
    assert await code_of(thread.edit(name="Mine")) == 50013
    standin.world.update_thread(theirs, archived=True)
    # Who may write in it may open it again.
    await thread.edit(archived=False)
    assert not theirs.archived


async def _opens(message: discord.Message, thread: discord.Thread) -> int:
    return await code_of(message.create_thread(name="no"))


async def _sends(message: discord.Message, thread: discord.Thread) -> int:
    return await code_of(thread.send("no"))


async def _renames(message: discord.Message, thread: discord.Thread) -> int:
    return await code_of(thread.edit(name="no"))


def _may_not_open(standin: DiscordStandin, thread: Channel) -> None:
    standin.deny(standin.general, Permission.CREATE_PUBLIC_THREADS)


def _may_not_send(standin: DiscordStandin, thread: Channel) -> None:
    standin.deny(standin.general, Permission.SEND_MESSAGES_IN_THREADS)


def _locked(standin: DiscordStandin, thread: Channel) -> None:
    standin.world.update_thread(thread, locked=True)


def _archived(standin: DiscordStandin, thread: Channel) -> None:
    standin.world.update_thread(thread, archived=True)


@pytest.mark.parametrize(
    ("strike", "act", "code"),
    [
        (_may_not_open, _opens, 50013),
        (_may_not_send, _sends, 50013),
        (_locked, _sends, 160005),
        (_locked, _renames, 50013),
        (_archived, _renames, 50083),
    ],
)
async def test_what_discord_refuses_in_threads(
    standin: DiscordStandin,
    client: Client,
    strike: Callable[[DiscordStandin, Channel], None],
    act: Callable[[discord.Message, discord.Thread], Awaitable[int]],
    code: int,
) -> None:
    message = await asked(standin, client)
    thread = await message.create_thread(name="Discussion")
    strike(standin, standin.world.channels[thread.id])
    other = await standin.say(standin.general, standin.bo, f"{standin.bot.mention} and this?")
    await client.until(lambda: client.heard()[-1].id == other.id)
    assert await act(client.heard()[-1], thread) == code


async def test_locked_threads_are_for_who_manages_threads(standin: DiscordStandin, client: Client) -> None:
    thread = standin.world.open_thread(standin.general, "side", standin.bo)
    standin.world.update_thread(thread, locked=True)
    with pytest.raises(PermissionError, match="locked"):
        await standin.say(thread, standin.bo, "let me in")
    standin.allow(standin.general, Permission.MANAGE_THREADS)
    await client.get_partial_messageable(thread.id).send("here I am")
    assert [each.content for each in standin.bot_messages(thread)] == ["here I am"]


async def test_slow_mode_is_for_people(standin: DiscordStandin, client: Client) -> None:
    standin.world.slow_down(standin.general, 3600)
    await client.until(lambda: text_channel(client, standin.general).slowmode_delay == 3600)
    await standin.say(standin.general, standin.bo, "one")
    with pytest.raises(PermissionError, match="slow mode"):
        await standin.say(standin.general, standin.bo, "two")
    await standin.say(standin.general, standin.ada, "one")
    await standin.say(standin.general, standin.ada, "two")
    channel = text_channel(client, standin.general)
    await channel.send("one")
    await channel.send("two")
    assert len(standin.bot_messages(standin.general)) == 2


async def test_a_forum_holds_posts_and_no_messages(standin: DiscordStandin, client: Client) -> None:
    forum = standin.add_forum("help", topic="Ask here")
    with pytest.raises(PermissionError):
        await standin.say(forum, standin.bo, "hello")
    first = await standin.open_post(forum, "My boat leaks", standin.bo, f"{standin.bot.mention} help!")
    await client.until(client.heard)
    heard = client.heard()[0]
    assert isinstance(heard.channel, discord.Thread)
    assert isinstance(heard.channel.parent, discord.ForumChannel)
    # The first message of a post has the id of its thread, and is in it.
    assert (heard.id, heard.channel.id, heard.channel.name) == (first.id, first.id, "My boat leaks")
    assert (await heard.channel.fetch_message(heard.id)).content == f"{standin.bot.mention} help!"
    await heard.reply("bail")
    assert [each.type for each in standin.messages(first.channel)] == [MessageType.DEFAULT, MessageType.REPLY]
    assert await code_of(client.get_partial_messageable(forum.id).send("hello")) == 50024


async def test_archived_threads_are_listed_by_when_they_were_archived(standin: DiscordStandin, client: Client) -> None:
    forum = standin.add_forum("help")
    posts = [(await standin.open_post(forum, f"post {n}", standin.bo, "?")).channel for n in range(5)]
    await client.until(lambda: client.get_channel(posts[-1].id))
    for post in (posts[3], posts[0], posts[2]):
        standin.world.update_thread(post, archived=True)
    found = client.get_channel(forum.id)
    assert isinstance(found, discord.ForumChannel)
    assert [each.name async for each in found.archived_threads(limit=2)] == ["post 2", "post 0"]
    assert [each.name async for each in found.archived_threads(limit=None)] == ["post 2", "post 0", "post 3"]
    standin.deny(forum, Permission.READ_MESSAGE_HISTORY)
    assert await code_of(anext(found.archived_threads())) == 50013


async def test_a_deleted_thread_leaves_its_message(standin: DiscordStandin, client: Client) -> None:
    message = await asked(standin, client)
    thread = await message.create_thread(name="Discussion")
    question, opened = standin.messages(standin.general)[0], standin.world.channels[thread.id]
    assert (question.thread, opened.type) == (opened, ChannelType.PUBLIC_THREAD)
    standin.world.delete_channel(opened)
    await client.until(lambda: client.count("raw_thread_delete"))
    assert question.thread is None
    assert MessageFlag.HAS_THREAD not in question.flags
    assert await code_of(thread.send("anybody?")) == 10003
