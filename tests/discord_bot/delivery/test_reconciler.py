"""Live replies through the scheduler, in virtual time, on a platform that keeps Discord's rules and sometimes fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest

from bot import texts
from bot.core.turns import Ending, FailureReason, Outcome, StopReason, TurnState
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import Button, ContentRejected, TargetGone, Unavailable
from bot.markdown import Document
from tests.discord_bot.delivery.platform import Platform, live, scene, stream
from tests.virtual_time import run


def test_first_text_and_end_show_at_once() -> None:
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


def test_unchanged_text_is_sent_once() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        for _ in range(50):
            reply.update("the same")
            await asyncio.sleep(0.1)
        await reply.finish(Outcome(TurnState.COMPLETE, "the same"))

    assert [content for _, _, content in scene(play).shown] == ["the same"]


@pytest.mark.parametrize("after", range(0, 100, 4))
def test_replaced_text_goes_while_the_new_one_grows(after: int) -> None:
    """`after` so many hundredths of a second, whatever call is under way then."""

    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("thought " * 700)
        await asyncio.sleep(after / 100)
        reply.replace("")
        text = ""
        for number in range(100):
            text += f"word {number}, "
            reply.update(text)
            await asyncio.sleep(0.05)
        assert "thought" not in "".join(platform.messages.values())
        await reply.finish(Outcome(TurnState.COMPLETE, text))
        assert list(platform.messages.values()) == [text.strip()]

    scene(play)


def test_replies_share_their_channels_pace() -> None:
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


def test_the_latest_text_follows_an_outage() -> None:
    whole: list[str] = []

    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.failures = [Unavailable("down")] * 5
        whole.append(await stream(live(scheduler, platform), 2))

    platform = scene(play)
    assert platform.messages == {0: whole[0].strip()}


def delays(calls: list[float], rtt: float = 0.08) -> list[float]:
    """The seconds from each failed call's end to the next call."""
    return [round(after - before - rtt, 2) for before, after in pairwise(calls)]


def test_delays_grow_while_the_platform_fails() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.failures = [Unavailable("down")] * 8
        reply = live(scheduler, platform)
        reply.update("text")
        await reply.lifecycle.visible.wait()

    assert delays(scene(play).calls) == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


def test_one_success_resets_the_delays() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        for number in range(2):
            platform.calls.clear()
            platform.failures = [Unavailable("down")] * 3
            reply.update("text " * (number + 1))
            await asyncio.sleep(30)
            # The pace of edits may add to the first delay.
            assert delays(platform.calls)[1:] == [1.0, 2.0]
        await reply.finish(Outcome(TurnState.COMPLETE, "text text"))

    scene(play)


def test_an_end_skips_the_delay() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.failures = [Unavailable("down")] * 6
        reply = live(scheduler, platform)
        reply.update("text")
        await asyncio.sleep(17)
        assert len(platform.calls) == 6, "the next call is due in 15 seconds"
        async with asyncio.timeout(1):
            await reply.finish(Outcome(TurnState.COMPLETE, "text"))

    assert scene(play).messages == {0: "text"}


def test_lost_permission_ends_one_reply() -> None:
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


def test_calls_that_fail_by_defect_are_repeated() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        for text in ("", "Some text"):
            reply = live(scheduler, platform)
            reply.update(text)
            platform.failures = [RuntimeError("a defect"), KeyError("another")]
            assert await reply.finish(Outcome(TurnState.FAILED, text, FailureReason.BUSY))

    assert list(scene(play).messages.values()) == ["-# busy", "Some text\n-# busy"]


WRONG = "-# Something went wrong on my side. Please try again."
WHOLE, STOPPED = Ending(TurnState.COMPLETE), Ending(TurnState.STOPPED)
CUT = Ending(TurnState.COMPLETE, FailureReason.LENGTH)


@pytest.mark.parametrize("broken", ["note", "bot.discord_bot.delivery.live_view.Document.steps"])
@pytest.mark.parametrize(
    ("outcome", "shown", "buttons"),
    [
        (Outcome(TurnState.FAILED, "", FailureReason.BUSY), WRONG, (Button.RETRY,)),
        (Outcome(TurnState.FAILED, " \n", FailureReason.INTERNAL), WRONG, (Button.RETRY,)),
        (Outcome(TurnState.FAILED, "Half **of", FailureReason.UNREACHABLE), f"Half **of\n{WRONG}", (Button.RETRY,)),
        (Outcome(TurnState.STOPPED, "", stop_reason=StopReason.USER), WRONG, (Button.RETRY,)),
        (Outcome(TurnState.COMPLETE, "All of it"), "All of it", ()),
    ],
)
def test_unrenderable_replies_are_shown_as_written(
    monkeypatch: pytest.MonkeyPatch, broken: str, outcome: Outcome, shown: str, buttons: tuple[Button, ...]
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
    assert platform.buttons == {0: buttons}


@pytest.mark.parametrize("failure", [Unavailable("down"), RuntimeError("a defect")])
def test_a_long_outage_ends_in_giving_up(failure: Exception) -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.failures = [failure] * 1000
        began = asyncio.get_running_loop().time()
        assert not await live(scheduler, platform).finish(Outcome(TurnState.COMPLETE, "whole")), "another process may"
        assert 60 < asyncio.get_running_loop().time() - began < 180
        platform.failures.clear()

    assert scene(play).messages == {}


def test_a_note_follows_the_text() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        for text in ("", "Some text", "x" * 1990, "word " * 380):
            reply = live(scheduler, platform)
            reply.update(text)
            await reply.finish(Outcome(TurnState.FAILED, text, FailureReason.UNREACHABLE))

    messages = list(scene(play).messages.values())
    assert messages[:2] == ["-# unreachable", "Some text\n-# unreachable"]
    assert all(len(message) <= 2000 for message in messages)
    assert sum(message.endswith("-# unreachable") for message in messages) == 4


def test_deleting_the_prompt_deletes_the_reply() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("begun")
        await asyncio.sleep(1)
        await reply.finish(Outcome(TurnState.STOPPED, "begun", stop_reason=StopReason.PROMPT_DELETED))

    assert scene(play).messages == {}


def test_a_hundred_replies_share_one_budget() -> None:
    async def main() -> None:
        async with Scheduler() as scheduler:
            platforms = [Platform(scheduler, channel_id=number) for number in range(100)]
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


def test_long_replies_carry_a_stop_button() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        streaming = asyncio.create_task(stream(reply, 20, 40))
        await asyncio.sleep(3)
        assert platform.buttons == {0: ()}
        await asyncio.sleep(3)
        assert platform.buttons == {0: (Button.STOP,)}
        await asyncio.sleep(10)
        newest = len(platform.messages) - 1
        assert newest > 0
        assert platform.buttons == {number: (Button.STOP,) if number == newest else () for number in platform.messages}
        await streaming

    platform = scene(play)
    assert set(platform.buttons.values()) == {()}
    for (_, _, before), (_, _, after) in pairwise(platform.shown):
        assert before != after, "no edit for the button alone"


@pytest.mark.parametrize(
    ("outcome", "buttons"),
    [
        (Outcome(TurnState.COMPLETE, "x"), ()),
        (Outcome(TurnState.COMPLETE, "x", FailureReason.LENGTH), (Button.CONTINUE,)),
        (Outcome(TurnState.FAILED, "x", FailureReason.UNREACHABLE), (Button.RETRY,)),
        (Outcome(TurnState.FAILED, "", FailureReason.EMPTY_REPLY), (Button.RETRY,)),
        (Outcome(TurnState.FAILED, "", FailureReason.CONFIGURATION), ()),
        (Outcome(TurnState.INTERRUPTED, "x", stop_reason=StopReason.SHUTDOWN), (Button.RETRY,)),
        (Outcome(TurnState.STOPPED, "x", stop_reason=StopReason.USER), (Button.CONTINUE, Button.RETRY)),
        (Outcome(TurnState.STOPPED, "", stop_reason=StopReason.USER), (Button.RETRY,)),
        (Outcome(TurnState.STOPPED, "x", stop_reason=StopReason.RESET), ()),
        (Outcome(TurnState.STOPPED, "x", stop_reason=StopReason.USER, kept=WHOLE), (Button.AGAIN,)),
        (Outcome(TurnState.FAILED, "x", FailureReason.BUSY, kept=WHOLE), (Button.AGAIN,)),
        (Outcome(TurnState.FAILED, "x", FailureReason.CONTENT_FILTERED, kept=WHOLE), ()),
        (Outcome(TurnState.FAILED, "x", FailureReason.BUSY, kept=CUT), (Button.CONTINUE, Button.AGAIN)),
        (Outcome(TurnState.FAILED, "x", FailureReason.CONTENT_FILTERED, kept=CUT), (Button.CONTINUE,)),
        (Outcome(TurnState.FAILED, "x", FailureReason.BUSY, kept=STOPPED), (Button.CONTINUE, Button.RETRY)),
    ],
)
def test_each_end_offers_its_buttons(outcome: Outcome, buttons: tuple[Button, ...]) -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = LiveReply(1, platform, scheduler, note=texts.note)
        reply.update("x")
        await reply.finish(outcome)

    assert list(scene(play).buttons.values()) == [buttons]


def test_a_flooding_reply_becomes_a_file() -> None:
    whole: list[str] = []

    async def play(scheduler: Scheduler, platform: Platform) -> None:
        whole.append(await stream(live(scheduler, platform, max_messages=2), 20))

    platform = scene(play)
    assert len(platform.messages) == 2
    assert platform.files == {0: None, 1: whole[0]}
    assert platform.messages[1].endswith("\n-# The whole reply is in the file.")
    assert any(content.endswith("-# The rest is coming as a file.") for _, _, content in platform.shown)


def test_a_truncated_reply_can_be_stopped() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform, max_messages=2)
        reply.update("word " * 2000)
        await asyncio.sleep(3)
        assert platform.buttons == {0: (), 1: ()}
        await asyncio.sleep(2)
        reply.update("word " * 2001)
        await asyncio.sleep(2)
        assert platform.buttons == {0: (), 1: (Button.STOP,)}
        await reply.finish(Outcome(TurnState.COMPLETE, "word " * 2001))

    assert scene(play).buttons == {0: (), 1: ()}


@pytest.mark.parametrize("after", [0.5, 1.04], ids=["between two calls", "while one is under way"])
def test_deleting_a_message_removes_the_reply(after: float) -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("long " * 400)
        await asyncio.sleep(1)
        assert 0 in reply.shown
        reply.update("long " * 401)
        await asyncio.sleep(after - 0.5)
        del platform.messages[0]
        reply.on_messages_deleted({0})
        await stream(reply, 2)

    assert scene(play).messages == {}, "and nothing is left of the rest"


def test_simultaneous_ends_are_both_shown() -> None:
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


def test_one_rendering_defect_leaves_other_replies_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Document.steps

    def fails_for_one(document: Document, text: str, *, final: bool = False) -> Iterator[int]:
        if "broken" in text:
            raise RuntimeError("a defect")
        return steps(document, text, final=final)

    async def play(scheduler: Scheduler, platform: Platform) -> None:
        monkeypatch.setattr("bot.discord_bot.delivery.live_view.Document.steps", fails_for_one)
        written = ["#### broken", "#### whole"]
        async with asyncio.timeout(60):
            await asyncio.gather(
                *(live(scheduler, platform).finish(Outcome(TurnState.COMPLETE, text)) for text in written)
            )

    assert set(scene(play).messages.values()) == {"#### broken", "**whole**"}


def test_leaving_the_scheduler_abandons_replies() -> None:
    async def main() -> None:
        async with Scheduler() as scheduler:
            reply = live(scheduler, Platform(scheduler))
        assert await reply.finish(Outcome(TurnState.COMPLETE, "unseen")) is False

    run(main())


def test_a_deleted_reply_is_never_abandoned() -> None:
    async def main() -> None:
        async with Scheduler() as scheduler:
            platform = Platform(scheduler)
            reply = live(scheduler, platform)
            reply.update("long " * 500)
            await asyncio.sleep(3)
            assert len(platform.messages) == 2
            platform.failures = [Unavailable("down")]
            reply.on_messages_deleted({0})
            await asyncio.sleep(0.1)
        assert reply.lifecycle.deleted
        assert await reply.finish(Outcome(TurnState.STOPPED, stop_reason=StopReason.REPLY_DELETED)), "nothing to show"

    run(main())


@pytest.mark.parametrize("text", ["---", "** **", "\u200b", "\n\n"])
def test_invisible_replies_get_a_note(text: str) -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        await live(scheduler, platform).finish(Outcome(TurnState.COMPLETE, text))

    assert list(scene(play).messages.values()) == ["-# The model had nothing to say. Try rewording."]


def test_rejected_text_leaves_a_note() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        for begun in ("", "shown"):
            reply = live(scheduler, platform)
            reply.update(begun)
            await asyncio.sleep(5)
            platform.failures = [ContentRejected("by a rule")]
            await reply.finish(Outcome(TurnState.COMPLETE, "shown and refused"))

    assert list(scene(play).messages.values()) == [texts.REFUSED, f"shown\n{texts.REFUSED}"]
