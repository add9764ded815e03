"""What people change afterwards: edits and deletions reach what is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest

from bot.standin.entities import Channel, Intent, Message, User
from bot.standin.faults import Late, Slow
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.store.processed import ProcessedStore
from bot.store.turns import TurnStore
from tests.discord_bot.conftest import Start, World
from tests.discord_bot.people import heard_of
from tests.store.steps import database_of, set_clock, trace

pytestmark = pytest.mark.virtual_time

SLOW = Reply([f"word{n} " for n in range(40)], tokens_per_second=60)


async def remembered(world: World, prompts: list[str], channel: Channel | None = None) -> None:
    """Wait until these prompts are what is remembered of a channel."""

    async def now() -> list[str]:
        return [prompt for prompt, _, _ in await world.turns(channel or world.discord.general)]

    await world.until(now, prompts)


async def edit(world: World, message: Message, text: str) -> None:
    await world.discord.edit(message, f"<@{world.discord.bot.id}> {text}")


async def test_edit_corrects_the_stored_prompt(world: World) -> None:
    discord = world.discord
    said = await world.ask("my name is Bo")
    await world.reply(discord.general)
    await world.idle()
    await edit(world, said, "my name is Bob")
    await remembered(world, ["my name is Bob"])
    await world.answered("who am I?")
    assert "Bob" in world.model.requests[1].messages[1]["content"]
    assert len(discord.bot_messages(discord.general)) == 2


async def test_edits_of_running_and_waiting_prompts_count(world: World) -> None:
    discord = world.discord
    world.model.script.append(SLOW)
    running, waiting = await world.ask("one"), await world.ask("two")
    await world.reply(discord.general, "word")
    await edit(world, running, "one, I mean")
    await edit(world, waiting, "two, I mean")
    await world.reply(discord.general, count=2)
    await world.idle()
    assert discord.bot_messages(discord.general)[0].content.endswith("word39")
    contents = [message["content"] for message in world.model.requests[1].messages]
    assert [contents[1].splitlines()[-1], contents[3].splitlines()[-1]] == ["one, I mean", "two, I mean"]


@pytest.mark.parametrize("late", [False, True])
async def test_mention_added_by_an_edit_counts_once(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    if late:
        monkeypatch.setattr("bot.discord_bot.inbound.edits.EDIT_BECOMES_PROMPT_WITHIN", timedelta(days=-1))
    await discord.say(discord.general, discord.bo, "is anybody here?")
    async with start() as world:
        # Or it might be found, after its edits, among what came before the bot was there.
        await world.caught_up()
        said = await discord.say(discord.general, discord.bo, "hello?")
        await edit(world, said, "hello?")
        await edit(world, said, "hello again?")
        if late:
            await world.answered("now")
        message = await world.reply(discord.general)
        await world.idle()
        assert (message.reply_to is said) is not late
        assert len(discord.bot_messages(discord.general)) == 1
        await remembered(world, ["now"] if late else ["hello again?"])


async def test_edit_during_saving_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, handled = TurnStore.begin, ProcessedStore.among
    reached, go = asyncio.Event(), asyncio.Event()
    looked_for: list[int] = []

    async def late(*details: Any) -> Any:
        reached.set()
        await go.wait()
        return await begin(*details)

    async def counted(store: ProcessedStore, prompt_ids: Collection[int]) -> set[int]:
        looked_for.extend(prompt_ids)
        return await handled(store, prompt_ids)

    monkeypatch.setattr(TurnStore, "begin", late)
    said = await world.ask("one")
    await reached.wait()
    monkeypatch.setattr(ProcessedStore, "among", counted)
    await edit(world, said, "two")
    # It does not give up the first time that it finds nothing.
    await world.until(lambda: looked_for.count(said.id) > 1)
    go.set()
    await world.reply(world.discord.general)
    await remembered(world, ["two"])


async def test_edit_that_overtakes_its_message_counts(world: World) -> None:
    discord = world.discord
    heard = heard_of(discord)
    discord.faults.add(Late(1.0), event="MESSAGE_CREATE")
    said = await world.ask("one")
    await edit(world, said, "two")
    reply = await world.reply(discord.general)
    await world.until(lambda: said.id in heard)
    assert heard == [reply.id, said.id], "it is not waited for"
    await world.answered("and now?", discord.random_channel)
    await remembered(world, ["two"])
    assert len(discord.bot_messages(discord.general)) == 1


async def test_link_preview_is_no_edit(world: World) -> None:
    discord = world.discord
    said = await world.ask("see https://example.org")
    await world.reply(discord.general)
    await world.idle()
    await (await discord.slash(discord.bo, discord.general, "reset")).answered()
    await discord.unfurl(said, {"title": "Example", "type": "link"})
    await world.answered("now", discord.random_channel)
    assert len(world.model.requests) == 2
    assert await world.turns(discord.general) == []


async def test_deleted_prompt_is_forgotten_but_its_reply_stays(world: World) -> None:
    discord = world.discord
    said = []
    for text in ("one", "two", "three", "four"):
        said.append(await world.ask(text))
        await world.reply(discord.general, count=len(said))
        await world.idle()
    await discord.delete(said[0])
    await discord.bulk_delete(said[1:3])
    await remembered(world, ["four"])
    assert len(discord.bot_messages(discord.general)) == 4


async def test_deletions_of_what_is_not_on_record_write_nothing(world: World) -> None:
    discord = world.discord
    said = await world.ask("one")
    await world.reply(discord.general)
    await world.idle()
    chatter = [await discord.say(discord.general, discord.cleo, f"chatter {number}") for number in range(6)]
    written: list[str] = []
    await trace(database_of(world.store), written.append)
    await discord.delete(chatter[0])
    await discord.bulk_delete(chatter[1:])
    await discord.delete(said)
    await remembered(world, [])
    deletions = [each for each in written if "DELETE FROM stored_turns" in each and "message_id IN" in each]
    assert deletions
    assert all(str(said.id) in each for each in deletions), "only of the prompt"


async def test_deletions_of_unused_channels_cost_one_query_each(world: World) -> None:
    discord = world.discord
    used, first, second = (discord.add_channel(f"{name}-lived") for name in ("short", "barely", "hardly"))
    thread = await discord.open_thread(second, "side", discord.bo)
    await world.answered("hello", used)
    done: list[str] = []
    await trace(database_of(world.store), done.append)
    for each in (first, thread, second, used):
        discord.world.delete_channel(each)
    await remembered(world, [], used)
    for each in (first, thread, second):
        assert len([sql for sql in done if str(each.id) in sql]) == 1
    changes = [sql for sql in done if sql.lstrip().startswith(("UPDATE", "DELETE FROM personas"))]
    assert changes
    assert all(str(used.id) in sql for sql in changes)


async def test_prompt_deleted_as_its_reply_ends_is_forgotten(world: World) -> None:
    discord = world.discord
    world.model.script.append(SLOW)
    said = await world.ask("one")
    await world.reply(discord.general, "word")

    async def states() -> list[str]:
        return [state for _, _, state in await world.turns(discord.general)]

    await world.until(states, ["complete"])
    await discord.delete(said)
    await world.idle()
    await remembered(world, [])


async def test_deleted_reply_leaves_the_conversation(world: World) -> None:
    await world.answered("one")
    reply = await world.answered("two")
    await world.discord.delete(reply)
    await remembered(world, ["one"])
    await world.answered("three")
    assert "two" not in str(world.model.requests[2].messages)


async def test_bots_own_deletions_forget_nothing(world: World) -> None:
    discord = world.discord
    world.model.script.append(Reply(["long " * 500, "x"], cut_after=1))
    await world.ask("one")
    last = await world.reply(discord.general, "-# The answer broke off.", count=2)
    await world.idle()
    world.model.default = Reply("short")
    # The event comes before the answer.
    discord.faults.add(Slow(0.2, applied=True), method="DELETE")
    await world.press(last)
    await discord.wait_for(lambda: [message.content for message in discord.bot_messages(discord.general)] == ["short"])
    await world.idle()
    # Its events have come by the time that somebody else is answered.
    await world.answered("and?", discord.random_channel)
    await remembered(world, ["one"])


async def test_deleted_channel_or_thread_is_forgotten(world: World) -> None:
    discord = world.discord
    channel = discord.add_channel("short-lived")
    thread = await discord.open_thread(channel, "side", discord.bo)
    lone = await discord.open_thread(discord.general, "side", discord.bo)
    for place in (channel, thread, lone):
        await world.answered("hello", place)
    discord.world.delete_channel(channel)
    discord.world.delete_channel(lone)
    for place in (channel, thread, lone):
        await remembered(world, [], place)


async def test_left_guild_is_forgotten_after_a_while(discord: DiscordStandin, start: Start) -> None:
    async with start() as world:
        await world.answered("hello")
        discord.world.remove_guild(discord.guild, unavailable=True)
        discord.world.restore_guild(discord.guild)
        await world.answered("still here?")
        assert await left_at(world) is None
        discord.world.remove_guild(discord.guild)
        await world.until(lambda: left_at(world))
        await world.store.retention.prune(0)
        await remembered(world, ["hello", "still here?"])
    discord.world.guilds[discord.guild.id] = discord.guild
    async with start() as world:
        await world.until(lambda: left_at(world), None)
        del discord.world.guilds[discord.guild.id]
    async with start() as world:
        await world.until(lambda: left_at(world))
        set_clock(world.store, lambda: 2e9)
        await world.store.retention.prune(0)
        await remembered(world, [])


async def test_guild_that_invites_the_bot_back_is_kept_and_others_are_not_looked_at(world: World, eve: User) -> None:
    discord, other = world.discord, world.discord.add_guild("Other", eve)
    await world.answered("hello")
    # In its first seconds, discord.py does not tell new servers from those that are back from an outage.
    await asyncio.sleep(5)
    discord.world.remove_guild(discord.guild)
    await world.until(lambda: left_at(world))
    written: list[str] = []
    await trace(database_of(world.store), written.append)
    discord.world.guilds[discord.guild.id] = discord.guild
    discord.world.tell(
        "GUILD_CREATE", lambda _: discord.world.guild_create(discord.guild), Intent.GUILDS, discord.guild
    )
    await world.until(lambda: left_at(world), None)
    changes = [sql for sql in written if "left_at" in sql]
    assert changes
    assert all(str(discord.guild.id) in sql and str(other.id) not in sql for sql in changes)


async def test_start_deletes_unused_conversations(start: Start) -> None:
    async with start() as world:
        await world.answered("hello")
        await world.answered("hello", world.discord.random_channel)
        await database_of(world.store).write(
            "UPDATE conversations SET used_at = 1 WHERE channel = :channel", channel=str(world.discord.general.id)
        )
        # A clock that says so is doubted in the first hours, as it may have jumped.
        await world.until(lambda: database_of(world.store).read("SELECT 1 FROM clock WHERE doubted_since > 1"))
    async with start() as world:
        await world.answered("and now?", world.discord.random_channel)
        await remembered(world, ["hello"])
        await database_of(world.store).write(
            "UPDATE clock SET looked_at = looked_at - :day, doubted_since = doubted_since - :day", day=24 * 3600
        )
    async with start() as world:
        await remembered(world, [])
        await remembered(world, ["hello", "and now?"], world.discord.random_channel)


async def left_at(world: World) -> object:
    [row] = await database_of(world.store).read("SELECT left_at FROM conversations")
    return row["left_at"]
