"""What is done for all guilds is done for those that the process serves: others are another process's."""

from __future__ import annotations

from bot.core.shards import Shards
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, TurnState
from bot.core.usage import DAY
from bot.store import Store
from bot.store.engine import Engine
from tests.places import on_discord
from tests.store.steps import Clock
from tests.store.test_quotas import reserve

FIRST, SECOND = 1000 << 22, 1001 << 22
"""A guild of each of two shards."""
DIRECT = None


def halves(engine: Engine, clock: Clock) -> tuple[Store, Store]:
    return Store(engine, clock, shards=Shards((0,), 2)), Store(engine, clock, shards=Shards((1,), 2))


def where(guild: int | None) -> Conversation:
    return on_discord(1 if guild is None else guild)


async def ask(store: Store, guild: int | None, position: int) -> Attempt:
    attempt = await store.turns.begin(Prompt(where(guild), position, "Why?", 1, guild_id=guild))
    assert isinstance(attempt, Attempt)
    return attempt


async def test_what_another_process_has_under_way_is_not_interrupted(engine: Engine, clock: Clock) -> None:
    first, second = halves(engine, clock)
    attempts = {guild: await ask(first, guild, n) for n, guild in enumerate((FIRST, SECOND, DIRECT), 1)}
    for attempt in attempts.values():
        await reserve(first, attempt)
    await second.turns.interrupt_left_over("discord")
    assert [turn.guild_id for turn in await second.turns.undelivered("discord")] == [SECOND]
    usage = await first.quotas.usage_today(), await first.quotas.usage_today(reserved=False)
    assert [each.total for each in usage] == [100 + 500 + 500, 100], "the prompt of one is charged"
    states = {turn.guild_id: turn.state for turn in await first.turns.undelivered("discord")}
    assert states == {FIRST: TurnState.PENDING, DIRECT: TurnState.PENDING}
    assert await first.turns.close(attempts[DIRECT], Outcome(TurnState.COMPLETE, "Because."))
    assert not await second.turns.close(attempts[SECOND], Outcome(TurnState.COMPLETE, "Too late.")), "it woke up late"
    await first.turns.interrupt_left_over("discord")
    assert {turn.state for turn in await first.turns.undelivered("discord")} == {
        TurnState.INTERRUPTED,
        TurnState.COMPLETE,
    }


async def test_servers_of_another_process_are_neither_left_nor_forgotten(engine: Engine, clock: Clock) -> None:
    first, second = halves(engine, clock)
    for position, guild in enumerate((FIRST, SECOND, DIRECT), 1):
        await ask(first, guild, position)
        if guild is not None:
            await first.guild_rules.block(guild, 7, None)
    await first.guilds.sync([])
    clock.now += 8 * DAY
    # It does not know yet that it is back in its server.
    assert await second.retention.prune(unused_days=90) == 0
    await second.guilds.sync([SECOND])
    assert await first.retention.prune(unused_days=90) == 1
    clock.now += 8 * DAY
    assert await second.retention.prune(unused_days=90) == 0
    assert [await first.turns.count(where(guild)) for guild in (FIRST, SECOND, DIRECT)] == [0, 1, 1]
    clock.now += 90 * DAY
    assert await second.retention.prune(unused_days=90) == 1
    assert await first.retention.prune(unused_days=90) == 1


async def test_hourglasses_of_another_process_stay(engine: Engine, clock: Clock) -> None:
    first, second = halves(engine, clock)
    for position, guild in enumerate((FIRST, SECOND, DIRECT), 1):
        await ask(first, guild, position)
        await first.deliveries.mark_reaction(int(where(guild).channel), position)
    # A question in a channel that has no conversation itself, answered in a thread.
    thread = Prompt(on_discord(50), 50, "Why?", guild_id=SECOND, parent=on_discord(49))
    await first.turns.begin(thread)
    await first.deliveries.mark_reaction(49, 4)
    assert [message for _, message in await first.deliveries.pending_reactions()] == [1, 3]
    assert [message for _, message in await second.deliveries.pending_reactions()] == [2, 4]


async def test_summaries_of_another_process_are_made_by_it(engine: Engine, clock: Clock) -> None:
    first, second = halves(engine, clock)
    for guild in (FIRST, SECOND):
        for position in range(3):
            attempt = await ask(first, guild, position)
            await first.turns.close(attempt, Outcome(TurnState.COMPLETE, "Because."))
        asked = await ask(first, guild, 4)
        await first.summaries.plan(asked.turn_id, 0, 3)
    clock.now += DAY
    for store, guild in ((first, FIRST), (second, SECOND)):
        due = await store.summaries.next_due(())
        assert due is not None
        assert due.conversation == where(guild)
        assert await store.summaries.next_due((due.conversation_id,)) is None
