"""What may be used and what was: counted once, whoever asks at the same time, whatever ends the process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.quotas import Contended, Quota, QuotaExceeded, Quotas, Reservation, Usage
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, TurnState, UserName
from bot.core.usage import MICRO, LeastRequest, Price, UsageRow, UsageToday, grouped
from bot.store import Store
from bot.store.engine import Engine
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import TERMINAL, on_discord
from tests.store.steps import HERE, Clock, assert_it_adds_up, rows

DAY = 24 * 3600
NOON = 20_000 * DAY + DAY // 2
MIDNIGHT = 20_001 * DAY
TENFOLD = Price(10 * MICRO, 10 * MICRO, 10 * MICRO)
"""A token costs ten millionths."""
PLENTY = Quotas(daily_tokens_per_user=10**9, daily_tokens_per_server=10**9, daily_tokens_total=10**9)


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = NOON
    return clock


def message_id(where: Conversation, position: int) -> int | None:
    return position if where.platform == "discord" else None


async def ask(
    store: Store, position: int, person: int = 1, where: Conversation = HERE, guild: int | None = 9
) -> Attempt:
    attempt = await store.turns.begin(
        Prompt(where, position, "Why?", person, UserName("Bo", "bo"), guild, message_id=message_id(where, position))
    )
    assert isinstance(attempt, Attempt)
    return attempt


async def reserve(
    store: Store,
    attempt: Attempt,
    allowances: Quotas = PLENTY,
    prompt: int = 100,
    reply: int = 400,
    *,
    price: Price | None = TENFOLD,
    at_once: bool = False,
) -> Reservation | QuotaExceeded | Contended | None:
    return await store.quotas.reserve(
        attempt, "m", prompt, reply, min(100, reply), allowances, price=price, accept_partial=at_once
    )


async def close(store: Store, attempt: Attempt, usage: Usage | None) -> bool:
    return await store.turns.close(attempt, Outcome(TurnState.COMPLETE, "Because.", usage=usage))


@pytest.mark.parametrize(
    ("allowances", "people", "allowance"),
    [
        (replace(PLENTY, daily_tokens_per_user=5000), 1, Quota.USER),
        (replace(PLENTY, daily_tokens_per_server=5000), 50, Quota.GUILD),
        (replace(PLENTY, daily_tokens_total=5000), 50, Quota.TOTAL),
        (replace(PLENTY, daily_budget=50_000), 50, Quota.BUDGET),
        (Quotas(None, None, None, None, daily_budget=50_000), 50, Quota.BUDGET),
    ],
)
async def test_fifty_reservations_share_tokens_for_ten(
    store: Store, path: Path, allowances: Quotas, people: int, allowance: Quota
) -> None:
    attempts = [await ask(store, n + 1, person=n % people, where=on_discord(n)) for n in range(50)]
    answers = await asyncio.gather(*(reserve(store, attempt, allowances) for attempt in attempts))
    assert answers.count(Reservation(400)) == 10
    assert answers.count(Contended()) == 40
    assert (await store.quotas.usage_today()).total == 5000
    assert (await store.quotas.usage_today(reserved=False)).total == 0
    assert_it_adds_up(path)
    refused = [attempt for attempt, answer in zip(attempts, answers, strict=True) if answer == Contended()]
    for attempt in set(attempts) - set(refused):
        await close(store, attempt, Usage(100, 370))
    assert_it_adds_up(path)
    assert await reserve(store, refused[0], allowances, reply=200) == Reservation(200), (
        "what was not used can be used again"
    )
    await close(store, refused[0], Usage(100, 180))
    answers = await asyncio.gather(*(reserve(store, attempt, allowances) for attempt in refused[1:]))
    assert answers == [QuotaExceeded(allowance, allowances.of_day(allowance) or 0, until=MIDNIGHT)] * 39
    spent = await store.quotas.usage_today()
    assert (spent.total, spent.cost) == (10 * 470 + 280, 10 * (10 * 470 + 280))


async def test_budget_pays_for_as_much_of_a_reply_as_it_can(store: Store, path: Path) -> None:
    draw = random.Random(5)
    for number in range(60):
        price = Price(draw.randrange(10 ** draw.randrange(1, 13)), draw.randrange(10 ** draw.randrange(1, 13)), 0)
        budget = draw.randrange(1, 3 * price.cost(Usage(1000, 400)) + 2)
        before = (await store.quotas.usage_today()).cost
        allowances = Quotas(None, None, None, None, daily_budget=before + budget)
        attempt = await ask(store, number + 1)
        answer = await reserve(store, attempt, allowances, prompt=1000, price=price)
        cost = (await store.quotas.usage_today()).cost - before
        assert cost <= budget
        if isinstance(answer, Reservation):
            assert (answer.limited_by is None) == (answer.reply_tokens == 400)
            whole = answer.reply_tokens == 400
            # A millionth is lost where the prompt and the reply are rounded up apart.
            assert whole or price.cost(Usage(1000, answer.reply_tokens + 1)) + 1 > budget
        else:
            assert answer == QuotaExceeded(Quota.BUDGET, before + budget, until=MIDNIGHT)
            assert price.cost(Usage(1000, 100)) + 1 >= budget
            least = Prompt(HERE, 1000 + number, "Why?", 1, guild_id=9, message_id=1000 + number)
            assert await store.quotas.exceeded(least, LeastRequest(1000, 100, allowances, price)) == answer
        await close(store, attempt, Usage(1000, 0))
    assert_it_adds_up(path)


async def test_cached_tokens_count_at_their_share_of_the_price(store: Store, path: Path) -> None:
    usage = Usage(1000, 400, cached_tokens=600, reasoning_tokens=300)
    for position, (price, tokens, cost) in enumerate(
        [
            (Price(100_000, 500_000, 10_000), 400 + 60 + 400, 40 + 6 + 200),
            (Price(300_000, 500_000, 100_000), 400 + 200 + 400, 120 + 60 + 200),
            (Price(100_000, 500_000, 100_000), 1400, 100 + 200),
            (Price(0, 0, 0), 1400, 0),
            (None, 1400, 0),
        ],
        start=1,
    ):
        before = await store.quotas.usage_today()
        attempt = await ask(store, position)
        await reserve(store, attempt, prompt=2000, price=price)
        await close(store, attempt, usage)
        after = await store.quotas.usage_today()
        assert (after.total - before.total, after.cost - before.cost) == (tokens, cost)
    assert_it_adds_up(path)
    [row] = await store.usage.by_day(0)
    assert (row.usage, row.requests) == (Usage(5000, 2000, 3000, 1500), 5)


async def test_killed_reservation_costs_what_was_used(store: Store, path: Path) -> None:
    attempt = await ask(store, 1)
    await reserve(store, attempt)
    assert (await store.quotas.usage_today()).cost == 10 * 500
    assert (await store.quotas.usage_today(reserved=False)).cost == 0
    await store.turns.save({attempt: "Becau"}, {attempt: 3})
    await store.turns.interrupt_left_over("discord")
    assert (await store.quotas.usage_today(reserved=False)).cost == 10 * 103
    assert_it_adds_up(path)


async def test_each_place_settles_what_was_left_over_there(store: Store, clock: Clock) -> None:
    places = {name: Conversation("terminal", name) for name in ("killed", "running")}
    attempts = [await ask(store, n, where=where) for n, where in enumerate([HERE, *places.values()], start=1)]
    for attempt in attempts:
        await reserve(store, attempt)

    async def settled() -> list[bool]:
        return [bool(row["settled"]) for row in await store.engine.read("SELECT settled FROM charges ORDER BY id")]

    await store.turns.interrupt_left_over("terminal", "killed")
    assert await settled() == [False, True, False]
    await store.turns.interrupt_left_over("discord")
    assert await settled() == [True, True, False], "a chat in the terminal goes on"
    assert await close(store, attempts[2], Usage(100, 7))
    assert (await store.quotas.usage_today()).total == 100 + 100 + 107
    await reserve(store, await ask(store, 9, where=places["running"]))
    clock.now = MIDNIGHT
    await store.turns.interrupt_left_over("discord")
    assert await settled() == [True] * 4, "what was left open on an earlier day"


async def test_last_tokens_are_granted_down_to_the_minimum(store: Store) -> None:
    allowances = replace(PLENTY, daily_tokens_per_user=1000, daily_tokens_per_server=900)
    bound = QuotaExceeded(Quota.GUILD, 900, until=MIDNIGHT)
    first, second, third = [await ask(store, n) for n in (1, 2, 3)]
    assert await reserve(store, first, allowances) == Reservation(400)
    assert await reserve(store, second, allowances) == Contended(), "all of it will fit if the first is short"
    await close(store, first, Usage(100, 400))
    assert await reserve(store, second, allowances) == Reservation(300, bound)
    assert await reserve(store, third, allowances) == Contended()
    assert await reserve(store, third, allowances, at_once=True) == Contended(), "there is nothing"
    assert await reserve(store, second, allowances) == Reservation(300, bound), "asked again, it is the same one"
    await close(store, second, Usage(100, 101))
    assert await reserve(store, third, allowances) == bound, "a token less than is worth a reply"


async def test_further_request_is_reserved_on_top_of_the_first(store: Store, path: Path) -> None:
    allowances = replace(PLENTY, daily_tokens_per_user=1000)
    bound = QuotaExceeded(Quota.USER, 1000, until=MIDNIGHT)

    async def further(attempt: Attempt, spent: Usage, reply: int) -> Reservation | QuotaExceeded | Contended | None:
        return await store.quotas.reserve(attempt, "m", 100, reply, 100, allowances, spent=spent)

    first, second = await ask(store, 1), await ask(store, 2)
    assert await reserve(store, first, allowances, reply=700) == Reservation(700)
    assert await further(first, Usage(90, 200), 400) == Reservation(400), "what the first request left is free"
    assert (await store.quotas.usage_today(1)).user == 290 + 500
    assert await reserve(store, second, allowances, reply=100) == Reservation(100)
    assert await further(first, Usage(190, 400), 400) == Contended(), "the other attempt may still leave something"
    assert (await store.quotas.usage_today(1)).user == 590 + 200
    await close(store, second, Usage(100, 100))
    assert await further(first, Usage(190, 400), 400) == Reservation(110, bound)
    assert await further(first, Usage(290, 500), 400) == bound
    assert_it_adds_up(path)
    await close(store, first, Usage(290, 500))
    assert (await store.quotas.usage_today(1)).user == 790 + 200
    assert {row.requests for row in await store.usage.by_day(0)} == {4}
    assert_it_adds_up(path)


async def test_released_tokens_are_available_at_once(store: Store) -> None:
    allowances = replace(PLENTY, daily_tokens_total=800)
    first, second = await ask(store, 1, person=1), await ask(store, 2, person=2)
    assert await reserve(store, first, allowances) == Reservation(400)
    assert await reserve(store, second, allowances) == Contended()
    assert await reserve(store, second, allowances, at_once=True) == Reservation(200), (
        "and no allowance made it so short"
    )


async def test_prompt_over_the_quota_is_refused_early(store: Store) -> None:
    allowances = replace(PLENTY, daily_tokens_per_user=600)
    used_up = QuotaExceeded(Quota.USER, 600, until=MIDNIGHT)
    first = await ask(store, 1)
    await reserve(store, first, allowances)

    async def left(tokens: int, person: int = 1, position: int = 2, where: Conversation = HERE) -> QuotaExceeded | None:
        return await store.quotas.exceeded(
            Prompt(where, position, "Why?", person, guild_id=9, message_id=message_id(where, position)),
            LeastRequest(tokens, 0, allowances),
        )

    assert await left(150) is None, "what is only reserved may come back"
    await close(store, first, Usage(100, 400))
    assert (await left(100), await left(101)) == (None, used_up)
    assert await left(101, person=2) is None
    assert await left(101, position=1) is None, "the event of one that was taken"
    assert await left(101, position=1, where=TERMINAL) == used_up

    async def begun(tokens: int, position: int = 2) -> Attempt | QuotaExceeded | None:
        prompt = Prompt(HERE, position, "Why?", 1, guild_id=9, message_id=message_id(HERE, position))
        return await store.turns.begin(prompt, None, LeastRequest(tokens, 0, allowances))

    assert await begun(101) == used_up
    assert await begun(101, position=1) is None, "the event of one that was taken"
    assert isinstance(await begun(100), Attempt)
    assert await reserve(store, Attempt(2), replace(allowances, daily_tokens_per_user=None))
    assert isinstance(await begun(100, position=3), Attempt), "what is only reserved may come back"


async def test_charge_is_never_a_credit(store: Store, path: Path) -> None:
    attempt = await ask(store, 1)
    await reserve(store, attempt)
    assert await close(store, attempt, Usage(-500_000, -7))
    assert (await store.quotas.usage_today()).total == 0
    assert_it_adds_up(path)


async def test_direct_and_terminal_prompts_charge_no_guild(store: Store) -> None:
    allowances = Quotas(daily_tokens_per_user=600, daily_tokens_per_server=1, daily_tokens_total=10_000)
    assert await reserve(store, await ask(store, 1, where=on_discord(2), guild=None), allowances) == Reservation(400)
    nobody = await store.turns.begin(Prompt(TERMINAL, 1, "Why?"))
    assert isinstance(nobody, Attempt)
    assert await reserve(store, nobody, allowances, reply=1000) == Reservation(1000)
    assert await store.quotas.usage_today(user_id=1, guild_id=9) == UsageToday(
        user=500, guild=0, total=1600, questions=1, cost=16_000
    )


async def test_usage_is_recorded_once(store: Store, path: Path, clock: Clock) -> None:
    attempt = await ask(store, 1)
    for _ in range(2):
        assert await reserve(store, attempt) == Reservation(400)
    assert (await store.quotas.usage_today()).total == 500
    clock.now = MIDNIGHT + 5
    assert await close(store, attempt, Usage(120, 900)), "more than was reserved"
    assert not await close(store, attempt, Usage(500, 500)), "but the end could not be written twice"
    await store.turns.interrupt_left_over("discord")  # which does not settle it once more
    again = await store.turns.reopen(attempt, TurnState.COMPLETE, user_id=1)
    assert isinstance(again, Attempt)
    await reserve(store, again)
    await close(store, again, None)
    assert await store.usage.by_day(0, user_id=1) == [
        UsageRow(20_000, "m", 9, 1, requests=1, prompt_tokens=120, reply_tokens=900),
        UsageRow(20_001, "m", 9, 1, requests=1, prompt_tokens=0, reply_tokens=0),
    ]
    assert await store.usage.by_day(0, guild_id=8) == []
    assert_it_adds_up(path)


async def test_report_has_the_sums_of_all_usage(engine: Engine, store: Store) -> None:
    await engine.write(
        """
        WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 599)
        INSERT INTO charges (turn_id, attempt, user_id, guild_id, model, day, prompt_tokens, reply_tokens, settled)
        SELECT n, 1, nullif(n % 200, 0), nullif(n % 5, 0), 'm' || (n % 2), 20000 + n / 300, n % 200, 1, 1 FROM numbers
        """
    )
    await engine.write(
        "INSERT INTO forgotten_users (user_id, conversation_id, through, line) VALUES (198, 0, 1000, '')"
    )
    report, rows = await store.usage.report(20_001, 3), await store.usage.by_day(20_001)

    def summed(of: Callable[[UsageRow], int | None]) -> dict[tuple[int | None, str], tuple[int, int]]:
        groups = grouped(rows, lambda row: (of(row), row.model))
        return {key: (sum(r.requests for r in each), sum(r.tokens for r in each)) for key, each in groups.items()}

    def told(of: Callable[[UsageRow], int | None], part: Sequence[UsageRow]) -> dict[object, object]:
        assert len(part) == len({(of(row), row.model) for row in part})
        return {(of(row), row.model): (row.requests, row.tokens) for row in part}

    assert told(lambda row: row.day, report.by_day) == summed(lambda row: row.day)
    assert told(lambda row: row.guild_id, report.by_guild) == summed(lambda row: row.guild_id)
    of_people = summed(lambda row: row.user_id)
    most = {key: value for key, value in of_people.items() if key[0] in (None, 199, 197)}
    assert told(lambda row: row.user_id, report.by_person) == most
    assert of_people[None, "m0"] == (3, 2 * 199 + 1), "of nobody, and of who is forgotten"


async def test_own_usage_is_found_by_person(database: SQLiteEngine, store: Store) -> None:
    """A server has many people's charges: reading them all for one of these would hold up who asks meanwhile."""
    await reserve(store, await ask(store, 1))
    done: list[str] = []
    await database._reader.set_trace_callback(done.append)
    assert await store.usage.by_day(20_000, user_id=1, guild_id=8) == []
    assert len(await store.usage.by_day(20_000, user_id=1, guild_id=9)) == 1
    [_, query] = [sql for sql in done if "FROM charges" in sql]
    plan = [row["detail"] for row in await database.read(f"EXPLAIN QUERY PLAN {query}")]
    assert "SEARCH charges USING INDEX charges_by_user (user_id=? AND day>?)" in plan


async def test_forgotten_attempt_is_charged_and_releases_the_rest(store: Store) -> None:
    running, waiting = await ask(store, 1), await ask(store, 2)
    await reserve(store, running)
    await store.retention.forget_conversation(HERE)
    assert await reserve(store, waiting) is None
    assert not await close(store, running, Usage(100, 7))
    assert await store.quotas.usage_today(1, 9) == UsageToday(107, 107, 107, 2, 1070)


async def test_person_forgotten_while_answered_leaves_no_name(store: Store, path: Path) -> None:
    running, waiting = await ask(store, 1, person=77), await ask(store, 2, person=77)
    await reserve(store, running)
    await store.people.forget(77)
    assert await reserve(store, waiting) is None
    await close(store, running, Usage(100, 7))
    assert await store.quotas.usage_today(77, 9) == UsageToday(500, 107, 107, 2, 1070), (
        "theirs with all that was reserved, and once"
    )
    assert rows(path, "SELECT * FROM daily_usage WHERE scope = 'user'") == []
    assert_it_adds_up(path)


async def test_killed_reservation_is_settled_once(store: Store, path: Path) -> None:
    attempt = await ask(store, 1)
    await reserve(store, attempt)
    await store.turns.save({attempt: "Becau"}, {attempt: 3})
    await store.turns.save({attempt: ""}, {attempt: 8})
    for _ in range(2):
        await store.turns.interrupt_left_over("discord")
        [turn] = await store.turns.undelivered("discord")
        assert turn.reply == "Becau", "thoughts are no text"
        assert (await store.quotas.usage_today()).total == 100 + 8
    assert not await close(store, attempt, Usage(500, 500))
    again = await store.turns.reopen(attempt, TurnState.INTERRUPTED, recovery=True)
    assert isinstance(again, Attempt)
    await reserve(store, again)
    assert (await store.quotas.usage_today()).total == 108 + 500, "the other attempt is another request"
    await close(store, again, Usage(100, 50))
    assert (await store.quotas.usage_today()).total == 108 + 150
    assert_it_adds_up(path)


async def test_forgetting_does_not_reset_the_quota(store: Store, path: Path, clock: Clock) -> None:
    attempt = await ask(store, 1, person=77)
    await reserve(store, attempt)
    await close(store, attempt, Usage(100, 50))
    await store.turns.begin(Prompt(on_discord(2), 2, "Why?", 77, message_id=2), 3)
    for _ in range(3):
        await store.people.forget(77)
        assert rows(path, "SELECT * FROM recent_questions WHERE user_id = 77") == []
        assert rows(path, "SELECT * FROM daily_usage WHERE id = 77") == []
        spent = await store.quotas.usage_today(77)
        assert (spent.user, spent.questions) == (150, 2)
    assert isinstance(await store.turns.begin(Prompt(on_discord(3), 3, "Why?", 77, message_id=3), 3), Attempt)
    refused = QuotaExceeded(Quota.QUESTIONS, 3, until=int(clock.now) + 3600)
    assert await store.turns.begin(Prompt(on_discord(3), 4, "Why?", 77, message_id=4), 3) == refused
    assert await store.turns.begin(Prompt(on_discord(3), 5, "Why?", 77, message_id=5), 2) == QuotaExceeded(
        Quota.QUESTIONS, 2, refused.until
    )
    assert await store.turns.begin(Prompt(on_discord(3), 3, "Why?", 77, message_id=3), 2) is None, (
        "the event of one that was taken"
    )
    clock.now += 24 * 3600
    assert await store.quotas.usage_today(77) == UsageToday()
    assert isinstance(await store.turns.begin(Prompt(on_discord(3), 6, "Why?", 77, message_id=6), 1), Attempt)


async def test_day_begins_at_midnight_utc(store: Store, clock: Clock) -> None:
    allowances = replace(PLENTY, daily_tokens_per_user=500)
    clock.now = MIDNIGHT - 1
    first = await ask(store, 1)
    assert await reserve(store, first, allowances) == Reservation(400)
    await close(store, first, Usage(100, 400))
    assert isinstance(await reserve(store, await ask(store, 2), allowances), QuotaExceeded)
    clock.now = MIDNIGHT
    assert await reserve(store, await ask(store, 3), allowances) == Reservation(400)
    assert [(row.day, row.requests) for row in await store.usage.by_day(20_000)] == [(20_000, 1), (20_001, 1)]
