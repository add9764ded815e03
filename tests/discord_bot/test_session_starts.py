"""When the sessions of shards are started: in turn, as often as Discord allows, and by several processes together."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from discord.http import HTTPClient

from bot.core.figures import Gauge
from bot.discord_bot.session_starts import SessionStarts
from bot.standin.server import DiscordStandin
from bot.standin.sharding import Sharding
from bot.store.postgresql import PostgreSQLEngine, SharedRequests
from tests.discord_bot.conftest import Start, World, identified
from tests.waiting import until

pytestmark = [pytest.mark.usefixtures("echo"), pytest.mark.virtual_time]


@pytest.mark.standin(sharding=Sharding(least_recommended=3))
async def test_shards_of_a_bucket_identify_themselves_in_turn(discord: DiscordStandin, start: Start) -> None:
    times = identified(discord)
    async with start():
        await discord.gateway.invalidate(shard=1)
        await discord.ready()
    assert [shard for _, shard in times] == [0, 1, 2, 1]
    assert all(later - sooner > 4.9 for (sooner, _), (later, _) in pairwise(times))
    assert discord.gateway.starts.too_early == 0


@pytest.mark.standin(sharding=Sharding(least_recommended=16, max_concurrency=16))
async def test_connections_take_nothing_of_the_requests_a_second(discord: DiscordStandin, world: World) -> None:
    [counted] = [each for each in world.figures if each.name == "discord_requests_last_second"]
    assert isinstance(counted, Gauge)
    assert counted.read() == len(discord.requests) > 0


@pytest.mark.standin(sharding=Sharding(least_recommended=20, max_concurrency=16))
async def test_buckets_identify_themselves_side_by_side(discord: DiscordStandin, start: Start) -> None:
    times = identified(discord)
    async with start():
        assert len(times) == 20
    assert times[15][0] - times[0][0] < 4
    assert {shard for _, shard in times[:16]} == set(range(16))
    assert times[16][0] - times[0][0] > 4.9
    assert times[19][0] - times[0][0] < 9
    assert discord.gateway.starts.too_early == 0


async def test_identify_that_was_under_way_for_long_holds_up_the_next_one() -> None:
    """Discord counts from the moment at which it got the last one, which its answer shows."""
    starts = SessionStarts(HTTPClient(asyncio.get_running_loop()))
    began = time.monotonic()
    await starts.before_identify(0)
    asyncio.get_running_loop().call_later(3, starts.answered, 0)
    await starts.before_identify(1)
    assert time.monotonic() - began == pytest.approx(8, abs=0.1)
    # Nobody answers this one.
    await starts.before_identify(2)
    assert time.monotonic() - began == pytest.approx(18, abs=0.1)


class Turns:
    """What a database tells of the turns of all processes: the first comes when it is asked for, another in 20 s.

    For the seconds `taken`, the next one is another process's.
    """

    def __init__(self, answers_after: float, taken: float = 0.0) -> None:
        self.unserved_since = math.inf
        self.asked: list[tuple[float, int]] = []
        self._answers_after = [answers_after]
        self._free_at = time.monotonic() + taken

    async def identify_in(self, bucket: int, ahead: float, instead_of: int = 0) -> tuple[float, int]:
        if (taken := self._free_at - ahead - time.monotonic()) > 0:
            return taken, 0
        self.asked.append((ahead, instead_of))
        await asyncio.sleep(self._answers_after.pop() if self._answers_after else 0)
        return (ahead if len(self.asked) == 1 else 20.0), len(self.asked)

    async def take_start(self, remaining: int) -> bool:
        return True

    async def draw(self, slots: int, per_second: int, burst: int) -> tuple[float, int]:
        raise AssertionError(slots)

    async def hold(self, seconds: float) -> None:
        raise AssertionError(seconds)


@pytest.mark.parametrize(
    ("taken", "answers_after", "connects_in", "at"),
    [
        (0.0, 0.0, 0.5, 1.0),
        (0.0, 0.0, 0.9, 1.0),
        (0.0, 0.2, 0.5, 1.2),
        (0.0, 0.0, 2.0, 22.0),
        (0.0, 3.0, 0.5, 24.0),
        (9.0, 0.0, 0.5, 9.06),
    ],
)
async def test_session_is_started_at_its_turn_or_takes_another_one(
    discord: DiscordStandin, taken: float, answers_after: float, connects_in: float, at: float
) -> None:
    turns, http = Turns(answers_after, taken), HTTPClient(asyncio.get_running_loop())
    await http.static_login(discord.token)
    starts = SessionStarts(http, turns)
    await starts.ask()
    began = time.monotonic()
    async with starts.turn(0):
        await asyncio.sleep(connects_in)
        await starts.before_identify(0)
    assert time.monotonic() - began == pytest.approx(at, abs=0.05)
    assert turns.asked == [(1.0, 0)] if at < 20 else [(1.0, 0), (0.0, 1)]
    await http.close()


class Queue:
    """The one row of several processes with the turns of a bucket."""

    def __init__(self) -> None:
        self._next_at = 0.0
        self._number = 0

    def ask(self, ahead: float, instead_of: int) -> tuple[float, int]:
        now = time.monotonic()
        if self._number and instead_of == self._number:
            ahead = 0.0
        elif self._next_at > now + ahead:
            return self._next_at - ahead - now, 0
        self._next_at = now + ahead + 5.5
        self._number += 1
        return ahead, self._number


class Process(Turns):
    """One of several on a row, whose answers may be slow."""

    def __init__(self, queue: Queue, answers_after: float) -> None:
        super().__init__(0.0)
        self._queue, self._each_after = queue, answers_after

    async def identify_in(self, bucket: int, ahead: float, instead_of: int = 0) -> tuple[float, int]:
        await asyncio.sleep(self._each_after)
        return self._queue.ask(ahead, instead_of)


@pytest.mark.parametrize(
    ("processes", "order"),
    [
        # When each begins, how long its answers take, and how long its connection does; for how long it was unserved.
        ([(0, 0.03, 0), (2, 0.03, 0), (4, 0, 0), (6, 0, 0), (8, 0, 0)], [0, 1, 2, 3, 4]),
        # The turn of the first is over before it is connected, and that of the second has come.
        ([(0, 0, 6), (2, 0, 0), (4, 0, 0), (6.5, 0, 0), (8, 0, 0)], [1, 2, 0, 3, 4]),
        # The third has taken over what nobody has served for longer than the second has waited.
        ([(0, 0, 0), (2, 0, 0), (4, 0, 0, 6.0)], [0, 2, 1]),
    ],
)
async def test_whoever_has_waited_for_longer_starts_a_session_before_those_who_came_later(
    discord: DiscordStandin, processes: Sequence[tuple[float, ...]], order: list[int]
) -> None:
    queue, begun = Queue(), list[int]()

    async def start(
        number: int, begins: float, answers_after: float, connects_in: float, unserved: float = -math.inf
    ) -> None:
        await asyncio.sleep(begins)
        http = HTTPClient(asyncio.get_running_loop())
        await http.static_login(discord.token)
        process = Process(queue, answers_after)
        process.unserved_since = time.monotonic() - unserved
        starts = SessionStarts(http, process)
        await starts.ask()
        async with starts.turn(0):
            await asyncio.sleep(connects_in)
            await starts.before_identify(0)
        begun.append(number)
        await http.close()

    await asyncio.gather(*(start(number, *each) for number, each in enumerate(processes)))
    assert begun == order


@pytest.mark.standin(sharding=Sharding(session_starts=5, max_concurrency=16, identify_every=0.0))
async def test_processes_do_not_start_the_last_sessions_twice(discord: DiscordStandin, postgresql_url: str) -> None:
    rules = discord.gateway.starts
    begun: list[int] = []

    async def start(shard: int, connect: float) -> None:
        """One of a process of its own."""
        http = HTTPClient(asyncio.get_running_loop())
        try:
            await http.static_login(discord.token)
            starts = SessionStarts(http, SharedRequests(engine))
            await starts.ask()
            asked.append(shard)
            await until(lambda: len(asked) == 8)
            async with starts.turn(shard):
                await asyncio.sleep(connect)
                await starts.before_identify(shard)
                rules.take(shard)
                begun.append(shard)
        finally:
            await http.close()

    async with PostgreSQLEngine.open(postgresql_url, serving=True) as engine:
        asked: list[int] = []
        starting = [asyncio.create_task(start(shard, connect=shard / 4)) for shard in range(8)]
        await asyncio.sleep(300)
        assert len(begun) == 5
        assert rules.remaining == 0
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)


@pytest.mark.standin(
    sharding=Sharding(session_starts=4, session_starts_reset=600, max_concurrency=16, least_recommended=3)
)
async def test_too_few_session_starts_are_waited_for(
    discord: DiscordStandin, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with start():
        pass
    token, times = discord.token, identified(discord)
    discord.world.clock = lambda: before + time.monotonic() - began
    before, began = time.time(), time.monotonic()
    discord.patience = 1000
    async with start() as world:
        assert all(at - began > 500 for at, _ in times)
        await world.answered("hello")
    assert discord.token == token
    assert re.search(
        r"may connect to Discord only 1 more times, and 3 are needed: waiting until \S+ \S+ UTC", caplog.text
    )


@pytest.mark.standin(
    sharding=Sharding(
        session_starts=5, session_starts_reset=600, identify_every=0.0, max_concurrency=16, least_recommended=3
    )
)
async def test_shards_that_start_at_once_leave_enough_session_starts_to_each_other(
    discord: DiscordStandin, start: Start
) -> None:
    token = discord.token
    discord.world.clock = lambda: before + time.monotonic() - began
    before, began = time.time(), time.monotonic()
    async with start() as world:
        await discord.gateway.invalidate()
        await asyncio.sleep(60)
        assert len(discord.gateway.shards) == 2, "these two are what is left"
        await asyncio.sleep(600)
        assert len(discord.gateway.shards) == 3
        await world.answered("hello")
    assert discord.token == token
