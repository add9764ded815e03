"""HTML entities and the characters they stand for."""

from __future__ import annotations

import re
from html.entities import html5
from typing import Final

from bot.markdown.escaping import APART
from bot.markdown.inline_state import InlineState

ENTITY: Final = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));")
"""Pattern of an HTML entity, such as `&lt;`, `&#39;` or `&#x27;`."""
_HALF_ENTITY: Final = re.compile(r"&#?\w{0,31}$", re.ASCII)
"""Pattern of a half-written HTML entity, such as `&am`."""
_SIGNS: Final = frozenset("\\`*_~|[<>#-+.")
"""Characters that are written with a backslash, so that no mark is read from them."""


def character(entity: re.Match[str]) -> str | None:
    """Return the character of an HTML entity, such as `<` for `&lt;`, or None for an unknown name."""
    if entity[3]:
        return html5.get(f"{entity[3]};")
    point = int(entity[1]) if entity[1] else int(entity[2], 16)
    return chr(point) if 0 < point < 0x110000 and not 0xD800 <= point < 0xE000 else "\ufffd"


def decoded(text: str) -> str:
    """Return the text with each entity as its character. An unknown entity stays as it is."""
    return ENTITY.sub(lambda entity: character(entity) or entity[0], text)


def entity(state: InlineState, at: int) -> int:
    """Write the character of an entity, or an ampersand that begins none as text."""
    found = ENTITY.match(state.source, at, state.end)
    if found is None:
        return at if state.hold(at, _HALF_ENTITY) else state.literal(at, at + 1)
    text = character(found)
    if text is None:
        return state.literal(at, at + 1)
    if text in _SIGNS:
        text = f"\\{text}"
    elif text.isspace():
        # Discord does not recognise a mark next to a space.
        text = APART + text + APART
    return state.atom(at, found.end(), text)
