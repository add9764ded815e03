"""What a turn may cost and what it is charged, through the core on a real store, with a model that does as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat
from pathlib import Path

import pytest

from bot.core import context
from bot.core.errors import ModelError, OverQuota
from bot.core.model_events import Discard, End, Reasoning, TokenStatistics
from bot.core.preparing import CONTEXT_MAX_AGE
from bot.core.quotas import Quota, Quotas, Usage
from bot.core.turns import FailureReason, Outcome, Prompt, StopReason, TurnState
from bot.store import Store
from bot.store.sqlite import open_store
from tests.places import on_discord
from tests.talking import HERE, TODAY, Model, Step, Talk, conversations

pytestmark = pytest.mark.virtual_time

PLENTY = 10**9
REPLY = 400
NOON = 1_785_672_000
"""Of a day that does not end while a test runs."""
SENT = ("Be brief.", f"{TODAY}\nHi")
PROMPT = sum(context.tokens(text, 3.5) for text in SENT)
"""What the first prompt in a conversation is estimated at."""
RESERVED = sum(context.tokens(text, 2.0) for text in SENT)
"""What is reserved for it before the server has counted anything."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path / "chat.db", exclusive=True, clock=lambda: NOON) as store:
        yield store


@asynccontextmanager
async def talking(store: Store, tokens: int = PLENTY, prompts: int = 1000) -> AsyncIterator[Talk]:
    """People who may use so many tokens a day and ask so much an hour."""
    model = Model()
    allowances = Quotas(
        prompts, daily_tokens_per_user=tokens, daily_tokens_per_server=PLENTY, daily_tokens_total=PLENTY
    )
    async with conversations(store, model, allowances=allowances, reply_tokens=REPLY) as core, asyncio.timeout(10):
        yield Talk(core, model, store)


async def charged(store: Store) -> int:
    return (await store.quotas.usage_today(1)).total


async def charged_to_the_person(store: Store) -> int:
    return (await store.quotas.usage_today(1)).user


async def test_reply_ends_where_the_quota_does(store: Store) -> None:
    async with talking(store, RESERVED + 200) as talk:
        talk.model.replies = [repeat("seven b")]
        ended = await talk.say("Hi")
        assert ended is not None
        assert (ended.state, ended.failure, ended.text) == (TurnState.COMPLETE, FailureReason.QUOTA, "seven b" * 100)
        assert ended.quota_exceeded is not None
        assert (ended.quota_exceeded.quota, ended.quota_exceeded.limit) == (Quota.USER, RESERVED + 200)
        assert ended.quota_exceeded.until == NOON + 12 * 3600
        assert talk.model.asked_for == [("m", 200)]
        assert talk.model.left_early == 1, "and the server is told"
        assert await charged(store) == PROMPT + 200
        with pytest.raises(OverQuota) as refused_elsewhere:
            await talk.say("Hi", where=on_discord(2))
        assert refused_elsewhere.value.quota_exceeded == ended.quota_exceeded
        assert await store.turns.history(on_discord(2), 1) == [], "it is not taken on"
        [turn] = await store.turns.history(HERE, 1)
        refused = await talk.again(turn, go_on=True)
        assert refused == Outcome(
            TurnState.FAILED, turn.reply, FailureReason.QUOTA, quota_exceeded=ended.quota_exceeded
        )
        assert len(talk.model.asked) == 1, "what is not paid for is not asked for"
        assert await charged(store) == PROMPT + 200


@pytest.mark.parametrize("thought", [Reasoning(), "\n"])
async def test_reasoning_uses_up_the_quota(store: Store, thought: Step) -> None:
    async with talking(store, RESERVED + 150) as talk:
        talk.model.replies = [repeat(thought)]
        ended = await talk.say("Hi")
        assert ended is not None
        assert (ended.failure, await charged(store)) == (FailureReason.QUOTA, PROMPT + 150)


@pytest.mark.parametrize(("left", "problem"), [(200, FailureReason.QUOTA), (REPLY, FailureReason.LENGTH)])
async def test_server_length_limit_counts_as_the_quota(store: Store, left: int, problem: FailureReason) -> None:
    async with talking(store, RESERVED + left) as talk:
        talk.model.replies = [["Half", Usage(PROMPT, left), End(FailureReason.LENGTH)]]
        ended = await talk.say("Hi")
        assert ended is not None
        assert ended.failure is problem


async def test_last_tokens_still_make_a_whole_reply(store: Store) -> None:
    async with talking(store, RESERVED + 100) as talk:
        assert await talk.say("Hi") == Outcome(TurnState.COMPLETE, "Yes.")


TEN_TOKENS = "x" * 35


@pytest.mark.parametrize(
    ("reply", "costs"),
    [
        ([TEN_TOKENS, Usage(777, 55)], 777 + 55),
        ([TEN_TOKENS, Usage(0, 0)], PROMPT + 10),
        ([TEN_TOKENS, Usage(-500_000, -500_000)], PROMPT + 10),
        ([TEN_TOKENS, Usage(10**20, 10**20)], PROMPT + 10),
        ([TEN_TOKENS, Usage(10**400, 5)], PROMPT + 5),
        ([TEN_TOKENS, Usage(20, 10**400)], 20 + 10),
        ([TEN_TOKENS, Usage(20, 2 * REPLY)], 20 + 2 * REPLY),
        ([TEN_TOKENS, Usage(20, 2 * REPLY + 1)], 20 + 10),
        (["x" * 350, Usage(20, 2)], 20 + 100),
        ([TEN_TOKENS], PROMPT + 10),
        ([Reasoning(), Reasoning(), TEN_TOKENS], PROMPT + 12),
        ([TEN_TOKENS, Discard(), TEN_TOKENS], PROMPT + 20),
        ([ModelError(FailureReason.CONFIGURATION, "401")], 0),
        ([ModelError(FailureReason.UNREACHABLE, "timed out", accepted=True)], PROMPT),
        ([TEN_TOKENS, ModelError(FailureReason.UNREACHABLE, "cut")], PROMPT + 10),
        ([Reasoning(), ModelError(FailureReason.UNREACHABLE, "an error in the stream")], PROMPT + 1),
        ([TEN_TOKENS, RuntimeError("a defect")], PROMPT + 10),
        ([], PROMPT),
        ([End(FailureReason.CONTENT_FILTERED)], PROMPT),
    ],
)
async def test_charge_of_a_request(store: Store, reply: list[Step], costs: int) -> None:
    async with talking(store) as talk:
        talk.model.replies = [reply]
        await talk.say("Hi")
        assert await charged(store) == costs
        theirs = TEN_TOKENS in reply or "x" * 350 in reply or reply in ([], [End(FailureReason.CONTENT_FILTERED)])
        assert await charged_to_the_person(store) == (costs if theirs else 0)
    for step in reply:
        if isinstance(step, Exception):
            # These last as long as the module, and would keep all that their way led through.
            step.__traceback__ = None


@pytest.mark.parametrize("usage", [Usage(0, 1), Usage(-4, 1), Usage(10**20, 1), Usage(10**400, 1)])
async def test_implausible_count_teaches_nothing(store: Store, usage: Usage) -> None:
    async with talking(store) as talk:
        talk.model.replies = [["Yes.", usage]]
        assert await talk.say("Hi") == Outcome(TurnState.COMPLETE, "Yes.")
        assert await store.token_statistics.of("m") == TokenStatistics()


@pytest.mark.parametrize(("said", "costs"), [([], PROMPT), ([TEN_TOKENS], PROMPT + 10)])
@pytest.mark.parametrize("cause", [StopReason.USER, StopReason.SHUTDOWN, StopReason.RESET])
async def test_stopped_reply_is_charged_for_what_came(
    store: Store, said: list[Step], costs: int, cause: StopReason
) -> None:
    async with talking(store) as talk:
        talk.model.replies = [[*said, asyncio.Event()]]
        answering = talk.say("Hi")
        while not talk.model.asked or len((await talk.sink(0)).texts) < len(said):
            await asyncio.sleep(0.001)
        if cause is StopReason.RESET:
            await talk.core.forgetting.forget(HERE)
        (await talk.sink(0)).running.stop(cause)
        await answering
        assert await charged(store) == costs
        theirs = said or cause is not StopReason.SHUTDOWN
        assert await charged_to_the_person(store) == (costs if theirs else 0)


async def test_waiting_prompt_costs_nothing(store: Store) -> None:
    async with talking(store) as talk:
        go = asyncio.Event()
        talk.model.replies = [[go, Usage(10, 1)]]
        first, second = talk.say("Hi"), talk.say("Hi")
        (await talk.sink(1)).running.stop(StopReason.USER)
        await second
        go.set()
        await first
        assert await charged(store) == 11


async def test_each_attempt_is_charged_separately(store: Store) -> None:
    async with talking(store) as talk:
        talk.model.replies = [
            [TEN_TOKENS, ModelError(FailureReason.UNREACHABLE, "cut")],
            [TEN_TOKENS, Usage(30, 10)],
            [Usage(40, 3)],
        ]
        await talk.say("Hi")
        for after, go_on in ((PROMPT + 10 + 40, False), (PROMPT + 10 + 40 + 43, True)):
            [turn] = await store.turns.history(HERE, 1)
            await asyncio.gather(*(talk.again(turn, go_on=go_on) for _ in range(3)))
            assert await charged(store) == after


async def test_too_long_context_is_charged_once(store: Store) -> None:
    async with talking(store) as talk:
        for n in range(4):
            talk.model.replies = [["r" * 100]]
            await talk.say(f"{n} " + "p" * 100)
        before = await charged(store)
        too_long = ModelError(FailureReason.TOO_LONG, "too long")
        talk.model.replies = [[too_long], [too_long], [TEN_TOKENS]]
        await talk.say("Hi")
        [*_, sent] = talk.model.asked
        size = sum(context.tokens(message.content, 3.5) for message in sent)
        assert await charged(store) - before == size + 10, "that which was answered"


async def test_no_request_without_a_reservation(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.core.outages.AWAY_FOR", 0.0)
    async with talking(store) as talk:
        await store.engine.write("CREATE TRIGGER full BEFORE INSERT ON charges BEGIN SELECT RAISE(ABORT, 'no'); END")
        assert await talk.say("Hi") == Outcome(TurnState.FAILED, "", FailureReason.STORAGE)
        await store.engine.write("ALTER TABLE charges RENAME TO gone")
        assert await talk.say("Hi") == Outcome(TurnState.FAILED, "", FailureReason.STORAGE)
        assert talk.model.asked == []


async def test_hourly_limit_refuses_further_prompts(store: Store) -> None:
    async with talking(store, prompts=2) as talk:
        talk.model.replies = [["Half", ModelError(FailureReason.UNREACHABLE, "cut")]]
        await talk.say("Hi")
        [failed] = await store.turns.history(HERE, 1)
        for _ in range(2):
            await talk.say("Hi")
        with pytest.raises(OverQuota) as refused:
            await talk.say("Hi")
        assert (refused.value.quota_exceeded.quota, refused.value.quota_exceeded.limit) == (Quota.QUESTIONS, 2)
        with pytest.raises(OverQuota):
            await talk.again(failed)
        assert await talk.again(failed, by=2) == Outcome(TurnState.COMPLETE, "Yes.")
    async with talking(store, prompts=2) as talk:
        await talk.core.forgetting.forget(HERE)
        talk.position = 100
        with pytest.raises(OverQuota):
            await talk.say("Hi")


async def test_context_shrinks_to_the_tokens_left(store: Store) -> None:
    async with talking(store) as talk:
        for _ in range(6):
            await talk.say("x" * 2000)
    async with talking(store, tokens=2500) as talk:
        talk.position = 100
        assert await talk.say("And?", by=2) == Outcome(TurnState.COMPLETE, "Yes.")
        sent = talk.model.asked[-1]
        assert 3 <= len(sent) < 13
        assert sent[-1].content.endswith("And?")


async def test_prompt_waits_for_reserved_tokens(store: Store) -> None:
    async with talking(store, RESERVED + REPLY + 100) as talk:
        go = asyncio.Event()
        talk.model.replies = [["First.", go, Usage(PROMPT, 10)], ["Second."]]
        first = talk.say("Hi")
        await (await talk.sink(0)).said()
        second, stopped = (
            talk.say("Hi", where=on_discord(2)),
            talk.say("Hi", where=on_discord(3)),
        )
        (await talk.sink(2)).running.stop(StopReason.USER)
        assert await stopped == Outcome(TurnState.STOPPED, stop_reason=StopReason.USER)
        assert len(talk.model.asked) == 1
        assert not (await talk.sink(1)).started.is_set()
        go.set()
        assert [await first, await second] == [Outcome(TurnState.COMPLETE, text) for text in ("First.", "Second.")]
        assert talk.model.asked_for == [("m", REPLY), ("m", REPLY)], "and it gets all of it"


@pytest.mark.parametrize(("left", "gets"), [(99, None), (150, 150)])
async def test_prompt_finally_takes_the_tokens_left(
    store: Store, monkeypatch: pytest.MonkeyPatch, left: int, gets: int | None
) -> None:
    monkeypatch.setattr("bot.core.preparing.RESERVATION_TIMEOUT", 0.05)
    async with talking(store, 2 * RESERVED + REPLY + left) as talk:
        talk.model.replies = [["First.", asyncio.Event()], ["Cut", End(FailureReason.LENGTH)]]
        first = talk.say("Hi")
        await (await talk.sink(0)).said()
        second = await talk.say("Hi", where=on_discord(2))
        # Neither says that the day is over.
        if gets is None:
            assert second == Outcome(TurnState.FAILED, "", FailureReason.BUSY)
        else:
            assert second == Outcome(TurnState.COMPLETE, "Cut", FailureReason.LENGTH)
        assert talk.model.asked_for[1:] == ([] if gets is None else [("m", gets)])
        (await talk.sink(0)).running.stop(StopReason.USER)
        await first


@pytest.mark.parametrize("grace", [0.0, 60.0])
async def test_shutdown_interrupts_a_wait_for_tokens(store: Store, grace: float) -> None:
    async with talking(store, RESERVED + REPLY) as talk:
        go = asyncio.Event()
        talk.model.replies = [["First.", go, Usage(PROMPT, 10)], ["Second."]]
        first = talk.say("Hi")
        await (await talk.sink(0)).said()
        second = talk.say("Hi", where=on_discord(2))
        await talk.sink(1)
        closing = asyncio.create_task(talk.core.close(grace))
        if grace:
            go.set()
        await closing
        expected = (TurnState.COMPLETE, TurnState.COMPLETE) if grace else (TurnState.INTERRUPTED, TurnState.INTERRUPTED)
        assert tuple(ended and ended.state for ended in (await first, await second)) == expected


async def test_each_conversation_uses_its_model_and_persona(store: Store) -> None:
    async with talking(store) as talk:
        await store.personas.set_persona(on_discord(1), 9, "You are a pirate.")
        await store.personas.set_model(on_discord(1), 9, "large")
        await store.personas.set_model(on_discord(2), 9, "no longer offered")
        for where in (on_discord(1), on_discord(2)):
            talk.model.replies = [["x" * 800, Usage(500, 400)]]
            await talk.say("y" * 8000, where=where)
        thread = Prompt(on_discord(3), 99, "Hi", 1, parent=on_discord(1))
        await talk.core.answer(thread, talk.open)
        assert [model for model, _ in talk.model.asked_for] == ["large", "m", "large"]
        systems = [sent[0].content.partition("\n")[0] for sent in talk.model.asked]
        assert systems == ["You are a pirate.", "Be brief.", "You are a pirate."]
        assert [row.model for row in await store.usage.by_day(0)] == ["large", "m"]
        assert (await store.token_statistics.of("m")).bytes_per_token == (
            await store.token_statistics.of("large")
        ).bytes_per_token
        await talk.core.forgetting.forget(on_discord(3))
        await talk.core.answer(Prompt(on_discord(3), 100, "Hi", 1), talk.open)
        assert talk.model.asked_for[-1][0] == "large", "and so it stays after a reset"


async def test_person_is_forgotten_while_being_answered(store: Store) -> None:
    async with talking(store) as talk:
        talk.model.replies = [["running", asyncio.Event()], ["of another"], *([asyncio.Event()] for _ in range(5))]
        running, waiting = talk.say("Hi", by=7), talk.say("Hi", by=7)
        await (await talk.sink(0)).said()
        elsewhere = talk.say("Hi", by=8)
        await elsewhere
        begun = [talk.say("Hi", by=7, where=on_discord(n)) for n in range(2, 7)]
        # Each of them is on record, and somewhere between that and its first word.
        await talk.sink(7)
        forgotten = await talk.core.forgetting.forget_user(7, "Bo")
        for each in (running, waiting, *begun):
            ended = await each
            assert ended is not None
            assert ended.stop_reason is StopReason.FORGOTTEN
            assert ended.stopped_by in ("Bo", None), "some only find that they are gone"
        assert len(forgotten) == 7
        rows = await store.engine.read("SELECT prompt, user_id FROM turns")
        assert [tuple(row) for row in rows] == [("Hi", 8)]


async def test_prompt_forgotten_while_waiting_is_not_sent(store: Store) -> None:
    model = Model()
    allowances = Quotas(
        1000, daily_tokens_per_user=PLENTY, daily_tokens_per_server=2 * REPLY + 100, daily_tokens_total=PLENTY
    )
    async with conversations(store, model, allowances=allowances, reply_tokens=REPLY) as core, asyncio.timeout(10):
        talk = Talk(core, model, store)
        model.replies = [["Noted."], ["a", go := asyncio.Event()], ["Yes."]]
        await talk.say("my secret is 42", by=1, guild=7)
        held = talk.say("go on", by=2, guild=7)
        await (await talk.sink(1)).said()
        waits = talk.say("and?", by=3, guild=7)
        await talk.sink(2)
        await asyncio.sleep(CONTEXT_MAX_AGE)
        assert len(model.asked) == 2, "there are no tokens for it yet"
        await core.forgetting.forget_user(1)
        go.set()
        await held
        assert await waits == Outcome(TurnState.COMPLETE, "Yes.")
        assert talk.sent(2) == ["go on", "a", "and?"]
