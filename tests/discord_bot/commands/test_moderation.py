"""What moderators decide, and what becomes of it for everybody else."""

from __future__ import annotations

import re
import time

import pytest

from bot.standin.entities import Channel, Message, Permission, User
from bot.standin.faults import ALWAYS, Lost, Refused
from bot.standin.interactions import Interaction
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from tests.discord_bot.conftest import Start, World
from tests.discord_bot.server_pages import ALLOW, BLOCK, EVERYWHERE, LIST, change, done, id_of, overview
from tests.store.steps import database_of, read_only

pytestmark = [pytest.mark.usefixtures("echo"), pytest.mark.virtual_time]
MODERATORS_COMMANDS = ("server", "block", "unblock", "pause", "resume")
NOT_IN_THIS_CHANNEL = "-# I don't answer in this channel. Please ask me in another one."
BLOCKED = "-# The moderators here asked me not to answer you. They can change that."
PAUSED = "-# The moderators have paused me here. Please ask again later."


async def use(world: World, command: str, channel: Channel | None = None, **options: object) -> str:
    """What Max, a moderator, is told in private. A change in /server is named by its button."""
    if command in (ALLOW, BLOCK, EVERYWHERE, LIST):
        return await change(world.discord, command, channel)
    used = await world.discord.slash(world.discord.max, channel or world.discord.general, command, **options)
    answer = await used.answered()
    assert used.ephemeral
    assert answer.pinged == set()
    return answer.content


async def answer_to_mention(world: World, channel: Channel, author: User | None = None) -> str | None:
    """What the bot says to a prompt, if anything."""
    before = len(world.discord.bot_messages(channel))
    await world.ask_and_wait("hello", channel, author or world.discord.bo)
    return next((message.content for message in world.discord.bot_messages(channel)[before:]), None)


async def told(used: Interaction) -> Message:
    answer = await used.answered()
    assert used.ephemeral
    return answer


@pytest.mark.parametrize("command", MODERATORS_COMMANDS)
async def test_moderation_commands_are_for_moderators(world: World, command: str) -> None:
    discord = world.discord
    for person, place in ((discord.bo, discord.general), (discord.max, discord.open_dm(discord.max))):
        assert command not in {each["name"] for each in discord.visible_commands(person, place)}
        with pytest.raises(LookupError):
            await discord.slash(person, place, command)
    assert command in {each["name"] for each in discord.visible_commands(discord.max, discord.general)}
    discord.permit(command, discord.bo, True)
    assert command in {each["name"] for each in discord.visible_commands(discord.bo, discord.general)}


async def test_pause_and_resume(start: Start, model: ModelStandin) -> None:
    async with start() as world:
        discord = world.discord
        model.script.append(Reply("a reply that takes its time " * 5, tokens_per_second=100))
        await world.ask("hello", author=discord.cleo)
        running = await world.reply(discord.general, "a reply")
        assert await use(world, "resume") == "I'm not paused."
        assert (await use(world, "pause")).startswith("Paused in this server until someone uses /resume")
        assert await use(world, "pause") == "I'm already paused. To let me answer again, use /resume."
        await world.idle()
        assert running.content == ("a reply that takes its time " * 5).strip(), "what is running comes to its end"
    async with start() as world:
        assert await answer_to_mention(world, discord.general) == PAUSED
        assert await answer_to_mention(world, discord.random_channel, discord.max) == PAUSED
        assert await answer_to_mention(world, discord.general) is None
        assert await answer_to_mention(world, discord.open_dm(discord.bo)) is not None
        asked = len(model.requests)
        listed = await use(world, LIST)
        paused = rf"I'm paused in this server until someone uses /resume \({discord.max.mention}, <t:\d+:f>\)\. .*"
        assert re.match(paused, listed)
        assert await use(world, "resume") == "I'm back: I answer everywhere in this server."
        assert await use(world, "resume") == "I'm not paused."
        assert await answer_to_mention(world, discord.general) == "To hello."
        assert len(model.requests) == asked + 1


async def test_pause_stops_waiting_prompts_only(world: World, model: ModelStandin) -> None:
    discord = world.discord
    model.script += [Reply(""), Reply("a reply that takes its time " * 9, tokens_per_second=100)]
    await answer_to_mention(world, discord.general)
    empty = await world.reply(discord.general, "nothing to say")
    for number in range(3):
        await world.ask(str(number))
        await world.asked(1)
    await world.press(empty, button="reply:retry")
    await world.until(lambda: len(world.conversations.running) == 4)
    elsewhere = discord.open_dm(discord.bo)
    assert "waiting questions are dropped" in await use(world, "pause")
    assert (await answer_to_mention(world, elsewhere) or "").startswith("To hello."), "that is no part of the server"
    await world.idle()
    shown = [each.content for each in discord.bot_messages(discord.general)]
    assert sorted(shown) == sorted([*["-# Stopped by Max."] * 3, ("a reply that takes its time " * 9).strip()])
    assert empty.content == "-# Stopped by Max."
    assert len(model.requests) == 3


async def test_bot_answers_in_allowed_channels_only(start: Start) -> None:
    async with start() as world:
        discord = world.discord
        here = discord.general
        assert await use(world, LIST) == "I answer everywhere in this server."
        answer = await use(world, ALLOW)
        assert answer == f"From now on I answer only in {here.mention} in this server."
        assert (await use(world, ALLOW)).startswith(f"{here.mention} is already allowed: I answer only in")
        assert await answer_to_mention(world, discord.random_channel) == NOT_IN_THIS_CHANNEL
    async with start() as world:
        assert await answer_to_mention(world, discord.random_channel) is None, "once a day, also after a restart"
        assert await answer_to_mention(world, discord.general) == "To hello."
        answer = await use(world, ALLOW, channel=discord.random_channel)
        assert answer == (
            f"From now on I answer only in {here.mention} and {discord.random_channel.mention} in this server."
        )
        assert await answer_to_mention(world, discord.random_channel) == "To hello."
        await use(world, BLOCK, channel=discord.random_channel)
        answer = await use(world, BLOCK)
        assert answer.startswith(f"Nothing has changed: {here.mention} is the only place where I answer.")
        assert await answer_to_mention(world, discord.general) == "To hello."
        stale = await overview(discord)
        assert await use(world, EVERYWHERE) == "From now on I answer everywhere in this server."
        pressed = await discord.press(discord.max, stale, id_of(stale, "everywhere"))
        assert (await done(discord, stale, pressed)).startswith("There are no channel rules: I answer everywhere in")
        assert await answer_to_mention(world, discord.random_channel) == "To hello."


async def test_unreadable_rules_refuse_the_command(world: World) -> None:
    discord = world.discord
    await answer_to_mention(world, discord.general)
    await use(world, BLOCK)
    answer = discord.bot_messages(discord.general)[0]
    await discord.say(discord.general, discord.cleo, "and?", reply_to=answer, ping=False)
    assert (await world.reply(discord.general, count=2)).content == NOT_IN_THIS_CHANNEL


async def test_blocking_a_channel_leaves_others_alone(world: World) -> None:
    discord, place = world.discord, world.discord.random_channel
    answer = await use(world, BLOCK, channel=place)
    assert answer == f"From now on I answer everywhere but in {place.mention} in this server."
    assert await use(world, BLOCK, place) == (
        f"I don't answer in {place.mention} anyway: I answer everywhere but in {place.mention} in this server."
    )
    assert await answer_to_mention(world, place) == NOT_IN_THIS_CHANNEL
    assert await answer_to_mention(world, discord.general) == "To hello."
    assert await use(world, ALLOW, channel=place) == "From now on I answer everywhere in this server."
    assert await answer_to_mention(world, place) == "To hello."


async def test_channel_rules_in_threads_and_categories(world: World) -> None:
    discord = world.discord
    category = discord.add_category("Staff")
    desk = discord.add_channel("desk", category=category)
    thread = await discord.open_thread(desk, "side", discord.bo)
    await use(world, BLOCK, channel=category)
    assert await answer_to_mention(world, desk) == NOT_IN_THIS_CHANNEL
    assert await answer_to_mention(world, thread, discord.cleo) == NOT_IN_THIS_CHANNEL
    assert await answer_to_mention(world, discord.general) == "To hello."
    await use(world, ALLOW, thread)
    assert await answer_to_mention(world, thread) == "To hello.", "without the option it is where one is"
    assert await answer_to_mention(world, desk) is None
    await use(world, ALLOW, channel=category)
    await use(world, BLOCK, channel=desk)
    assert await answer_to_mention(world, thread) == "To hello."
    assert await answer_to_mention(world, desk) is None


async def test_unknown_thread_obeys_the_rules_of_its_channel(world: World) -> None:
    discord = world.discord
    discord.faults.add(Lost(), event="THREAD_CREATE", times=3)
    category = discord.add_category("Staff")
    allowed, blocked, desk = discord.general, discord.random_channel, discord.add_channel("desk", category=category)
    known_to_nobody = [await discord.open_thread(each, "side", discord.bo) for each in (allowed, blocked, desk)]
    await use(world, BLOCK, blocked)
    assert await answer_to_mention(world, known_to_nobody[1]) == NOT_IN_THIS_CHANNEL
    assert await answer_to_mention(world, known_to_nobody[2]) == "To hello."
    await use(world, BLOCK, channel=category)
    in_the_category = await answer_to_mention(world, known_to_nobody[2], discord.cleo)
    assert in_the_category == NOT_IN_THIS_CHANNEL, "the rule of its channel's category"
    await use(world, ALLOW, allowed)
    assert await answer_to_mention(world, known_to_nobody[0]) == "To hello."
    lookups = discord.calls("GET", "/channels/{channel_id}")
    assert await answer_to_mention(world, known_to_nobody[0]) == "To hello."
    assert discord.calls("GET", "/channels/{channel_id}") == lookups, "asked once"


async def test_unknown_thread_waits_while_discord_fails(world: World) -> None:
    discord = world.discord
    discord.faults.add(Lost(), event="THREAD_CREATE")
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    await use(world, ALLOW, discord.general)
    discord.faults.add(Refused(503, 0, "Service unavailable"), route="/channels/{channel_id}", times=ALWAYS)
    assert await answer_to_mention(world, thread) == (
        "-# Discord takes a while to tell me whether you may use me. Try again in a minute."
    )


async def test_deleted_channel_leaves_no_rule(world: World) -> None:
    discord = world.discord
    await use(world, BLOCK, channel=discord.random_channel)
    discord.world.delete_channel(discord.random_channel)
    await world.until(lambda: use(world, LIST), "I answer everywhere in this server.")


async def test_blocked_person_is_told_once_and_stopped(world: World, model: ModelStandin) -> None:
    discord = world.discord
    model.script.append(Reply("a reply that goes on and on " * 40, tokens_per_second=100))
    model.script.append(Reply("another one that goes on and on " * 40, tokens_per_second=100))
    for person, text in ((discord.bo, "first"), (discord.bo, "second"), (discord.cleo, "hers")):
        await world.ask(text, author=person)
        await world.asked(0 if person is discord.bo else 1)
    answer = await use(world, "block", member=discord.bo)
    assert answer == f"From now on I don't answer {discord.bo.mention} in this server, until someone uses /unblock."
    await discord.wait_for(lambda: len([1 for each in stopped(world) if each.reply_to]) == 2)
    assert all(each.reply_to and each.reply_to.author is discord.bo for each in stopped(world))
    await world.until(lambda: len(world.conversations.running) == 1)
    assert [each.prompt.user_id for each in world.conversations.running] == [discord.cleo.id], "hers goes on"
    used = await discord.slash(discord.max, discord.general, "stop")
    await used.answered()
    await world.idle()
    asked = len(model.requests)
    assert await answer_to_mention(world, discord.general) == BLOCKED
    assert await answer_to_mention(world, discord.random_channel) is None
    for command in ("reset", "stop"):
        shown = await told(await discord.slash(discord.bo, discord.general, command))
        assert shown.content == BLOCKED.removeprefix("-# ")
    assert len(model.requests) == asked
    assert (await answer_to_mention(world, discord.open_dm(discord.bo)) or "").startswith("To hello."), (
        "elsewhere they may"
    )


def stopped(world: World) -> list[Message]:
    return [each for each in world.discord.bot_messages(world.discord.general) if "Stopped by Max." in each.content]


async def test_block_for_hours_ends(start: Start) -> None:
    async with start() as world:
        discord = world.discord
        answer = await use(world, "block", member=discord.bo, hours=2)
        until = int(answer.rpartition("<t:")[2].partition(":")[0])
        assert answer == f"From now on I don't answer {discord.bo.mention} in this server, until <t:{until}:f>."
        assert until == pytest.approx(time.time() + 2 * 3600, abs=10)
        listed = await use(world, LIST)
        assert f"\n- {discord.bo.mention} until <t:{until}:f> ({discord.max.mention}, <t:" in listed
    async with start() as world:
        assert await answer_to_mention(world, discord.general) == BLOCKED
        assert await use(world, "unblock", member=discord.bo) == f"I answer {discord.bo.mention} in this server again."
        assert await use(world, "unblock", member=discord.bo) == f"{discord.bo.mention} isn't blocked in this server."
        assert await answer_to_mention(world, discord.general) == "To hello."
        await use(world, "block", member=discord.bo)
        await world.store.guild_rules.block(discord.guild.id, discord.bo.id, int(time.time()))
        assert await answer_to_mention(world, discord.general) == "To hello.", "it has ended"


@pytest.mark.parametrize("hours", [0, -1, 8761])
async def test_invalid_hours_are_refused(world: World, hours: int) -> None:
    with pytest.raises(ValueError, match="hours"):
        await world.discord.slash(
            world.discord.max, world.discord.general, "block", member=world.discord.bo, hours=hours
        )


async def test_person_who_left_can_be_blocked_and_unblocked(world: World) -> None:
    discord = world.discord
    del discord.guild.members[discord.bo.id]
    assert "From now on I don't answer" in await use(world, "block", member=discord.bo.id)
    assert "again." in await use(world, "unblock", member=discord.bo.id)


async def test_bots_cannot_be_blocked(world: World) -> None:
    discord = world.discord
    other = discord.add_user("other", bot=True)
    assert (await use(world, "block", member=discord.bot)).endswith("use /pause.")
    assert await use(world, "block", member=other) == "That's a bot. I never answer bots."
    assert (await world.store.guild_rules.decisions(discord.guild.id, 9)).blocks == []


async def test_many_rules_are_listed_with_who_decided(world: World) -> None:
    discord = world.discord
    channels = [discord.add_channel(f"c{number}").id for number in range(36)]
    for number, channel in enumerate(channels):
        await world.store.guild_rules.set_channel_rule(discord.guild.id, channel, number < 18, by=discord.max.id)
    for user in range(16):
        await world.store.guild_rules.block(discord.guild.id, 10**18 + user, None, by=discord.max.id)
    used = await discord.slash(discord.max, discord.general, "server")
    first = (await told(used)).content or ""

    def listed() -> str:
        return "\n".join([first, *(message.content or "" for message in used.followups)])

    await discord.wait_for(lambda: listed().count("- and more") == 3)
    lines = [line for line in listed().splitlines() if line and not line.startswith("-# ")]
    who = rf"\({discord.max.mention}, <t:\d+:f>\)"
    kinds = [re.sub(who, "(who)", re.sub(r"^- <..?\d+>", "- it", line)) for line in lines]
    assert kinds == [
        *("I answer only here:", *["- it (who)"] * 15, "- and more"),
        *("But not here:", *["- it (who)"] * 15, "- and more"),
        *("I don't answer these people:", *["- it (who)"] * 15, "- and more"),
    ]


async def test_moderators_block_themselves_and_those_above_only_on_purpose(world: World) -> None:
    discord = world.discord
    owner, admins = discord.guild.owner, discord.world.add_role(discord.guild, "Admins", Permission.MANAGE_GUILD)
    admin, beside = discord.add_user("mia"), discord.add_user("moritz")
    discord.world.add_member(discord.guild, admin, roles=[admins])
    discord.world.add_member(discord.guild, beside, roles=[discord.moderators])
    for member in (owner, admin, beside, discord.max):
        used = await discord.slash(discord.max, discord.general, "block", member=member.id, hours=2)
        question = await told(used)
        oneself = "That's you. I'd stop answering you in this server. Block yourself?"
        above = f"{member.mention} has a role as high as yours or higher. Block them anyway?"
        assert question.content == (oneself if member is discord.max else above)
        assert (await answer_to_mention(world, discord.general, member) or "").split("\n")[0] == "To hello."
        await discord.press(discord.max, question, custom_id(question))
        await confirmed(world, used)
        assert await answer_to_mention(world, discord.general, member) == BLOCKED
        await use(world, "unblock", member=member.id)
    # Those above block whom they like at once, and the owner is below nobody.
    for moderator in (admin, owner):
        used = await discord.slash(moderator, discord.general, "block", member=discord.max.id)
        assert "From now on I don't answer" in ((await told(used)).content or "")
        await use(world, "unblock", member=discord.max.id)
    used = await discord.slash(discord.max, discord.general, "block", member=owner.id)
    question = await told(used)
    discord.guild.members[discord.max.id].roles.clear()
    pressed = await discord.press(discord.max, question, custom_id(question))
    assert (await told(pressed)).content == "Only people who can manage this server can block someone."


async def confirmed(world: World, used: Interaction) -> None:
    await world.discord.wait_for(lambda: "From now on I don't answer" in (used.content or ""))


def custom_id(message: Message) -> str:
    [button] = message.buttons
    return str(button["custom_id"])


async def test_channel_of_another_guild_gets_no_rule(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Discord's own client offers no such channel."""
    elsewhere = world.discord.add_channel("elsewhere", world.discord.add_guild("Elsewhere", world.discord.max))
    monkeypatch.setattr("bot.standin.filling.Options._offers", lambda *_: True)
    page = await overview(world.discord)
    chosen = await world.discord.choose(world.discord.max, page, id_of(page, "open"), str(elsewhere.id))
    refused = "That channel isn't in this server, so nothing has changed. Please pick one that is."
    assert (await done(world.discord, page, chosen)) == refused
    assert await use(world, LIST) == "I answer everywhere in this server."


async def test_rules_of_one_guild_stay_there(world: World) -> None:
    discord = world.discord
    other = discord.add_guild("Lighthouse", discord.ada)
    discord.world.add_member(other, discord.bo)
    lobby = discord.add_channel("lobby", other)
    for command in ("pause", ALLOW):
        await use(world, command)
    await use(world, "block", member=discord.bo)
    assert await answer_to_mention(world, lobby) == "To hello."


async def test_database_failure_is_told_to_moderators(world: World) -> None:
    async with read_only(world.store):
        for command in ("pause", ALLOW):
            assert await use(world, command) == (
                "I can't reach my memory right now, so nothing has changed. Please try again later."
            )
    await database_of(world.store).write("ALTER TABLE blocks RENAME TO away")
    assert await use(world, LIST) == "I can't reach my memory right now. Please try again later."
    await database_of(world.store).write("ALTER TABLE away RENAME TO blocks")
