"""Text made fit for a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.terminal.text import plain

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(st.text() | st.text(f"a\n{BIDI}"))
def test_control_characters_are_removed(text: str) -> None:
    kept = plain(text)
    assert all(character.isprintable() or character in "\n\t" or ord(character) > 0x9F for character in kept)
    assert kept == "".join(c for c in text if (ord(c) > 0x9F or 0x20 <= ord(c) < 0x7F or c in "\n\t") and c not in BIDI)
