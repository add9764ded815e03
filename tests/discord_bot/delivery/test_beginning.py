"""Live replies that begin with messages of an earlier attempt or of an earlier process."""

from __future__ import annotations

import asyncio

from bot.core.turns import FailureReason, Outcome, TurnState
from bot.discord_bot.delivery.beginning import ContinuedBelow, ContinuedInPlace, MovedBelow, Restarted
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import NotEditable, TargetGone, Unavailable, WantedMessage
from tests.discord_bot.delivery.platform import Platform, live, scene, stream


def restarted(scheduler: Scheduler, platform: Platform) -> LiveReply:
    """Restart a reply of which an earlier process has posted two messages."""
    platform.messages = {98: "old one", 99: "old two, and"}
    return live(scheduler, platform, Restarted([(98, 0), (99, 8)], "old one old two", "-# wait"))


def test_continued_messages_are_edited_in_place() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.messages = {0: "half a"}
        reply = live(scheduler, platform, ContinuedInPlace([(0, 0)]))
        await reply.finish(Outcome(TurnState.INTERRUPTED, "half a reply", FailureReason.UNREACHABLE))

    assert scene(play).messages == {0: "half a reply\n-# unreachable"}


def test_continuing_below_shows_the_rest() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform, ContinuedBelow(1, len("The beginning, ")))
        reply.update("The beginning, the mid")
        await reply.finish(Outcome(TurnState.COMPLETE, "The beginning, the middle."))

    assert scene(play).messages == {0: "the middle."}


def test_moving_below_deletes_stale_messages() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.messages = {98: "old one", 99: "old two"}
        reply = live(scheduler, platform, MovedBelow([98, 99]))
        reply.update("  ")
        await asyncio.sleep(5)
        assert platform.messages == {98: "old one", 99: "old two"}
        reply.update("new")
        await reply.finish(Outcome(TurnState.COMPLETE, "new"))

    assert scene(play).messages == {0: "new"}


def test_restarts_keep_previous_text_until_new() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = restarted(scheduler, platform)
        await asyncio.sleep(5)
        assert platform.messages == {98: "old one", 99: "old two\n-# wait"}
        reply.update("new")
        await asyncio.sleep(5)
        assert platform.messages == {98: "new"}
        await reply.finish(Outcome(TurnState.COMPLETE, "new and whole"))

    platform = scene(play)
    assert platform.messages == {98: "new and whole"}
    assert [message for _, message, _ in platform.shown] == [99, 98, 98], "only what has to change is edited"


def test_failed_restarts_keep_the_previous_text() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = restarted(scheduler, platform)
        await asyncio.sleep(1)
        await reply.finish(Outcome(TurnState.FAILED, "old one old two", FailureReason.UNREACHABLE))

    assert scene(play).messages == {98: "old one", 99: "old two\n-# unreachable"}


def test_new_text_replaces_the_status_line() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = restarted(scheduler, platform)
        await asyncio.sleep(0.04)
        await stream(reply, 1)

    assert scene(play).messages == {98: "".join(f"w{n} " for n in range(60)).strip()}


def test_missing_later_messages_are_posted_again() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        async def edit(part: int, message_id: int, wanted: WantedMessage) -> None:
            if message_id not in platform.messages:
                raise TargetGone("unknown", deleted=True)
            platform.messages[message_id] = wanted.content

        platform.edit = edit  # type: ignore[method-assign]
        platform.messages = {98: "one"}
        reply = live(scheduler, platform, ContinuedInPlace([(98, 0), (99, 4)]))
        assert await reply.finish(Outcome(TurnState.COMPLETE, "one two"))
        assert not reply.lifecycle.deleted

    assert scene(play).messages == {98: "one", 0: "two"}


def test_failed_deletions_wait_for_the_end() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        tries: list[int] = []
        gone = platform.delete

        async def delete(message_id: int) -> None:
            tries.append(message_id)
            if len(tries) == 1:
                raise Unavailable("down")
            await gone(message_id)

        platform.delete = delete  # type: ignore[method-assign]
        reply = restarted(scheduler, platform)
        reply.update("new")
        await asyncio.sleep(3)
        reply.update("new and newer")
        await asyncio.sleep(3)
        assert platform.messages == {98: "new and newer", 99: "old two, and"}
        assert await reply.finish(Outcome(TurnState.COMPLETE, "new and whole"))

    assert scene(play).messages == {98: "new and whole"}


def test_archived_threads_get_new_messages() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("begun")
        await asyncio.sleep(5)
        platform.failures = [NotEditable("archived")]
        await reply.finish(Outcome(TurnState.COMPLETE, "begun and ended"))

    assert scene(play).messages == {1: "begun and ended"}


def test_locked_threads_end_the_reply() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("begun")
        await asyncio.sleep(5)
        platform.failures = [NotEditable("archived"), NotEditable("locked")]
        async with asyncio.timeout(5):
            await reply.finish(Outcome(TurnState.COMPLETE, "begun and ended"))

    assert scene(play).messages == {0: "begun"}


def test_recovered_posts_are_brought_up_to_date() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        async def post(part: int, wanted: WantedMessage) -> tuple[int, bool]:
            platform.messages[7] = "beg"
            return 7, False

        platform.post = post  # type: ignore[method-assign]
        await live(scheduler, platform).finish(Outcome(TurnState.COMPLETE, "begun and ended"))

    assert scene(play).messages == {7: "begun and ended"}
