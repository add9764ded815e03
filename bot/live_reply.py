"""Keeps the platform's messages equal to what a reply should look like, one call at a time.

It reconciles instead of scripting: each call is the one step from what is shown towards what is wanted at that
moment, so that newer text, an end, a restart or a message that vanished only change one of the two.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.markdown import Document
from bot.scheduler import Scheduler, Urgency
from bot.turns import Cause, Outcome

log = logging.getLogger(__name__)

MESSAGE_LIMIT = 2000
"""Characters in one Discord message, counted in code points."""
NOTE_LIMIT = 200
"""Characters kept free in every message, so that a note about the end always fits under the text."""
PATIENCE = 120.0
"""Seconds for which a failing platform is tried before a reply is given up as not showable."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0


class Gone(Exception):
    """The message, the channel or the right to write there is gone: nothing more can be shown."""


class Unavailable(Exception):
    """The platform failed just now; the same call may work later."""


class Messages(Protocol):
    """The messages of one reply on the platform. Errors are Gone and Unavailable."""

    async def post(self, part: int, start: int, content: str) -> int:
        """Make a new message; `start` is where in the reply's source its text begins. Returns its id.

        Trying again after Unavailable must not show it twice.
        """
        ...

    async def edit(self, message_id: int, content: str) -> None: ...

    async def delete(self, message_id: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as people see it. `content` is None where it is not known: after a restart."""

    message_id: int
    start: int
    content: str | None


@dataclass(frozen=True, slots=True)
class Post:
    """A further message is wanted."""

    part: int
    start: int
    content: str


@dataclass(frozen=True, slots=True)
class Edit:
    """A message should read otherwise."""

    part: int
    content: str


@dataclass(frozen=True, slots=True)
class Delete:
    """The last message is not wanted any more."""


Action = Post | Edit | Delete
_METHODS: dict[type[Action], str] = {Post: "POST", Edit: "PATCH", Delete: "DELETE"}


def next_action(wanted: Sequence[tuple[int, str]], shown: Sequence[Shown]) -> Action | None:
    """The next step from what is shown towards what is wanted (start and content of each part): earlier parts first."""
    for part, (start, content) in enumerate(wanted):
        if part >= len(shown):
            return Post(part, start, content)
        if shown[part].content != content:
            return Edit(part, content)
    return Delete() if len(shown) > len(wanted) else None


class LiveReply:
    """One reply's appearance in one channel; a `bot.scheduler.Caller`.

    `note` gives the small print for an outcome. `shown` is what an earlier process has posted already.
    """

    def __init__(
        self,
        channel_id: int,
        messages: Messages,
        scheduler: Scheduler,
        *,
        note: Callable[[Outcome], str | None],
        shown: Sequence[Shown] = (),
    ) -> None:
        self._channel_id = channel_id
        self._messages = messages
        self._scheduler = scheduler
        self._note = note
        self._shown = list(shown)
        self._document = Document(MESSAGE_LIMIT - NOTE_LIMIT, cuts=[each.start for each in shown[1:]])
        self._text = ""
        self._outcome: Outcome | None = None
        self._stale = False
        self._rendered: str | None = None
        self._rendered_end: Outcome | None = None
        self._wanted: list[tuple[int, str]] = []
        self._action: Action | None = None
        self._method = "PATCH" if shown else "POST"
        self._failing_since: float | None = None
        self._wait = _FIRST_WAIT
        self._time = asyncio.get_running_loop().time
        self._done = asyncio.Event()
        self.visible = asyncio.Event()
        """Set once there is a message, or there will be none."""
        self.waiting_since = self._time()
        self.not_before = float("-inf")
        if shown:
            self.visible.set()
        scheduler.add(channel_id, self)

    def update(self, text: str) -> None:
        """Take the whole text so far."""
        self._text = text
        self._mark_stale()

    async def finish(self, outcome: Outcome) -> None:
        """Return once the end can be seen, or nothing can be shown any more."""
        self._outcome = outcome
        self._text = outcome.text
        self.not_before = float("-inf")
        self._mark_stale()
        await self._done.wait()

    @property
    def wants(self) -> str | None:
        """The method of the next call, as far as it can be told without rendering."""
        return self._method if self._stale and not self._done.is_set() else None

    @property
    def urgency(self) -> Urgency:
        """An end before a first message before anything else."""
        if self._outcome is not None:
            return Urgency.END
        return Urgency.MORE if self._shown else Urgency.FIRST

    def prepare(self) -> str | None:
        """Render the latest text and settle the next step."""
        self._render()
        self._action = next_action(self._wanted, self._shown)
        if self._action is None:
            self._settle()
            return None
        self._method = _METHODS[type(self._action)]
        return self._method

    async def call(self) -> None:
        """Take the step that was prepared."""
        try:
            match self._action:
                case Post(part, start, content):
                    message_id = await self._messages.post(part, start, content)
                    self._shown.append(Shown(message_id, start, content))
                    self.visible.set()
                case Edit(part, content):
                    shown = self._shown[part]
                    await self._messages.edit(shown.message_id, content)
                    self._shown[part] = Shown(shown.message_id, shown.start, content)
                case Delete():
                    await self._messages.delete(self._shown[-1].message_id)
                    self._shown.pop()
        except Gone as error:
            log.info("a reply in channel %d can no longer be shown: %s", self._channel_id, error)
            self._end()
            return
        except Unavailable as error:
            self._try_later(error)
            return
        except Exception:
            log.exception("showing a reply in channel %d failed by a defect", self._channel_id)
            self._end()
            return
        self._failing_since, self._wait = None, _FIRST_WAIT
        self.waiting_since = self._time()
        following = next_action(self._wanted, self._shown)
        if following is not None:
            self._method = _METHODS[type(following)]
        elif self._rendered is self._text and self._rendered_end is self._outcome:
            self._settle()
        else:
            self._method = "PATCH"

    def _render(self) -> None:
        self._rendered, self._rendered_end = self._text, self._outcome
        outcome = self._outcome
        if outcome is not None and outcome.cause is Cause.PROMPT_DELETED:
            self._wanted = []
            return
        self._document.update(self._text, final=outcome is not None)
        self._wanted = [(part.start, part.content) for part in self._document.parts]
        note = None if outcome is None else self._note(outcome)
        if note is not None:
            start, content = self._wanted.pop() if self._wanted else (0, "")
            self._wanted.append((start, f"{content}\n{note}".lstrip("\n")))

    def _settle(self) -> None:
        """What is shown is what is wanted, for now or, after an end, for good."""
        self._stale = False
        if self._outcome is not None:
            self._end()

    def _end(self) -> None:
        if not self._done.is_set():
            self._done.set()
            self.visible.set()
            self._scheduler.remove(self._channel_id, self)

    def _try_later(self, error: Unavailable) -> None:
        now = self._time()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since > PATIENCE:
            log.warning("a reply in channel %d could not be shown: %s", self._channel_id, error)
            self._end()
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
