"""Keeps the view of a growing reply up to date: takes the latest text, renders it in slices, and composes a `View`.

Rendering a long text takes milliseconds, during which nothing else in the process runs. So it is done in slices, and
after the first one the rest follows in callbacks of the event loop, between which other callbacks run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from bot.core.turns import Outcome, StopReason, is_blank
from bot.discord_bot.delivery.beginning import Beginning, Restarted, sent_messages
from bot.discord_bot.delivery.view import (
    PART_LIMIT,
    Content,
    Layout,
    View,
    WantedMessage,
    compose,
    compose_fallback,
    compose_unrendered,
)
from bot.markdown import Document, Part

log = logging.getLogger(__name__)

SLICE = 4000
"""Characters that are rendered in one callback. It takes milliseconds, and is more than one update brings."""
_DEFECT = "a reply in channel %d is shown as it was written, for a defect"


@dataclass(frozen=True, slots=True, eq=False)
class _Snapshot:
    """The whole text of a reply at one moment, and how it ended, if it has."""

    text: str = ""
    outcome: Outcome | None = None


class _Phase(Enum):
    """Which text a view is made of. A restarted reply goes through the phases in order, others begin with the last."""

    BASELINE = auto()
    """The previous text, rendered once to learn what the messages of an interrupted reply show."""
    PREVIOUS = auto()
    """The previous text with the status line under it, until there is new text."""
    CURRENT = auto()
    """The text of this attempt."""


class _Background(Enum):
    """Whether a text is being rendered in callbacks."""

    IDLE = auto()
    RUNNING = auto()
    READY = auto()
    """A text has been rendered, and no view has been composed of it yet."""


class LiveView:
    """The view of one reply, from the latest text. `on_ready` is called when rendering in the background is finished.

    `current` is the view that was composed last.
    """

    def __init__(self, channel_id: int, beginning: Beginning, layout: Layout, on_ready: Callable[[], None]) -> None:
        self._channel_id = channel_id
        self._layout = layout
        self._on_ready = on_ready
        self._restarted = beginning if isinstance(beginning, Restarted) else None
        self._phase = _Phase.CURRENT if self._restarted is None else _Phase.BASELINE
        cuts = [start for _, start in sent_messages(beginning)[1:]]
        self._rendering = _Rendering(Document(PART_LIMIT, cuts=cuts), layout.max_messages)
        self._latest = self._taken = _Snapshot()
        self._composed: _Snapshot | None = None
        self._background = _Background.IDLE
        self._override: View | None = None
        """The view whatever the text is, once the platform takes no more of it or somebody has deleted the reply."""
        self.current = View()

    @property
    def outcome(self) -> Outcome | None:
        """How the reply ended. None: it goes on."""
        return self._latest.outcome

    @property
    def is_latest(self) -> bool:
        """Whether the current view shows the latest text."""
        return self._composed is self._latest

    @property
    def is_rendering(self) -> bool:
        """Whether rendering goes on in the background."""
        return self._background is _Background.RUNNING

    @property
    def has_override(self) -> bool:
        """Whether the view no longer depends on the text."""
        return self._override is not None

    def update(self, text: str) -> bool:
        """Take the whole text so far. Returns whether it is the first text of a restarted reply."""
        restarts = self._phase is not _Phase.CURRENT and not is_blank(text)
        if restarts:
            # A view of the old text followed by the new one would read as one reply.
            self._phase = _Phase.CURRENT
            self._start_anew()
        self._latest = _Snapshot(text, self.outcome)
        return restarts

    def replace(self, text: str, cuts: Sequence[int]) -> None:
        """Take the whole text so far, in place of a text that was no reply. Its messages begin at these cuts."""
        if self._phase is _Phase.CURRENT:
            self._start_anew(cuts)
        self._latest = _Snapshot(text, self.outcome)

    def finish(self, outcome: Outcome) -> None:
        """Take the end of the reply, with its whole text."""
        self._latest = _Snapshot(outcome.text, outcome)

    def override(self, view: View) -> None:
        """Show this from now on, whatever the text is."""
        self._override = view
        self._compose(stoppable=False)

    def fall_back(self, known: Sequence[WantedMessage], sentence: str) -> None:
        """Show from now on what was shown, and this sentence."""
        self.override(compose_fallback(known, sentence, self._layout.source_offset))

    def refresh(self, *, stoppable: bool) -> bool:
        """Compose the view of the latest text. False: the text is long, and is being rendered in the background.

        `stoppable`: a reply that goes on has a button that stops it.
        """
        ended_since = self._taken.outcome is not self._latest.outcome and self._phase is not _Phase.BASELINE
        if (self._background is not _Background.READY or ended_since) and not self._render():
            self._background = _Background.RUNNING
            asyncio.get_running_loop().call_soon(self._render_on)
            return False
        self._background = _Background.IDLE
        self._compose(stoppable=stoppable)
        return True

    def take_baseline(self) -> View | None:
        """What the messages of an interrupted reply should show, once. None: that is known, or there are none."""
        if self._phase is not _Phase.BASELINE:
            return None
        self._phase = _Phase.PREVIOUS
        return self.current

    def _start_anew(self, cuts: Sequence[int] = ()) -> None:
        self._rendering = _Rendering(Document(PART_LIMIT, cuts=cuts), self._layout.max_messages)
        if self._background is _Background.READY:
            self._background = _Background.IDLE

    def _render(self) -> bool:
        """Render a slice of the text that was begun, or else of the latest. False: there is more of it to render."""
        try:
            if not self._rendering.begun:
                self._begin()
            return self._rendering.advance(skip=self.has_override)
        except Exception:
            log.exception(_DEFECT, self._channel_id)
            self._rendering.fail()
            return True

    def _render_on(self) -> None:
        begun = self._rendering.begun
        if begun and not self._render():
            asyncio.get_running_loop().call_soon(self._render_on)
            return
        # After a restart of the reply, the text that was begun is no longer needed.
        self._background = _Background.READY if begun else _Background.IDLE
        self._on_ready()

    def _begin(self) -> None:
        # The baseline comes first, even if the reply has ended meanwhile.
        outcome = None if self._phase is _Phase.BASELINE else self.outcome
        self._taken = _Snapshot(self._latest.text, outcome) if outcome is not self.outcome else self._latest
        text, is_whole = self._taken.text, outcome is not None
        if self._restarted is not None and outcome is None and self._phase is not _Phase.CURRENT:
            text, is_whole = self._restarted.previous_text, True
        self._rendering.begin(text[self._layout.source_offset :], final=is_whole)

    def _compose(self, *, stoppable: bool) -> None:
        if self.has_override:
            self._taken = self._latest
        self._composed = self._taken
        if self.has_override or not self._rendering.failed:
            try:
                self.current = self._view_of(self._taken, stoppable=stoppable)
            except Exception:
                log.exception(_DEFECT, self._channel_id)
            else:
                return
        self.current = compose_unrendered(self._taken.text, self._taken.outcome, self._layout.source_offset)

    def _view_of(self, taken: _Snapshot, *, stoppable: bool) -> View:
        if self._override is not None:
            prompt_deleted = taken.outcome is not None and taken.outcome.stop_reason is StopReason.PROMPT_DELETED
            return View() if prompt_deleted else self._override
        status_line = None
        if self._restarted is not None and taken.outcome is None and self._phase is not _Phase.CURRENT:
            status_line = self._restarted.status_line
        content = Content(taken.text, self._rendering.parts, taken.outcome, status_line)
        return compose(content, self._layout, stoppable=stoppable)


class _Rendering:
    """Renders one text after another into the parts of a document, slice by slice. Each begins with the one before."""

    def __init__(self, document: Document, max_messages: int | None) -> None:
        self._document = document
        self._max_messages = max_messages
        self._steps: Iterator[int] | None = None
        self._full = False
        self.failed = False
        """Whether a defect kept the text that was begun last from being rendered."""

    @property
    def begun(self) -> bool:
        """Whether a text was begun and is not finished. Until it is, no other can be begun."""
        return self._steps is not None

    @property
    def parts(self) -> Sequence[Part]:
        """The parts that are rendered. The last one may still change."""
        return self._document.parts

    def begin(self, text: str, *, final: bool) -> None:
        """Begin a text. `final`: it is whole."""
        self._steps = self._document.steps(text, final=final)

    def advance(self, *, skip: bool) -> bool:
        """Render a slice. False: there is more. `skip`: no part of it is needed."""
        rendered = 0
        while self._steps is not None and not (skip or self._is_full()):
            characters = next(self._steps, None)
            if characters is None:
                break
            rendered += characters
            if rendered > SLICE:
                return False
        self._steps, self.failed = None, False
        return True

    def fail(self) -> None:
        """Give up the text that was begun."""
        self._steps, self.failed = None, True

    def _is_full(self) -> bool:
        """Whether there are more parts than messages: the rest of the text comes as a file, unrendered."""
        if self._max_messages is None or self._full:
            return self._full
        certain = self.parts[:-1]
        if len(certain) > self._max_messages:
            self._full = sum(not is_blank(part.content) for part in certain) > self._max_messages
        return self._full
