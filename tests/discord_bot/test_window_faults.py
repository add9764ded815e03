"""The window's beginning where it could be lost: kills, requests with less room, questions at once, and deletion."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bot.core.turns import Attempt, Outcome, Prompt, TurnState, UserName
from bot.standin.entities import User
from bot.standin.model import ModelStandin, Request
from bot.standin.profiles import PROFILES
from bot.standin.script import REFUSALS, Reply
from bot.standin.server import DiscordStandin
from bot.store import Store
from bot.store.sqlite import open_store
from bot.store.windows import WindowStore
from tests.discord_bot.conftest import ALLOWANCES, Held, Launch, Start, World
from tests.discord_bot.people import ask, shown
from tests.places import on_discord
from tests.store.steps import posix_only, rows
from tests.waiting import FOR_A_PROCESS

pytestmark = pytest.mark.virtual_time

LONG = "r" * 1000
"""A reply with which a turn takes about a twenty-sixth of the window."""
FITTING, FULL = 20, 30
"""Turns that leave room for a few more, and more turns than the window has room for."""


async def remember(store: Store, discord: DiscordStandin, turns: int) -> None:
    """Turns of Bo in #general, each with its question's message."""
    for number in range(turns):
        said = await discord.say(discord.general, discord.bo, f"question {number}")
        prompt = Prompt(
            on_discord(discord.general.id),
            said.id,
            said.content,
            discord.bo.id,
            UserName("Bo", "bo"),
            discord.guild.id,
            message_id=said.id,
        )
        attempt = await store.turns.begin(prompt)
        assert isinstance(attempt, Attempt)
        await store.turns.close(attempt, Outcome(TurnState.COMPLETE, LONG))
        await store.turns.mark_delivered(attempt)


async def beginning(store: Store) -> int:
    [[number]] = await store.engine.read("SELECT window_begins FROM conversations ORDER BY id LIMIT 1")
    return int(number)


def asked(request: Request) -> list[int]:
    """The numbers of the questions in a request, with that to be answered."""
    found = (re.search(r"question (\d+)$", message["content"]) for message in request.messages)
    return [int(match[1]) for match in found if match]


async def question(world: World, number: int, author: User | None = None) -> Request:
    """What the model is sent last for a question of Ada's, or of somebody else's."""
    await world.ask_and_wait(f"question {number}", author=author or world.discord.ada)
    return world.model.requests[-1]


# What has less room


@pytest.fixture
async def cloud() -> AsyncIterator[ModelStandin]:
    """A server with half the window."""
    async with ModelStandin(
        default=Reply("From the cloud."), context_tokens=4096, profile=PROFILES["llama_cpp"]
    ) as standin:
        yield standin


async def retry(world: World, cloud: ModelStandin) -> list[Request]:
    """A question without an answer is tried again when the persona has become longer."""
    discord, here = world.discord, on_discord(world.discord.general.id)
    world.model.script.append(REFUSALS["rate limit"])
    await question(world, 91, discord.bo)
    broken = discord.bot_messages(discord.general)[-1]
    await world.store.personas.set_persona(here, discord.guild.id, "p" * 8000)
    count = len(world.model.requests)
    await world.press(broken)
    await world.asked(count)
    await world.idle()
    await world.store.personas.set_persona(here, discord.guild.id, None)
    return [world.model.requests[-1]]


async def refusal(world: World, cloud: ModelStandin) -> list[Request]:
    """A request is refused as too long, and again when it is halved."""
    world.model.script += [REFUSALS["context too long (a proxy)"], REFUSALS["rate limit"]]
    return [await question(world, 91, world.discord.bo)]


async def quota(world: World, cloud: ModelStandin) -> list[Request]:
    """Bo has too few tokens left for a whole request."""
    await question(world, 91, world.discord.bo)
    return [await question(world, 92, world.discord.bo)]


async def fallback(world: World, cloud: ModelStandin) -> list[Request]:
    """Questions are answered by a model whose window is smaller, first unknown and then known."""
    working, world.model.default = world.model.default, REFUSALS["server error"]
    for number in (91, 92):
        await question(world, number, world.discord.bo)
    world.model.default = working
    return [cloud.requests[1], cloud.requests[-1]]


Act = Callable[[World, ModelStandin], Awaitable[list[Request]]]


@pytest.mark.parametrize("act", [retry, refusal, quota, fallback])
async def test_what_has_less_room_moves_nothing(
    discord: DiscordStandin,
    cloud: ModelStandin,
    model: ModelStandin,
    start: Start,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Act,
) -> None:
    monkeypatch.setattr("bot.core.fallback.REST", 0.0)
    settings: dict[str, Any] = {"reply_tokens": 500}
    if act is quota:
        settings["allowances"] = replace(ALLOWANCES, daily_tokens_per_user=13_000)
    elif act is fallback:
        settings |= {"fallback_model": "cloud:big", "further": {"cloud": cloud}}
    model.default = Reply("Yes.", usage=False)
    async with start(**settings) as world:
        await remember(world.store, discord, FITTING)
        before = await question(world, 90)
        assert asked(before)[0] == 0
        small = await act(world, cloud)
        for request in small:
            assert asked(request)[0] > 0, "it had less room"
            assert asked(request)[-1] in (91, 92)
        assert await beginning(world.store) == 0
        after = await question(world, 93, discord.cleo)
        assert after.messages[: len(before.messages) - 1] == before.messages[:-1]
        assert await beginning(world.store) == 0


# Questions at once


async def test_the_first_of_those_who_find_it_full_moves_it_for_all(
    world: World, hold: Callable[[type[WindowStore], str], Held]
) -> None:
    """Cleo finds a later beginning, since there is a turn more by then, but Bo's is there first."""
    discord, model = world.discord, world.model
    await remember(world.store, discord, FULL)
    first = hold(WindowStore, "move")
    await world.ask("question 91", author=discord.bo)
    await first.begun.wait()
    assert model.requests == []
    await remember(world.store, discord, 3)
    second = hold(WindowStore, "move")
    await world.ask("question 92", author=discord.cleo)
    await second.begun.wait()
    first.go_on.set()
    bos = await world.asked(0)
    begins = await beginning(world.store)
    assert begins > 1
    second.go_on.set()
    cleos = await world.asked(1)
    assert cleos.messages[: len(bos.messages) - 1] == bos.messages[:-1]
    await world.idle()
    assert await beginning(world.store) == begins


# Deletion


async def test_deleted_beginning_is_missing_and_moves_nothing(world: World) -> None:
    discord = world.discord
    world.model.default = Reply("Yes.", usage=False)
    await remember(world.store, discord, FULL)
    before, begins = await question(world, 90), await beginning(world.store)
    first, second, *_ = asked(before)
    assert first == begins - 1 > 0
    await discord.delete(discord.messages(discord.general)[first])
    await world.until(lambda: world.store.turns.count(on_discord(discord.general.id)), FULL)
    after = await question(world, 91)
    assert asked(after) == [*range(second, FULL), 90, 91], "nothing that has left takes its place"
    assert [after.messages[0], *after.messages[1:-3]] == [before.messages[0], *before.messages[3:-1]]
    assert await beginning(world.store) == begins


async def test_reset_begins_anew_and_the_new_window_is_moved_too(world: World) -> None:
    discord = world.discord
    world.model.default = Reply("Yes.", usage=False)
    await remember(world.store, discord, FULL)
    await question(world, 90)
    moved = await beginning(world.store)
    used = await discord.slash(discord.max, discord.general, "reset")
    await world.press(await used.answered(), discord.max, "reset:all")
    await world.until(lambda: world.turns(discord.general), [])
    assert asked(await question(world, 91)) == [91]
    assert asked(await question(world, 92)) == [91, 92]
    assert await beginning(world.store) == moved
    await remember(world.store, discord, FULL)
    full = await question(world, 93)
    assert 0 < asked(full)[0] < FULL
    assert await beginning(world.store) > moved
    assert asked(await question(world, 94)) == [*asked(full), 94]


# Kills


@dataclass(frozen=True)
class Moment:
    """When the process is killed, from the first call of a store's method on."""

    part: str
    method: str
    statements: Sequence[str]
    """Pieces of the SQL of statements that the database's writer comes to one after the other. The last is not run."""


MOMENTS = {
    "before the move": Moment("windows.WindowStore", "move", ["SET window_begins"]),
    "after the move": Moment("windows.WindowStore", "move", ["SET window_begins", ""]),
    "within the close": Moment("turns.TurnStore", "close", ["SET last_number", "SET reply"]),
    "before the close is committed": Moment("turns.TurnStore", "close", ["SET reply", "COMMIT"]),
    "after the close": Moment("turns.TurnStore", "close", ["SET reply", "COMMIT", ""]),
}
KILLED = """
import importlib, os, signal, sys
from bot.cli import main
from bot.discord_bot.endpoint import connect_to
from tests.store.steps import trace

*urls, part, method, statements = sys.argv[1:]
module, _, name = part.partition(".")
part = getattr(importlib.import_module(f"bot.store.{module}"), name)
work = getattr(part, method)
left = statements.split(";")

def told(sql):
    if left[0] in sql:
        del left[0]
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

async def traced(self, *details, **more):
    await trace(self._engine, told)
    return await work(self, *details, **more)

setattr(part, method, traced)
with connect_to(*urls):
    sys.exit(main([]))
"""


@pytest.mark.real_time("a process")
@posix_only
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
async def test_kill_leaves_the_window_as_it_was_or_moved(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start, file: Path, moment: Moment
) -> None:
    model.default = Reply("Yes.", usage=False)
    async with open_store(file, exclusive=True) as store:
        await remember(store, discord, FULL)
    statements = ";".join(moment.statements)
    async with launch(KILLED, moment.part, moment.method, statements, SUMMARY_MODEL="off") as process:
        await discord.ready()
        await ask(discord, "question 90", author=discord.ada)
        async with asyncio.timeout(FOR_A_PROCESS):
            assert await process.wait() == -9
    moved = rows(file, "SELECT window_begins FROM conversations") != [(0,)]
    assert moved == (moment is not MOMENTS["before the move"])
    requests = len(model.requests)
    assert requests == (moment.method == "close")
    async with start() as world:
        await world.until(lambda: world.store.turns.undelivered("discord"), [])
        await world.idle()
        assert shown(discord) == ["Yes."]
        assert len(model.requests) - requests == (moment is not MOMENTS["after the close"]), "it is answered once"
        recovered = model.requests[-1]
        begins = await beginning(world.store)
        assert (begins > 0) == moved, "a recovery moves nothing"
        assert asked(recovered)[-2:] == [FULL - 1, 90]
        after = await question(world, 91)
        begins = await beginning(world.store)
        assert asked(after) == [*range(begins - 1, FULL), 90, 91]
        if moved:
            assert after.messages[: len(recovered.messages) - 1][1:] == recovered.messages[1:-1]
    assert rows(file, "SELECT number FROM turns ORDER BY position") == [(n,) for n in range(1, FULL + 3)]
