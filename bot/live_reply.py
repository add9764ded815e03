"""Keeps the platform's messages equal to what a reply should look like, one call at a time.

It reconciles instead of scripting: each call is the one step from what is shown towards what is wanted at that
moment, so that newer text, an end, a restart or a message that vanished only change one of the two.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from bot import phrases
from bot.markdown import Document
from bot.scheduler import Scheduler, Urgency
from bot.turns import Cause, Outcome, Problem, State, is_blank

log = logging.getLogger(__name__)

MESSAGE_LIMIT = 2000
"""Characters in one Discord message, counted in code points."""
NOTE_LIMIT = 200
"""Characters kept free in every message, so that a note about the end always fits under the text."""
STOP_AFTER = 4.0
"""Seconds of streaming after which a reply is long enough for a button that stops it."""
PATIENCE = 120.0
"""Seconds for which a failing platform is tried before a reply is given up as not showable."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0


class Gone(Exception):
    """Nothing more can be shown: the message or the channel was deleted, or the right to write there is gone."""

    def __init__(self, reason: str, *, deleted: bool = False) -> None:
        self.deleted = deleted
        super().__init__(reason)


class Unavailable(Exception):
    """The platform failed just now; the same call may work later."""


class Refused(Exception):
    """The platform will not show this content."""


class Frozen(Exception):
    """The messages there are can no longer be edited, but new ones can be posted."""


class Button(StrEnum):
    """What a person can press under a reply."""

    STOP = "stop"
    CONTINUE = "continue"
    RETRY = "retry"


_AFTER: dict[Problem | None, Button] = {
    Problem.LENGTH: Button.CONTINUE,
    Problem.UNREACHABLE: Button.RETRY,
    Problem.BUSY: Button.RETRY,
    Problem.EMPTY: Button.RETRY,
    Problem.INTERNAL: Button.RETRY,
}


def button_after(outcome: Outcome) -> Button | None:
    """What can be done about an end; None: nothing has to."""
    return Button.RETRY if outcome.state is State.INTERRUPTED else _AFTER.get(outcome.problem)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A message as it should be. `start` is where in the reply's source its text begins; `file`, a text to attach."""

    start: int
    content: str
    button: Button | None = None
    file: str | None = None


class Messages(Protocol):
    """The messages of one reply on the platform. Errors are Gone, Unavailable, Refused and Frozen."""

    async def post(self, part: int, wanted: Wanted) -> tuple[int, bool]:
        """Make a new message. Returns its id, and whether it shows what was wanted.

        Trying again after Unavailable must not show it twice: it gives the message that the first try made, which may
        show an older text.
        """
        ...

    async def edit(self, part: int, message_id: int, wanted: Wanted) -> None: ...

    async def delete(self, message_id: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as people see it. `wanted` is None where that is not known: after a restart."""

    message_id: int
    wanted: Wanted | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A further message is wanted."""

    part: int
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Edit:
    """A message should be otherwise."""

    part: int
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Delete:
    """A message is not wanted any more."""

    message_id: int


Action = Post | Edit | Delete
_METHODS: dict[type[Action], str] = {Post: "POST", Edit: "PATCH", Delete: "DELETE"}


def next_action(wanted: Sequence[Wanted], shown: Sequence[Shown], *, ended: bool = True) -> Action | None:
    """The next step from what is shown towards what is wanted: earlier parts first.

    Until the end a button that could join the last message waits for an edit that goes out anyway.
    """
    for part, want in enumerate(wanted):
        if part >= len(shown):
            return Post(part, want)
        have = shown[part].wanted
        if have is None or (have.content, have.file) != (want.content, want.file):
            return Edit(part, want)
        if have.button is not want.button and (ended or part < len(wanted) - 1):
            return Edit(part, want)
    return Delete(shown[-1].message_id) if len(shown) > len(wanted) else None


class LiveReply:
    """One reply's appearance in one channel; a `bot.scheduler.Caller`.

    `note` gives the small print for an outcome. `shown` is what an earlier process or attempt has posted, `cuts` where
    in the source text its parts began, the first one left out. The first `skip` characters of the text stand elsewhere
    already. `discard` are messages that go once there is a new one. Over `most` messages the whole reply is a file.
    With `anew`, what is shown stays until there is text, and then goes but for the first message.
    """

    def __init__(
        self,
        channel_id: int,
        messages: Messages,
        scheduler: Scheduler,
        *,
        note: Callable[[Outcome], str | None],
        shown: Sequence[Shown] = (),
        cuts: Sequence[int] = (),
        skip: int = 0,
        discard: Sequence[int] = (),
        most: int | None = None,
        anew: bool = False,
    ) -> None:
        self._channel_id = channel_id
        self._messages = messages
        self._scheduler = scheduler
        self._note = note
        self._shown = list(shown)
        self._document = Document(MESSAGE_LIMIT - NOTE_LIMIT, cuts=cuts)
        self._skip = skip
        self._discard = list(discard)
        self._most = most
        self._anew = anew
        self._cut_off = False
        self._text = ""
        self._outcome: Outcome | None = None
        self._stale = False
        self._rendered: str | None = None
        self._rendered_end: Outcome | None = None
        self._wanted: list[Wanted] = []
        self._action: Action | None = None
        self._method = "PATCH" if shown else "POST"
        self._failing_since: float | None = None
        self._wait = _FIRST_WAIT
        self._time = asyncio.get_running_loop().time
        self._streaming_since: float | None = None
        self._instead: list[Wanted] | None = None
        self._unseen = False
        self.deleted = False
        """Whether its messages were found deleted."""
        self.done = asyncio.Event()
        """Set once nothing more will be shown."""
        self.visible = asyncio.Event()
        """Set once there is something of this attempt to see, or there will be nothing."""
        self.waiting_since = self._time()
        self.not_before = float("-inf")
        scheduler.add(channel_id, self)

    def shows(self, message_id: int) -> bool:
        """Whether this is one of its messages."""
        return any(shown.message_id == message_id for shown in self._shown)

    def vanish(self) -> None:
        """Its messages were deleted by somebody: nothing is to be shown any more."""
        self._end()

    def abandon(self) -> None:
        """Nothing more can be shown in this process."""
        self._unseen = True
        self._end()

    def update(self, text: str) -> None:
        """Take the whole text so far."""
        if self._anew and not is_blank(text):
            # Old text under new would read as one reply.
            self._anew = False
            self._discard += [shown.message_id for shown in self._shown[1:]]
            del self._shown[1:]
        self._text = text
        self._mark_stale()

    async def finish(self, outcome: Outcome) -> bool:
        """Return once the end can be seen, or never will be. False: not now, but another process may still show it."""
        self._outcome = outcome
        self._text = outcome.text
        self.not_before = float("-inf")
        self._mark_stale()
        await self.done.wait()
        return not self._unseen

    @property
    def wants(self) -> str | None:
        """The method of the next call, as far as it can be told without rendering."""
        return self._method if self._stale and not self.done.is_set() else None

    @property
    def urgency(self) -> Urgency:
        """An end before a first message before anything else."""
        if self._outcome is not None:
            return Urgency.END
        return Urgency.MORE if self._shown else Urgency.FIRST

    def prepare(self) -> str | None:
        """Render the latest text and settle the next step."""
        self._render()
        self._action = self._next()
        if self._action is None:
            self._settle()
            return None
        self._method = _METHODS[type(self._action)]
        return self._method

    async def call(self) -> None:
        """Take the step that was prepared."""
        try:
            await self._take(self._action)
        except Gone as error:
            log.info("a reply in channel %d can no longer be shown: %s", self._channel_id, error)
            self.deleted = error.deleted
            self._end()
            return
        except Unavailable as error:
            self._try_later(error)
            return
        except Refused as error:
            log.warning("channel %d: a text was refused: %s", self._channel_id, error)
            if self._instead is not None:
                self._end()
                return
            self._instead = self._without_refused()
            self._render()
        except Frozen as error:
            log.info("channel %d: a reply goes on in new messages: %s", self._channel_id, error)
            self._discard += [shown.message_id for shown in self._shown]
            self._shown = []
        except Exception:
            log.exception("showing a reply in channel %d failed by a defect", self._channel_id)
            self._end()
            return
        self._failing_since, self._wait = None, _FIRST_WAIT
        self.waiting_since = self._time()
        following = self._next()
        if following is not None:
            self._method = _METHODS[type(following)]
        elif self._rendered is self._text and self._rendered_end is self._outcome:
            self._settle()
        else:
            self._method = "PATCH"

    async def _take(self, action: Action | None) -> None:
        match action:
            case Post(part, wanted):
                message_id, as_wanted = await self._messages.post(part, wanted)
                self._shown.append(Shown(message_id, wanted if as_wanted else None))
            case Edit(part, wanted):
                message_id = self._shown[part].message_id
                await self._messages.edit(part, message_id, wanted)
                self._shown[part] = Shown(message_id, wanted)
            case Delete(message_id):
                # Off the list first: the platform's word that it is gone must not look like somebody else's doing.
                self._shown = [shown for shown in self._shown if shown.message_id != message_id]
                self._discard = [discarded for discarded in self._discard if discarded != message_id]
                await self._messages.delete(message_id)
        if self._streaming_since is None:
            self._streaming_since = self._time()
            self.visible.set()

    def _next(self) -> Action | None:
        if self._outcome is None and not self._wanted:
            # What is shown stays until there is something better.
            return None
        if self._discard and self._shown and self._streaming_since is not None:
            # Before anything is edited, or a text that keeps growing would never let it go.
            return Delete(self._discard[-1])
        # Once all but a file is there, no edit goes out that the button could wait for.
        action = next_action(self._wanted, self._shown, ended=self._outcome is not None or self._cut_off)
        return Delete(self._discard[-1]) if action is None and self._discard else action

    def _render(self) -> None:
        self._rendered, self._rendered_end = self._text, self._outcome
        try:
            self._wanted = self._frame()
        except Exception:
            log.exception("a reply in channel %d is shown as it was written, for a defect", self._channel_id)
            text, step = self._text[self._skip :], MESSAGE_LIMIT - NOTE_LIMIT
            self._wanted = [Wanted(self._skip + at, text[at : at + step]) for at in range(0, len(text), step)]

    def _frame(self) -> list[Wanted]:
        """The messages that are wanted by now."""
        outcome = self._outcome
        if outcome is not None and outcome.cause in (Cause.PROMPT_DELETED, Cause.REPLY_DELETED):
            return []
        if self._instead is not None:
            return self._instead
        self._document.update(self._text[self._skip :], final=outcome is not None)
        parts = [part for part in self._document.parts if not is_blank(part.content)]
        wanted = [Wanted(self._skip + part.start, part.content) for part in parts[: self._most]]
        self._cut_off = cut_off = len(parts) > len(wanted)
        if outcome is None:
            if wanted and self._streaming_since is not None and self._time() - self._streaming_since >= STOP_AFTER:
                wanted[-1] = replace(wanted[-1], button=Button.STOP)
            notes = [phrases.REST_AS_FILE] if cut_off else []
        else:
            note = self._note(outcome)
            if not wanted and not self._skip:
                # Never silent: what looks like nothing has to be said to be nothing.
                note = note or phrases.note(Outcome(State.FAILED, problem=Problem.EMPTY))
                wanted = [Wanted(0, "")]
            if cut_off:
                wanted[-1] = replace(wanted[-1], file=self._text)
            notes = [*([phrases.AS_FILE] if cut_off else []), *([note] if note else [])]
            if notes and not wanted:
                wanted = [Wanted(self._skip, "")]
            if wanted:
                wanted[-1] = replace(wanted[-1], button=button_after(outcome))
        if notes:
            wanted[-1] = replace(wanted[-1], content="\n".join([wanted[-1].content, *notes]).lstrip("\n"))
        return wanted

    def _without_refused(self) -> list[Wanted]:
        """What was shown before the platform refused to show more, and the word on that."""
        kept = [shown.wanted for shown in self._shown if shown.wanted is not None]
        *before, last = kept or [Wanted(self._skip, "")]
        return [*before, replace(last, content=f"{last.content}\n{phrases.REFUSED}".lstrip("\n"), button=None)]

    def _settle(self) -> None:
        """What is shown is what is wanted, for now or, after an end, for good."""
        self._stale = False
        if self._outcome is not None:
            self._end()

    def _end(self) -> None:
        if not self.done.is_set():
            self.done.set()
            self.visible.set()
            self._scheduler.remove(self._channel_id, self)

    def _try_later(self, error: Unavailable) -> None:
        now = self._time()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since > PATIENCE:
            log.warning("a reply in channel %d could not be shown: %s", self._channel_id, error)
            self.abandon()
            return
        log.info("channel %d: trying again in %.1f s: %s", self._channel_id, self._wait, error)
        self.not_before = now + self._wait
        self._wait = min(_LONGEST_WAIT, self._wait * 2)

    def _mark_stale(self) -> None:
        if not self._stale:
            self._stale = True
            self.waiting_since = self._time()
            self._scheduler.wake()
        elif self._outcome is not None:
            self._scheduler.wake()
