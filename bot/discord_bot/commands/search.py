"""Earlier questions and answers of a conversation by their words, in pages: /memory search."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace

import discord

from bot.core.matching import Query
from bot.core.records import FoundTurn, SearchResult
from bot.discord_bot.channels import reads_history
from bot.discord_bot.commands.context import BotContext, Place, place
from bot.discord_bot.delivery import buttons
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report, update
from bot.discord_bot.names import stored_name
from bot.texts import memory as words
from bot.texts import privacy as privacy_words

LONGEST_QUERY = 60
"""Characters of a query, which stands in the ids of buttons: of these, Discord takes 100 characters."""
SECONDS = 4.0
"""Seconds for which a search looks for one page. Then it shows what it has, and people decide whether it goes on."""
_PER_PAGE = 5
_MAX_CONCURRENT = 2
"""Searches under way at the same time: each keeps a processor busy."""
_MAX_LENGTH = 2000
"""The number of characters that Discord allows in a message."""
_AROUND = 400
"""More characters than a page has above and below its turns."""
_SNIPPET = 80
"""Characters of a text that are shown around a word that is found."""
_BEFORE = 24
"""The most of these that stand before the word."""

_TURN_PAGE = re.compile(r"search:(?P<own>own-)?(?P<way>older|newer):(?P<position>[0-9]{1,19}):(?P<text>.+)", re.DOTALL)
_EFFECTIVE = re.compile(r"[\\`*_~|\[\]()<>#@:-]")
"""Characters with which something begins that Discord renders, links included."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a user wants to see: the turns that match before a position, or after it (`newer`), or (None) the newest."""

    text: str
    query: Query
    position: int | None = None
    newer: bool = False


@dataclass(frozen=True, slots=True)
class _Page:
    """The text of a message, and the positions before and after which its buttons search."""

    content: str
    text: str
    older: int | None = None
    newer: int | None = None
    own: bool = False
    """Whether what only the user sees is searched."""

    def view(self) -> discord.ui.View:
        own = "own-" if self.own else ""
        ways = ("older", words.OLDER, self.older), ("newer", words.NEWER, self.newer)
        return buttons.row(
            *(
                discord.ui.Button(label=label, custom_id=f"search:{own}{way}:{position}:{self.text}")
                for way, label, position in ways
                if position is not None
            )
        )


class Search:
    """The answers to /memory with a text to search for, and to the buttons under them."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot
        self._searching: set[int] = set()
        """The users whose search is under way: one each, so that those who wait for a slot are different users."""
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)
        buttons.listen(bot.client, _TURN_PAGE, self._pressed)

    async def respond(self, interaction: discord.Interaction, here: Place, text: str) -> None:
        """Show the newest turns that match."""
        if (page := await self._page(interaction, here, _Wanted(text, Query(text)))) is not None:
            await respond_ephemeral(interaction, page.content, view=page.view())

    async def _pressed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        shown_to = interaction.message.interaction_metadata if interaction.message else None
        if shown_to is None or shown_to.user.id != interaction.user.id:
            await respond_ephemeral(interaction, privacy_words.NOT_YOURS)
            return
        wanted = _Wanted(id_["text"], Query(id_["text"]), int(id_["position"]), id_["way"] == "newer")
        here = place(interaction, only_for_me=id_["own"] is not None)
        if (page := await self._page(interaction, here, wanted)) is not None:
            await update(interaction, page.content, view=page.view())

    async def _page(self, interaction: discord.Interaction, here: Place, wanted: _Wanted) -> _Page | None:
        """A page of what is found. None: the user is told why there is none."""
        user_id, refusal = interaction.user.id, None
        if not here.private and not reads_history(interaction):
            refusal = words.NO_SEARCH
        elif wanted.query.is_empty:
            refusal = words.NO_WORDS
        elif user_id in self._searching:
            refusal = words.SEARCHING
        if refusal is not None:
            await respond_ephemeral(interaction, refusal)
            return None
        self._searching.add(user_id)
        try:
            work = self._find(interaction, here, wanted)
            return await run_or_report(interaction, work, failed=privacy_words.UNREACHABLE, doing="a search")
        finally:
            self._searching.discard(user_id)

    async def _find(self, interaction: discord.Interaction, here: Place, wanted: _Wanted) -> _Page:
        own = here.conversation != here.channel
        # No link leads to a message that only one user sees.
        link = None if own else f"https://discord.com/channels/{here.guild_id or '@me'}/{interaction.channel_id}"
        async with self._slots:
            found = await self._bot.store.search.find(
                here.conversation,
                wanted.query,
                wanted.position,
                newer=wanted.newer,
                # One more than a page holds, to know whether there is another page.
                most=_PER_PAGE + 1,
                seconds=SECONDS,
            )
            # Where the words are in long texts takes longer to find than a callback may take.
            page = await asyncio.to_thread(_page, wanted, found, link)
            return replace(page, own=own)


def _page(wanted: _Wanted, found: SearchResult, link: str | None) -> _Page:
    """A message with as many of the turns as it holds, the newest first. `link` is that of their channel."""
    entries: list[str] = []
    for turn in found.turns[:_PER_PAGE]:
        entry = _entry(wanted.query, turn, link)
        if sum(map(len, entries)) + len(entry) > _MAX_LENGTH - _AROUND:
            break
        entries.append(entry)
    looked_to, looked_at, ended = found.looked_to, found.looked_at, found.whole
    if len(entries) < len(found.turns):
        last = found.turns[len(entries) - 1]
        looked_to, looked_at, ended = last.position, last.asked_at, False
    further = None if ended else looked_to
    heading = (words.found if entries else words.nothing_found)(_plain(wanted.text))
    if wanted.newer:
        entries.reverse()
        footer = words.searched_newer(looked_at, ended=ended)
    else:
        footer = words.searched_older(looked_at, ended=ended)
    content = "\n".join([heading, *entries, footer])
    if wanted.position is None:
        return _Page(content, wanted.text, older=further)
    # Back to the page that this one was asked for from: its last turn is the one at the position.
    if wanted.newer:
        return _Page(content, wanted.text, older=wanted.position + 1, newer=further)
    return _Page(content, wanted.text, older=further, newer=wanted.position - 1)


def _entry(query: Query, turn: FoundTurn, link: str | None) -> str:
    """The lines on a turn: its question, and its answer if a word is there."""
    prompt, reply = (" ".join(text.split()) for text in (turn.prompt, turn.reply))
    to_question = None if link is None else f"{link}/{turn.message_id}"
    asked = words.asked(turn.asked_at, stored_name(turn.author_name) or words.YOU, to_question)
    lines = [f"{asked} {_snippet(prompt, query.spans(prompt))}"]
    if spans := query.spans(turn.reply):
        part = next((message_id for start, message_id in reversed(turn.parts) if start <= spans[0][0]), None)
        answered = words.answered(None if part is None or link is None else f"{link}/{part}")
        lines.append(f"{answered} {_snippet(reply, query.spans(reply))}")
    return "\n".join(lines)


def _snippet(text: str, spans: list[tuple[int, int]]) -> str:
    """A text around the first word that is found in it, or its beginning, with what is found in bold."""
    start = max(0, min(spans[0][0] - _BEFORE, len(text) - _SNIPPET)) if spans else 0
    end = min(len(text), start + _SNIPPET)
    shown, at = ["…" if start else ""], start
    for begins, ends in spans:
        if begins >= end:
            break
        shown += _plain(text[at:begins]), f"**{_plain(text[begins : min(ends, end)])}**"
        at = min(ends, end)
    return "".join([*shown, _plain(text[at:end]), "…" if end < len(text) else ""])


def _plain(text: str) -> str:
    """A text as one in which Discord renders nothing."""
    return _EFFECTIVE.sub(r"\\\g<0>", text)
