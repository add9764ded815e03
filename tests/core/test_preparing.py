"""How much of a conversation a request carries, and what the model's refusals and counts teach about that."""

from __future__ import annotations

import pytest

from bot.core import context
from bot.core.errors import ModelError
from bot.core.quotas import Usage
from bot.core.turns import Attempt, FailureReason, Outcome, Prompt, TurnState
from tests.talking import HERE, Talk


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
