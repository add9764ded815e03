"""What people of the soak do with /ask and /settings, and the audit of what they asked for themselves alone.

What is asked only for oneself must be in no message that others see, and in no request, window or summary of another
conversation. Its asker must be shown the end of every answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence

from benchmarks.soak_town import Town
from bot import texts
from bot.core.records import PersonSettings, Ping
from bot.standin.entities import Attachment, Channel, User
from bot.standin.interactions import Interaction
from bot.standin.model import Request
from bot.standin.parts import text_of
from bot.store.engine import Row

_PATIENCE = 10.0
"""Seconds, longer than Discord's deadline: what came just in time is seen too."""
_QUESTION = re.compile(r"question (\d+)")
_ROUNDS = 20
"""Questions that everybody asks at most to be shown the ends of earlier answers."""

Rows = Callable[[str], list[Row]]


class Askers:
    """People who ask with /ask anywhere in a town, and choose in /settings."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._discord = town.discord
        self._did = town.ledger.did
        self._private: dict[int, tuple[int, int]] = {}
        """The channels and askers of the questions that were asked only for oneself, by number."""
        self._shown: dict[int, int] = {}
        """The numbers of those whose answer was seen, by the message that they are answered with."""
        self._used: list[Interaction] = []
        self._chosen: dict[int, PersonSettings | None] = {}
        """What people were told is chosen. None: a kill came between."""
        self._choosing: set[User] = set()

    async def act(self) -> None:
        """Do one thing."""
        pick = self._town.pick
        if pick.random() < 0.25:
            await self._choose()
            return
        channel = pick.choice(self._town.places)
        await self._ask(channel, self._town.somebody_in(channel), only_for_me=pick.random() < 0.5)

    async def _ask(self, channel: Channel, person: User, *, only_for_me: bool) -> None:
        """Ask one question, and wait until it is known to be taken."""
        town = self._town
        number = town.ledger.number(channel, person)
        more = {"file": Attachment("note.txt", f"a file with {number}".encode())} if town.pick.random() < 0.3 else {}
        question = f"question {number}"
        if only_for_me:
            self._private[number] = (channel.id, person.id)
        used = await self._discord.slash(person, channel, "ask", question=question, only_for_me=only_for_me, **more)
        await used.acknowledged(_PATIENCE)
        answer = used.response
        if not used.deferred or answer is None:
            return  # It was refused.
        asked = town.note(answer, by=person, command=question, private=only_for_me, known=False)
        self._used.append(used)
        await self._discord.wait_for(lambda: used.content or used.followups, _PATIENCE)
        if not only_for_me and any(each.ephemeral for each in used.followups):
            return  # It was refused.
        if texts.full_size(texts.CANNOT_SAVE) in (used.content or ""):
            return  # Whoever is told so has to ask again.
        asked.is_taken()
        self._did["questions only for oneself" if only_for_me else "questions with /ask"] += 1
        self._did["files with /ask"] += bool(more)
        if only_for_me:
            self._shown[answer.id] = number

    async def _choose(self) -> None:
        # Cleo is whose recent messages go along.
        person = self._town.pick.choice([self._discord.ada, self._discord.max, self._discord.bo])
        if person in self._choosing:
            return  # Nobody chooses in two messages at once.
        self._choosing.add(person)
        try:
            await self._choose_as(person)
        finally:
            self._choosing.discard(person)

    async def _choose_as(self, person: User) -> None:
        discord = self._discord
        said = await (await discord.slash(person, discord.general, "settings")).answered(_PATIENCE)
        button = self._town.pick.choice([each for each in said.buttons if not each.get("disabled")])
        self._chosen[person.id] = None
        before = len(said.shown)
        await (await discord.press(person, said, button["custom_id"])).acknowledged(_PATIENCE)
        await discord.wait_for(lambda: len(said.shown) > before, _PATIENCE)
        chosen = {each["custom_id"] for each in said.buttons if each.get("disabled")}
        ping = next(each for each in Ping if f"settings:ping:{each}" in chosen)
        self._chosen[person.id] = PersonSettings("settings:leave-out:1" in chosen, ping)
        self._did["settings chosen"] += 1

    async def see_ends(self, rows: Rows) -> None:
        """Ask for oneself wherever there is an end that its asker was not shown, until there is none."""
        for _ in range(_ROUNDS):
            unseen = {(row["channel"], row["user_id"]) for row in _private(rows) if not row["delivered"]}
            if not unseen:
                return
            for channel, user_id in unseen:
                world = self._discord.world
                place = world.channels[int(channel.partition(":")[0])]
                self._town.begin(self._ask(place, world.users[user_id], only_for_me=True))
            await self._town.rest()
            # Earlier ends come after the answer.
            await asyncio.sleep(5)

    def audit(self, requests: Sequence[Request], rows: Rows) -> list[str]:
        """What is wrong, once all is quiet."""
        found: list[str] = []
        for request in requests:
            *before, last = [_numbers(text_of(message["content"])) for message in request.messages]
            whose = {self._private.get(number) for numbers in before for number in numbers}
            if last:
                # Messages that others sent lately may stand before the question, but none that was asked for oneself.
                *recent, asked = [self._private.get(number) for number in last]
                whose |= {asked, *filter(None, recent)}
            if len(whose) > 1:
                found.append("a request has what was asked only for oneself and something else")
        for channel in self._discord.world.channels.values():
            said = "\n".join(each.content for message in channel.messages.values() for each in message.shown)
            found += [f"#{channel.name} shows question {each}" for each in _numbers(said) if each in self._private]
        for row in rows("SELECT channel, prompt FROM turns JOIN conversations ON conversations.id = conversation_id"):
            whose = {self._private.get(number) for number in _numbers(row["prompt"])}
            here, _, user_id = row["channel"].partition(":")
            if whose != {(int(here), int(user_id)) if user_id else None}:
                found.append(f"{row['prompt']!r} is in conversation {row['channel']}")
        return found + self._wrong_answers(rows) + self._wrong_settings(rows)

    def _wrong_answers(self, rows: Rows) -> list[str]:
        kept = {row["message_id"]: row for row in _private(rows)}
        found = [f"question {number} is lost" for answer, number in self._shown.items() if answer not in kept]
        seen = {each.id: each for used in self._used for each in (used.response, *used.followups) if each is not None}
        parts = rows("SELECT turn_id, message_id FROM messages ORDER BY part")
        for row in kept.values():
            name, ids = row["prompt"].splitlines()[0], [each[1] for each in parts if each[0] == row["id"]]
            if not row["delivered"]:
                found.append(f"the end of {name} was not shown")
            if not all(each in seen and seen[each].ephemeral for each in ids):
                found.append(f"{name} is answered in {ids}, which others see")
                continue
            # An end that was not seen is shown again, in new messages.
            again = max((each for each in ids if "-# You asked earlier: " in seen[each].content), default=0)
            ids = [each for each in ids if each >= again]
            lines = "\n".join(seen[each].content for each in ids).splitlines()
            shown = [word for line in lines if not line.startswith("-# ") for word in line.split()]
            if shown != row["reply"].split():
                found.append(f"{name} shows {len(shown)} words, has {len(row['reply'].split())} ({row['state']})")
        return found

    def _wrong_settings(self, rows: Rows) -> list[str]:
        kept = {
            row["user_id"]: PersonSettings(bool(row["leave_out"]), Ping(row["ping"]))
            for row in rows("SELECT * FROM person_settings")
        }
        return [
            f"person {user_id} chose {chosen} and has {kept.get(user_id)}"
            for user_id, chosen in self._chosen.items()
            if chosen is not None and chosen != kept.get(user_id, PersonSettings())
        ]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in _QUESTION.findall(text)]


def _private(rows: Rows) -> list[Row]:
    """The turns that were asked only for oneself."""
    return rows(
        """
        SELECT turns.*, channel FROM turns JOIN conversations ON conversations.id = conversation_id
        WHERE channel LIKE '%:%'
        """
    )
