"""Two processes on one PostgreSQL: what one of them changes holds in the other, and limits hold for both together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from bot.core.changes import Announcement, Change, Changes
from bot.core.channel_settings import DEFAULTS
from bot.core.quotas import Contended, Quota, QuotaExceeded, Quotas, Reservation, Usage
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, StopReason, TurnState
from bot.core.usage import DAY, LeastRequest
from bot.store import Store
from bot.store.forgotten_use import HOUR, ForgottenUse
from bot.store.postgresql import Listener, PostgreSQLEngine
from tests.core.test_generation import RESERVED
from tests.places import on_discord
from tests.store.steps import HERE, Clock
from tests.store.test_quotas import PLENTY, ask, close, reserve
from tests.talking import Model, Talk, conversations
from tests.waiting import until

GUILD, CHANNEL, MODERATOR, BO, ADA = 9, 90, 5, 1, 2

Join = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = 20_000 * DAY + DAY // 2
    return clock


@pytest.fixture
def join(postgresql_url: str, clock: Clock) -> Join:
    """Begin with another process, which hears of all that is changed once it is there."""

    @asynccontextmanager
    async def joined() -> AsyncIterator[Store]:
        forgotten, listens = ForgottenUse(), asyncio.Event()
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(PostgreSQLEngine.open(postgresql_url, serving=True))
            listener = Listener(postgresql_url, engine.sender, forgotten)
            listener.changes = Changes()
            listener.changes.on(Change.STARTED, lambda _: None, listens.set)
            await stack.enter_async_context(listener)
            await until(listens.is_set)
            yield Store(engine, clock, changes=listener.changes, forgotten=forgotten)

    return joined


@pytest.fixture
async def first(join: Join) -> AsyncIterator[Store]:
    async with join() as store:
        yield store


@pytest.fixture
async def second(join: Join) -> AsyncIterator[Store]:
    async with join() as store:
        yield store


async def heard(store: Store, other: Store) -> None:
    """Wait until a process has heard all that another one has told before."""
    there = asyncio.Event()
    store.changes.on(Change.FORGOTTEN, lambda user: there.set() if user == -1 else None)
    await other.engine.transaction(tells=[Announcement(Change.FORGOTTEN, -1)])
    await until(there.is_set)


@pytest.mark.parametrize(
    ("allowances", "people", "quota"),
    [
        (replace(PLENTY, daily_tokens_per_user=5000), 1, Quota.USER),
        (replace(PLENTY, daily_tokens_per_server=5000), 50, Quota.GUILD),
        (replace(PLENTY, daily_budget=50_000), 50, Quota.BUDGET),
    ],
)
async def test_processes_that_reserve_at_once_share_what_is_left(
    first: Store, second: Store, allowances: Quotas, people: int, quota: Quota
) -> None:
    stores = [(first, second)[number % 2] for number in range(50)]
    attempts = [await ask(store, n, n % people, where=on_discord(n)) for n, store in enumerate(stores, 1)]
    granted = await asyncio.gather(*map(reserve, stores, attempts, [allowances] * 50))
    assert granted.count(Reservation(400)) == 10
    assert granted.count(Contended()) == 40
    for store, attempt in zip(stores, attempts, strict=True):
        await close(store, attempt, Usage(100, 400))
    assert (await first.quotas.usage_today()).total == (await second.quotas.usage_today()).total == 5000
    limit = allowances.of_day(quota) or 0
    for number, store in ((51, first), (52, second)):
        attempt = await ask(store, number, number % people)
        answer = await reserve(store, attempt, allowances)
        assert isinstance(answer, QuotaExceeded)
        assert (answer.quota, answer.limit) == (quota, limit)


async def test_questions_of_an_hour_are_those_in_all_processes(first: Store, second: Store) -> None:
    def begin(number: int) -> asyncio.Task[Attempt | QuotaExceeded | None]:
        prompt = Prompt(on_discord(number), number, "Why?", BO, guild_id=GUILD)
        return asyncio.create_task((first, second)[number % 2].turns.begin(prompt, hourly_limit=3))

    answers = await asyncio.gather(*map(begin, range(1, 21)))
    assert sum(isinstance(each, Attempt) for each in answers) == 3


async def test_forgotten_person_is_refused_everywhere_until_the_hour_and_the_day_are_over(
    first: Store, second: Store, join: Join, clock: Clock, postgresql_url: str
) -> None:
    allowances = replace(PLENTY, daily_tokens_per_user=600)
    for position, store in enumerate((first, second), 1):
        attempt = await ask(store, position, ADA)
        await reserve(store, attempt, allowances, reply=100)
        await close(store, attempt, Usage(100, 150))
    # Once in each process: what both know is the sum.
    await first.people.forget(ADA)
    third = await ask(second, 3, ADA, on_discord(2))
    await reserve(second, third, allowances, 50, 10)
    await close(second, third, Usage(50, 10))
    await second.people.forget(ADA)
    await heard(first, second)
    async with join() as later:
        await heard(later, first)
        for store in (first, second, later):
            used_up = await store.quotas.questions_exceeded(ADA, 3)
            assert used_up is not None, "three were asked in this hour"
            assert await store.quotas.questions_exceeded(ADA, 4) is None
            assert (await store.quotas.usage_today(ADA)).user == 2 * 250 + 60
            assert (await store.quotas.usage_today(BO)).user == 0
            exceeded = await store.quotas.exceeded(Prompt(HERE, 9, "Why?", ADA), LeastRequest(30, 100, allowances))
            assert exceeded is not None
            assert exceeded.quota is Quota.USER
        await first.engine.erase_deleted()
        assert not await rows_with(postgresql_url, ADA)
        clock.now += HOUR
        assert await later.quotas.questions_exceeded(ADA, 3) is None
        clock.now += DAY
        assert (await later.quotas.usage_today(ADA)).user == 0


async def rows_with(url: str, number: int) -> list[str]:
    """The tables with a column that holds a number, once all is deleted that is forgotten."""
    found = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        columns = await connection.execute(
            """
            SELECT table_name, column_name FROM information_schema.columns JOIN pg_tables ON tablename = table_name
            WHERE schemaname = 'public' AND column_name LIKE '%user_id'
            """
        )
        for table, column in await columns.fetchall():
            if table != "forgotten_users":
                rows = await connection.execute(f"SELECT 1 FROM {table} WHERE {column} = {number}".encode())
                found += [table for _ in await rows.fetchall()]
    return found


async def test_many_questions_are_told_in_several_notices(first: Store, second: Store, clock: Clock) -> None:
    questions = [(int(clock.now) - n % 100, n % 2) for n in range(1001)]
    rows = [{"at": at, "counts": counts} for at, counts in questions]
    await first.quotas.retain_after_forget(ADA, [], rows)  # type: ignore[arg-type]
    await heard(second, first)
    assert sorted(second.quotas.retained_questions(ADA)) == sorted(questions)
    assert await second.quotas.questions_exceeded(ADA, 501) is None
    assert await second.quotas.questions_exceeded(ADA, 500) is not None


async def test_what_moderators_choose_holds_in_the_other_process_at_once(first: Store, second: Store) -> None:
    place = Conversation("discord", str(CHANNEL))
    assert await second.channel_settings.of(GUILD, CHANNEL) == DEFAULTS
    await first.channel_settings.change(GUILD, CHANNEL, by=MODERATOR, recent=10)
    await first.guild_rules.block(GUILD, BO, None, by=MODERATOR)
    await first.personas.set_persona(place, GUILD, "A pirate.")
    await heard(second, first)
    assert (await second.channel_settings.of(GUILD, CHANNEL)).recent == 10
    assert await second.guild_rules.blocked_among(GUILD, {BO, ADA}) == {BO}
    assert (await second.personas.settings_of(place)).persona == "A pirate."


async def test_tokens_that_one_process_frees_wake_a_question_in_the_other(
    first: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[object] = []
    reserve_tokens = second.quotas.reserve

    async def reserving(*details: Any, **more: Any) -> Any:
        answers.append(await reserve_tokens(*details, **more))
        return answers[-1]

    monkeypatch.setattr(second.quotas, "reserve", reserving)
    model, go = Model(), asyncio.Event()
    model.replies = [["First.", go, Usage(20, 10)], ["Second."]]
    limits = Quotas(None, None, None, daily_tokens_total=RESERVED + 200)
    async with (
        conversations(first, model, allowances=limits) as one,
        conversations(second, model, allowances=limits) as two,
    ):
        here, there = Talk(one, model, first), Talk(two, model, second)
        answered = here.say("Hi")
        await (await here.sink(0)).said()
        waiting = there.say("Hi", where=on_discord(2), position=2)
        await until(lambda: answers == [Contended()])
        go.set()
        assert await answered == Outcome(TurnState.COMPLETE, "First.")
        async with asyncio.timeout(10):
            assert await waiting == Outcome(TurnState.COMPLETE, "Second.")
        assert model.asked_for == [("m", 100), ("m", 100)], "all of it, which is not given after the longest wait"


async def test_answers_to_a_forgotten_person_end_in_the_other_process(
    first: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else they would end when they are saved next.
    monkeypatch.setattr("bot.core.service.SAVE_EVERY", 3600.0)
    model = Model()
    model.replies = [["First", asyncio.Event()], ["Second", asyncio.Event()]]
    async with conversations(first, model) as one, conversations(second, model) as two:
        there = Talk(two, model, second)
        theirs, others = there.say("Hi", by=ADA), there.say("Hi", by=BO, where=on_discord(2))
        for number in range(2):
            await (await there.sink(number)).said()
        await one.forgetting.forget_user(ADA, "Ada")
        await until(theirs.done)
        ended = await theirs
        assert ended is not None
        assert ended.stop_reason is StopReason.FORGOTTEN
        assert not others.done()
        for sink in there.sinks:
            sink.running.stop(StopReason.USER)
        await others


async def test_lost_connection_has_all_read_again(
    first: Store, second: Store, postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await second.channel_settings.of(GUILD, CHANNEL) == DEFAULTS
    again = asyncio.Event()
    second.changes.on(Change.STARTED, lambda _: None, again.set)
    async with await psycopg.AsyncConnection.connect(postgresql_url, autocommit=True) as connection:
        # Nobody hears of it.
        await connection.execute(
            "INSERT INTO channel_settings (channel_id, guild_id, without_mention, recent)"
            f" VALUES ({CHANNEL}, {GUILD}, 'never', 25)".encode()
        )
        assert await second.channel_settings.of(GUILD, CHANNEL) == DEFAULTS
        ended = await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE '%pg_notify(%' AND pid <> pg_backend_pid()"
        )
        assert len(await ended.fetchall()) >= 2
    await until(again.is_set)
    assert (await second.channel_settings.of(GUILD, CHANNEL)).recent == 25
    assert "cannot hear what other processes change, connecting again" in caplog.text
    await first.channel_settings.change(GUILD, CHANNEL, by=MODERATOR, recent=0)
    await until(lambda: second.channel_settings.known(GUILD) is None)
