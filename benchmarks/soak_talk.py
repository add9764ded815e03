"""What people of the soak say without a mention: questions where none is needed, and talk that goes along with some."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.soak_town import Town
from bot.standin.entities import Channel, Message, walk_components
from bot.standin.interactions import Interaction
from bot.standin.model import Request
from bot.standin.parts import text_of
from bot.store.engine import Row

_PATIENCE = 30.0
_CHATTER = "chatter"
"""A word that nobody and no model says otherwise."""


class Talkers:
    """People who mention nobody: Dora in a channel of her own, where the bot answers all, and Cleo in #general."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._discord = town.discord
        self._did = town.ledger.did
        self._quay = town.discord.add_channel("quay")
        self._dora = town.discord.add_user("dora", "Dora")

    async def settle(self, in_threads: Channel) -> None:
        """Let a moderator choose in /server where the bot answers without a mention, in threads, and what it reads."""
        discord = self._discord
        await discord.wait_for(lambda: discord.visible_commands(discord.max, self._quay), _PATIENCE)
        await self._choose(self._quay, "mention", "all")
        await self._choose(self._discord.general, "recent", "10")
        await self._choose(in_threads, "threads", "on")

    async def act(self) -> None:
        """Say one thing."""
        town = self._town
        if town.pick.random() < 0.5:
            await self._discord.say(self._discord.general, self._discord.cleo, f"{_CHATTER} {town.pick.random()}")
        else:
            number = town.ledger.number(self._quay, self._dora)
            town.note(await self._discord.say(self._quay, self._dora, f"question {number}"))
            self._did["questions without a mention"] += 1

    def audit(self, requests: Sequence[Request], rows: Callable[[str], list[Row]]) -> list[str]:
        """What is wrong: recent messages that are on record, or that are anywhere but with the question."""
        sent = [[text_of(message["content"]) for message in request.messages] for request in requests]
        # A reply that goes on has its beginning behind the question.
        self._did["requests with recent messages"] = sum(_CHATTER in "".join(each[-3:]) for each in sent)
        turns = rows("SELECT id, prompt || reply AS text FROM stored_turns")
        kept = [row for row in turns if _CHATTER in row["text"]]
        earlier = sum(_CHATTER in "".join(each[:-3]) for each in sent)
        return [f"turn {row['id']} keeps what somebody else said" for row in kept] + (
            [f"{earlier} requests have recent messages in an earlier turn"] if earlier else []
        )

    async def _choose(self, channel: Channel, menu: str, value: str) -> None:
        used = await self._discord.slash(self._discord.max, channel, "server")
        page = await used.answered(_PATIENCE)
        await self._turned(page, await self._discord.press(self._discord.max, page, _id_of(page, "here")))
        chosen = await self._discord.choose(self._discord.max, page, _id_of(page, menu), value)
        await self._turned(page, chosen)

    async def _turned(self, page: Message, used: Interaction) -> None:
        before = len(page.shown)
        await used.acknowledged(_PATIENCE)
        await self._discord.wait_for(lambda: not used.deferred or len(page.shown) > before, _PATIENCE)


def _id_of(page: Message, action: str) -> str:
    found = [str(each["custom_id"]) for each in walk_components(page.components) if "custom_id" in each]
    return next(each for each in found if each.split(":")[1] == action)
