"""The interfaces of a store, a model and a platform that the core uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date
from typing import Protocol

from bot.core.changes import Changes
from bot.core.model_events import Event, Message, Origin, TokenStatistics
from bot.core.pictures import PictureStore
from bot.core.queues import Queues
from bot.core.quotas import Contended, QuotaExceeded, Quotas, Reservation, Usage
from bot.core.summaries import Block, SummaryJob, WindowSummaries
from bot.core.turns import Attempt, Behaviour, ContextPage, Conversation, Outcome, Prompt, Turn, TurnState
from bot.core.usage import ANY_REQUEST, LeastRequest, Price


class ChatModel(Protocol):
    """A model that answers. Errors, on entering or while iterating, are `bot.core.errors.ModelError`."""

    def stream(
        self, messages: Sequence[Message], *, model: str, reply_tokens: int, origin: Origin | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """One request to the model of that name, for a reply of at most so many tokens; not every server keeps to them.

        Leaving the context, also by cancellation, ends it on the server's side too.
        """
        ...

    async def transcribe(self, audio: bytes, *, model: str) -> str:
        """The words in a recording, OGG Opus; empty if there are none."""
        ...

    async def slots(self, model: str) -> Queues | None:
        """The queue of the requests to the model's server, if that works on a limited number of them at once."""
        ...

    async def longest_reply(self, model: str) -> int | None:
        """The longest reply, in tokens, that the model's server lets a request allow, if its refusals have shown it."""
        ...

    async def most_pictures(self, model: str) -> int | None:
        """The most pictures that a request to the model may have, if its server's refusals have shown it. 0: none."""
        ...


ListModels = Callable[[], Awaitable[Mapping[str, date | None]]]
"""Asks a server which models it has, and on which day each is shut down, where that is known. Raises ModelError."""


class ReplySink(Protocol):
    """The place where a reply becomes visible to people."""

    def start(self) -> None:
        """Show that the reply is being worked on: the model is asked, or what a voice message says."""
        ...

    def update(self, text: str) -> None:
        """Take the reply's whole text so far, without waiting."""
        ...

    def replace(self, text: str) -> None:
        """Take the whole text so far, without waiting, in place of a text that was no reply."""
        ...

    async def finish(self, outcome: Outcome) -> bool:
        """Return once a person can see how the reply ended, or nobody ever will.

        The result is False if the end cannot be shown now and another process may still show it.
        """
        ...

    @property
    def messages(self) -> int:
        """The number of messages that show the reply."""
        ...

    @property
    def delivery_error(self) -> str | None:
        """The reason why the platform did not show all of the reply. None if all was shown or somebody removed it."""
        ...


class TurnStore(Protocol):
    """Turns and their attempts. Every part of the store raises `bot.core.errors.StoreError`."""

    async def begin(
        self, prompt: Prompt, hourly_limit: int | None = None, least: LeastRequest = ANY_REQUEST
    ) -> Attempt | QuotaExceeded | None:
        """Commit a prompt as a pending turn, unless its author has asked `hourly_limit` questions within the last hour.

        Questions that were forgotten since count too. One that failed through no fault of its author's does not, but
        with those, at most three times as many may be asked. It is not committed either where a quota has no room for
        the `least`, as `QuotaStore.exceeded` finds. None: the event came twice, since the position is taken or the
        message was processed.
        """
        ...

    async def begun(self, prompt: Prompt) -> Attempt | None:
        """Return the first attempt at a prompt that is pending, since `begin` has committed it."""
        ...

    async def of_attempt(self, attempt: Attempt) -> Turn | None:
        """Return the current turn of an attempt, or None if the attempt was forgotten, superseded or has ended."""
        ...

    def as_begun(self, prompt: Prompt, attempt: Attempt) -> Turn | None:
        """The turn of an attempt that has begun just now, as `of_attempt` returns it. None: only `of_attempt` knows."""
        ...

    async def exists(self, turn_id: int) -> bool:
        """Whether a turn is on record, so that it was not forgotten."""
        ...

    async def save(self, progress: Mapping[Attempt, str], reply_tokens: Mapping[Attempt, int] = ...) -> set[Attempt]:
        """Write the text of running attempts and the tokens used of their reservations, in one transaction.

        The answer is the attempts that are still alive. An empty text keeps the text on record.
        """
        ...

    async def replace(self, attempt: Attempt, text: str) -> None:
        """Commit the text of a running attempt, also an empty one, in place of a text that was no reply."""
        ...

    async def close(self, attempt: Attempt, outcome: Outcome, *, free: bool = False, titles: bool = False) -> bool:
        """Commit the end of an attempt, and charge what it used, even if it was forgotten.

        A `free` one is charged to the guild and the total, but not to whoever asked for it. From one that `titles`,
        the title of its thread is to be made, once.
        The result is False if the attempt was forgotten, superseded or had ended.
        """
        ...

    async def set_answered_by(self, attempt: Attempt, answered_by: str | None) -> None:
        """Commit which fallback writes the reply of a running attempt, or (None) that none does."""
        ...

    async def mark_delivered(self, attempt: Attempt, delivery_error: str | None = None) -> None:
        """Commit that a person has seen how an attempt ended, or why nobody can."""
        ...

    async def reopen(
        self,
        ended: Attempt,
        expected: TurnState,
        *,
        user_id: int | None = None,
        hourly_limit: int | None = None,
        reads_history: bool = True,
        recovery: bool = False,
    ) -> Attempt | QuotaExceeded | None:
        """Begin another attempt after the latest one, or return None if that one is not in the expected state.

        The attempt is a question of the user who asks for it, within the limit that `begin` describes, and is charged
        to them. A user who may not read the history restricts the turn's context as its author would, from then on.
        `recovery` means that nobody asked for it: it counts as one more try, is no question, and is charged as
        the attempt before it.
        """
        ...


class WindowStore(Protocol):
    """The part of each conversation that is sent with a question."""

    async def earlier(self, turn_id: int, before: int | None, limit: int) -> ContextPage:
        """Up to `limit` turns with text in their reply that are part of a turn's context, and the running ones.

        `before` continues a listing below that number. The context of a turn with a number ends below it. It begins
        where that of the conversation does, or, if the turn is not after that, wherever is wanted. A thread's
        conversation that begins with its first turn begins with the turn that the thread was opened on, as number 0. If
        somebody who asked for the turn may not read the history there, it lists only turns of its author.
        """
        ...

    async def ahead(self, prompt: Prompt, limit: int) -> ContextPage:
        """What `earlier` would list first for a turn of this prompt, if it began now."""
        ...

    async def move(self, turn_id: int, begins: int, to: int, *, summarized: bool = False) -> bool:
        """Commit that what is sent of a turn's conversation begins with the number `to`, and no longer with `begins`.

        The result is False, with nothing changed, if it has begun elsewhere since, if that is not further on, or if
        somebody who asked for the turn may not read the history. `summarized` has what leaves the window summarized.
        """
        ...


class SummaryStore(Protocol):
    """Summaries of what has left the conversations' windows. A summary that is to be made is on record until it is."""

    async def in_context(self, turn_id: int, begins: int | None) -> WindowSummaries:
        """The summaries that a turn's context has in place of what was before the number `begins`.

        None: before the window. There are none for a turn that has left the window itself, or if somebody who asked for
        the turn may not read the history.
        """
        ...

    async def ahead(self, prompt: Prompt) -> WindowSummaries:
        """The summaries before the window, as `in_context` would have them for a turn of this prompt."""
        ...

    async def plan(self, turn_id: int, begins: int, ends: int) -> None:
        """Commit that the turns of a window from `begins` to before `ends` are to be summarized: they leave it next."""
        ...

    async def next_due(self, passed_over: Collection[int]) -> SummaryJob | None:
        """A summary that is to be made now, of none of these conversations (by their ids)."""
        ...

    async def block_of(self, job: SummaryJob, most_bytes: int) -> Block | None:
        """What a summary is to be made from. None: of so many bytes it is too much, so that it is several jobs now, or
        nothing is left of it, so that it is no job any more."""
        ...

    async def commit(self, job: SummaryJob, block: Block, text: str) -> bool:
        """Commit a summary. The result is False, with nothing changed, if what it is made from is not the same now."""
        ...

    async def is_due(self, job: SummaryJob, block: Block) -> bool:
        """Whether a job is still to be made of this block, which is the same now."""
        ...

    async def end_title(self, conversation: Conversation) -> None:
        """Commit that no title is to be made for a conversation: it has one."""
        ...

    async def failed(self, job: SummaryJob, again_in: float | None) -> None:
        """Commit that a job failed and is due again in so many seconds, or (None) that it is given up."""
        ...

    async def postpone(self, job: SummaryJob, seconds: float) -> None:
        """Commit that a job is due in so many seconds."""
        ...


class QuotaStore(Protocol):
    """Quotas, reservations of tokens, and usage."""

    async def questions_exceeded(self, user_id: int, hourly_limit: int | None) -> QuotaExceeded | None:
        """The hourly quota if a user has asked as many questions as `TurnStore.begin` accepts."""
        ...

    async def exceeded(self, prompt: Prompt, least: LeastRequest) -> QuotaExceeded | None:
        """The quota without room for the least that a prompt costs, whatever becomes of running attempts.

        The result is None if there is room, or if the message of the prompt was processed before.
        """
        ...

    async def reserve(
        self,
        attempt: Attempt,
        model: str,
        prompt_tokens: int,
        reply_tokens: int,
        minimum: int,
        quotas: Quotas,
        *,
        price: Price | None = None,
        spent: Usage | None = None,
        accept_partial: bool = False,
    ) -> Reservation | QuotaExceeded | Contended | None:
        """Commit what an attempt's requests may use, before the first of them, if `minimum` tokens for the reply fit.

        Contended: there will be room for more of the reply if running attempts use less than they reserved;
        `accept_partial` takes what is free instead. An attempt has one reservation: asked for again, it is the same.
        With `spent`, what earlier requests of the attempt used, the reservation is for a further request on top of
        that, and their rest is released. The result is None if the attempt was forgotten or superseded. Without a
        `price` it costs nothing.
        """
        ...

    async def reserve_summary(
        self,
        summary_id: int,
        model: str,
        prompt_tokens: int,
        reply_tokens: int,
        quotas: Quotas,
        *,
        price: Price | None = None,
    ) -> Attempt | None:
        """Commit what a request for a summary may use, as that of an attempt to `settle`. None: there is no room.

        It is charged to the guild, and in a DM to the user.
        """
        ...

    async def settle(self, attempt: Attempt, usage: Usage | None) -> None:
        """Charge what a request for a summary used, in place of its reservation. None: it was not sent."""
        ...

    async def settle_replaced(self, attempt: Attempt, usage: Usage, *, free: bool = True) -> None:
        """Charge what an attempt used of its reservation, to its model. A reservation for another model may follow.

        A `free` one is charged to the guild and the total, but not to whoever asked for it.
        """
        ...


class PersonaStore(Protocol):
    """The personas and models that people chose for conversations."""

    async def settings_of(self, conversation: Conversation) -> Behaviour:
        """The persona and the model in force in a conversation."""
        ...


class NoteStore(Protocol):
    """What users want the model to know about them."""

    async def texts_of(self, user_id: int | None, guild_id: int | None) -> Sequence[str]:
        """The notes of a user in a guild, or (None) in the user's DM, oldest first, for a question of the user's."""
        ...


class RecentAuthorStore(Protocol):
    """The authors of the recent messages that went along with questions."""

    async def add(self, attempt: Attempt, user_ids: Collection[int]) -> bool:
        """Commit that messages of these users go along with the question of an attempt. False: they must not."""
        ...


class RetentionStore(Protocol):
    """Deletion for good of turns and conversations."""

    async def forget_turn(self, turn_id: int) -> None:
        """Delete one turn for good."""
        ...

    async def forget_conversation(self, conversation: Conversation) -> set[int]:
        """Delete the turns of a conversation for good. The answer is their ids."""
        ...

    async def forget_own(self, conversation: Conversation, user_id: int) -> set[int]:
        """Delete a user's turns in one conversation for good. The answer is their ids."""
        ...


class PeopleStore(Protocol):
    """The records of users."""

    async def forget(self, user_id: int, *, leave_out: bool = False) -> set[int]:
        """Delete whatever names a user, in all conversations, for good. The answer is the ids of their turns.

        With `leave_out` it stays on record that their messages do not go along with other people's questions. Their
        usage still counts for the quotas, but is on no record.
        """
        ...


class TokenStatisticsStore(Protocol):
    """Token statistics by model, kept from one start to the next."""

    async def of(self, model: str) -> TokenStatistics: ...

    async def of_all(self) -> Mapping[str, TokenStatistics]: ...

    async def record(self, model: str, statistics: TokenStatistics) -> None: ...


class Store(Protocol):
    """The memory of all conversations, by subject."""

    @property
    def changes(self) -> Changes: ...

    @property
    def turns(self) -> TurnStore: ...

    @property
    def windows(self) -> WindowStore: ...

    @property
    def summaries(self) -> SummaryStore: ...

    @property
    def quotas(self) -> QuotaStore: ...

    @property
    def personas(self) -> PersonaStore: ...

    @property
    def notes(self) -> NoteStore: ...

    @property
    def pictures(self) -> PictureStore: ...

    @property
    def recent_authors(self) -> RecentAuthorStore: ...

    @property
    def retention(self) -> RetentionStore: ...

    @property
    def people(self) -> PeopleStore: ...

    @property
    def token_statistics(self) -> TokenStatisticsStore: ...


class SharedLimits(Protocol):
    """What the processes of one bot share of the platform's limits. Every method may raise StoreError."""

    unserved_since: float
    """Since when nobody serves what this process has taken over, on the monotonic clock. Infinite: that is nothing."""

    async def draw(self, slots: int, per_second: int, burst: int) -> tuple[float, int]:
        """Take so many slots for requests: the seconds until the last of them, and how many processes serve now.

        `burst` slots may be at the same moment after a pause.
        """
        ...

    async def hold(self, seconds: float) -> None:
        """Give out no slot for so many seconds, since the platform refuses all requests."""
        ...

    async def take_start(self, remaining: int) -> bool:
        """Take one of the session starts that remain by what the platform says now. False: others have taken them."""
        ...

    async def identify_in(self, bucket: int, ahead: float, instead_of: int = 0) -> tuple[float, int]:
        """The turn to start a session in a bucket: the seconds until it comes, at least `ahead`, and its number.

        Others come after that. A turn is given out when it comes within `ahead`. Until then the number is 0, and the
        seconds are those until it is to be asked for again. A turn that was missed is given back as `instead_of`: where
        no other follows it, the new one comes at once.
        """
        ...
