"""How much of a conversation a request carries, and what the model's refusals and counts teach about that."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from bot.core import context
from bot.core.errors import ModelError
from bot.core.quotas import QuotaExceeded, Usage
from bot.core.turns import Attempt, ContextPage, Conversation, FailureReason, Outcome, Prompt, TurnState
from tests.talking import HERE, Talk
from tests.waiting import PATIENCE, until


@pytest.mark.parametrize(
    "lengths",
    [[10] * 40, [10] * 300, [2000] * 40, [2000] * 10 + [10] * 300, [10] * 50 + [2000] * 40],
    ids=["all of them", "short", "long", "short after long", "long after short"],
)
async def test_latest_turns_are_sent(talk: Talk, lengths: list[int]) -> None:
    """All that fit, or so many that it takes some questions until the context is full again.

    `lengths` of their replies, oldest first.
    """
    for position, length in enumerate(lengths, -len(lengths)):
        attempt = await talk.store.turns.begin(Prompt(HERE, position, f"prompt {position}"))
        assert isinstance(attempt, Attempt)
        await talk.store.turns.close(attempt, Outcome(TurnState.COMPLETE, "r" * length))
    await talk.say("now")
    *earlier, now = talk.sent(0)
    sent = len(earlier) // 2
    assert (now, earlier[::2]) == ("now", [f"prompt {n}" for n in range(-sent, 0)])
    if sent < len(lengths):
        kept = sum(context.tokens(message.content, context.BYTES_PER_TOKEN) for message in talk.model.asked[0][:-1])
        another = (f"prompt {-sent - 1}", "r" * lengths[-sent - 1])
        further = kept + sum(context.tokens(text, context.BYTES_PER_TOKEN) for text in another)
        assert kept <= context.KEPT_OF_FULL * 8000 < further


async def test_too_long_context_is_halved_and_remembered(talk: Talk) -> None:
    for n in range(20):
        talk.model.replies = [["r" * 100]]
        await talk.say(f"{n} " + "p" * 100)
    asked = len(talk.model.asked)
    too_long = [ModelError(FailureReason.TOO_LONG, "too long")]
    talk.model.replies = [list(too_long), list(too_long), ["It fits."]]
    assert (await talk.say("long?")) == Outcome(TurnState.COMPLETE, "It fits.")
    sizes = [len(messages) for messages in talk.model.asked[asked:]]
    assert sizes[0] == 42
    assert sizes[0] > sizes[1] > sizes[2] > 2
    assert (await talk.store.token_statistics.of("m")).window is not None
    await talk.say("and now?")
    assert len(talk.model.asked[-1]) <= sizes[2] + 2
    talk.model.replies = [list(too_long)] * 4
    refused = await talk.say("never")
    assert refused is not None
    assert refused.failure is FailureReason.TOO_LONG
    assert len(talk.model.asked) == asked + 3 + 1 + 3
    assert len(talk.model.asked[-1]) == 2, "nothing more can be left out"


async def test_unanswered_context_does_not_count_as_fitting(talk: Talk) -> None:
    for n in range(20):
        await talk.say(f"{n} " + "p" * 100)
    talk.model.replies = [[ModelError(FailureReason.TOO_LONG, "")], [ModelError(FailureReason.UNREACHABLE, "")]]
    await talk.say("long?")
    assert (await talk.store.token_statistics.of("m")).window is None


async def test_token_estimate_learns_from_usage(talk: Talk) -> None:
    talk.model.replies = [["ok", Usage(prompt_tokens=4000, reply_tokens=1)]]
    await talk.say("x" * 8000)
    learned = await talk.store.token_statistics.of("m")
    assert learned.bytes_per_token is not None
    assert learned.bytes_per_token < 3, "it counted two bytes a token"


@pytest.mark.parametrize("begins_before", [False, True], ids=["meanwhile", "from before to meanwhile"])
async def test_nothing_is_sent_that_is_forgotten_as_a_question_begins(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, begins_before: bool
) -> None:
    await talk.say("The code is 1234.")
    begin, forget = talk.store.turns.begin, talk.store.retention.forget_conversation
    read, is_read = talk.store.windows.ahead, asyncio.Event()
    may_forget, is_forgotten = asyncio.Event(), asyncio.Event()
    reset: asyncio.Task[set[int]] | None = None

    async def reading(prompt: Prompt, limit: int) -> ContextPage:
        page = await read(prompt, limit)
        is_read.set()
        return page

    async def forgetting(conversation: Conversation) -> set[int]:
        await may_forget.wait()
        forgotten = await forget(conversation)
        is_forgotten.set()
        return forgotten

    async def beginning(*arguments: Any) -> Attempt | QuotaExceeded | None:
        nonlocal reset
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05 if begins_before else PATIENCE):
                await is_read.wait()
        reset = reset or asyncio.create_task(talk.core.forgetting.forget(HERE))
        may_forget.set()
        await is_forgotten.wait()
        return await begin(*arguments)

    monkeypatch.setattr(talk.store.retention, "forget_conversation", forgetting)
    monkeypatch.setattr(talk.store.turns, "begin", beginning)
    monkeypatch.setattr(talk.store.windows, "ahead", reading)
    if begins_before:
        reset = asyncio.create_task(talk.core.forgetting.forget(HERE))
        await asyncio.sleep(0)
    await talk.say("Which code?")
    assert reset is not None
    assert await reset == {1}
    assert talk.sent(1) == ["Which code?"]


async def test_question_that_waits_for_another_is_sent_its_answer(talk: Talk) -> None:
    answered = asyncio.Event()
    talk.model.replies = [["The code ", answered, "is 1234."]]
    first = talk.say("Which code?")
    await (await talk.sink(0)).said()
    second = talk.say("Say it again.")
    await until(lambda: len(talk.core.running) == 2)
    # Whatever is read by now is not too old to be sent.
    await asyncio.sleep(0.03)
    answered.set()
    await asyncio.gather(first, second)
    assert talk.sent(1) == ["Which code?", "The code is 1234.", "Say it again."]
