"""Keeps one reply's messages on the platform equal to its view, one call at a time.

`LiveReply` reconciles instead of scripting: each call is one step from what is shown towards what is wanted at that
moment. Newer text, an end, a restart or a message that vanished only change one of the two sides.

What leads from a reply's beginning to its end is written down in `lifecycle`, what it should look like in `view`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from bot import texts
from bot.core.turns import Outcome
from bot.discord_bot.delivery.backoff import BackOff
from bot.discord_bot.delivery.beginning import Beginning, ContinuedBelow, ContinuedInPlace, Fresh, Restarted
from bot.discord_bot.delivery.lifecycle import Lifecycle, State
from bot.discord_bot.delivery.live_view import LiveView
from bot.discord_bot.delivery.scheduler import Scheduler, Urgency
from bot.discord_bot.delivery.shown import ShownMessages
from bot.discord_bot.delivery.view import (
    METHODS,
    Action,
    ContentRejected,
    Delete,
    Edit,
    Layout,
    MessageGateway,
    NotEditable,
    Post,
    TargetGone,
    Unavailable,
    View,
)

log = logging.getLogger(__name__)

STOP_AFTER = 4.0
"""Seconds of streaming after which a reply is long enough for a button that stops it."""


class LiveReply:
    """One reply in one channel; a `bot.discord_bot.delivery.scheduler.Caller`.

    `note` gives the small print for an outcome, and `about_prompt` what stands small about the prompt, as in `Layout`.
    Over `max_messages` messages the whole reply is a file. `shown` are the reply's messages, and `lifecycle` is its
    state.
    """

    def __init__(
        self,
        channel_id: int,
        gateway: MessageGateway,
        scheduler: Scheduler,
        *,
        note: Callable[[Outcome], str | None],
        about_prompt: Callable[[int], str | None] = lambda _: None,
        beginning: Beginning | None = None,
        max_messages: int | None = None,
    ) -> None:
        beginning = beginning or Fresh()
        self._channel_id = channel_id
        self._moves_to: int | None = None
        """The channel whose limits hold for the next call and those after it. None: the present one."""
        self._gateway = gateway
        self._scheduler = scheduler
        source_offset = beginning.source_offset if isinstance(beginning, ContinuedBelow) else 0
        layout = Layout(note, source_offset, max_messages, about_prompt)
        self._view = LiveView(channel_id, beginning, layout, on_ready=scheduler.wake)
        self.shown = ShownMessages(beginning)
        self._resumed = beginning.sent if isinstance(beginning, ContinuedInPlace) else ()
        """The messages that show the text that the reply goes on from."""
        self._kept: int | None = None
        """How many messages another text was given since the last call began. None: the text is the same."""
        self._backoff = BackOff()
        self.lifecycle = Lifecycle()
        self.is_calling = False
        """Whether one of its calls is under way."""
        self._action: Action | None = None
        """The next call, as far as it is known."""
        self._pending_since: float | None = None
        """Since when people see something older than there is. None: they see the latest."""
        if isinstance(beginning, Restarted):
            # The status line is shown before there is any text.
            self._mark_pending()
        scheduler.add(channel_id, self)

    def update(self, text: str) -> None:
        """Take the whole text so far."""
        if self._view.update(text):
            self._begin_anew(keep=1)
        self._mark_pending()

    def replace(self, text: str) -> None:
        """Replace a text that was reasoning by the whole text of the reply so far, and delete its messages."""
        self._view.replace(text, [start for _, start in self._resumed[1:]])
        self._begin_anew(keep=max(1, len(self._resumed)))
        self._mark_pending()

    async def finish(self, outcome: Outcome) -> bool:
        """Return once the end is shown, or never will be. False: another process may still show it."""
        self._view.finish(outcome)
        self.lifecycle.mark_ended()
        self._backoff.skip_delay()
        self._mark_pending()
        await self.lifecycle.done.wait()
        return not self.lifecycle.abandoned

    def on_messages_deleted(self, gone: Collection[int] = ()) -> None:
        """Remove what is left of the reply, after somebody has deleted these of its messages."""
        self.lifecycle.mark_deleted()
        self._view.override(View())
        self.shown.discard(gone=gone)
        self._mark_pending()

    def abandon(self) -> None:
        """Make no more calls."""
        self._end(State.ABANDONED)

    def move_to(self, channel_id: int) -> None:
        """Make the calls after the one in flight under the limits of another channel."""
        self._moves_to = channel_id

    @property
    def wants(self) -> str | None:
        """The method of the next call, as far as it is known without rendering. None: there is none just now."""
        if self._pending_since is None or self._view.is_rendering or self.lifecycle.done.is_set():
            return None
        if self.lifecycle.removing:
            return METHODS[Delete]
        if self._action is not None:
            return METHODS[type(self._action)]
        return METHODS[Edit if len(self.shown) else Post]

    @property
    def urgency(self) -> Urgency:
        """How urgent the next call is: an end comes before a first message, and that before anything else."""
        if self._view.outcome is not None:
            return Urgency.END
        return Urgency.MORE if len(self.shown) else Urgency.FIRST

    @property
    def waiting_since(self) -> float:
        """Since when people see something older than there is."""
        return _now() if self._pending_since is None else self._pending_since

    @property
    def not_before(self) -> float:
        """The earliest time for the next call, after failures."""
        return self._backoff.not_before

    def prepare(self) -> str | None:
        """Render the latest text and settle the next call. None: there is none, or rendering goes on in callbacks."""
        if self._moves_to is not None:
            # Here no call is in flight.
            self._scheduler.remove(self._channel_id, self)
            self._channel_id, self._moves_to = self._moves_to, None
            self._scheduler.add(self._channel_id, self)
            return None
        since = self.shown.shown_since
        if not self._view.refresh(stoppable=since is not None and _now() - since >= STOP_AFTER):
            return None
        if (baseline := self._view.take_baseline()) is not None:
            self.shown.assume_all_but_the_last(baseline)
            if self._view.outcome is not None:
                return self.prepare()
        self._action = self._next_action()
        if self._action is None:
            self._settle_if_latest()
            return None
        return METHODS[type(self._action)]

    async def call(self) -> None:
        """Make the call that was prepared, and settle what follows from its result."""
        self._kept = None
        self.is_calling = True
        try:
            await self._make(self._action)
        except Unavailable as error:
            self._try_later(error)
            return
        except TargetGone as error:
            if not self._handle_target_gone(error):
                return
        except ContentRejected as error:
            log.warning("channel %d: Discord refused a text: %s", self._channel_id, error)
            self.lifecycle.delivery_error = str(error)
            if not self._fall_back(texts.REFUSED):
                return
        except NotEditable as error:
            if not self._handle_not_editable(error):
                return
        except Exception as error:
            log.exception("a reply in channel %d could not be shown, because of a bug", self._channel_id)
            # The defect may not strike with other text, and the end is not shown yet.
            self._try_later(Unavailable(repr(error)))
            return
        finally:
            self.is_calling = False
        self._backoff.succeeded()
        self._pending_since = _now()
        self._action = self._next_action()
        if self._action is None:
            self._settle_if_latest()

    async def _make(self, action: Action | None) -> None:
        match action:
            case Post(part, wanted):
                message_id, as_wanted = await self._gateway.post(part, wanted)
                self.shown.add(message_id, wanted if as_wanted else None)
            case Edit(part, wanted) if (message := self.shown.message_id(part)) is not None:
                await self._gateway.edit(part, message, wanted)
                self.shown.mark_edited(message, wanted)
            case Delete(message_id):
                self.shown.remove(message_id)
                try:
                    await self._gateway.delete(message_id)
                except Unavailable:
                    self.shown.retry_deletion(message_id)
                    raise
        if self._kept is not None:
            # What was posted meanwhile shows the text before.
            self.shown.restart(keep=self._kept)
        elif self.shown.shown_since is None:
            self.shown.shown_since = _now()
            self.lifecycle.mark_shown()

    def _begin_anew(self, *, keep: int) -> None:
        """Give the first messages to another text."""
        self.shown.restart(keep=keep)
        self._kept = keep

    def _next_action(self) -> Action | None:
        ended = self._view.outcome is not None or self.lifecycle.removing
        if not ended and not self._view.current.messages:
            # The messages of an earlier attempt stay until there is something better.
            return None
        return self.shown.next_action(self._view.current, ended=ended)

    def _handle_target_gone(self, error: TargetGone) -> bool:
        """Settle what follows from a message or a channel that is gone. False: no other call follows from it."""
        if error.deleted and self.shown.drop_unknown(self._action):
            return False
        log.info("a reply in channel %d can no longer be shown: %s", self._channel_id, error)
        if error.deleted:
            self.on_messages_deleted()
            return False
        self.lifecycle.delivery_error, self.lifecycle.shut_out = str(error), True
        if not isinstance(self._action, Post) or not len(self.shown):
            self._end(State.REJECTED)
            return False
        # Without the right to post, the bot can still edit its messages.
        return self._fall_back(error.sentence)

    def _handle_not_editable(self, error: NotEditable) -> bool:
        """Go on in new messages. False: these cannot be posted either.

        Discord refuses edits in an archived thread, and opens the thread again for a new message, unless it is locked:
        https://discord.com/developers/docs/topics/threads#active-archived-threads.
        """
        if isinstance(self._action, Post):
            log.info("a reply in channel %d can no longer be shown: %s", self._channel_id, error)
            self.lifecycle.delivery_error, self.lifecycle.shut_out = str(error), True
            self._end(State.REJECTED)
            return False
        log.info("channel %d: a reply continues in new messages: %s", self._channel_id, error)
        self.shown.discard()
        return True

    def _fall_back(self, sentence: str) -> bool:
        """Show what was shown so far, and this sentence. False: the platform does not take that either."""
        if self.lifecycle.removing:
            return True
        if self._view.has_override:
            self._end(State.REJECTED)
            return False
        self._view.fall_back(self.shown.known(), sentence)
        return True

    def _try_later(self, error: Unavailable) -> None:
        delay = self._backoff.failed(_now())
        if delay is None:
            log.warning("a reply in channel %d could not be shown: %s", self._channel_id, error)
            self.abandon()
        else:
            log.info("channel %d: trying again in %.1f s: %s", self._channel_id, delay, error)

    def _settle_if_latest(self) -> None:
        """Wait for newer text, or end, if all that is wanted is shown."""
        if not self._view.is_latest:
            return
        self._pending_since = None
        if self._view.outcome is not None or self.lifecycle.removing:
            self._end(State.SHOWN)

    def _end(self, state: State) -> None:
        if self.lifecycle.close(state):
            # A text that is still being rendered in the background is no longer needed.
            self._view.override(View())
            self._scheduler.remove(self._channel_id, self)

    def _mark_pending(self) -> None:
        if self._pending_since is None:
            self._pending_since = _now()
            self._scheduler.wake()
        elif self._view.outcome is not None:
            self._scheduler.wake()


def _now() -> float:
    return asyncio.get_running_loop().time()
