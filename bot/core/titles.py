"""The titles of threads: a line without mentions, addresses, marks and invisible characters. Pure.

The first is the beginning of the question, the next one is written by a model once the question is answered.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from bot.core.context import as_sent
from bot.core.model_events import Message
from bot.core.prompt_text import MENTION
from bot.core.turns import EarlierTurn

LONGEST = 100
"""UTF-16 units of a thread's name at most; see https://discord.com/developers/docs/resources/channel."""
LONGEST_PLAIN = 60
"""Those of a title that is the beginning of a question."""

TITLE_TOKENS = 48
"""The tokens of a title that a model writes."""
ASKED_FOR_TITLE = "[Write a title"
"""The beginning of the instruction in a request's last message."""
_WHAT_FOR = (
    f"{ASKED_FOR_TITLE} for the conversation above, in its language, in at most 8 words. Name what it is about. Write "
    "nothing but the title.]"
)

_NOTE = re.compile(r"⟦[^⟧]*⟧")
_PLATFORM = re.compile(r"<(?:@[!&]?|#|id:|t:|/|a?:)[^<>\s]*>")
"""Mentions, custom emoji and times as Discord writes them."""
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_ADDRESS = re.compile(r"<?\b(?:https?://|www\.|discord\.gg/)\S+", re.IGNORECASE)
_LEFT_OVER = re.compile(r"<[@#&!:]+|:/+|[⟦⟧]")
_AT = re.compile(r"(?<!\w)[@＠]+(?=\w)")
_MARKS = re.compile(r"\*\*|__(?=\S)|~~|\|\||`+|^\s*(?:#{1,6}|>|[-*•])\s+")
_LABEL = re.compile(r"^title\s*:\s*", re.IGNORECASE)
_QUOTED = re.compile('["\'“„‘«「『]([^"“”„«»「」『』]*)["\'”“’»」』]')
_LOOKED_AT = 2000
"""Characters of a text from which a title is made."""
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks without a shape."""


def title_request(turn: EarlierTurn) -> list[Message]:
    """The messages that ask for a title of the conversation that began with a turn."""
    beginning = turn._replace(prompt=turn.prompt[:_LOOKED_AT], reply=turn.reply[:_LOOKED_AT])
    return [*as_sent(beginning), Message("user", _WHAT_FOR)]


def plain_title(prompt: str, names: Mapping[int, str]) -> str:
    """The beginning of a question as a title, or "" if it has no words. `names` are those of mentioned users."""
    named = MENTION.sub(lambda found: names.get(int(found[1]), ""), prompt[:_LOOKED_AT])
    return _shortened(_line(" ".join(named.splitlines())), LONGEST_PLAIN)


def written_title(text: str) -> str:
    """What a model wrote, as a title, or "" if it is none."""
    lines = [line for line in map(_line, text[:_LOOKED_AT].splitlines()) if line]
    title = _LABEL.sub("", lines[0]).removesuffix(".") if lines else ""
    if quoted := _QUOTED.fullmatch(title):
        title = quoted[1].strip().removesuffix(".")
    return _shortened(title, LONGEST)


def _line(text: str) -> str:
    # What is invisible goes first: without it the rest may be a mention or an address.
    text = "".join(map(_shown, text))
    text = _PLATFORM.sub(" ", _NOTE.sub(" ", text))
    text = _MARKS.sub("", _ADDRESS.sub(" ", _LINK.sub(r"\1", text)))
    # Of what stood inside one another something may be left.
    return " ".join(_AT.sub("", _LEFT_OVER.sub(" ", text)).split())


def _shown(character: str) -> str:
    if character.isspace():
        return " "
    return "" if character in _FILLERS or unicodedata.category(character) in _INVISIBLE else character


def _shortened(title: str, most: int) -> str:
    """A title of at most so many UTF-16 units, which ends with a whole word if it can."""
    if _units(title) <= most:
        return title
    end = len(title)
    while _units(title[:end]) > most - 1 or unicodedata.category(title[end]).startswith("M"):
        end -= 1
    space = title.rfind(" ", 0, end + 1)
    return f"{title[: space if space > end // 2 else end].rstrip(' ,;:.–-')}…"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
