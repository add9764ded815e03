"""What people of the soak do in the menus of messages: ask about one, and have an answer written anew."""

from __future__ import annotations

from benchmarks.soak_town import Town
from bot.standin.entities import Message, User
from bot.standin.interactions import Interaction

_PATIENCE = 5.0
_ACCEPTED = "I'm answering in reply to that message."


class MenuUsers:
    """People who use menus anywhere in a town."""

    def __init__(self, town: Town) -> None:
        self._town = town

    async def act(self) -> None:
        """Do one thing."""
        await self._town.pick.choice([self._ask_about, self._retry])()

    async def _ask_about(self) -> None:
        town, discord = self._town, self._town.discord
        # In a direct message, what is said is a question by itself.
        channel = town.pick.choice([place for place in town.places if place.id not in town.direct])
        asker = town.pick.choice([discord.bo, discord.ada])
        said = await discord.say(channel, discord.cleo, f"question {town.ledger.number(channel, asker)}")
        asked = town.note(said, by=asker, known=False)
        used = await self._use("Ask about this", said, asker)
        if used.modal is None:
            return
        answer = await (await discord.submit(used, text=town.pick.choice(["", "which?"]))).answered(_PATIENCE)
        if answer.content == _ACCEPTED:
            asked.is_taken()
            town.ledger.did["questions about a message"] += 1

    async def _retry(self) -> None:
        town = self._town
        channel = town.pick.choice(town.places)
        answers = town.discord.bot_messages(channel)
        if answers:
            used = await self._use("Retry answer", town.pick.choice(answers[-4:]), town.moderator_of(channel))
            await used.answered(_PATIENCE)
            town.ledger.did["uses of Retry answer"] += 1

    async def _use(self, command: str, message: Message, person: User) -> Interaction:
        used = await self._town.discord.context_menu(person, command, message, message.channel)
        return await used.acknowledged()
