"""What a reply should look like on a platform, what people see of it, and the one call that leads from here to there.

This module is pure: it does no IO and reads no clock. `compose` makes a `View` from a reply's content and layout, and
`next_action` compares wanted messages with shown ones. Rendering is the job of `live_view`, calling that of
`reconciler`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from bot import texts
from bot.core.turns import FailureReason, Outcome, StopReason, TurnState, is_blank
from bot.markdown import Part

MESSAGE_LIMIT = 2000
"""Characters in one message, counted in code points.

See https://discord.com/developers/docs/resources/message#create-message.
"""
NOTE_LIMIT = 200
"""Characters that every message keeps free, so that a note about the end always fits under its text."""
PART_LIMIT = MESSAGE_LIMIT - NOTE_LIMIT
"""Characters of a reply's text in one message."""


class PlatformError(Exception):
    """A call to the platform failed. The subclasses say what can be done about it."""


class TargetGone(PlatformError):
    """Nothing more can be shown. `deleted`: the message or the channel is gone, and not just the right to write.

    `sentence` tells people where the rest of a reply is that was shown in part.
    """

    def __init__(self, reason: str, *, deleted: bool = False, sentence: str = texts.NO_MORE_HERE) -> None:
        self.deleted = deleted
        self.sentence = sentence
        super().__init__(reason)


class Unavailable(PlatformError):
    """The platform failed. The same call may work later."""


class ContentRejected(PlatformError):
    """The platform rejects this content and would reject it again."""


class NotEditable(PlatformError):
    """The posted messages can no longer be edited, but new ones can be posted."""


class Button(StrEnum):
    """A button under a reply."""

    STOP = "stop"
    CONTINUE = "continue"
    RETRY = "retry"
    AGAIN = "again"
    """Has a whole reply written anew, as one that its question was edited after."""


Buttons = tuple[Button, ...]
"""The buttons under a message, from left to right."""

_AFTER: dict[FailureReason | None, Button] = {
    FailureReason.LENGTH: Button.CONTINUE,
    FailureReason.UNREACHABLE: Button.RETRY,
    FailureReason.BUSY: Button.RETRY,
    FailureReason.EMPTY_REPLY: Button.RETRY,
    FailureReason.INTERNAL: Button.RETRY,
    FailureReason.STORAGE: Button.RETRY,
    FailureReason.VOICE_UNREADABLE: Button.RETRY,
}


def buttons_after(outcome: Outcome) -> Buttons:
    """The buttons under a reply that ended like this; none if there is nothing to do about it."""
    if outcome.kept is not None:
        ended = buttons_after(replace(outcome, text="", kept=None))
        before = buttons_after(Outcome(outcome.kept.state, outcome.text, outcome.kept.failure))
        again = Button.RETRY in ended and Button.RETRY not in before
        return (*before, Button.AGAIN) if again else before
    if outcome.state is TurnState.STOPPED and outcome.stop_reason in (None, StopReason.USER):
        return (Button.CONTINUE, Button.RETRY) if outcome.text else (Button.RETRY,)
    if outcome.state is TurnState.INTERRUPTED:
        return (Button.RETRY,)
    if outcome.failure in (FailureReason.QUOTA, FailureReason.OUT_OF_ROOM, FailureReason.TIME_UP):
        return (Button.CONTINUE,) if outcome.text else (Button.RETRY,)
    button = _AFTER.get(outcome.failure)
    return () if button is None else (button,)


@dataclass(frozen=True, slots=True)
class WantedMessage:
    """A message as it should be."""

    start: int
    """The offset in the reply's source at which the message's text begins."""
    content: str
    buttons: Buttons = ()
    file: str | None = None
    """The text of an attached file."""


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message as people see it. `wanted` is None where its content is not known, as after a restart."""

    message_id: int
    wanted: WantedMessage | None = None


class MessageGateway(Protocol):
    """The calls that change one reply's messages on the platform. All of them raise `PlatformError`."""

    async def post(self, part: int, wanted: WantedMessage) -> tuple[int, bool]:
        """Post a message. Returns its id, and whether it shows what was wanted.

        A second call after `Unavailable` must not post a second message: it returns the message of the first call,
        which may show an older text.
        """
        ...

    async def edit(self, part: int, message_id: int, wanted: WantedMessage) -> None: ...

    async def delete(self, message_id: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Content:
    """A reply at one moment, as it was rendered."""

    text: str
    """The whole text so far."""
    parts: Sequence[Part]
    """The rendered parts of the text, or those of the previous text while there is a status line."""
    outcome: Outcome | None = None
    """How the reply ended. None: it may go on."""
    status_line: str | None = None
    """The sentence that stands under the previous text while there is no new text."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How one reply is laid out in messages."""

    note: Callable[[Outcome], str | None]
    """Gives the small print under a reply that ended."""
    source_offset: int = 0
    """How many characters of the text other messages show already."""
    max_messages: int | None = None
    """The number of messages over which the whole reply is a file. None: there is no such number."""
    about_prompt: Callable[[int], str | None] = lambda _: None
    """Gives what stands small under the reply's beginning about the prompt, in so many characters."""


@dataclass(frozen=True, slots=True)
class View:
    """The messages that a reply should have."""

    messages: Sequence[WantedMessage] = ()
    truncated: bool = False
    """Whether the text goes on behind the last message."""


def compose(content: Content, layout: Layout, *, stoppable: bool = False) -> View:
    """The view of a reply. `stoppable`: a reply that goes on has a button that stops it."""
    outcome = content.outcome
    if outcome is not None and outcome.stop_reason is StopReason.PROMPT_DELETED:
        return View()
    parts = [part for part in content.parts if not is_blank(part.content)]
    messages = [WantedMessage(layout.source_offset + part.start, part.content) for part in parts[: layout.max_messages]]
    truncated = len(parts) > len(messages)
    if outcome is None:
        messages = _growing(messages, content.status_line, layout, truncated=truncated, stoppable=stoppable)
        return View(messages, truncated)
    return View(_ended(messages, content.text, outcome, layout, truncated=truncated), truncated)


def _growing(
    messages: list[WantedMessage], status_line: str | None, layout: Layout, *, truncated: bool, stoppable: bool
) -> list[WantedMessage]:
    if messages and stoppable:
        messages = [*messages[:-1], replace(messages[-1], buttons=(Button.STOP,))]
    if status_line is not None:
        return _with_small_print(messages or [WantedMessage(0, "")], [status_line], layout)
    return _with_small_print(messages, [texts.REST_AS_FILE] if truncated else [], layout)


def _ended(
    messages: list[WantedMessage], text: str, outcome: Outcome, layout: Layout, *, truncated: bool
) -> list[WantedMessage]:
    note = layout.note(outcome)
    if not messages and not layout.source_offset:
        # A reply is never silent: where the text looks like nothing, a note says that there is none.
        note = note or texts.note(Outcome(TurnState.FAILED, failure=FailureReason.EMPTY_REPLY))
        messages = [WantedMessage(0, "")]
    notes = [texts.AS_FILE] if truncated else []
    if note:
        notes.append(note)
    if notes and not messages:
        messages = [WantedMessage(layout.source_offset, "")]
    if not messages:
        return []
    *before, last = messages
    last = replace(last, buttons=buttons_after(outcome), file=text if truncated else None)
    return _with_small_print([*before, last], notes, layout)


def compose_unrendered(text: str, outcome: Outcome | None, source_offset: int) -> View:
    """The view of a reply that cannot be rendered: the text as the model wrote it, cut anywhere.

    An end other than a complete reply is noted as a defect, because the right note may be what cannot be made.
    """
    text = text[source_offset:]
    if is_blank(text):
        text = ""
    messages = [WantedMessage(source_offset + at, text[at : at + PART_LIMIT]) for at in range(0, len(text), PART_LIMIT)]
    if outcome is not None and (not text or outcome.state is not TurnState.COMPLETE or outcome.failure is not None):
        *before, last = messages or [WantedMessage(source_offset, "")]
        messages = _with_notes([*before, replace(last, buttons=buttons_after(outcome))], [texts.WENT_WRONG])
    return View(messages)


def compose_fallback(known: Sequence[WantedMessage], sentence: str, source_offset: int) -> View:
    """The view of a reply of which the platform takes no more: what was shown, and a sentence that says so."""
    *before, last = known or [WantedMessage(source_offset, "")]
    return View(_with_notes([*before, replace(last, buttons=())], [sentence]))


def _with_small_print(messages: list[WantedMessage], notes: Sequence[str], layout: Layout) -> list[WantedMessage]:
    """The messages with what is said of the prompt under the first one's text, and notes under the last one's."""
    if messages and not layout.source_offset:
        first, *others = messages
        taken = 0 if others else len("\n".join(["", *notes]))
        if line := layout.about_prompt(NOTE_LIMIT - taken - 1):
            messages = [replace(first, content="\n".join(filter(None, (first.content, line)))), *others]
    return _with_notes(messages, notes)


def _with_notes(messages: list[WantedMessage], notes: Sequence[str]) -> list[WantedMessage]:
    """The messages with notes under the last one's text."""
    if not notes:
        return messages
    *before, last = messages
    return [*before, replace(last, content="\n".join([last.content, *notes]).lstrip("\n"))]


@dataclass(frozen=True, slots=True)
class Post:
    """A call that posts a part's message."""

    part: int
    wanted: WantedMessage


@dataclass(frozen=True, slots=True)
class Edit:
    """A call that edits a part's message."""

    part: int
    wanted: WantedMessage


@dataclass(frozen=True, slots=True)
class Delete:
    """A call that deletes a message."""

    message_id: int


Action = Post | Edit | Delete
METHODS: dict[type[Action], str] = {Post: "POST", Edit: "PATCH", Delete: "DELETE"}
"""The HTTP method of each call, under which the platform counts it."""


def next_action(wanted: Sequence[WantedMessage], shown: Sequence[ShownMessage], *, ended: bool = True) -> Action | None:
    """The next call from the shown messages towards the wanted ones, earlier parts first. None: they are equal.

    Until the reply has ended, buttons that join the last message wait for an edit of that message's text.
    """
    for part, want in enumerate(wanted):
        if part >= len(shown):
            return Post(part, want)
        have = shown[part].wanted
        if have is None or (have.content, have.file) != (want.content, want.file):
            return Edit(part, want)
        if have.buttons != want.buttons and (ended or part < len(wanted) - 1):
            return Edit(part, want)
    return Delete(shown[-1].message_id) if len(shown) > len(wanted) else None
