"""Where people of the soak meet, and what they do there side by side."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress

from benchmarks.soak_ledger import Asked, Ledger
from benchmarks.soak_troubles import drawn_step
from bot.standin.entities import Channel, Message, User
from bot.standin.model import ModelStandin
from bot.standin.script import Step
from bot.standin.server import DiscordStandin


class Town:
    """The channels of one Discord, the people in them, and the ledger of what they do.

    `serves` tells whether the bot is connected to where a channel is.
    """

    def __init__(
        self,
        pick: random.Random,
        discord: DiscordStandin,
        model: ModelStandin,
        ledger: Ledger,
        serves: Callable[[Channel], bool],
    ) -> None:
        self.pick = pick
        self.discord = discord
        self.model = model
        self.ledger = ledger
        self.serves = serves
        self.places: list[Channel] = [discord.general, discord.general, discord.random_channel]
        self.direct: dict[int, User] = {}
        """Whose the direct messages are, by channel."""
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def people(self) -> list[User]:
        discord = self.discord
        return [discord.ada, discord.max, discord.bo, discord.cleo]

    def somebody_in(self, channel: Channel) -> User:
        return self.direct.get(channel.id) or self.pick.choice(self.people)

    def moderator_of(self, channel: Channel) -> User:
        return self.direct.get(channel.id) or self.discord.max

    def note(
        self,
        message: Message,
        *,
        by: User | None = None,
        command: str | None = None,
        private: bool = False,
        known: bool = True,
        step: Step | None = None,
    ) -> Asked:
        """Note what was asked, to which the model is to answer `step`, or what is drawn.

        `known` tells whether the bot has to answer it.
        """
        asked = Asked(message, self.serves(message.channel), by=by, command=command, private=private)
        asked.forgotten = asked.excused = not known
        self.ledger.asked.append(asked)
        self.model.script.append(step or drawn_step(self.pick))
        return asked

    def begin(self, deed: Coroutine[object, object, None]) -> None:
        """Have somebody do something, which may take several steps, beside what all others do."""

        async def done() -> None:
            # The bot may be away, be killed between any two steps, or not reach its database and answer otherwise.
            with suppress(AssertionError, LookupError, PermissionError):
                await deed

        task = asyncio.create_task(done())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def rest(self) -> None:
        """Wait until nobody does anything any more."""
        await asyncio.gather(*self._under_way)
