"""The view of a reply as a pure function, and the calls that lead to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot import texts
from bot.core.model_servers import ModelServers
from bot.core.pictures import PictureProblem
from bot.core.quotas import Quota, QuotaExceeded
from bot.core.turns import FailureReason, Outcome, StopReason, TurnState
from bot.discord_bot.delivery.view import (
    NOTE_LIMIT,
    PART_LIMIT,
    Button,
    Content,
    Delete,
    Edit,
    Layout,
    Post,
    ShownMessage,
    View,
    WantedMessage,
    compose,
    compose_fallback,
    compose_unrendered,
    next_action,
)
from bot.markdown import Part

WHOLE = Outcome(TurnState.COMPLETE, "one two")
PARTS = [Part(0, "one"), Part(4, "two")]
EMPTY = "-# The model had nothing to say. Try rewording."


def note(outcome: Outcome) -> str | None:
    return f"-# {outcome.failure}" if outcome.failure else None


LAYOUT = Layout(note)


def test_longest_notes_fit_under_a_full_part() -> None:
    used_up = [QuotaExceeded(quota, 1_000_000, until=1_790_000_000) for quota in Quota]
    ends = [
        *(Outcome(TurnState.FAILED, "x", failure, retry_after=1e5) for failure in FailureReason),
        *(Outcome(TurnState.COMPLETE, "x", FailureReason.QUOTA, quota_exceeded=each) for each in used_up),
        Outcome(TurnState.STOPPED, "x", stop_reason=StopReason.USER, stopped_by="N" * 32),
        Outcome(TurnState.INTERRUPTED, "x"),
    ]
    fallback = ModelServers().described("maker/model" * 20)
    for end in ends:
        unseen = {PictureProblem.UNREADABLE: ["*" * 100, "b"], PictureProblem.UNSEEN: ["c"]}
        under = texts.note(replace(end, answered_by=fallback, unseen=unseen))
        # Discord withholds no quote in a DM, where no reply comes as a file.
        for above in (texts.SHORTER[texts.QUOTE_WITHHELD], texts.FIRST_IN_DM):
            lines = [above, under or ""]
            assert len("\n".join(["", *lines])) <= NOTE_LIMIT, lines
    whole = texts.note(replace(WHOLE, answered_by=fallback)) or ""
    assert (
        len("\n".join(["", texts.AS_FILE, texts.SHORTER[texts.QUOTE_WITHHELD], texts.MODERATORS, whole])) <= NOTE_LIMIT
    )


def contents(view: View) -> list[str]:
    return [message.content for message in view.messages]


def test_each_part_is_one_message() -> None:
    view = compose(Content("one two", PARTS), LAYOUT)
    assert view == View([WantedMessage(0, "one"), WantedMessage(4, "two")])
    assert list(compose(Content("one two", PARTS, WHOLE), LAYOUT).messages) == list(view.messages)


def test_parts_of_blanks_are_left_out() -> None:
    assert contents(compose(Content("one", [Part(0, "\u200b"), Part(4, "two")]), LAYOUT)) == ["two"]


def test_only_the_last_message_can_be_stopped() -> None:
    view = compose(Content("one two", PARTS), LAYOUT, stoppable=True)
    assert [message.buttons for message in view.messages] == [(), (Button.STOP,)]
    ended = compose(Content("one two", PARTS, WHOLE), LAYOUT, stoppable=True)
    assert [message.buttons for message in ended.messages] == [(), ()]


def test_a_failure_adds_note_and_button() -> None:
    failed = Outcome(TurnState.FAILED, "one two", FailureReason.UNREACHABLE)
    *_, last = compose(Content("one two", PARTS, failed), LAYOUT).messages
    assert last == WantedMessage(4, "two\n-# unreachable", (Button.RETRY,))


@pytest.mark.parametrize("parts", [[], [Part(0, "\u200b")]])
def test_an_empty_reply_gets_a_note(parts: list[Part]) -> None:
    assert contents(compose(Content("", parts, Outcome(TurnState.COMPLETE)), LAYOUT)) == [EMPTY]


def test_no_text_yet_wants_no_message() -> None:
    assert compose(Content("", []), LAYOUT) == View([])


def test_a_long_reply_becomes_a_file() -> None:
    layout = Layout(note, max_messages=1)
    growing = compose(Content("one two", PARTS), layout)
    assert growing == View([WantedMessage(0, f"one\n{texts.REST_AS_FILE}")], truncated=True)
    ended = compose(Content("one two", PARTS, WHOLE), layout)
    assert ended == View([WantedMessage(0, f"one\n{texts.AS_FILE}", file="one two")], truncated=True)


def test_the_status_line_follows_previous_text() -> None:
    assert contents(compose(Content("", PARTS, status_line="-# wait"), LAYOUT)) == ["one", "two\n-# wait"]
    assert contents(compose(Content("", [], status_line="-# wait"), LAYOUT)) == ["-# wait"]


def test_a_continuation_counts_from_its_offset() -> None:
    layout = Layout(note, source_offset=100)
    assert compose(Content("…", PARTS), layout).messages[1].start == 104
    assert compose(Content("…", [], WHOLE), layout) == View([]), "nothing to add is no empty reply"
    failed = Outcome(TurnState.FAILED, "…", FailureReason.BUSY)
    assert compose(Content("…", [], failed), layout).messages == [WantedMessage(100, "-# busy", (Button.RETRY,))]


def test_a_deleted_prompt_leaves_no_message() -> None:
    deleted = Outcome(TurnState.STOPPED, "one two", stop_reason=StopReason.PROMPT_DELETED)
    assert compose(Content("one two", PARTS, deleted), LAYOUT) == View()


def test_unrendered_text_is_cut_at_the_limit() -> None:
    text = "skipped " + "x" * (PART_LIMIT + 1)
    view = compose_unrendered(text, None, len("skipped "))
    assert [(message.start, len(message.content)) for message in view.messages] == [
        (8, PART_LIMIT),
        (8 + PART_LIMIT, 1),
    ]


def test_a_fallback_keeps_what_was_shown() -> None:
    shown = [WantedMessage(0, "one"), WantedMessage(4, "two", (Button.STOP,))]
    assert compose_fallback(shown, "-# no", 0) == View([shown[0], WantedMessage(4, "two\n-# no")])
    assert compose_fallback([], "-# no", 7) == View([WantedMessage(7, "-# no")])


def test_the_next_action_comes_from_the_first_difference() -> None:
    a, b, other = WantedMessage(0, "a"), WantedMessage(5, "b"), WantedMessage(0, "A")
    assert next_action([a], []) == Post(0, a)
    assert next_action([a, b], [ShownMessage(1, a)]) == Post(1, b)
    assert next_action([other, b], [ShownMessage(1, a)]) == Edit(0, other), "the first difference is resolved first"
    assert next_action([a], [ShownMessage(1)]) == Edit(0, a), "an unknown content is replaced"
    assert next_action([a], [ShownMessage(1, a), ShownMessage(2, b)]) == Delete(2)
    assert next_action([a, b], [ShownMessage(1, a), ShownMessage(2, b)]) is None


def test_a_button_alone_waits_for_the_end() -> None:
    plain, stoppable = WantedMessage(0, "a"), WantedMessage(0, "a", (Button.STOP,))
    assert next_action([stoppable], [ShownMessage(1, plain)], ended=False) is None
    assert next_action([stoppable], [ShownMessage(1, plain)], ended=True) == Edit(0, stoppable)
