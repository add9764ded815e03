"""Small lines under a reply that quote somebody, shortened to the room that there is for them."""

from __future__ import annotations

import re

from bot.markdown.escaping import escape

_LONGEST = 120
_SHORTEST = 12
"""Characters with which a quote says enough."""
_HEARD = "-# I heard: “{}”"
_ASKED = re.compile("^-# .* asked(?:: “.*”| about this\\.)$", re.MULTILINE)


def heard(words: str, room: int) -> str | None:
    """The line with the beginning of what was heard in a voice message, in so many characters; None: there is none."""
    return _quoting(_HEARD, words, room)


def asked_about(name: str | None, question: str, room: int) -> str | None:
    """The line with who asked about a message, and what, in so many characters; None: there is none.

    Without a name it is for whoever asked.
    """
    who = name or "You"
    if line := _quoting(f"-# {_literal(who)} asked: “{{}}”", question, room):
        return line
    line = f"-# {who} asked about this."
    return line if name and len(line) <= room else None


def may_answer(message: str, name: str | None, question: str | None) -> bool:
    """Whether a message may be the first one that answers a question, by its line with who asked what about a message.

    `question` is None where the answer has no such line.
    """
    lines = set(_ASKED.findall(message))
    if question is None or not lines:
        return not lines
    # More of it than any line has is the same.
    question = question[: 2 * _LONGEST]
    return any(asked_about(name, question, room) in lines for room in range(_LONGEST + 1))


def asked(name: str | None, question: str, room: int) -> str | None:
    """The line with who asked what with /ask, in so many characters: Discord shows nobody else the question."""
    return _quoting(f"-# {_literal(name or 'You')} asked: “{{}}”", question, room)


def earlier(question: str, room: int) -> str | None:
    """The line with the question of a private answer that its reader has not seen the end of."""
    return _quoting("-# You asked earlier: “{}”", question, room)


def _quoting(form: str, words: str, room: int) -> str | None:
    words, room = " ".join(words.split()), min(room, _LONGEST) - len(form.format("…"))
    if not words or room < _SHORTEST:
        return None
    if len(escape(words)) <= room + 1:
        return form.format(escape(words))
    while len(escape(words)) > room:
        words = words[: min(room, len(words) - 1)]
    return form.format(f"{escape(words.rstrip())}…")


def _literal(name: str) -> str:
    """A name as part of a form, which has braces."""
    return name.replace("{", "{{").replace("}", "}}")
