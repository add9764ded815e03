"""Who is answered next, and who is refused, in floods of every shape; in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.errors import Overloaded, QueueLimit
from bot.core.queues import REFUSAL_REPEATED_AFTER, QueueLimits, Queues
from tests import virtual_time
from tests.places import on_discord


@dataclass
class Bot:
    """Answers prompts of so many seconds each, and keeps the books."""

    limits: QueueLimits
    takes: float = 1.0
    begun: list[tuple[str, int, int]] = field(default_factory=list)
    """Conversation, person and number of each prompt, in the order they were begun."""
    ended: dict[tuple[str, int, int], float] = field(default_factory=dict)
    refused: list[tuple[QueueLimit, bool]] = field(default_factory=list)
    most: Counter[object] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.queues = Queues(self.limits)
        self._now: Counter[object] = Counter()
        self._tasks: list[asyncio.Task[None]] = []

    async def answer(self, conversation: str, person: int, number: int = 0, *, accepted: bool = False) -> None:
        try:
            with self.queues.place(on_discord(conversation), person, accepted=accepted) as turn:
                await turn.wait()
                self.begun.append((conversation, person, number))
                keys = ("all", conversation, (conversation, person))
                self._now.update(keys)
                self.most |= self._now
                try:
                    await asyncio.sleep(self.takes)
                finally:
                    self._now.subtract(keys)
                self.ended[conversation, person, number] = asyncio.get_running_loop().time()
        except Overloaded as error:
            self.refused.append((error.limit, error.repeated))

    def say(self, conversation: str, person: int, number: int = 0, *, accepted: bool = False) -> asyncio.Task[None]:
        task = asyncio.create_task(self.answer(conversation, person, number, accepted=accepted))
        self._tasks.append(task)
        return task

    async def done(self) -> None:
        await asyncio.gather(*self._tasks)
        await self.queues.empty.wait()


def run(main: Coroutine[Any, Any, None]) -> None:
    virtual_time.run(main)


def test_one_persons_prompts_run_in_order_up_to_the_limit() -> None:
    async def main() -> None:
        bot = Bot(QueueLimits())
        for number in range(200):
            bot.say("here", 1, number)
        await asyncio.sleep(5.5)
        assert bot.begun == [("here", 1, number) for number in range(6)], "one under way and five that wait"
        assert bot.refused == [(QueueLimit.USER, n > 0) for n in range(194)]
        bot.say("here", 2)
        await asyncio.sleep(0.9)
        for number in range(200, 208):
            bot.say("here", 1, number)
        await asyncio.sleep(0)
        assert bot.refused[194:] == [(QueueLimit.USER, False), (QueueLimit.USER, True)], "their queue had emptied"
        await bot.done()

    run(main())


def test_many_people_are_answered_side_by_side() -> None:
    async def main() -> None:
        bot = Bot(QueueLimits())
        for person in range(200):
            bot.say("here", person)
        await bot.done()
        assert [person for _, person, _ in bot.begun] == list(range(8 + 25))
        assert bot.most["here"] == 8
        assert bot.refused == [(QueueLimit.CONVERSATION, n > 0) for n in range(167)]

    run(main())


def test_full_channel_is_told_once_a_minute() -> None:
    async def main() -> None:
        bot = Bot(QueueLimits(), takes=10 * REFUSAL_REPEATED_AFTER)
        for second in range(200):
            bot.say("here", second)
            await asyncio.sleep(1)
        told = [n for n, (_, repeated) in enumerate(bot.refused) if not repeated]
        assert told == [0, 60, 120]
        await bot.done()

    run(main())


def test_flood_does_not_delay_other_conversations() -> None:
    async def main() -> None:
        bot = Bot(QueueLimits(max_concurrent_replies=10))
        for person in range(33):
            bot.say("flood", person)
        await asyncio.sleep(0)
        for channel in range(10):
            for person in range(5):
                bot.say(f"quiet {channel}", person)
        await bot.done()
        assert bot.refused == []
        assert bot.most["all"] == 10
        order = [conversation for conversation, _, _ in bot.begun]
        each_once = sorted({*order})
        for start in (11, 22, 33):
            assert sorted(order[start : start + 11]) == each_once, "they take turns"

    run(main())


def test_total_limit_refuses_new_prompts_only() -> None:
    async def main() -> None:
        bot = Bot(QueueLimits(max_concurrent_replies=3, queue_total=4))
        for n in range(9):
            bot.say(f"channel {n}", 1)
        await asyncio.sleep(0)
        assert bot.refused == [(QueueLimit.BOT, False), (QueueLimit.BOT, False)]
        bot.say("channel 8", 2)
        recovered = [bot.say(f"channel {n}", 1, 1, accepted=True) for n in range(9)]
        await bot.done()
        assert bot.refused[2:] == [(QueueLimit.BOT, True)]
        assert all(task.done() for task in recovered)
        assert len(bot.ended) == 7 + 9

    run(main())


def test_prompt_that_can_start_is_accepted() -> None:
    async def main() -> None:
        bot = Bot(QueueLimits(max_replies_per_conversation=1, queue_total=2))
        for person in range(3):
            bot.say("busy", person)
        bot.say("idle", 1)
        await bot.done()
        assert bot.refused == []
        assert bot.ended["idle", 1, 0] == bot.ended["busy", 0, 0]

    run(main())


def test_leaving_the_queue_keeps_its_order() -> None:
    async def main() -> None:
        bot = Bot(QueueLimits())
        tasks = [bot.say("here", 1, number) for number in range(6)]
        await asyncio.sleep(0.5)
        assert bot.queues.limit_reached(on_discord("here"), 1) is QueueLimit.USER
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert bot.queues.limit_reached(on_discord("here"), 1) is None
        assert bot.begun == [("here", 1, 0)]
        await asyncio.gather(*tasks, return_exceptions=True)
        assert bot.begun == [("here", 1, number) for number in (0, 2, 3, 4, 5)]
        tasks[0].cancel()

    run(main())


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 8))
def test_queue_limits_hold_and_nobody_is_forgotten(
    seed: int, at_once: int, in_conversation: int, per_person: int, in_all: int
) -> None:
    limits = QueueLimits(at_once, in_conversation, per_person, 2 * per_person, in_all)
    draw = random.Random(seed)

    async def main() -> None:
        bot = Bot(limits)
        for number in range(60):
            task = bot.say(str(draw.randrange(4)), draw.randrange(3), number)
            await asyncio.sleep(draw.choice([0, 0, 0.3, 2]))
            if draw.random() < 0.1 and not task.done():
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                bot._tasks.remove(task)
        await bot.done()
        assert bot.queues._queues == {}, "what nobody stands in is not kept"
        assert bot.most["all"] <= limits.max_concurrent_replies
        for key, most in bot.most.items():
            if isinstance(key, tuple):
                assert most == 1, "one at a time for each person in a conversation"
            elif key != "all":
                assert most <= limits.max_replies_per_conversation
        by_person: dict[tuple[str, int], list[int]] = {}
        for conversation, person, number in bot.begun:
            by_person.setdefault((conversation, person), []).append(number)
        assert all(numbers == sorted(numbers) for numbers in by_person.values())

    run(main())
