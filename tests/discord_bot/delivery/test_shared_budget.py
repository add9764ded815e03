"""Several schedulers, as those of several processes, that share Discord's limits through one PostgreSQL."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from bot.core.errors import StoreError
from bot.discord_bot.delivery.pacing import PER_SECOND, WAYS_VARY
from bot.discord_bot.delivery.scheduler import Scheduler, Urgency
from bot.discord_bot.delivery.shared_budget import BURST, LASTS, TOLD_WITHIN, SharedBudget
from bot.store.postgresql import PostgreSQLEngine
from bot.store.postgresql.requests import IDENTIFY_EVERY_MS, SharedRequests
from tests.postgresql import Server
from tests.waiting import until

PROCESSES = 3


class Busy:
    """A channel's caller that always wants to post, and notes when it does."""

    urgency = Urgency.FIRST
    waiting_since = 0.0
    not_before = 0.0
    wants = "DELETE"

    def __init__(self, made: list[float]) -> None:
        self._made = made

    def prepare(self) -> str:
        return self.wants

    async def call(self) -> None:
        self._made.append(asyncio.get_running_loop().time())

    def abandon(self) -> None:
        pass


@asynccontextmanager
async def schedulers(server: Server, url: str) -> AsyncIterator[Sequence[Scheduler]]:
    for shard in range(PROCESSES):
        server.execute(
            f"INSERT INTO shards (count, shard, epoch, holder) VALUES ({PROCESSES}, {shard}, 1, 'of {shard}')",  # noqa: S608
            url.partition("///")[2].partition("?")[0],
        )
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(PROCESSES):
            engine = await stack.enter_async_context(PostgreSQLEngine.open(url, serving=False))
            budget = SharedBudget(SharedRequests(engine))
            stack.push_async_callback(budget.close)
            found.append(await stack.enter_async_context(Scheduler(budget)))
        yield found


def fullest_second(times: Sequence[float]) -> int:
    ordered = sorted(times)
    return max(sum(first <= each < first + 1 for each in ordered) for first in ordered)


def within(times: Sequence[float], begin: float, end: float) -> int:
    return sum(begin <= each < end for each in times)


def keep_busy(scheduler: Scheduler, first_channel: int) -> list[float]:
    made: list[float] = []
    for channel in range(first_channel, first_channel + 30):
        scheduler.add(channel, Busy(made))
    return made


def test_no_second_has_more_than_fifty_requests_however_late_slots_are_used() -> None:
    """What arrives in a second had its slots in as much more time as any of them may be late."""
    assert (1 + WAYS_VARY + TOLD_WITHIN + LASTS) * PER_SECOND + BURST <= 50


async def test_processes_share_one_budget_by_what_they_need(postgresql_server: Server, postgresql_url: str) -> None:
    async with schedulers(postgresql_server, postgresql_url) as (first, second, idle):
        busy = [keep_busy(first, 100), keep_busy(second, 200)]
        await asyncio.sleep(3)
        made = [each for of_one in busy for each in of_one]
        assert fullest_second(made) <= 50
        began = min(made)
        # A slow machine may use less, but both get their part, and what the idle one leaves.
        assert within(made, began, began + 2) > 50
        assert min(map(len, busy)) > 0.3 * len(made) / 2
        idles = keep_busy(idle, 300)
        await asyncio.sleep(1)
        assert idles


async def test_without_the_database_each_has_an_even_part_after_a_pause(
    postgresql_server: Server, postgresql_url: str
) -> None:
    loop = asyncio.get_running_loop()
    async with schedulers(postgresql_server, postgresql_url) as (alone, *_):
        made = keep_busy(alone, 100)
        await asyncio.sleep(1)
        postgresql_server.stop()
        gone = loop.time()
        try:
            await asyncio.sleep(4)
            late = [each for each in made if each > gone + 0.2]
            assert late, "it goes on"
            assert late[0] >= gone + 0.9
            rest = within(made, late[0], late[0] + 2)
            assert rest <= 2 * PER_SECOND / PROCESSES + 2
        finally:
            await asyncio.to_thread(postgresql_server.start)
        # It has the whole budget again, once every other process would have found the database back.
        await until(lambda: within(made, loop.time() - 1, loop.time()) > PER_SECOND / PROCESSES + 4)
        assert fullest_second(made) <= 50


class Row:
    """What processes share, without a database between: slots, and whether and how fast it answers."""

    def __init__(self) -> None:
        self.unserved_since = math.inf
        self.is_away = False
        self.error: Exception = StoreError("It is away.")
        self.answer_after = 0.0
        self._taken_until = 0.0

    async def draw(self, slots: int, per_second: int, burst: int) -> tuple[float, int]:
        if self.is_away:
            raise self.error
        now = asyncio.get_running_loop().time()
        self._taken_until = max(self._taken_until, now - burst / per_second) + slots / per_second
        last_in = self._taken_until - now
        await asyncio.sleep(self.answer_after)
        return last_in, PROCESSES

    def restarts(self) -> None:
        self.is_away, self._taken_until = False, 0.0

    async def hold(self, seconds: float) -> None: ...

    async def take_start(self, remaining: int) -> bool:
        return True

    async def identify_in(self, bucket: int, ahead: float, instead_of: int = 0) -> tuple[float, int]:
        return ahead, 1


@asynccontextmanager
async def schedulers_on(row: Row) -> AsyncIterator[Sequence[Scheduler]]:
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(PROCESSES):
            budget = SharedBudget(row)
            stack.push_async_callback(budget.close)
            found.append(await stack.enter_async_context(Scheduler(budget)))
        yield found


@asynccontextmanager
async def busy_on(row: Row) -> AsyncIterator[Sequence[list[float]]]:
    """Schedulers with more calls than may go. The answer has when each process made its own."""
    async with schedulers_on(row) as found:
        yield [keep_busy(scheduler, 100 * number) for number, scheduler in enumerate(found)]


@pytest.mark.virtual_time
async def test_processes_that_find_the_database_back_one_after_the_other_share_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row, loop = Row(), asyncio.get_running_loop()
    # Each looks again at a time of its own.
    monkeypatch.setattr("bot.discord_bot.delivery.shared_budget._LOOK_AGAIN", 0.0131)
    async with busy_on(row) as made:
        await asyncio.sleep(2)
        row.is_away, gone = True, loop.time()
        await asyncio.sleep(6.05)
        row.restarts()
        back = loop.time()
        await asyncio.sleep(10)
        every = [each for of_one in made for each in of_one]
        assert fullest_second([each for each in every if each > gone + 0.5]) <= 50
        assert within(every, back + 7, back + 9) >= 2 * PER_SECOND - 4, "all of it is used again"


@pytest.mark.virtual_time
@pytest.mark.parametrize("steady", [0.0, 0.03, 0.2])
async def test_slots_that_are_told_late_are_not_used_beside_those_of_that_time(steady: float) -> None:
    row = Row()
    row.answer_after = steady
    async with busy_on(row) as made:
        for _ in range(5):
            await asyncio.sleep(2)
            row.answer_after = 0.9
            await asyncio.sleep(0.3)
            row.answer_after = steady
        every = [each for of_one in made for each in of_one]
        assert fullest_second(every) <= 50
        assert len(every) > 5 * PER_SECOND, "most of the time it is used"


@pytest.mark.virtual_time
@pytest.mark.parametrize("answer_after", [0.0, 0.03])
async def test_marks_of_many_questions_at_once_stay_within_what_discord_takes(answer_after: float) -> None:
    """As after an outage. A mark waits for no slot, so that it goes ahead of its own, and the next one after that."""
    row, loop = Row(), asyncio.get_running_loop()
    row.answer_after = answer_after
    marks: list[float] = []

    async def mark(scheduler: Scheduler) -> None:
        for question in range(600):
            with scheduler.best_effort("reaction", question) as has_room:
                if has_room:
                    marks.append(loop.time())
            await asyncio.sleep(0.005)

    async with schedulers_on(row) as (busy, *others):
        made = keep_busy(busy, 100)
        await asyncio.sleep(0.5)
        await asyncio.gather(*map(mark, others))
        assert fullest_second([*made, *marks]) <= 50
    assert marks


@pytest.mark.virtual_time
@pytest.mark.parametrize("error", [StoreError("It is away."), ValueError("a bug")], ids=["away", "bug"])
async def test_mark_is_made_though_what_was_spent_for_the_last_one_was_not_told(error: Exception) -> None:
    row = Row()
    row.is_away, row.error = True, error
    async with schedulers_on(row) as (first, *_):
        for pause in (3.0, 10.0):
            with first.best_effort("reaction", 1) as has_room:
                assert has_room
            await asyncio.sleep(pause)
            row.restarts()
        made = keep_busy(first, 100)
        await asyncio.sleep(1)
        assert made


@pytest.mark.virtual_time
async def test_look_up_is_made_though_slots_are_told_late() -> None:
    row, loop = Row(), asyncio.get_running_loop()
    # Which is no multiple of the time between two looks.
    row.answer_after = 0.117
    budget = SharedBudget(row)
    async with Scheduler(budget) as scheduler:
        began = loop.time()
        for _ in range(3):
            async with scheduler.low_priority():
                pass
        assert loop.time() < began + 1
    await budget.close()


async def test_what_discord_refuses_to_one_holds_the_others(postgresql_server: Server, postgresql_url: str) -> None:
    loop = asyncio.get_running_loop()
    async with schedulers(postgresql_server, postgresql_url) as (refused, other, _):
        made = keep_busy(other, 100)
        await asyncio.sleep(0.5)
        refused.observe(None, "GET", 429, {"Retry-After": "2", "X-RateLimit-Global": "true"})
        at = loop.time()
        await asyncio.sleep(3)
        assert not within(made, at + 0.5, at + 1.9)
        assert within(made, at + 2, at + 3)


async def test_one_bucket_of_sessions_has_one_start_at_a_time(postgresql_url: str) -> None:
    async with PostgreSQLEngine.open(postgresql_url, serving=False) as engine:
        shared = SharedRequests(engine)
        (wait, turn), *others = sorted(
            await asyncio.gather(*(shared.identify_in(0, 0.0) for _ in range(4))), key=lambda answer: -answer[1]
        )
        assert wait < 0.1
        assert turn
        assert all(number == 0 and 5 < wait <= IDENTIFY_EVERY_MS / 1000 for wait, number in others)
        wait, _ = await shared.identify_in(1, 1.0)
        assert 0.9 < wait < 1.1, "another bucket does not wait"


async def test_process_that_ends_as_it_waits_for_its_turn_holds_nobody_up(postgresql_url: str) -> None:
    async with PostgreSQLEngine.open(postgresql_url, serving=False) as engine:
        shared = SharedRequests(engine)
        await shared.identify_in(0, 1.0)
        for _ in range(3):
            await shared.identify_in(0, 1.0)
        wait, turn = await shared.identify_in(0, 1.0)
        assert not turn
        assert wait <= IDENTIFY_EVERY_MS / 1000, "it is the next one, and looks again as long before as it needs"


async def test_turn_that_was_missed_comes_at_once_unless_others_follow_it(postgresql_url: str) -> None:
    async with PostgreSQLEngine.open(postgresql_url, serving=False) as engine:
        shared = SharedRequests(engine)
        _, missed = await shared.identify_in(0, 1.0)
        wait, again = await shared.identify_in(0, 0.0, missed)
        assert wait < 0.1
        wait, other = await shared.identify_in(0, 6.0)
        assert wait >= 5.9
        wait, last = await shared.identify_in(0, 0.0, again)
        assert wait > 5
        assert last == 0
        assert len({missed, again, other, last}) == 4


@pytest.mark.parametrize("latency", [0.0, 0.05])
async def test_request_of_low_priority_takes_the_slot_that_is_drawn_for_it(latency: float) -> None:
    """A slot is thrown away soon, and until then nobody else may need it."""
    drawn = []

    class Limits:
        unserved_since = math.inf

        async def draw(self, slots: int, _per_second: int, _burst: int) -> tuple[float, int]:
            await asyncio.sleep(latency)
            drawn.append(slots)
            return 0.0, 1

        async def hold(self, seconds: float) -> None:
            raise AssertionError(seconds)

        async def identify_in(self, bucket: int, ahead: float, instead_of: int = 0) -> tuple[float, int]:
            raise AssertionError(bucket)

        async def take_start(self, remaining: int) -> bool:
            raise AssertionError(remaining)

    budget = SharedBudget(Limits())
    async with Scheduler(budget) as scheduler:
        for _ in range(5):
            async with scheduler.low_priority():
                pass
    await budget.close()
    assert sum(drawn) <= 15, "one in 5 may be late on a busy machine, and is drawn again"


async def test_start_of_a_session_is_known_after_the_database_has_failed(
    postgresql_server: Server, postgresql_url: str
) -> None:
    async with PostgreSQLEngine.open(postgresql_url, serving=False) as engine:
        shared = SharedRequests(engine)
        began = asyncio.get_running_loop().time()
        assert (await shared.identify_in(0, 0.0))[0] < 0.1
        await asyncio.to_thread(postgresql_server.stop)
        await asyncio.to_thread(postgresql_server.start)
        wait, _ = await shared.identify_in(0, 0.0)
        assert asyncio.get_running_loop().time() + wait > began + 5


async def test_clock_of_the_database_that_was_far_ahead_does_not_keep_everybody_waiting(
    postgresql_server: Server, postgresql_url: str
) -> None:
    async with PostgreSQLEngine.open(postgresql_url, serving=True) as engine:
        limits = SharedRequests(engine)
        await limits.draw(1, PER_SECOND, BURST)
        await limits.identify_in(0, 0.0)
        database = postgresql_url.partition("///")[2].partition("?")[0]
        postgresql_server.execute("UPDATE request_budget SET taken_until = now() + interval '1 day'", database)
        postgresql_server.execute("UPDATE identify_turns SET next_at = now() + interval '1 day'", database)
        last_in, _ = await limits.draw(1, PER_SECOND, BURST)
        assert last_in < 120
        wait, turn = await limits.identify_in(0, 0.0)
        assert turn
        assert 5 < wait < 6, "when the last one was is not known"
