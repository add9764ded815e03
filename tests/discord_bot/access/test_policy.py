"""Who is answered where, as the people concerned see it; what is refused never reaches the model's server."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.access import AccessSettings, Servers
from bot.core.shards import Shards
from bot.discord_bot.access import members
from bot.discord_bot.access.members import MembershipStatus
from bot.discord_bot.delivery import notices
from bot.standin.entities import Channel, Guild, User
from bot.standin.faults import ALWAYS, ConnectionReset, RateLimited, Refused, ServerError, Slow
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.standin.sharding import shard_of
from tests.discord_bot.conftest import OPTIONS, Start, serving
from tests.discord_bot.people import (
    AUTHOR_DENIED,
    MEMBERS,
    MODERATORS,
    NOT_DIRECTLY,
    NOT_HERE,
    NOT_YOU,
    STRANGER,
    UNCLEAR,
    lookups,
)
from tests.store.steps import contents
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.usefixtures("echo"), pytest.mark.virtual_time]

WRITING: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("reset", "stop", "persona", "model", "usage", "resume", "pause"), ()),
    "server": (),
    **dict.fromkeys(("unblock", "block"), ("member",)),
}
"""The commands that a server that is not served is refused, with their options. None undoes one before it."""

# Servers


async def test_unserved_guild_is_told_once_a_day_and_writes_nothing(
    serve: Start, discord: DiscordStandin, lobby: Channel, eve: User
) -> None:
    assert lobby.guild is not None
    other = discord.add_user("zoe", guild=lobby.guild)
    async with serve() as world:
        said = [await world.ask_and_wait("hello", lobby, eve)]
        # When it is left is on record, once for the server.
        await world.until(lambda: world.store.engine.read("SELECT 1 FROM guilds"))
        before = await contents(world.store)
        for _ in range(3):
            said += [await world.ask_and_wait("again", lobby, someone) for someone in (eve, other)]
        for command, options in WRITING.items():
            named = dict.fromkeys(options, other.id)
            used = await discord.slash(lobby.guild.owner, lobby, command, **named)
            assert (await used.answered()).content == NOT_HERE.removeprefix("-# "), command
            assert used.ephemeral
        assert await contents(world.store) == before
        used = await discord.slash(eve, lobby, "help")
        assert "I don't answer in this server." in (await used.answered()).content
    assert [each for each in world.shown(lobby) if each.startswith("-#")] == [NOT_HERE]
    answer = next(each for each in discord.bot_messages(lobby) if each.content == NOT_HERE)
    assert answer.reply_to is said[0]
    assert answer.pinged == set()
    assert all(each.reactions == {} for each in said)
    assert world.model.requests == []


async def test_owner_is_looked_up_once_per_guild(
    serve: Start, discord: DiscordStandin, elsewhere: Guild, lobby: Channel, eve: User
) -> None:
    discord.world.add_member(elsewhere, discord.ada)
    async with serve() as world:
        for number in range(3):
            await world.ask_and_wait(f"{number}", lobby, eve)
        assert world.shown(lobby) == ["To 0." + MODERATORS, "To 1.", "To 2."]
        assert lookups(world.discord, elsewhere) == 1
        await world.ask_and_wait("hello", discord.general, discord.bo)
        assert lookups(world.discord, discord.guild) == 0, "it is the owner's own"


@pytest.mark.parametrize(
    "trouble",
    [
        ServerError(503),
        Refused(403, 50001, "Missing Access"),
        Refused(404, 10004, "Unknown Guild"),
        RateLimited(30.0),
        RateLimited(30.0, via=False),
        ConnectionReset(),
        Slow(30.0),
    ],
    ids=str,
)
async def test_failed_lookup_does_not_refuse_a_guild(
    serve: Start, discord: DiscordStandin, lobby: Channel, eve: User, trouble: ServerError
) -> None:
    discord.faults.add(trouble, route=MEMBERS, times=ALWAYS)
    async with serve() as world:
        await world.ask_and_wait("hello", lobby, eve)
        assert world.shown(lobby) == ["To hello." + MODERATORS]


async def test_owner_who_just_joined_is_answered(
    serve: Start, discord: DiscordStandin, elsewhere: Guild, lobby: Channel, eve: User
) -> None:
    async with serve() as world:
        await world.ask_and_wait("hello", lobby, eve)
        assert NOT_HERE in world.shown(lobby)
        discord.world.add_member(elsewhere, discord.ada)
        await world.ask_and_wait("hello", lobby, discord.ada)
        assert world.shown(lobby)[-1] == "To hello."


async def test_one_member_of_the_owning_team_is_enough(
    serve: Start, discord: DiscordStandin, elsewhere: Guild, lobby: Channel, eve: User
) -> None:
    discord.found_team("Crew", discord.ada, discord.max, discord.bo, invited=[eve])
    async with serve() as world:
        await world.ask_and_wait("hello", lobby, eve)
        assert NOT_HERE in world.shown(lobby), "who is only invited owns nothing"
    discord.world.add_member(elsewhere, discord.bo)
    async with serve() as world:
        await world.ask_and_wait("hello", lobby, eve)
        assert world.shown(lobby)[-1] == "To hello." + MODERATORS


async def test_every_server_is_served_while_no_owner_is_known(
    serve: Start, discord: DiscordStandin, lobby: Channel, eve: User
) -> None:
    discord.found_team("Crew", discord.ada).members.clear()
    async with serve() as world:
        await world.ask_and_wait("hello", lobby, eve)
        assert world.shown(lobby) == ["To hello." + MODERATORS]


async def test_guilds_by_list_and_any(
    serve: Start, discord: DiscordStandin, elsewhere: Guild, lobby: Channel, eve: User
) -> None:
    only = Servers(ids=frozenset({elsewhere.id}))
    async with serve(servers=only) as world:
        await world.ask_and_wait("hello", lobby, eve)
        await world.ask_and_wait("hello", discord.general, discord.bo)
        assert world.shown(lobby) == ["To hello." + MODERATORS]
        assert NOT_HERE in world.shown(discord.general)
    async with serve(servers=replace(only, owner=True)) as world:
        await world.ask_and_wait("hello", lobby, eve)
        await world.ask_and_wait("hello", discord.general, discord.bo)
        assert world.shown(lobby)[-1] == world.shown(discord.general)[-1] == "To hello."
    async with serve(servers=Servers(any=True)) as world:
        await world.ask_and_wait("hello", lobby, eve)
        await world.ask_and_wait("hello", discord.general, discord.bo)
        assert world.shown(lobby)[-1] == world.shown(discord.general)[-1] == "To hello."
        assert discord.calls("GET", MEMBERS) == []


async def test_refused_retry_is_told_privately_each_time(
    serve: Start, discord: DiscordStandin, model: ModelStandin
) -> None:
    model.script.append(Reply(""))
    async with serve() as world:
        await world.ask_and_wait("hello", discord.general, discord.bo)
        shown = await world.reply(discord.general)
        assert "nothing to say" in shown.content
    async with serve(blocked_users=frozenset({discord.bo.id})) as world:
        for _ in range(2):
            press = await world.press(shown, button="reply:retry")
            answer = await press.answered()
            assert (press.ephemeral, answer.content) == (True, NOT_YOU.removeprefix("-# "))
        assert shown.buttons
        press = await world.press(shown, discord.max, "reply:retry")
        assert (await press.answered()).content == AUTHOR_DENIED, "nor may somebody else have them answered"
    async with serve() as world:
        await world.press(shown, button="reply:retry")
        await discord.wait_for(lambda: shown.content == "To hello.")
        await world.idle()
    assert len(model.requests) == 2


async def test_edit_in_an_unserved_guild_is_no_prompt(
    serve: Start, discord: DiscordStandin, lobby: Channel, eve: User
) -> None:
    async with serve() as world:
        said = await discord.say(lobby, eve, "hello")
        await discord.edit(said, f"{discord.bot.mention} hello")
        await world.taken(said)
        assert NOT_HERE in world.shown(lobby)
        assert world.model.requests == []


# Direct messages


async def test_direct_messages_of_members_only(serve: Start, discord: DiscordStandin, eve: User) -> None:
    with_bo, with_eve, with_ada = (discord.open_dm(each) for each in (discord.bo, eve, discord.ada))
    async with serve() as world:
        for _ in range(2):
            await world.ask_and_wait("hello", with_bo, discord.bo)
            await world.ask_and_wait("hello", with_eve, eve)
        assert [each.split("\n")[0] for each in world.shown(with_bo)] == ["To hello.", "To hello."]
        assert world.shown(with_eve) == [STRANGER]
        assert lookups(world.discord, discord.guild) == 2, "one for each"
        discord.world.add_member(discord.guild, eve)
        await world.ask_and_wait("hello", discord.general, eve)
        await world.ask_and_wait("hello", with_eve, eve)
        assert world.shown(with_eve)[1].startswith("To hello."), "who asks in a server is known from then on"
        del discord.guild.members[discord.ada.id]
        await world.ask_and_wait("hello", with_ada, discord.ada)
        assert world.shown(with_ada)[0].startswith("To hello."), "the owner needs no server"


async def test_unserved_guild_is_not_a_common_guild(
    serve: Start, discord: DiscordStandin, lobby: Channel, eve: User
) -> None:
    async with serve() as world:
        await world.ask_and_wait("hello", discord.open_dm(eve), eve)
        assert STRANGER in world.shown(discord.open_dm(eve))
    async with serve(servers=Servers(any=True)) as world:
        await world.ask_and_wait("hello", discord.open_dm(eve), eve)
        assert world.shown(discord.open_dm(eve))[-1].startswith("To hello.")


async def test_failed_lookup_lets_nobody_in(serve: Start, discord: DiscordStandin, eve: User) -> None:
    fault = discord.faults.add(ServerError(503), route=MEMBERS, times=ALWAYS)
    noisy = discord.add_role("Noisy")
    with_eve, with_bo = discord.open_dm(eve), discord.open_dm(discord.bo)
    async with serve() as world:
        await world.ask_and_wait("hello", with_eve, eve)
        again = await world.ask_and_wait("hello", with_eve, eve)
        assert world.shown(with_eve) == [UNCLEAR], "once in a while"
        await discord.wait_for(lambda: "🕒" in again.reactions)
    async with serve(direct_messages="everyone", blocked_roles=frozenset({noisy.id})) as world:
        await world.ask_and_wait("hello", with_bo, discord.bo)
        assert world.shown(with_bo) == [UNCLEAR]
        assert world.model.requests == []
        assert fault.hits
        await world.ask_and_wait("hello", discord.general, discord.bo)
        assert world.shown(discord.general) == ["To hello."], "there the message tells the roles"


async def test_person_answered_before_a_restart_needs_no_lookup(serve: Start, discord: DiscordStandin) -> None:
    with_bo = discord.open_dm(discord.bo)
    async with serve() as world:
        await world.ask_and_wait("hello", with_bo, discord.bo)
    discord.faults.add(ServerError(503), route=MEMBERS, times=ALWAYS)
    async with serve() as world:
        await world.ask_and_wait("again", with_bo, discord.bo)
        assert world.shown(with_bo)[-1].startswith("To again.")


async def test_known_roles_count_while_lookups_fail(
    serve: Start, discord: DiscordStandin, eve: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_bo, with_eve = discord.open_dm(discord.bo), discord.open_dm(eve)
    for answer in (MembershipStatus.MEMBER, MembershipStatus.NOT_MEMBER):
        monkeypatch.setitem(members._CACHED_FOR, answer, 0.0)
    async with serve() as world:
        for person, place in ((discord.bo, with_bo), (eve, with_eve)):
            await world.ask_and_wait("hello", place, person)
        fault = discord.faults.add(ServerError(503), route=MEMBERS, times=ALWAYS)
        for person, place in ((discord.bo, with_bo), (eve, with_eve)):
            await world.ask_and_wait("again", place, person)
        assert fault.hits
        assert world.shown(with_bo)[1] == "To again."
        assert world.shown(with_eve) == [STRANGER]


async def test_direct_messages_off_and_for_everyone(serve: Start, discord: DiscordStandin, eve: User) -> None:
    with_bo, with_eve = discord.open_dm(discord.bo), discord.open_dm(eve)
    async with serve(direct_messages="off") as world:
        await world.ask_and_wait("hello", with_bo, discord.bo)
        assert world.shown(with_bo) == [NOT_DIRECTLY]
        used = await discord.slash(discord.bo, with_bo, "reset")
        assert (await used.answered()).content == "There was nothing to forget.", "to forget is never denied"
    async with serve(direct_messages="everyone") as world:
        await world.ask_and_wait("hello", with_eve, eve)
        assert world.shown(with_eve)[-1].startswith("To hello.")
    assert discord.calls("GET", MEMBERS) == []


# People and roles


async def test_blocked_people_and_roles(serve: Start, discord: DiscordStandin, model: ModelStandin) -> None:
    noisy = discord.add_role("Noisy")
    discord.member(discord.cleo).roles.append(noisy)
    async with serve(blocked_users=frozenset({discord.bo.id}), blocked_roles=frozenset({noisy.id})) as world:
        for person in (discord.bo, discord.cleo):
            await world.ask_and_wait("hello", discord.general, person)
            await world.ask_and_wait("hello", discord.open_dm(person), person)
            assert world.shown(discord.open_dm(person)) == [NOT_YOU]
            for command in ("reset", "stop"):
                used = await discord.slash(person, discord.general, command)
                assert (await used.answered()).content == NOT_YOU.removeprefix("-# ")
                assert used.ephemeral
        assert world.shown(discord.general) == [NOT_YOU, NOT_YOU]
        assert model.requests == []
        await world.ask_and_wait("hello", discord.general, discord.max)
        assert world.shown(discord.general)[-1] == "To hello." + MODERATORS


async def test_allowed_people_and_roles(serve: Start, discord: DiscordStandin, eve: User) -> None:
    crew = discord.add_role("Crew")
    discord.member(discord.cleo).roles.append(crew)
    async with serve(allowed_users=frozenset({discord.bo.id}), allowed_roles=frozenset({crew.id})) as world:
        for person, answer in {discord.bo: "To hello.", discord.cleo: "To hello.", discord.max: NOT_YOU}.items():
            await world.ask_and_wait("hello", discord.general, person)
            assert world.shown(discord.general)[-1] == answer
            await world.ask_and_wait("hello", discord.open_dm(person), person)
            assert world.shown(discord.open_dm(person))[-1].split("\n")[0] == answer
        await world.ask_and_wait("hello", discord.open_dm(eve), eve)
        assert world.shown(discord.open_dm(eve)) == [NOT_YOU]


@pytest.mark.parametrize("rule", ["allowed_roles", "blocked_roles"])
async def test_roles_in_servers_of_other_processes_count_in_direct_messages(
    start: Start, discord: DiscordStandin, model: ModelStandin, tmp_path: Path, rule: str
) -> None:
    """This process serves one of two shards, and another one the shard with the server of the role."""
    servers = [discord.guild, *(discord.add_guild(f"Server {number}") for number in range(12))]
    there = [server for server in servers if shard_of(server.id, 2) == 1]
    crew = discord.add_role("Crew", guild=there[-1])
    other_role = discord.add_role("Other", guild=there[0])
    for person, roles in {discord.cleo: [crew], discord.bo: [other_role]}.items():
        for server in (there[0], there[-1]):
            discord.world.add_member(server, person, roles=[role for role in roles if role in server.roles.values()])
    answers = {discord.cleo: "To hello.", discord.bo: NOT_YOU}
    if rule == "blocked_roles":
        answers = {discord.cleo: NOT_YOU, discord.bo: "To hello."}
    # Nobody has the second one, which has been deleted.
    named = frozenset({crew.id, 4})
    access = AccessSettings(allowed_roles=named)
    if rule == "blocked_roles":
        access = AccessSettings(blocked_roles=named)
    over = asyncio.Event()

    async def other_process() -> None:
        options = replace(OPTIONS, access=access, shards=Shards((1,), 2))
        async with serving(discord, model, tmp_path / "other.db", asyncio.Event(), options=options):
            await over.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(other_process())
        async with start(options=replace(OPTIONS, access=access, shards=Shards((0,), 2))) as world:
            for _ in range(2):
                for person, answer in answers.items():
                    await world.ask_and_wait("hello", discord.open_dm(person), person)
                    assert world.shown(discord.open_dm(person))[-1].split("\n")[0] == answer
            asked = [call.path for call in discord.calls("GET", "/guilds/{guild_id}")]
            assert len(asked) == len(set(asked)) == len(there), "once for each"
            # The bot leaves the server with the role, which nobody has any more.
            discord.world.remove_guild(there[-1])
            await asyncio.sleep(400)
            await world.ask_and_wait("hello", discord.open_dm(discord.cleo), discord.cleo)
            without = "To hello." if rule == "blocked_roles" else NOT_YOU
            assert world.shown(discord.open_dm(discord.cleo))[-1].split("\n")[0] == without
            over.set()


async def test_roles_apply_to_missed_prompts(serve: Start, discord: DiscordStandin, model: ModelStandin) -> None:
    noisy = discord.add_role("Noisy")
    discord.member(discord.cleo).roles.append(noisy)
    said = [
        await discord.say(discord.general, person, f"{discord.bot.mention} hello")
        for person in (discord.bo, discord.cleo)
    ]
    async with serve(blocked_roles=frozenset({noisy.id})) as world:
        for each in said:
            await world.taken(each)
        assert sorted(world.shown(discord.general)) == [NOT_YOU, "To hello."]


async def test_commands_stay_without_effect_where_the_bot_is_not(serve: Start, discord: DiscordStandin) -> None:
    """An application's commands can be in a server without its bot."""
    async with serve() as world:
        owner = discord.guild.owner
        place = discord.add_channel("quay", discord.add_guild("Quay", owner))
        assert place.guild is not None
        used = await discord.slash(owner, place, "server")
        assert (await used.answered()).content.startswith("I answer everywhere in this server.")
        discord.world.remove_guild(place.guild)
        # When it was left is on record, once for the server.
        await world.until(lambda: world.store.engine.read("SELECT 1 FROM guilds WHERE left_at IS NOT NULL"))
        before = await contents(world.store)
        for command in WRITING:
            if command not in ("block", "unblock"):
                used = await discord.slash(owner, place, command)
                assert (await used.answered()).content == NOT_HERE.removeprefix("-# "), command
        assert await contents(world.store) == before


@pytest.mark.standin(wall=lambda: time.time() - 300)
async def test_late_refusal_is_silent(serve: Start, discord: DiscordStandin, lobby: Channel, eve: User) -> None:
    said = await discord.say(lobby, eve, f"{discord.bot.mention} hello")
    async with serve() as world:
        await world.taken(said)
    assert NOT_HERE not in world.shown(lobby)
    assert world.model.requests == []


# Once


async def test_refusal_without_room_is_told_later(
    serve: Start, discord: DiscordStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "NOTICE_BURST", 1)
    monkeypatch.setattr(notices, "SECONDS_PER_NOTICE", 0.5)
    async with serve(blocked_users=frozenset({discord.bo.id})) as world:
        await discord.say(discord.general, discord.cleo, discord.bot.mention)
        await world.reply(discord.general, "Put your question in the same message")
        first = await world.ask_and_wait("hello", discord.general, discord.bo)
        assert len(world.shown(discord.general)) == 1, "there was only room for the hint"
        async with asyncio.timeout(PATIENCE):
            while NOT_YOU not in world.shown(discord.general):
                await world.ask_and_wait("hello", discord.general, discord.bo)
        assert world.shown(discord.general)[1:] == [NOT_YOU]
        assert first.reactions == {}
