"""Private messages: ephemeral answers, and notices that the bot left a command or button unanswered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bot.standin.entities import Channel, Message, MessageFlag, MessageType, User
from bot.standin.interactions import Callback, Interaction, Kind
from bot.standin.server import DiscordStandin

_KEPT = 50
"""Number of private messages that are kept for each person."""
_COMMANDS_KEPT = 2_000


class Private:
    """A store of private messages. It also follows interactions until they are answered or have failed."""

    def __init__(self, discord: DiscordStandin) -> None:
        self._discord = discord
        self._kept: dict[int, dict[int, Message]] = {}
        self._failed: set[int] = set()
        self._commands: dict[int, str] = {}
        self._following: set[asyncio.Task[None]] = set()
        discord.world.on_message.append(self._noticed)

    def of(self, user: User, channel: Channel) -> list[Message]:
        """Return a person's private messages in a channel, oldest first."""
        return [each for each in self._kept.get(user.id, {}).values() if each.channel is channel]

    def find(self, user: User, message_id: int) -> Message | None:
        return self._kept.get(user.id, {}).get(message_id)

    def failed(self, message: Message) -> bool:
        """Whether a message stands for an interaction that was not answered in time."""
        return message.id in self._failed

    def command(self, message: Message) -> str | None:
        """The name of the command that a message answers."""
        return None if message.interaction is None else self._commands.get(int(message.interaction["id"]))

    def follow(self, started: Interaction, name: str | None, show_form: Callable[[Interaction], None]) -> None:
        """Follow an interaction, then show the form that answers it or a notice that it failed.

        `name` is the command's name.
        """
        if name is not None:
            self._commands[started.id] = name
            if len(self._commands) > _COMMANDS_KEPT:
                del self._commands[next(iter(self._commands))]
        task = asyncio.create_task(self._follow(started, show_form))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def close(self) -> None:
        """Stop following all interactions."""
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)

    async def _follow(self, started: Interaction, show_form: Callable[[Interaction], None]) -> None:
        try:
            await started.acknowledged()
        except AssertionError:
            self._fail(started)
            return
        if started.callback is Callback.MODAL:
            show_form(started)

    def _fail(self, started: Interaction) -> None:
        kind = MessageType.SLASH_COMMAND if started.kind is Kind.COMMAND else MessageType.DEFAULT
        world = self._discord.world
        message = world.post(
            started.channel,
            world.bot,
            "",
            type=kind,
            flags=MessageFlag.EPHEMERAL,
            reply_to=started.source,
            interaction={"id": str(started.id), "user": {"id": str(started.user.id)}},
            told=False,
        )
        self._failed.add(message.id)

    def _noticed(self, message: Message) -> None:
        if (user_id := reader(message)) is None:
            return
        kept = self._kept.setdefault(user_id, {})
        if message.deleted:
            kept.pop(message.id, None)
            self._failed.discard(message.id)
            return
        kept[message.id] = message
        if len(kept) > _KEPT:
            self._discord.world.delete(kept[next(iter(kept))])


def reader(message: Message) -> int | None:
    """Return the id of the only person who sees a message, or None if everybody sees it."""
    if not message.ephemeral or message.interaction is None:
        return None
    return int(message.interaction["user"]["id"])
