"""What people of the soak do in the menus of messages: ask about one, and have an answer written anew."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from bot.standin.entities import Channel, Message, User
from bot.standin.interactions import Interaction
from bot.standin.server import DiscordStandin

_PATIENCE = 5.0
_ACCEPTED = "I'm answering in reply to that message."


class MenuUsers:
    """People in `places`, of which direct messages belong to one person. `did` counts what they did.

    `asked` takes a message and who asks about it, and returns what to call once the question is known to be taken.
    `number` returns the number of the next question.
    """

    def __init__(
        self,
        pick: random.Random,
        discord: DiscordStandin,
        places: Sequence[Channel],
        direct: Mapping[int, User],
        asked: Callable[[Message, User], Callable[[], None]],
        number: Callable[[], int],
        did: Counter[str],
    ) -> None:
        self._random = pick
        self._discord = discord
        self._places = places
        self._direct = direct
        self._asked = asked
        self._number = number
        self._did = did

    async def act(self) -> None:
        """Do one thing."""
        with suppress(AssertionError):
            await self._random.choice([self._ask_about, self._retry])()

    async def _ask_about(self) -> None:
        # In a direct message, what is said is a question by itself.
        channel = self._random.choice([place for place in self._places if place.id not in self._direct])
        said = await self._discord.say(channel, self._discord.cleo, f"question {self._number()}")
        asker = self._random.choice([self._discord.bo, self._discord.ada])
        taken = self._asked(said, asker)
        used = await self._use("Ask about this", said, asker)
        if used.modal is None:
            return
        answer = await (await self._discord.submit(used, text=self._random.choice(["", "which?"]))).answered(_PATIENCE)
        if answer.content == _ACCEPTED:
            taken()
            self._did["questions about a message"] += 1

    async def _retry(self) -> None:
        channel = self._random.choice(self._places)
        answers = self._discord.bot_messages(channel)
        if answers:
            person = self._direct.get(channel.id) or self._discord.max
            used = await self._use("Retry answer", self._random.choice(answers[-4:]), person)
            await used.answered(_PATIENCE)
            self._did["uses of Retry answer"] += 1

    async def _use(self, command: str, message: Message, person: User) -> Interaction:
        return await (await self._discord.context_menu(person, command, message, message.channel)).acknowledged()
