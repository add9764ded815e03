"""What the core asks of a store, a model and a platform."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date
from typing import Protocol

from bot.core.model_events import Event, Message, TokenStatistics
from bot.core.quotas import Contended, QuotaExceeded, Quotas, Reservation
from bot.core.turns import Attempt, Behaviour, Conversation, EarlierTurn, Outcome, Prompt, Turn, TurnState


class ChatModel(Protocol):
    """A model that answers. Errors, on entering or while iterating, are `bot.core.errors.ModelError`."""

    def stream(
        self, messages: Sequence[Message], *, model: str, reply_tokens: int
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """One request to the model of that name, for a reply of at most so many tokens; not every server keeps to them.

        Leaving the context, also by cancellation, ends it on the server's side too.
        """
        ...


ListModels = Callable[[], Awaitable[Mapping[str, date | None]]]
"""Asks a server which models it has, and on which day each is shut down, where that is known. Raises ModelError."""


class ReplySink(Protocol):
    """Where a reply becomes visible."""

    def start(self) -> None:
        """Its turn has come: the model is being asked."""
        ...

    def update(self, text: str) -> None:
        """Take the whole text so far. Never waits."""
        ...

    async def finish(self, outcome: Outcome) -> bool:
        """Return once a person can see how it ended, or nobody ever will.

        False: it cannot be shown now, but another process may still do it.
        """
        ...

    @property
    def messages(self) -> int:
        """How many messages show it."""
        ...

    @property
    def delivery_error(self) -> str | None:
        """Why the platform would not show all of it. None: it has shown it, or somebody wants it away."""
        ...


class TurnStore(Protocol):
    """Turns and their attempts. Every part of the store raises `bot.core.errors.StoreError`."""

    async def begin(self, prompt: Prompt, hourly_limit: int | None = None) -> Attempt | QuotaExceeded | None:
        """Commit a prompt as a pending turn, unless its author has begun so many within the last hour.

        None: the position is taken or handled, so the event came twice.
        """
        ...

    async def of_attempt(self, attempt: Attempt) -> Turn | None:
        """The turn that is to be answered, as it stands. None: forgotten, superseded or already ended."""
        ...

    async def earlier(self, turn_id: int, before: int | None, limit: int) -> Sequence[EarlierTurn]:
        """Up to `limit` turns with text in their reply, newest first, that came before the turn in its conversation.

        `before` continues a listing below that position. A thread's conversation ends with the turn it was opened on.
        """
        ...

    async def save(self, progress: Mapping[Attempt, str], reply_tokens: Mapping[Attempt, int] = ...) -> set[Attempt]:
        """Write the text of running attempts in one transaction, and what has been used of their reservations.

        The answer names those still alive. An empty text leaves what there was.
        """
        ...

    async def close(self, attempt: Attempt, outcome: Outcome) -> bool:
        """Commit an ending, and what the attempt did use of what was reserved for it, forgotten or not.

        False: it was forgotten, superseded or already ended.
        """
        ...

    async def mark_delivered(self, attempt: Attempt, delivery_error: str | None = None) -> None:
        """Commit that a person has seen how the attempt ended, or why nobody can."""
        ...

    async def reopen(self, ended: Attempt, expected: TurnState, *, recovery: bool = False) -> Attempt | None:
        """Begin another attempt after the latest one, if that ended like this; else None.

        `recovery`: nobody asked for it, so it counts as one more try.
        """
        ...


class QuotaStore(Protocol):
    """What may be used, is reserved and was used."""

    async def exceeded(self, prompt: Prompt, tokens: int, quotas: Quotas) -> QuotaExceeded | None:
        """The allowance that has not even so many tokens left for a prompt, whatever becomes of what is under way.

        None: there is room, or the prompt was taken or handled before.
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
        accept_partial: bool = False,
    ) -> Reservation | QuotaExceeded | Contended | None:
        """Commit what an attempt's requests may use, before the first of them, if `minimum` tokens for the reply fit.

        Contended: there will be room for more of a reply if what is under way needs less than it might; unless some of
        it is wanted (`accept_partial`). An attempt has one reservation: asked for again, it is the same. None: the
        attempt was forgotten or superseded.
        """
        ...


class PersonaStore(Protocol):
    """How the bot is to behave in a conversation."""

    async def settings_of(self, conversation: Conversation) -> Behaviour:
        """How the bot is to behave in a conversation."""
        ...


class RetentionStore(Protocol):
    """Deletion for good of turns and conversations."""

    async def forget_turn(self, turn_id: int) -> None:
        """Delete one turn for good."""
        ...

    async def forget_conversation(self, conversation: Conversation) -> set[int]:
        """Delete a conversation's turns for good; the answer is their ids."""
        ...


class PeopleStore(Protocol):
    """What is on record of users."""

    async def forget(self, person_id: int) -> set[int]:
        """Delete a person's turns in all conversations for good, and what else names that person; the answer is the
        turns' ids.

        What they used of the allowances goes on to count, on no record.
        """
        ...


class TokenStatisticsStore(Protocol):
    """Token statistics by model, kept from one start to the next."""

    async def of(self, model: str) -> TokenStatistics:
        """What is known of a model's tokens."""
        ...

    async def record(self, model: str, statistics: TokenStatistics) -> None:
        """Remember it for the next start."""
        ...


class Store(Protocol):
    """The memory of all conversations, by subject."""

    @property
    def turns(self) -> TurnStore: ...

    @property
    def quotas(self) -> QuotaStore: ...

    @property
    def personas(self) -> PersonaStore: ...

    @property
    def retention(self) -> RetentionStore: ...

    @property
    def people(self) -> PeopleStore: ...

    @property
    def token_statistics(self) -> TokenStatisticsStore: ...
