"""Live replies through the scheduler, in virtual time, on a platform that keeps Discord's rules and sometimes fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count, pairwise
from typing import Any

import pytest

from bot import phrases
from bot.frame import (
    Button,
    Delete,
    Edit,
    Frozen,
    Gone,
    Post,
    Refused,
    Shown,
    Unavailable,
    Wanted,
    next_action,
)
from bot.live_reply import LiveReply
from bot.scheduler import Scheduler
from bot.turns import Cause, Outcome, Problem, State
from tests.test_pacing import Bucket
from tests.virtual_time import run


class Platform:
    """A channel in which calls take time, count in buckets and may fail as told; remembers what it showed when."""

    def __init__(self, scheduler: Scheduler, rtt: float = 0.08) -> None:
        self.messages: dict[int, str] = {}
        self.buttons: dict[int, Button | None] = {}
        self.files: dict[int, str | None] = {}
        self._ids = count()
        self.shown: list[tuple[float, int, str]] = []
        self.failures: list[Exception] = []
        self.overlapping = 0
        self._in_flight = 0
        self._scheduler = scheduler
        self._rtt = rtt
        self.buckets = {method: Bucket(False, 5, 1.0) for method in ("POST", "PATCH", "DELETE")}

    @property
    def refused(self) -> int:
        return sum(bucket.refused for bucket in self.buckets.values())

    async def post(self, part: int, wanted: Wanted) -> tuple[int, bool]:
        await self._call("POST")
        message_id = next(self._ids)
        self._show(message_id, wanted)
        return message_id, True

    async def edit(self, part: int, message_id: int, wanted: Wanted) -> None:
        await self._call("PATCH")
        self._show(message_id, wanted)

    async def delete(self, message_id: int) -> None:
        await self._call("DELETE")
        del self.messages[message_id]

    def _show(self, message_id: int, wanted: Wanted) -> None:
        self.messages[message_id] = wanted.content
        self.buttons[message_id] = wanted.button
        self.files[message_id] = wanted.file
        self.shown.append((asyncio.get_running_loop().time(), message_id, wanted.content))

    async def _call(self, method: str) -> None:
        self._in_flight += 1
        self.overlapping = max(self.overlapping, self._in_flight)
        await asyncio.sleep(self._rtt)
        self._in_flight -= 1
        if self.failures:
            raise self.failures.pop(0)
        seen = self.buckets[method].call(asyncio.get_running_loop().time())
        assert seen is not None, "over the limit"
        headers = {
            "X-RateLimit-Limit": str(seen.limit),
            "X-RateLimit-Remaining": str(seen.remaining),
            "X-RateLimit-Reset": str(seen.reset),
            "X-RateLimit-Reset-After": str(seen.reset_after),
        }
        self._scheduler.observe(1, method, 200, headers)


def scene(play: Callable[[Scheduler, Platform], Coroutine[Any, Any, None]]) -> Platform:
    async def main() -> Platform:
        async with Scheduler() as scheduler:
            platform = Platform(scheduler)
            await play(scheduler, platform)
            return platform

    return run(main())


def live(scheduler: Scheduler, platform: Platform, **options: Any) -> LiveReply:
    def note(outcome: Outcome) -> str | None:
        return f"-# {outcome.problem}" if outcome.problem else None

    return LiveReply(1, platform, scheduler, note=note, **options)


async def stream(reply: LiveReply, seconds: float, per_second: int = 60, name: str = "w") -> str:
    text = ""
    for n in range(int(seconds * per_second)):
        text += f"{name}{n} "
        reply.update(text)
        await asyncio.sleep(1 / per_second)
    await reply.finish(Outcome(State.COMPLETE, text))
    return text


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
        await reply.finish(Outcome(State.COMPLETE, "the same"))

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


@pytest.mark.parametrize("failure", [Gone("gone"), RuntimeError("a defect")])
def test_a_reply_that_cannot_be_shown_any_more_ends(failure: Exception) -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("begun")
        await asyncio.sleep(1)
        platform.failures = [failure]
        async with asyncio.timeout(5):
            await stream(reply, 2)
        await stream(live(scheduler, platform), 1)

    platform = scene(play)
    assert platform.messages[0] == "begun"
    assert platform.messages[1].endswith("w59"), "the next reply in the channel is shown"


def test_a_platform_that_stays_away_is_given_up_after_a_while() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.failures = [Unavailable("down")] * 1000
        began = asyncio.get_running_loop().time()
        await stream(live(scheduler, platform), 1)
        assert 60 < asyncio.get_running_loop().time() - began < 180

    assert scene(play).messages == {}


def test_a_note_stands_under_the_text_in_the_same_message() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        for text in ("", "Some text", "x" * 1990, "word " * 380):
            reply = live(scheduler, platform)
            reply.update(text)
            await reply.finish(Outcome(State.FAILED, text, Problem.UNREACHABLE))

    messages = list(scene(play).messages.values())
    assert messages[:2] == ["-# unreachable", "Some text\n-# unreachable"]
    assert all(len(message) <= 2000 for message in messages)
    assert sum(message.endswith("-# unreachable") for message in messages) == 4


def test_after_a_restart_what_is_shown_already_is_edited_not_posted_again() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.messages = {0: "half a"}
        reply = live(scheduler, platform, shown=[Shown(0)])
        await reply.finish(Outcome(State.INTERRUPTED, "half a reply", Problem.UNREACHABLE))

    assert scene(play).messages == {0: "half a reply\n-# unreachable"}


def test_a_reply_to_a_deleted_prompt_goes_with_it() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("begun")
        await asyncio.sleep(1)
        await reply.finish(Outcome(State.STOPPED, "begun", cause=Cause.PROMPT_DELETED))

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
        (Outcome(State.COMPLETE, "x"), None),
        (Outcome(State.COMPLETE, "x", Problem.LENGTH), Button.CONTINUE),
        (Outcome(State.FAILED, "x", Problem.UNREACHABLE), Button.RETRY),
        (Outcome(State.FAILED, "", Problem.EMPTY), Button.RETRY),
        (Outcome(State.FAILED, "", Problem.SETUP), None),
        (Outcome(State.INTERRUPTED, "x", cause=Cause.SHUTDOWN), Button.RETRY),
        (Outcome(State.STOPPED, "x", cause=Cause.PERSON), None),
    ],
)
def test_an_end_offers_what_can_be_done_about_it(outcome: Outcome, button: Button | None) -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = LiveReply(1, platform, scheduler, note=phrases.note)
        reply.update("x")
        await reply.finish(outcome)

    assert list(scene(play).buttons.values()) == [button]


def test_a_reply_that_would_flood_a_channel_comes_as_a_file() -> None:
    whole: list[str] = []

    async def play(scheduler: Scheduler, platform: Platform) -> None:
        whole.append(await stream(live(scheduler, platform, most=2), 20))

    platform = scene(play)
    assert len(platform.messages) == 2
    assert platform.files == {0: None, 1: whole[0]}
    assert platform.messages[1].endswith("\n-# The whole reply is in the file.")
    assert any(content.endswith("-# The rest is coming as a file.") for _, _, content in platform.shown)


def test_a_flood_that_only_waits_for_its_file_can_still_be_stopped() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform, most=2)
        reply.update("word " * 2000)
        await asyncio.sleep(3)
        assert platform.buttons == {0: None, 1: None}
        await asyncio.sleep(2)
        reply.update("word " * 2001)
        await asyncio.sleep(2)
        assert platform.buttons == {0: None, 1: Button.STOP}
        await reply.finish(Outcome(State.COMPLETE, "word " * 2001))

    assert scene(play).buttons == {0: None, 1: None}


def test_a_reply_goes_on_below_what_stands_already() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform, skip=len("The beginning, "))
        reply.update("The beginning, the mid")
        await reply.finish(Outcome(State.COMPLETE, "The beginning, the middle."))

    assert scene(play).messages == {0: "the middle."}


def test_a_new_try_below_takes_the_old_messages_away_once_it_is_there() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.messages = {98: "old one", 99: "old two"}
        reply = live(scheduler, platform, discard=[98, 99])
        reply.update("  ")
        await asyncio.sleep(5)
        assert platform.messages == {98: "old one", 99: "old two"}
        reply.update("new")
        await reply.finish(Outcome(State.COMPLETE, "new"))

    assert scene(play).messages == {0: "new"}


def test_what_was_broken_off_says_so_until_there_is_new_text() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.messages = {98: "old one", 99: "old two, and"}
        reply = live(
            scheduler,
            platform,
            shown=[Shown(98), Shown(99)],
            cuts=[8],
            anew=True,
            kept="old one old two",
            word="-# wait",
        )
        await asyncio.sleep(5)
        assert platform.messages == {98: "old one", 99: "old two\n-# wait"}
        reply.update("new")
        await asyncio.sleep(5)
        assert platform.messages == {98: "new"}
        await reply.finish(Outcome(State.COMPLETE, "new and whole"))

    platform = scene(play)
    assert platform.messages == {98: "new and whole"}
    assert [message for _, message, _ in platform.shown] == [99, 98, 98], "only what has to change is edited"


def test_what_was_broken_off_stays_when_nothing_new_comes() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.messages = {98: "old one", 99: "old two"}
        reply = live(
            scheduler,
            platform,
            shown=[Shown(98), Shown(99)],
            cuts=[8],
            anew=True,
            kept="old one old two",
            word="-# wait",
        )
        await asyncio.sleep(1)
        await reply.finish(Outcome(State.FAILED, "old one old two", Problem.UNREACHABLE))

    assert scene(play).messages == {98: "old one", 99: "old two\n-# unreachable"}


def test_a_later_message_that_an_earlier_process_had_deleted_is_made_anew() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        async def edit(part: int, message_id: int, wanted: Wanted) -> None:
            if message_id not in platform.messages:
                raise Gone("unknown", deleted=True)
            platform.messages[message_id] = wanted.content

        platform.edit = edit  # type: ignore[method-assign]
        platform.messages = {98: "one"}
        reply = live(scheduler, platform, shown=[Shown(98), Shown(99)], cuts=[4])
        assert await reply.finish(Outcome(State.COMPLETE, "one two"))
        assert not reply.deleted

    assert scene(play).messages == {98: "one", 0: "two"}


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
        reply.vanish({0})
        await stream(reply, 2)

    assert scene(play).messages == {}, "and nothing is left of the rest"


def test_a_message_that_could_not_be_deleted_holds_nothing_up_and_goes_at_the_end() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.messages = {98: "old one", 99: "old two"}
        tries: list[int] = []
        gone = platform.delete

        async def delete(message_id: int) -> None:
            tries.append(message_id)
            if len(tries) == 1:
                raise Unavailable("down")
            await gone(message_id)

        platform.delete = delete  # type: ignore[method-assign]
        reply = live(scheduler, platform, shown=[Shown(98), Shown(99)], anew=True)
        reply.update("new")
        await asyncio.sleep(3)
        reply.update("new and newer")
        await asyncio.sleep(3)
        assert platform.messages == {98: "new and newer", 99: "old two"}
        assert await reply.finish(Outcome(State.COMPLETE, "new and whole"))

    assert scene(play).messages == {98: "new and whole"}


def test_new_text_that_comes_while_the_word_is_put_under_the_old_takes_its_place() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.messages = {98: "one", 99: "two"}
        shown = [Shown(98), Shown(99)]
        reply = live(scheduler, platform, shown=shown, cuts=[4], anew=True, kept="one two", word="-# wait")
        await asyncio.sleep(0.04)
        await stream(reply, 1)

    assert scene(play).messages == {98: "".join(f"w{n} " for n in range(60)).strip()}


def test_two_that_end_at_once_are_both_seen() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        replies = [live(scheduler, platform) for _ in range(2)]
        for reply in replies:
            reply.update("begun")
        await asyncio.sleep(10)
        texts = ["begun", "begun and ended"]
        ends = [reply.finish(Outcome(State.COMPLETE, text)) for reply, text in zip(replies, texts, strict=True)]
        async with asyncio.timeout(10):
            assert await asyncio.gather(*ends) == [True, True]

    assert sorted(scene(play).messages.values()) == ["begun", "begun and ended"]


def test_a_defect_in_the_rendering_shows_the_text_as_it_is_and_stops_nobody_else() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        broken, other = live(scheduler, platform), live(scheduler, platform)
        broken._document = None  # type: ignore[assignment]
        async with asyncio.timeout(60):
            await asyncio.gather(*(reply.finish(Outcome(State.COMPLETE, "**as** it is")) for reply in (broken, other)))

    assert list(scene(play).messages.values()) == ["**as** it is", "**as** it is"]


def test_when_the_scheduler_is_left_nobody_waits_for_it() -> None:
    async def main() -> None:
        async with Scheduler() as scheduler:
            reply = live(scheduler, Platform(scheduler))
        assert await reply.finish(Outcome(State.COMPLETE, "unseen")) is False

    run(main())


@pytest.mark.parametrize("text", ["---", "** **", "\u200b", "\n\n"])
def test_a_reply_that_looks_like_nothing_is_said_to_be_nothing(text: str) -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        await live(scheduler, platform).finish(Outcome(State.COMPLETE, text))

    assert list(scene(play).messages.values()) == ["-# The model had nothing to say. Try rewording."]


def test_a_refused_text_leaves_what_was_shown_and_a_word() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        for begun in ("", "shown"):
            reply = live(scheduler, platform)
            reply.update(begun)
            await asyncio.sleep(5)
            platform.failures = [Refused("by a rule")]
            await reply.finish(Outcome(State.COMPLETE, "shown and refused"))

    assert list(scene(play).messages.values()) == [phrases.REFUSED, f"shown\n{phrases.REFUSED}"]


def test_where_nothing_can_be_edited_any_more_new_messages_take_over() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("begun")
        await asyncio.sleep(5)
        platform.failures = [Frozen("archived")]
        await reply.finish(Outcome(State.COMPLETE, "begun and ended"))

    assert scene(play).messages == {1: "begun and ended"}


def test_where_nothing_can_be_posted_either_it_ends() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("begun")
        await asyncio.sleep(5)
        platform.failures = [Frozen("archived"), Frozen("locked")]
        async with asyncio.timeout(5):
            await reply.finish(Outcome(State.COMPLETE, "begun and ended"))

    assert scene(play).messages == {0: "begun"}


def test_a_message_of_an_earlier_try_is_brought_up_to_date() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        async def post(part: int, wanted: Wanted) -> tuple[int, bool]:
            platform.messages[7] = "beg"
            return 7, False

        platform.post = post  # type: ignore[method-assign]
        await live(scheduler, platform).finish(Outcome(State.COMPLETE, "begun and ended"))

    assert scene(play).messages == {7: "begun and ended"}


def test_the_next_action_is_one_step_towards_what_is_wanted() -> None:
    a, b, other = Wanted(0, "a"), Wanted(5, "b"), Wanted(0, "A")
    assert next_action([a], []) == Post(0, a)
    assert next_action([a, b], [Shown(1, a)]) == Post(1, b)
    assert next_action([other, b], [Shown(1, a)]) == Edit(0, other), "what comes first is put right first"
    assert next_action([a], [Shown(1)]) == Edit(0, a), "what is not known is put right"
    assert next_action([a], [Shown(1, a), Shown(2, b)]) == Delete(2)
    assert next_action([a, b], [Shown(1, a), Shown(2, b)]) is None
