"""Keeps the platform's messages equal to what a reply should look like, one call at a time.

It reconciles instead of scripting: each call is the one step from what is shown towards what is wanted at that
moment, so that newer text, an end, a restart or a message that vanished only change one of the two.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from bot import texts
from bot.core.turns import FailureReason, Outcome, StopReason, TurnState, is_blank
from bot.discord_bot.delivery.scheduler import Scheduler, Urgency
from bot.discord_bot.delivery.view import (
    METHODS,
    Action,
    Button,
    ContentRejected,
    Delete,
    Edit,
    MessageGateway,
    NotEditable,
    Post,
    ShownMessage,
    TargetGone,
    Unavailable,
    WantedMessage,
    button_after,
    next_action,
)
from bot.markdown import Document

log = logging.getLogger(__name__)

MESSAGE_LIMIT = 2000
"""Characters in one Discord message, counted in code points."""
NOTE_LIMIT = 200
"""Characters kept free in every message, so that a note about the end always fits under the text."""
STOP_AFTER = 4.0
"""Seconds of streaming after which a reply is long enough for a button that stops it."""
GIVE_UP_AFTER = 120.0
"""Seconds for which a failing platform is tried before a reply is given up as not showable."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0
_AT_ONCE = 4000
"""Characters that are rendered before others have a turn: milliseconds' worth, and more than a stream has at a time."""


class LiveReply:
    """One reply's appearance in one channel; a `bot.discord_bot.delivery.scheduler.Caller`.

    `note` gives the small print for an outcome. `shown` is what an earlier process or attempt has posted, `cuts` where
    in the source text its parts began, the first one left out. The first `skip` characters of the text stand elsewhere
    already. `discard` are messages that go once there is a new one. Over `most` messages the whole reply is a file.
    With `anew`, what is shown stays until there is text, and then goes but for the first message. Until then `word`, if
    given, stands under what is `kept` of an earlier text.
    """

    def __init__(
        self,
        channel_id: int,
        messages: MessageGateway,
        scheduler: Scheduler,
        *,
        note: Callable[[Outcome], str | None],
        shown: Sequence[ShownMessage] = (),
        cuts: Sequence[int] = (),
        source_offset: int = 0,
        stale_message_ids: Sequence[int] = (),
        max_messages: int | None = None,
        replace_previous: bool = False,
        previous_text: str = "",
        status_line: str | None = None,
    ) -> None:
        self._channel_id = channel_id
        self._messages = messages
        self._scheduler = scheduler
        self._note = note
        self._shown = list(shown)
        self._document = Document(MESSAGE_LIMIT - NOTE_LIMIT, cuts=cuts)
        self._source_offset = source_offset
        self._stale_message_ids = list(stale_message_ids)
        self._undeleted: list[int] = []
        """What could not be deleted at the first try: people wait for the text, so it is tried again at the end."""
        self._max_messages = max_messages
        self._replace_previous = replace_previous
        self._previous_text = previous_text
        self._status_line = status_line
        self._cut_off = False
        self._text = ""
        self._outcome: Outcome | None = None
        self._stale = False
        self._steps: Iterator[int] | None = None
        """What is left to do until the document has all of what was taken."""
        self._taken: tuple[str, Outcome | None] = ("", None)
        """The text that the document is given, and how it ended, if it has."""
        self._rendering = False
        """Whether that goes on by itself, in callbacks between which others have theirs."""
        self._ready = False
        """Whether it has come to its end so, and nothing was made of it yet."""
        self._full = False
        """Whether all that may be shown as messages is certain."""
        self._broken = False
        """Whether a defect has kept the document from it."""
        self._untrusted = status_line is not None
        """Whether what is shown of an earlier text has yet to be taken for what it should be."""
        self._rendered: tuple[str, Outcome | None] | None = None
        self._wanted: list[WantedMessage] = []
        self._action: Action | None = None
        self._method = "PATCH" if shown else "POST"
        self._failing_since: float | None = None
        self._backoff = _FIRST_WAIT
        self._time = asyncio.get_running_loop().time
        self._streaming_since: float | None = None
        self._fallback: list[WantedMessage] | None = None
        self._abandoned = False
        self._vanished = False
        self.deleted = False
        """Whether a message of it was found deleted."""
        self.delivery_error: str | None = None
        """Why the platform would not show all of it."""
        self.done = asyncio.Event()
        """Set once nothing more will be shown."""
        self.visible = asyncio.Event()
        """Set once there is something of this attempt to see, or there will be nothing."""
        self.waiting_since = self._time()
        self.not_before = float("-inf")
        if status_line is not None:
            self._stale = True
        scheduler.add(channel_id, self)

    @property
    def messages(self) -> int:
        """How many messages show it."""
        return len(self._shown)

    def shows(self, message_id: int) -> bool:
        """Whether this is one of its messages."""
        return any(shown.message_id == message_id for shown in self._shown)

    def on_messages_deleted(self, gone: Collection[int] = ()) -> None:
        """Somebody deleted these of its messages: nothing is to be shown any more, so the others go too."""
        self._vanished = True
        self._wanted = []
        self._stale_message_ids += [shown.message_id for shown in self._shown if shown.message_id not in gone]
        self._shown = []
        self._method = "DELETE"
        self.visible.set()
        self._mark_stale()

    def abandon(self) -> None:
        """Nothing more can be shown in this process."""
        self._abandoned = True
        self._end()

    def update(self, text: str) -> None:
        """Take the whole text so far."""
        if self._replace_previous and not is_blank(text):
            # Old text under new would read as one reply.
            self._replace_previous = False
            if self._status_line is not None:
                self._status_line = None
                self._document = Document(MESSAGE_LIMIT - NOTE_LIMIT)
                self._steps, self._ready, self._full, self._untrusted = None, False, False, False
            # The new text comes before the old one's messages go.
            self._streaming_since = None
            self._stale_message_ids += [shown.message_id for shown in self._shown[1:]]
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
        return not self._abandoned

    @property
    def wants(self) -> str | None:
        """The method of the next call, as far as it can be told without rendering."""
        return self._method if self._stale and not self._rendering and not self.done.is_set() else None

    @property
    def urgency(self) -> Urgency:
        """An end before a first message before anything else."""
        if self._outcome is not None:
            return Urgency.END
        return Urgency.MORE if self._shown else Urgency.FIRST

    def prepare(self) -> str | None:
        """Render the latest text and settle the next step. While a long text is being rendered there is none."""
        superseded = self._taken[1] is not self._outcome and not self._untrusted
        if (not self._ready or superseded) and not self._take_in():
            self._rendering = True
            asyncio.get_running_loop().call_soon(self._go_on)
            return None
        self._ready = False
        self._render()
        if self._untrusted:
            self._trust_all_but_the_last()
            if self._outcome is not None:
                return self.prepare()
        self._action = self._next()
        if self._action is None:
            if self._is_latest:
                self._settle()
            return None
        self._method = METHODS[type(self._action)]
        return self._method

    async def call(self) -> None:
        """Take the step that was prepared."""
        try:
            await self._take(self._action)
        except TargetGone as error:
            if error.deleted and self._drop_what_an_earlier_process_deleted():
                return
            log.info("a reply in channel %d can no longer be shown: %s", self._channel_id, error)
            if error.deleted:
                self.deleted = True
                self.on_messages_deleted()
                return
            self.delivery_error = str(error)
            if self._fallback is not None or not isinstance(self._action, Post) or not self._shown:
                self._end()
                return
            # What stands there already can still be edited, as a rule.
            self._fallback = self._without_the_rest(texts.NO_MORE_HERE)
            self._render()
        except Unavailable as error:
            self._try_later(error)
            return
        except ContentRejected as error:
            log.warning("channel %d: a text was refused: %s", self._channel_id, error)
            self.delivery_error = str(error)
            if self._fallback is not None:
                self._end()
                return
            self._fallback = self._without_the_rest(texts.REFUSED)
            self._render()
        except NotEditable as error:
            if isinstance(self._action, Post):
                log.info("a reply in channel %d can no longer be shown: %s", self._channel_id, error)
                self.delivery_error = str(error)
                self._end()
                return
            log.info("channel %d: a reply goes on in new messages: %s", self._channel_id, error)
            self._stale_message_ids += [shown.message_id for shown in self._shown]
            self._shown = []
        except Exception as error:
            log.exception("showing a reply in channel %d failed by a defect", self._channel_id)
            # It may be over with other text or with the next start, and the end is not shown yet.
            self._try_later(Unavailable(repr(error)))
            return
        self._failing_since, self._backoff = None, _FIRST_WAIT
        self.waiting_since = self._time()
        following = self._next()
        if following is not None:
            self._method = METHODS[type(following)]
        elif self._is_latest:
            self._settle()
        else:
            self._method = "PATCH"

    def _drop_what_an_earlier_process_deleted(self) -> bool:
        """Whether the message that is gone may be one that the bot had taken away itself before it was killed."""
        action = self._action
        if not isinstance(action, Edit) or action.part == 0:
            return False
        if any(shown.wanted is not None for shown in self._shown[action.part : action.part + 1]):
            return False
        del self._shown[action.part : action.part + 1]
        return True

    async def _take(self, action: Action | None) -> None:
        match action:
            case Post(part, wanted):
                message_id, as_wanted = await self._messages.post(part, wanted)
                self._shown.append(ShownMessage(message_id, wanted if as_wanted else None))
            case Edit(part, wanted) if part < len(self._shown):
                message_id = self._shown[part].message_id
                await self._messages.edit(part, message_id, wanted)
                # What was shown may have been given up since: before the call began, and while it was under way.
                edited = ShownMessage(message_id, wanted)
                self._shown = [edited if shown.message_id == message_id else shown for shown in self._shown]
            case Delete(message_id):
                # Off the list first: the platform's word that it is gone must not look like somebody else's doing.
                self._shown = [shown for shown in self._shown if shown.message_id != message_id]
                self._stale_message_ids = [
                    discarded for discarded in self._stale_message_ids if discarded != message_id
                ]
                self._undeleted = [undeleted for undeleted in self._undeleted if undeleted != message_id]
                try:
                    await self._messages.delete(message_id)
                except Unavailable:
                    self._undeleted.append(message_id)
                    raise
        if self._streaming_since is None:
            self._streaming_since = self._time()
            self.visible.set()

    def _next(self) -> Action | None:
        if self._outcome is None and not self._wanted and not self._vanished:
            # What is shown stays until there is something better.
            return None
        if self._stale_message_ids and self._shown and self._streaming_since is not None:
            # Before anything is edited, or a text that keeps growing would never let it go.
            return Delete(self._stale_message_ids[-1])
        # Once all but a file is there, no edit goes out that the button could wait for.
        action = next_action(self._wanted, self._shown, ended=self._outcome is not None or self._cut_off)
        if action is not None:
            return action
        leftovers = self._stale_message_ids or (self._undeleted if self._outcome is not None or self._vanished else [])
        return Delete(leftovers[-1]) if leftovers else None

    @property
    def _is_latest(self) -> bool:
        """Whether what was rendered last is all there is."""
        if self._rendered is None:
            return False
        text, outcome = self._rendered
        return text is self._text and outcome is self._outcome

    def _take_in(self) -> bool:
        """Give the document the latest text, or more of the one that was begun. False: there is still more of it."""
        try:
            return self._took_in()
        except Exception:
            log.exception("a reply in channel %d is shown as it was written, for a defect", self._channel_id)
            self._steps, self._broken = None, True
            return True

    def _took_in(self) -> bool:
        if self._steps is None:
            # An earlier text comes first, even if this one has ended meanwhile.
            outcome = None if self._untrusted else self._outcome
            self._taken = (self._text, outcome)
            waiting = outcome is None and self._status_line is not None
            text = self._previous_text if waiting else self._text
            self._steps = self._document.steps(text[self._source_offset :], final=waiting or outcome is not None)
        rendered = 0
        while not self._no_more and (characters := next(self._steps, None)) is not None:
            rendered += characters
            if rendered > _AT_ONCE:
                return False
        self._steps, self._broken = None, False
        return True

    @property
    def _no_more(self) -> bool:
        """Whether nothing that is rendered now could be shown: the rest comes as a file, or nothing at all."""
        if (
            self._max_messages is not None
            and not self._full
            and len(parts := self._document.parts) > self._max_messages + 1
        ):
            # All but the last are certain.
            self._full = sum(not is_blank(part.content) for part in parts[:-1]) > self._max_messages
        return self._full or self._vanished or self._fallback is not None

    def _go_on(self) -> None:
        begun = self._steps is not None
        if begun and not self._take_in() and not self.done.is_set():
            asyncio.get_running_loop().call_soon(self._go_on)
            return
        self._rendering, self._ready = False, begun
        self._scheduler.wake()

    def _render(self) -> None:
        settled = self._vanished or self._fallback is not None
        if settled:
            self._taken = (self._text, self._outcome)
        self._rendered = text, outcome = self._taken
        if settled or not self._broken:
            try:
                self._wanted = self._frame(text, outcome)
            except Exception:
                log.exception("a reply in channel %d is shown as it was written, for a defect", self._channel_id)
            else:
                return
        self._wanted = self._as_written(text, outcome)

    def _as_written(self, text: str, outcome: Outcome | None) -> list[WantedMessage]:
        """The text in pieces, and under the last one that something went wrong, where the reply is not simply whole."""
        text, step = text[self._source_offset :], MESSAGE_LIMIT - NOTE_LIMIT
        if is_blank(text):
            text = ""
        wanted = [WantedMessage(self._source_offset + at, text[at : at + step]) for at in range(0, len(text), step)]
        if outcome is not None and (not text or outcome.state is not TurnState.COMPLETE or outcome.failure is not None):
            *before, last = wanted or [WantedMessage(self._source_offset, "")]
            said = f"{last.content}\n{texts.WENT_WRONG}".lstrip("\n")
            wanted = [*before, replace(last, content=said, button=button_after(outcome))]
        return wanted

    def _frame(self, text: str, outcome: Outcome | None) -> list[WantedMessage]:
        """The messages that are wanted by now, of a text that the document has."""
        if self._vanished or (outcome is not None and outcome.stop_reason is StopReason.PROMPT_DELETED):
            return []
        if self._fallback is not None:
            return self._fallback
        waiting = outcome is None and self._status_line is not None
        parts = [part for part in self._document.parts if not is_blank(part.content)]
        wanted = [WantedMessage(self._source_offset + part.start, part.content) for part in parts[: self._max_messages]]
        self._cut_off = cut_off = len(parts) > len(wanted)
        if outcome is None:
            if wanted and self._streaming_since is not None and self._time() - self._streaming_since >= STOP_AFTER:
                wanted[-1] = replace(wanted[-1], button=Button.STOP)
            notes = [texts.REST_AS_FILE] if cut_off else []
            if waiting and self._status_line is not None:
                wanted, notes = wanted or [WantedMessage(0, "")], [self._status_line]
        else:
            note = self._note(outcome)
            if not wanted and not self._source_offset:
                # Never silent: what looks like nothing has to be said to be nothing.
                note = note or texts.note(Outcome(TurnState.FAILED, failure=FailureReason.EMPTY_REPLY))
                wanted = [WantedMessage(0, "")]
            if cut_off:
                wanted[-1] = replace(wanted[-1], file=text)
            notes = [*([texts.AS_FILE] if cut_off else []), *([note] if note else [])]
            if notes and not wanted:
                wanted = [WantedMessage(self._source_offset, "")]
            if wanted:
                wanted[-1] = replace(wanted[-1], button=button_after(outcome))
        if notes:
            wanted[-1] = replace(wanted[-1], content="\n".join([wanted[-1].content, *notes]).lstrip("\n"))
        return wanted

    def _trust_all_but_the_last(self) -> None:
        """Take the earlier messages of a reply that was broken off for what they should be: none was left unfinished
        for the next, and it is the last that has the word.
        """
        self._untrusted = False
        for number, wanted in enumerate(self._wanted[: len(self._shown)][:-1]):
            self._shown[number] = ShownMessage(self._shown[number].message_id, wanted)

    def _without_the_rest(self, word: str) -> list[WantedMessage]:
        """What was shown before the platform would take no more, and the word on that."""
        kept = [shown.wanted for shown in self._shown if shown.wanted is not None]
        *before, last = kept or [WantedMessage(self._source_offset, "")]
        return [*before, replace(last, content=f"{last.content}\n{word}".lstrip("\n"), button=None)]

    def _settle(self) -> None:
        """What is shown is what is wanted, for now or, after an end, for good."""
        self._stale = False
        if self._outcome is not None or self._vanished:
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
        if now - self._failing_since > GIVE_UP_AFTER:
            log.warning("a reply in channel %d could not be shown: %s", self._channel_id, error)
            self.abandon()
            return
        log.info("channel %d: trying again in %.1f s: %s", self._channel_id, self._backoff, error)
        self.not_before = now + self._backoff
        self._backoff = min(_LONGEST_WAIT, self._backoff * 2)

    def _mark_stale(self) -> None:
        if not self._stale:
            self._stale = True
            self.waiting_since = self._time()
            self._scheduler.wake()
        elif self._outcome is not None:
            self._scheduler.wake()
