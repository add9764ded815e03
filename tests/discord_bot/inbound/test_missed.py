"""What was said while the bot was away is answered when it is back: each prompt once, and not too many."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from bot.core.access import Servers
from bot.discord_bot.delivery.messages import reads_history
from bot.discord_bot.inbound.history import MAX_CONCURRENT
from bot.standin.entities import Permission, User
from bot.standin.faults import Late, Lost, ServerError, Slow
from bot.standin.model import ModelStandin
from bot.standin.server import DiscordStandin
from bot.store.conversations import ConversationStore
from tests.discord_bot.conftest import Start, World, one_and_three_shards
from tests.discord_bot.people import heard_of, shown

pytestmark = [pytest.mark.usefixtures("echo"), pytest.mark.virtual_time, one_and_three_shards]
MESSAGES = "/channels/{channel_id}/messages"


async def test_missed_prompts_are_answered_once_in_order(discord: DiscordStandin, start: Start) -> None:
    bot = f"<@{discord.bot.id}>"
    direct = discord.open_dm(discord.cleo)
    async with start() as world:
        await discord.say(direct, discord.cleo, "hello")
        await world.reply(direct, "To hello.")
        await world.idle()
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    for place, text in (
        (discord.general, f"{bot} one"),
        (discord.general, "nobody in particular"),
        (discord.general, f"{bot} two"),
        (thread, f"{bot} three"),
        (direct, "four"),
        (direct, "five"),
    ):
        await discord.say(place, discord.cleo, text)
    for _ in range(2):
        async with start() as world:
            await world.reply(discord.general, "To two.", count=2)
            await world.reply(thread, "To three.")
            await world.reply(direct, "To five.", count=3)
            await world.caught_up()
        assert shown(discord, discord.general) == ["To one.", "To two."]
        assert shown(discord, thread) == ["To three."]
        assert shown(discord, direct)[1:] == ["To four.", "To five."]


async def test_only_the_newest_missed_prompts_are_answered(discord: DiscordStandin, start: Start) -> None:
    said = [
        await discord.say(discord.general, person, f"<@{discord.bot.id}> {number}")
        for number, person in enumerate([discord.ada, discord.bo, discord.cleo, discord.bo, discord.ada])
    ]
    # Further back than Discord gives at once.
    for number in range(120):
        await discord.say(discord.general, discord.max, f"chatter {number}")
    for _ in range(2):
        async with start() as world:
            await world.reply(discord.general, count=3)
            await world.caught_up()
            await discord.wait_for(lambda: [list(each.reactions) for each in said] == [["🕒"], ["🕒"], [], [], []])
        assert sorted(shown(discord, discord.general)) == ["To 2.", "To 3.", "To 4."]


async def test_places_in_use_are_searched_first(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.inbound.missed._MAX_UNUSED", 2)
    places = [discord.add_channel(f"place-{number}") for number in range(8)]
    used = [places[5], places[2]]
    async with start() as world:
        for place in used:
            await world.answered("hello", place)
    for place in places:
        await discord.say(place, discord.bo, f"<@{discord.bot.id}> one")
    discord.requests.clear()
    async with start() as world:
        await world.until(lambda: [len(shown(discord, place)) for place in places], [0, 0, 2, 0, 0, 2, 1, 1])
        await world.idle()
        searched = [int(call.path.split("/channels/")[1].split("/")[0]) for call in discord.calls("GET", MESSAGES)]
        assert set(searched[:2]) == {place.id for place in used}
        assert sorted(searched) == sorted(place.id for place in (*used, *places[6:]))


async def test_catching_up_in_many_places_is_spread_over_time(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    monkeypatch.setattr("bot.discord_bot.inbound.missed._PER_MINUTE", 60)
    monkeypatch.setattr("bot.discord_bot.session_starts.IDENTIFY_EVERY", 0.1)
    places = [discord.add_channel(f"place-{number}") for number in range(20)]
    direct = discord.open_dm(discord.cleo)
    async with start() as world:
        for place in places:
            await world.answered("hello", place)
        await world.ask_and_wait("hello", direct, discord.cleo)
    for place in (*places, direct):
        await discord.say(place, discord.cleo, f"{discord.bot.mention} one")
    discord.requests.clear()
    async with start() as world:
        await world.reply(places[-1], "To one.", count=2)
        await world.answered("and me?", discord.general)
        early = len(discord.calls("GET", MESSAGES))
        # A new session searches all places, and the search of the one before ends.
        await discord.gateway.invalidate()
        await world.until(lambda: discord.gateway.identifies, 3 * shards)
        before = len(discord.calls("GET", MESSAGES))
        for place in (*places, direct):
            await world.reply(place, "To one.", count=2)
        await world.idle()
    searches = sorted(call.started for call in discord.calls("GET", MESSAGES))
    assert early < 8, "whoever is there does not wait for it"
    assert all(later - sooner > 4 for sooner, later in zip(searches, searches[10:], strict=False)), "one a second"
    # What had begun may end. A DM is looked at before it is searched.
    times = Counter(call.path for call in discord.calls("GET", MESSAGES)[before:])
    twice = {path for path, number in times.items() if number > 1} - {f"/api/v10/channels/{direct.id}/messages"}
    assert len(twice) <= MAX_CONCURRENT


async def test_channels_are_looked_at_by_their_newest_message(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []

    def counted(place: Any) -> bool:
        looked_at.append(place.id)
        return reads_history(place)

    monkeypatch.setattr("bot.discord_bot.inbound.missed.reads_history", counted)
    quiet = [discord.add_channel(f"quiet-{number}") for number in range(30)]
    async with start() as world:
        await world.answered("hello", quiet[0])
    looked_at.clear()
    await discord.say(discord.general, discord.bo, f"{discord.bot.mention} one")
    async with start() as world:
        await world.reply(discord.general, "To one.")
        await world.idle()
    assert set(looked_at) <= {discord.general.id, quiet[0].id}, "permissions take long to work out"


async def test_no_search_begins_after_the_time_for_them(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bot")
    monkeypatch.setattr("bot.discord_bot.inbound.missed._TIMEOUT", -1.0)
    await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> one")
    async with start() as world:
        await world.until(lambda: "not all channels were searched" in caplog.text)
        await world.answered("two", discord.random_channel)
        assert discord.calls("GET", MESSAGES) == []


@pytest.mark.standin(wall=lambda: time.time() - 60)
async def test_late_answer_pings(discord: DiscordStandin, start: Start) -> None:
    await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> one")
    async with start() as world:
        reply = await world.reply(discord.general, "To one.")
        assert reply.pinged == {discord.bo}
        await world.idle()


@pytest.mark.standin(wall=lambda: time.time() - 1000)
async def test_old_missed_prompt_is_not_answered(discord: DiscordStandin, start: Start, model: ModelStandin) -> None:
    await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> one")
    direct = discord.open_dm(discord.cleo)
    async with start() as world:
        await discord.say(direct, discord.cleo, "now")
        await world.reply(direct)
        await world.idle()
    async with start() as world:
        await world.ask("and now", discord.random_channel, discord.cleo)
        await world.reply(discord.random_channel)
        await world.idle()
    assert shown(discord, discord.general) == []


async def test_hint_is_not_repeated_after_a_restart(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.standin.channel_routes._NONCE_KEPT", 0)
    await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}>")
    async with start() as world:
        await world.reply(discord.general, "Hi!")
        await world.caught_up()
    async with start() as world:
        await world.caught_up()
    assert len(shown(discord, discord.general)) == 1


async def test_forgotten_prompt_is_not_answered_again(discord: DiscordStandin, start: Start) -> None:
    async with start() as world:
        await world.ask("one")
        answer = await world.reply(discord.general, "To one.")
        await world.idle()
        await (await discord.slash(discord.bo, discord.general, "reset")).answered()
    discord.world.delete(answer)
    async with start() as world:
        await world.caught_up()
        assert await world.turns(discord.general) == []
    assert "To one." not in shown(discord, discord.general)


async def test_new_session_misses_no_prompt(world: World, shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.discord_bot.session_starts.IDENTIFY_EVERY", 0.3)
    discord = world.discord
    heard = heard_of(discord)
    # One event is still on its way when the session ends: it comes after the answer.
    discord.faults.add(Late(1.0), event="MESSAGE_CREATE")
    late = await world.ask("one")
    began = time.monotonic()
    await discord.gateway.invalidate()
    await world.ask("two", author=discord.cleo)
    await discord.wait_for(lambda: sorted(shown(discord, discord.general)) == ["To one.", "To two."])
    assert discord.gateway.identifies == 2 * shards
    assert time.monotonic() - began < 2.5
    await world.until(lambda: late.id in heard)
    await world.ask("three", discord.random_channel)
    await world.reply(discord.random_channel)
    await world.idle()
    assert len(shown(discord, discord.general)) == 2


async def test_sessions_start_as_far_apart_as_discord_asks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.discord_bot.session_starts.IDENTIFY_EVERY", 1.0)
    times = []
    for _ in range(2):
        await world.discord.gateway.invalidate()
        await world.discord.ready()
        times.append(time.monotonic())
    assert times[1] - times[0] > 0.9


async def test_prompt_deleted_during_catch_up_is_not_answered(discord: DiscordStandin, start: Start) -> None:
    said = await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> one")
    slow = discord.faults.add(Slow(0.3, applied=True), method="GET", route=MESSAGES)
    async with start() as world:
        await discord.wait_for(lambda: slow.hits)
        await discord.delete(said)
        await discord.wait_for(lambda: all(call.answered for call in discord.calls("GET", MESSAGES)))
        await world.caught_up()
        assert await world.turns(discord.general) == []
    assert shown(discord, discord.general) == []


async def test_unreadable_channel_does_not_stop_the_catch_up(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.inbound.history._RETRY_DELAYS", ())
    bot, secret, broken = f"<@{discord.bot.id}>", discord.add_channel("secret"), discord.add_channel("broken")
    discord.deny(secret, Permission.READ_MESSAGE_HISTORY)
    failed = discord.faults.add(ServerError(503), method="GET", channel_id=broken.id)
    for place in (secret, broken, discord.general):
        await discord.say(place, discord.bo, f"{bot} one")
    async with start() as world:
        await discord.wait_for(lambda: failed.hits)
        await world.reply(discord.general, "To one.")
        await world.caught_up()
    assert shown(discord, secret) == shown(discord, broken) == []


async def test_guild_hidden_by_an_outage_is_caught_up(world: World) -> None:
    discord = world.discord
    await world.ask("one")
    await world.reply(discord.general, "To one.")
    await world.idle()
    discord.world.remove_guild(discord.guild, unavailable=True)
    discord.faults.add(Lost(), event="MESSAGE_CREATE")
    await world.ask("two")
    discord.world.restore_guild(discord.guild)
    await world.reply(discord.general, "To two.", count=2)
    await world.idle()
    assert len(await world.turns(discord.general)) == 2, "an outage forgets nothing"


@pytest.mark.standin(rtt=0.05)
async def test_guilds_that_come_back_together_are_searched_together(
    discord: DiscordStandin, serve: Start, eve: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.inbound.missed._MAX_UNUSED", 3)
    queries, used_lately = 0, ConversationStore.used_lately

    async def counted(store: ConversationStore, since: int) -> list[str]:
        nonlocal queries
        queries += 1
        return await used_lately(store, since)

    monkeypatch.setattr(ConversationStore, "used_lately", counted)
    guilds = [discord.add_guild(f"Server {number}", eve) for number in range(10)]
    places = [discord.add_channel("lobby", guild) for guild in guilds]
    used = [places[7], places[4]]
    async with serve(servers=Servers(any=True)) as world:
        for place in used:
            await world.answered("hello", place, eve)
        for guild in guilds:
            discord.world.remove_guild(guild, unavailable=True)
        discord.faults.add(Lost(), event="MESSAGE_CREATE", times=len(places))
        for place in places:
            await world.ask("one", place, eve)
        discord.requests.clear()
        queries = 0
        for guild in guilds:
            discord.world.restore_guild(guild)
        await world.until(lambda: [len(shown(discord, each)) for each in places], [0, 0, 0, 0, 2, 0, 1, 2, 1, 1])
        await world.idle()
        searched = [int(call.path.split("/channels/")[1].split("/")[0]) for call in discord.calls("GET", MESSAGES)]
    assert set(searched[:2]) == {place.id for place in used}
    assert queries == 1


async def test_archived_threads_and_posts_are_searched_too(discord: DiscordStandin, start: Start) -> None:
    bot, forum = discord.bot.mention, discord.add_forum("help")
    async with start() as world:
        thread = await discord.open_thread(discord.general, "side", discord.bo)
        await world.answered("hello?", thread)
    post = (await discord.open_post(forum, "My boat leaks", discord.cleo, f"{bot} help!")).channel
    quiet = (await discord.open_post(forum, "Fair winds", discord.cleo, "no question")).channel
    for place in (thread, post):
        await discord.say(place, discord.cleo, f"{bot} and now?")
    for place in (thread, post, quiet):
        discord.world.update_thread(place, archived=True)
    for _ in range(2):
        async with start() as world:
            await world.reply(thread, "To and now?.", count=2)
            await world.reply(post, "To and now?.", count=2)
            await world.caught_up()
        assert shown(discord, thread) == ["To hello?.", "To and now?."]
        assert shown(discord, post) == ["To help!.", "To and now?."]
    assert (thread.archived, post.archived, quiet.archived) == (False, False, True)


async def test_question_in_a_thread_on_it_is_found_in_its_channel(discord: DiscordStandin, start: Start) -> None:
    async with start() as world:
        await world.store.channel_settings.change(discord.guild.id, discord.general.id, by=discord.max.id, threads=True)
    said = await discord.say(discord.general, discord.cleo, f"{discord.bot.mention} why?")
    for _ in range(2):
        async with start() as world:
            await discord.wait_for(lambda: said.thread and len(discord.bot_messages(said.thread)) == 2)
            await world.caught_up()
        assert said.thread is not None
        assert [each.content.splitlines()[0] for each in discord.bot_messages(said.thread)[1:]] == ["To why?."]
    assert shown(discord) == []
