"""What people of the soak do with /memory, and the audit of it: notes and searches.

Every note that somebody was told is saved must be there, and have been sent with that person's questions in that place
only. A search must find exactly what is remembered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.soak_summaries import asks_for_summary, asks_for_title
from benchmarks.soak_town import Town
from bot.standin.entities import Channel, Message, User
from bot.standin.model import ModelStandin
from bot.store.engine import Row

_PATIENCE = 10.0
_ASKED = re.compile(r"\[asked\]\(https://discord\.com/channels/\S+/(\d+)\)")
_QUESTION = re.compile(r"question (\d+)")
_NOTE = re.compile(r"note \d+ is mine")

Rows = Callable[[str], list[Row]]


@dataclass
class Noted:
    """A note that a person sent in a server or (None) in a direct message."""

    user: User
    guild_id: int | None
    text: str
    told: bool = False
    """Whether the person was told that it is saved."""
    deleting: bool = False
    """Whether the person has begun to delete it."""


class MemoryUsers:
    """People who add and delete notes and search, anywhere in a town."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._discord = town.discord
        self._did = town.ledger.did
        self._wrong = town.ledger.wrong
        self._noted: list[Noted] = []

    async def act(self) -> None:
        """Do one thing."""
        pick = self._town.pick
        channel = pick.choice(self._town.places)
        deed = pick.choices([self._add_note, self._delete_note, self._search], [3, 1, 3])[0]
        await deed(channel, self._town.somebody_in(channel))

    async def _notes_shown(self, channel: Channel, person: User) -> Message:
        used = await self._discord.slash(person, channel, "memory")
        await self._discord.wait_for(lambda: used.followups, timeout=_PATIENCE)
        return used.followups[-1]

    async def _add_note(self, channel: Channel, person: User) -> None:
        shown = await self._notes_shown(channel, person)
        form = await (await self._discord.press(person, shown, "notes:add")).acknowledged()
        note = Noted(person, channel.guild.id if channel.guild else None, f"note {len(self._noted)} is mine")
        self._noted.append(note)
        sent = await self._discord.submit(form, text=note.text)
        note.told = (await sent.answered(_PATIENCE)).content.startswith("Saved.")
        self._did["notes"] += 1

    async def _delete_note(self, channel: Channel, person: User) -> None:
        shown = await self._notes_shown(channel, person)
        listed = re.findall(r"^(\d+)\. (.+)$", shown.content, re.MULTILINE)
        number, text = self._town.pick.choice(listed or [("", "")])
        for note in self._noted:
            if note.text == text:
                note.deleting = True
                button = next(each for each in shown.buttons if each["label"] == f"Delete {number}")
                await self._discord.press(person, shown, button["custom_id"])
                self._did["deleted notes"] += 1

    async def _search(self, channel: Channel, person: User) -> None:
        used = await self._discord.slash(person, channel, "memory", search="question")
        shown = await used.answered(_PATIENCE)
        for label in ("Older", "Newer"):
            self._found(channel, shown)
            if button := _button(shown, label):
                await (await self._discord.press(person, shown, button)).acknowledged()
        self._found(channel, shown)
        self._did["searches"] += 1

    def _found(self, channel: Channel, shown: Message) -> list[int]:
        """The questions that a page of a search shows. They must be of its channel."""
        found = [int(each) for each in _ASKED.findall(shown.content)]
        here = {asked.message.id for asked in self._town.ledger.asked if asked.message.channel is channel}
        self._wrong += [f"a search in #{channel.name} shows {each}" for each in found if each not in here]
        return found

    async def audit(self, model: ModelStandin, rows: Rows) -> None:
        """Compare notes and searches with what is on record and what the model was sent, once all is quiet."""
        for place in dict.fromkeys(self._town.places):
            await self._search_everything(place, rows)
        self._audit_notes(model, rows)

    async def _search_everything(self, channel: Channel, rows: Rows) -> None:
        """Go through all pages of a search for every question, which must be those on record."""
        person = self._town.direct.get(channel.id) or self._discord.ada
        used = await self._discord.slash(person, channel, "memory", search="question")
        shown = await used.answered(_PATIENCE)
        found = self._found(channel, shown)
        while button := _button(shown, "Older"):
            before = shown.content
            await self._discord.press(person, shown, button)
            await self._discord.wait_for(lambda before=before: shown.content != before, timeout=_PATIENCE)  # type: ignore[misc]
            found += self._found(channel, shown)
        turns = rows(
            """
            SELECT coalesce(target_id, position) AS message_id, channel
            FROM turns JOIN conversations ON conversations.id = conversation_id ORDER BY position DESC
            """
        )
        kept = [row["message_id"] for row in turns if row["channel"] == str(channel.id)]
        self._did["found by a search of everything"] += len(found)
        if found != kept:
            self._wrong.append(f"a search in #{channel.name} shows {len(found)} of {len(kept)} questions")

    def _audit_notes(self, model: ModelStandin, rows: Rows) -> None:
        questions = self._town.ledger.questions
        kept = {(row["user_id"], row["guild_id"], row["text"]) for row in rows("SELECT * FROM notes")}
        noted = {(note.user.id, note.guild_id, note.text): note for note in self._noted}
        self._wrong += [f"a note that nobody wrote: {each}" for each in kept - noted.keys()]
        for key, note in noted.items():
            if note.told and not note.deleting and key not in kept:
                self._wrong.append(f"{note.text!r} of {note.user.name} is lost")
        for request in model.requests:
            if asks_for_summary(request) or asks_for_title(request):
                continue
            said = [str(message["content"]) for message in request.messages]
            question = next(text for text in reversed(said) if _QUESTION.search(text))
            number = int(_QUESTION.findall(question)[-1])
            if number >= len(questions):
                self._wrong.append(f"a request asks question {number}, which nobody was seen to ask")
                continue
            channel, by = questions[number].channel, questions[number].by
            guild_id = channel.guild.id if channel.guild else None
            own = {each for each in _NOTE.findall(question) if (by.id, guild_id, each) in noted}
            sent = Counter(each for text in said for each in _NOTE.findall(text))
            self._did["requests with notes"] += bool(own)
            self._wrong += [
                f"{each!r} was sent with question {number}" for each in sent if each not in own or sent[each] > 1
            ]


def _button(message: Message, label: str) -> str | None:
    return next((each["custom_id"] for each in message.buttons if each["label"] == label), None)
