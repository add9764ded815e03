"""Live replies through the scheduler, in virtual time, on a platform that keeps Discord's rules and sometimes fails."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from bot import texts
from bot.core.turns import FailureReason, Outcome, StopReason, TurnState
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import Button, ContentRejected, TargetGone, Unavailable
from tests.discord_bot.delivery.platform import Platform, live, scene, stream
from tests.virtual_time import run


def test_the_first_text_is_shown_at_once_and_the_end_is_whole() -> None:
    times: list[float] = []
    whole: list[str] = []

    async def play(scheduler: Scheduler, platform: Platform) -> None:
        times.append(asyncio.get_running_loop().time())
        whole.append(await stream(live(scheduler, platform), 3))
        times.append(asyncio.get_running_loop().time())

    platform = scene(play)
    assert platform.shown[0][0] - times[0] <= 0.09
    assert platform.messages == {0: whole[0].strip()}
    assert times[1] - times[0] <= 3 + 0.25, "the end is seen soon after the last word"
    assert platform.overlapping == 1


def test_only_what_changed_is_sent() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        for _ in range(50):
            reply.update("the same")
            await asyncio.sleep(0.1)
        await reply.finish(Outcome(TurnState.COMPLETE, "the same"))

    assert [content for _, _, content in scene(play).shown] == ["the same"]


def test_three_replies_in_one_channel_share_its_pace() -> None:
    ends: list[float] = []

    async def play(scheduler: Scheduler, platform: Platform) -> None:
        async def one(name: str) -> None:
            text = await stream(live(scheduler, platform), 20, 15, name)
            ends.append(asyncio.get_running_loop().time() - began)
            assert text.strip() in platform.messages.values()

        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(one(name) for name in "abc"))

    platform = scene(play)
    assert platform.refused == 0
    assert platform.overlapping == 1, "one call in flight in a channel"
    assert max(ends) <= 20 + 0.7
    last = {number: max(at for at, message, _ in platform.shown if message == number) for number in platform.messages}
    for number in platform.messages:
        times = [at for at, message, _ in platform.shown if message == number and at < last[number]]
        assert max(b - a for a, b in pairwise(times)) < 4.0, "nobody starves"


def test_a_platform_that_fails_for_a_while_gets_the_latest_text_once() -> None:
    whole: list[str] = []

    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.failures = [Unavailable("down")] * 5
        whole.append(await stream(live(scheduler, platform), 2))

    platform = scene(play)
    assert platform.messages == {0: whole[0].strip()}


def test_a_reply_that_cannot_be_shown_any_more_ends() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("begun")
        await asyncio.sleep(1)
        platform.failures = [TargetGone("gone")]
        async with asyncio.timeout(5):
            await stream(reply, 2)
        await stream(live(scheduler, platform), 1)

    platform = scene(play)
    assert platform.messages[0] == "begun"
    assert platform.messages[1].endswith("w59"), "the next reply in the channel is shown"


def test_a_call_that_fails_by_a_defect_is_made_again() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        for text in ("", "Some text"):
            reply = live(scheduler, platform)
            reply.update(text)
            platform.failures = [RuntimeError("a defect"), KeyError("another")]
            assert await reply.finish(Outcome(TurnState.FAILED, text, FailureReason.BUSY))

    assert list(scene(play).messages.values()) == ["-# busy", "Some text\n-# busy"]


WRONG = "-# Something went wrong on my side. Please try again."


@pytest.mark.parametrize("broken", ["note", "bot.discord_bot.delivery.reconciler.Document.steps"])
@pytest.mark.parametrize(
    ("outcome", "shown", "button"),
    [
        (Outcome(TurnState.FAILED, "", FailureReason.BUSY), WRONG, Button.RETRY),
        (Outcome(TurnState.FAILED, " \n", FailureReason.INTERNAL), WRONG, Button.RETRY),
        (Outcome(TurnState.FAILED, "Half **of", FailureReason.UNREACHABLE), f"Half **of\n{WRONG}", Button.RETRY),
        (Outcome(TurnState.STOPPED, "", stop_reason=StopReason.USER), WRONG, None),
        (Outcome(TurnState.COMPLETE, "All of it"), "All of it", None),
    ],
)
def test_a_reply_that_cannot_be_rendered_is_shown_as_written_or_says_so(
    monkeypatch: pytest.MonkeyPatch, broken: str, outcome: Outcome, shown: str, button: Button | None
) -> None:
    def defect(*_: object, **__: object) -> None:
        raise OverflowError("cannot convert float infinity to integer")

    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        if broken == "note":
            reply = LiveReply(1, platform, scheduler, note=defect)
        else:
            monkeypatch.setattr(broken, defect)
        async with asyncio.timeout(5):
            assert await reply.finish(outcome)

    platform = scene(play)
    assert platform.messages == {0: shown}
    assert platform.buttons == {0: button}


@pytest.mark.parametrize("failure", [Unavailable("down"), RuntimeError("a defect")])
def test_a_platform_that_stays_away_is_given_up_after_a_while(failure: Exception) -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.failures = [failure] * 1000
        began = asyncio.get_running_loop().time()
        assert not await live(scheduler, platform).finish(Outcome(TurnState.COMPLETE, "whole")), "another process may"
        assert 60 < asyncio.get_running_loop().time() - began < 180

    assert scene(play).messages == {}


def test_a_note_stands_under_the_text_in_the_same_message() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        for text in ("", "Some text", "x" * 1990, "word " * 380):
            reply = live(scheduler, platform)
            reply.update(text)
            await reply.finish(Outcome(TurnState.FAILED, text, FailureReason.UNREACHABLE))

    messages = list(scene(play).messages.values())
    assert messages[:2] == ["-# unreachable", "Some text\n-# unreachable"]
    assert all(len(message) <= 2000 for message in messages)
    assert sum(message.endswith("-# unreachable") for message in messages) == 4


def test_a_reply_to_a_deleted_prompt_goes_with_it() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("begun")
        await asyncio.sleep(1)
        await reply.finish(Outcome(TurnState.STOPPED, "begun", stop_reason=StopReason.PROMPT_DELETED))

    assert scene(play).messages == {}


def test_a_hundred_replies_share_the_bots_budget() -> None:
    async def main() -> None:
        async with Scheduler() as scheduler:
            platforms = [Platform(scheduler) for _ in range(100)]
            for number, platform in enumerate(platforms):
                platform._scheduler = _Channel(scheduler, number)  # type: ignore[assignment]
            loop = asyncio.get_running_loop()
            began = loop.time()

            async def one(number: int) -> float:
                reply = LiveReply(number, platforms[number], scheduler, note=lambda _: None)
                await stream(reply, 8, 10)
                return loop.time() - began

            ends = await asyncio.gather(*map(one, range(100)))
            calls = sorted(at - began for platform in platforms for at, _, _ in platform.shown)
            assert max(sum(1 for each in calls if at <= each < at + 1) for at in calls) <= 50
            assert max(platform.shown[0][0] for platform in platforms) - began <= 2.5
            assert max(ends) <= 8 + 2.6
            assert len(calls) > 8 * 40, "and the budget is used"

    run(main())


class _Channel:
    """Lets the platform's answers be learned from under another channel's number."""

    def __init__(self, scheduler: Scheduler, number: int) -> None:
        self._scheduler = scheduler
        self._number = number

    def observe(self, _: int, method: str, status: int, headers: dict[str, str]) -> None:
        self._scheduler.observe(self._number, method, status, headers)


def test_the_stop_button_joins_a_long_reply_on_an_edit_and_goes_with_its_end() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        streaming = asyncio.create_task(stream(reply, 20, 40))
        await asyncio.sleep(3)
        assert platform.buttons == {0: None}
        await asyncio.sleep(3)
        assert platform.buttons == {0: Button.STOP}
        await asyncio.sleep(10)
        newest = len(platform.messages) - 1
        assert newest > 0
        assert platform.buttons == {number: Button.STOP if number == newest else None for number in platform.messages}
        await streaming

    platform = scene(play)
    assert set(platform.buttons.values()) == {None}
    for (_, _, before), (_, _, after) in pairwise(platform.shown):
        assert before != after, "no edit for the button alone"


@pytest.mark.parametrize(
    ("outcome", "button"),
    [
        (Outcome(TurnState.COMPLETE, "x"), None),
        (Outcome(TurnState.COMPLETE, "x", FailureReason.LENGTH), Button.CONTINUE),
        (Outcome(TurnState.FAILED, "x", FailureReason.UNREACHABLE), Button.RETRY),
        (Outcome(TurnState.FAILED, "", FailureReason.EMPTY_REPLY), Button.RETRY),
        (Outcome(TurnState.FAILED, "", FailureReason.CONFIGURATION), None),
        (Outcome(TurnState.INTERRUPTED, "x", stop_reason=StopReason.SHUTDOWN), Button.RETRY),
        (Outcome(TurnState.STOPPED, "x", stop_reason=StopReason.USER), None),
    ],
)
def test_an_end_offers_what_can_be_done_about_it(outcome: Outcome, button: Button | None) -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = LiveReply(1, platform, scheduler, note=texts.note)
        reply.update("x")
        await reply.finish(outcome)

    assert list(scene(play).buttons.values()) == [button]


def test_a_reply_that_would_flood_a_channel_comes_as_a_file() -> None:
    whole: list[str] = []

    async def play(scheduler: Scheduler, platform: Platform) -> None:
        whole.append(await stream(live(scheduler, platform, max_messages=2), 20))

    platform = scene(play)
    assert len(platform.messages) == 2
    assert platform.files == {0: None, 1: whole[0]}
    assert platform.messages[1].endswith("\n-# The whole reply is in the file.")
    assert any(content.endswith("-# The rest is coming as a file.") for _, _, content in platform.shown)


def test_a_flood_that_only_waits_for_its_file_can_still_be_stopped() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform, max_messages=2)
        reply.update("word " * 2000)
        await asyncio.sleep(3)
        assert platform.buttons == {0: None, 1: None}
        await asyncio.sleep(2)
        reply.update("word " * 2001)
        await asyncio.sleep(2)
        assert platform.buttons == {0: None, 1: Button.STOP}
        await reply.finish(Outcome(TurnState.COMPLETE, "word " * 2001))

    assert scene(play).buttons == {0: None, 1: None}


@pytest.mark.parametrize("after", [0.5, 1.04], ids=["between two calls", "while one is under way"])
def test_deleted_by_somebody_it_is_shown_no_more(after: float) -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("long " * 400)
        await asyncio.sleep(1)
        assert reply.shows(0)
        reply.update("long " * 401)
        await asyncio.sleep(after - 0.5)
        del platform.messages[0]
        reply.on_messages_deleted({0})
        await stream(reply, 2)

    assert scene(play).messages == {}, "and nothing is left of the rest"


def test_two_that_end_at_once_are_both_seen() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        replies = [live(scheduler, platform) for _ in range(2)]
        for reply in replies:
            reply.update("begun")
        await asyncio.sleep(10)
        texts = ["begun", "begun and ended"]
        ends = [reply.finish(Outcome(TurnState.COMPLETE, text)) for reply, text in zip(replies, texts, strict=True)]
        async with asyncio.timeout(10):
            assert await asyncio.gather(*ends) == [True, True]

    assert sorted(scene(play).messages.values()) == ["begun", "begun and ended"]


def test_a_defect_in_the_rendering_shows_the_text_as_it_is_and_stops_nobody_else() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        broken, other = live(scheduler, platform), live(scheduler, platform)
        broken._document = None  # type: ignore[assignment]
        async with asyncio.timeout(60):
            await asyncio.gather(
                *(reply.finish(Outcome(TurnState.COMPLETE, "**as** it is")) for reply in (broken, other))
            )

    assert list(scene(play).messages.values()) == ["**as** it is", "**as** it is"]


def test_when_the_scheduler_is_left_nobody_waits_for_it() -> None:
    async def main() -> None:
        async with Scheduler() as scheduler:
            reply = live(scheduler, Platform(scheduler))
        assert await reply.finish(Outcome(TurnState.COMPLETE, "unseen")) is False

    run(main())


@pytest.mark.parametrize("text", ["---", "** **", "\u200b", "\n\n"])
def test_a_reply_that_looks_like_nothing_is_said_to_be_nothing(text: str) -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        await live(scheduler, platform).finish(Outcome(TurnState.COMPLETE, text))

    assert list(scene(play).messages.values()) == ["-# The model had nothing to say. Try rewording."]


def test_a_refused_text_leaves_what_was_shown_and_a_word() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        for begun in ("", "shown"):
            reply = live(scheduler, platform)
            reply.update(begun)
            await asyncio.sleep(5)
            platform.failures = [ContentRejected("by a rule")]
            await reply.finish(Outcome(TurnState.COMPLETE, "shown and refused"))

    assert list(scene(play).messages.values()) == [texts.REFUSED, f"shown\n{texts.REFUSED}"]
