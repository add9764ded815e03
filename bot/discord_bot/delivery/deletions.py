"""What happens when messages of replies, or their prompts, are deleted by people."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping

from bot.core.attempt import ActiveAttempt
from bot.core.service import ConversationService
from bot.core.turns import StopReason
from bot.discord_bot.channels import anchor_of, conversation_in
from bot.discord_bot.delivery.reconciler import LiveReply

_REMEMBERED = 1000
"""How many deleted messages are remembered."""


class DeletionLog:
    """The latest deleted messages, by the bot and by people.

    The event about a deletion may come before its message is known here, for example while a post is in flight. The
    events about the bot's own deletions must not look as if somebody else had deleted the messages.
    """

    def __init__(self) -> None:
        self._by_people: deque[int] = deque(maxlen=_REMEMBERED)
        self._by_the_bot: deque[int] = deque(maxlen=_REMEMBERED)

    def add_own(self, message_id: int) -> None:
        """Record that the bot is about to delete a message."""
        self._by_the_bot.append(message_id)

    def withdraw_own(self, message_id: int) -> None:
        """Record that the bot does not delete a message after all."""
        if message_id in self._by_the_bot:
            self._by_the_bot.remove(message_id)

    def is_own(self, message_id: int) -> bool:
        """Whether the bot deleted the message lately, or is about to."""
        return message_id in self._by_the_bot

    def add(self, message_ids: Iterable[int]) -> set[int]:
        """Record an event. Returns the messages that the bot did not delete itself."""
        by_people = set(message_ids).difference(self._by_the_bot)
        self._by_people.extend(by_people)
        return by_people

    def __contains__(self, message_id: int) -> bool:
        """Whether people deleted the message lately."""
        return message_id in self._by_people


class ReplyDeletions:
    """Ends replies whose prompt or messages people delete. `live` are the replies that are being shown."""

    def __init__(
        self, conversations: ConversationService, log: DeletionLog, live: Mapping[ActiveAttempt, LiveReply]
    ) -> None:
        self._conversations = conversations
        self._log = log
        self._live = live

    def deleted(self, in_channel: int, message_ids: Collection[int]) -> set[int]:
        """End the replies that a deletion is about. Returns the messages that the bot did not delete itself."""
        by_people = self._log.add(message_ids)
        for running in self._conversations.running:
            prompt = running.prompt
            if conversation_in(in_channel) not in (prompt.conversation, prompt.asked_in):
                continue
            live = self._live.get(running)
            if anchor_of(prompt) in by_people:
                running.stop(StopReason.PROMPT_DELETED)
            elif live is not None and any(message_id in live.shown for message_id in by_people):
                live.on_messages_deleted(by_people)
                running.stop(StopReason.REPLY_DELETED)
        return by_people

    def was_deleted(self, message_id: int) -> bool:
        """Whether people deleted the message lately."""
        return message_id in self._log

    def is_own(self, message_id: int) -> bool:
        """Whether the bot deleted the message lately, or is about to."""
        return self._log.is_own(message_id)

    async def wait_until_removed(self, prompt_ids: Collection[int]) -> None:
        """Wait until nothing is shown of the running replies to these prompts, or no more of it can be removed."""
        for live in [live for running, live in self._live.items() if anchor_of(running.prompt) in prompt_ids]:
            await live.lifecycle.done.wait()
