"""Live replies that begin with messages which show something already: of an earlier try or of an earlier process."""

from __future__ import annotations

import asyncio

from bot.core.turns import FailureReason, Outcome, TurnState
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import NotEditable, ShownMessage, TargetGone, Unavailable, WantedMessage
from tests.discord_bot.delivery.platform import Platform, live, scene, stream


def broken_off(scheduler: Scheduler, platform: Platform) -> LiveReply:
    """Another try at a reply of which an earlier process has shown two messages."""
    platform.messages = {98: "old one", 99: "old two, and"}
    shown = [ShownMessage(98), ShownMessage(99)]
    return live(
        scheduler,
        platform,
        shown=shown,
        cuts=[8],
        replace_previous=True,
        previous_text="old one old two",
        status_line="-# wait",
    )


def test_after_a_restart_what_is_shown_already_is_edited_not_posted_again() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.messages = {0: "half a"}
        reply = live(scheduler, platform, shown=[ShownMessage(0)])
        await reply.finish(Outcome(TurnState.INTERRUPTED, "half a reply", FailureReason.UNREACHABLE))

    assert scene(play).messages == {0: "half a reply\n-# unreachable"}


def test_a_reply_goes_on_below_what_stands_already() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform, source_offset=len("The beginning, "))
        reply.update("The beginning, the mid")
        await reply.finish(Outcome(TurnState.COMPLETE, "The beginning, the middle."))

    assert scene(play).messages == {0: "the middle."}


def test_a_new_try_below_takes_the_old_messages_away_once_it_is_there() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        platform.messages = {98: "old one", 99: "old two"}
        reply = live(scheduler, platform, stale_message_ids=[98, 99])
        reply.update("  ")
        await asyncio.sleep(5)
        assert platform.messages == {98: "old one", 99: "old two"}
        reply.update("new")
        await reply.finish(Outcome(TurnState.COMPLETE, "new"))

    assert scene(play).messages == {0: "new"}


def test_what_was_broken_off_says_so_until_there_is_new_text() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = broken_off(scheduler, platform)
        await asyncio.sleep(5)
        assert platform.messages == {98: "old one", 99: "old two\n-# wait"}
        reply.update("new")
        await asyncio.sleep(5)
        assert platform.messages == {98: "new"}
        await reply.finish(Outcome(TurnState.COMPLETE, "new and whole"))

    platform = scene(play)
    assert platform.messages == {98: "new and whole"}
    assert [message for _, message, _ in platform.shown] == [99, 98, 98], "only what has to change is edited"


def test_what_was_broken_off_stays_when_nothing_new_comes() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = broken_off(scheduler, platform)
        await asyncio.sleep(1)
        await reply.finish(Outcome(TurnState.FAILED, "old one old two", FailureReason.UNREACHABLE))

    assert scene(play).messages == {98: "old one", 99: "old two\n-# unreachable"}


def test_new_text_that_comes_while_the_word_is_put_under_the_old_takes_its_place() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = broken_off(scheduler, platform)
        await asyncio.sleep(0.04)
        await stream(reply, 1)

    assert scene(play).messages == {98: "".join(f"w{n} " for n in range(60)).strip()}


def test_a_later_message_that_an_earlier_process_had_deleted_is_made_anew() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        async def edit(part: int, message_id: int, wanted: WantedMessage) -> None:
            if message_id not in platform.messages:
                raise TargetGone("unknown", deleted=True)
            platform.messages[message_id] = wanted.content

        platform.edit = edit  # type: ignore[method-assign]
        platform.messages = {98: "one"}
        reply = live(scheduler, platform, shown=[ShownMessage(98), ShownMessage(99)], cuts=[4])
        assert await reply.finish(Outcome(TurnState.COMPLETE, "one two"))
        assert not reply.deleted

    assert scene(play).messages == {98: "one", 0: "two"}


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
        reply = live(scheduler, platform, shown=[ShownMessage(98), ShownMessage(99)], replace_previous=True)
        reply.update("new")
        await asyncio.sleep(3)
        reply.update("new and newer")
        await asyncio.sleep(3)
        assert platform.messages == {98: "new and newer", 99: "old two"}
        assert await reply.finish(Outcome(TurnState.COMPLETE, "new and whole"))

    assert scene(play).messages == {98: "new and whole"}


def test_where_nothing_can_be_edited_any_more_new_messages_take_over() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("begun")
        await asyncio.sleep(5)
        platform.failures = [NotEditable("archived")]
        await reply.finish(Outcome(TurnState.COMPLETE, "begun and ended"))

    assert scene(play).messages == {1: "begun and ended"}


def test_where_nothing_can_be_posted_either_it_ends() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        reply = live(scheduler, platform)
        reply.update("begun")
        await asyncio.sleep(5)
        platform.failures = [NotEditable("archived"), NotEditable("locked")]
        async with asyncio.timeout(5):
            await reply.finish(Outcome(TurnState.COMPLETE, "begun and ended"))

    assert scene(play).messages == {0: "begun"}


def test_a_message_of_an_earlier_try_is_brought_up_to_date() -> None:
    async def play(scheduler: Scheduler, platform: Platform) -> None:
        async def post(part: int, wanted: WantedMessage) -> tuple[int, bool]:
            platform.messages[7] = "beg"
            return 7, False

        platform.post = post  # type: ignore[method-assign]
        await live(scheduler, platform).finish(Outcome(TurnState.COMPLETE, "begun and ended"))

    assert scene(play).messages == {7: "begun and ended"}
