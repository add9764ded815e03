"""The text of a prompt: what the platform writes into it, in brackets that nobody else can type, and people's names.

What a model is sent of a prompt is the job of `bot.core.context`. This module is pure.
"""

from __future__ import annotations

import re
import unicodedata

from bot.core.turns import UserName

PICTURE = "⟦picture: "
"""The beginning of the note on a picture in a prompt. Only prompts with one have pictures."""
MENTION = re.compile(r"⟦@([0-9]{1,19})⟧")
"""A mention of a user in a prompt that is kept, by id. What is read has the user's name in its place."""
_DESCRIBED = ", described as “"
_NAME_LENGTH = 32


def speaker(display_name: str, username: str) -> UserName:
    """A name for the first line of a message, which can neither end that line nor pass for another person's.

    The user name is unique on the platform; the display name is anything its owner likes.
    """
    return UserName(_clean(display_name)[:_NAME_LENGTH].strip(), _clean(username))


def platform_note(text: str) -> str:
    """What the platform says of a message, in the brackets that `as_typed` takes out of everything else."""
    return f"⟦{text}⟧"


def as_typed(text: str) -> str:
    """A text of a person's, in which nothing has the form of a platform note: "⟦" → "[[" and "⟧" → "]]"."""
    return text.replace("⟦", "[[").replace("⟧", "]]")


def picture_note(name: str, description: str = "") -> str:
    """What a prompt says of a picture that is sent with it."""
    return f"{PICTURE}{as_typed(name)}{f'{_DESCRIBED}{as_typed(description)}”' if description else ''}⟧"


def picture_place(prompt: str, name: str) -> int:
    """Where a prompt, without the ids of its files, names a picture first, or -1 where it does not."""
    found = (prompt.find(f"{PICTURE}{as_typed(name)}{behind}") for behind in ("⟧", _DESCRIBED))
    return min((place for place in found if place >= 0), default=-1)


def mention(user_id: int) -> str:
    """A mention of a user in a prompt that is to be kept."""
    return platform_note(f"@{user_id}")


def asked(prompt: str) -> str:
    """What a prompt that begins with a quote asks; empty if it only quotes. No line of a quote is empty."""
    return prompt.partition("\n\n")[2]


def _clean(name: str) -> str:
    shown = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in name if c not in "[]()@:⟦⟧")
    return " ".join(shown.split())
