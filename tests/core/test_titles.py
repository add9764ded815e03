"""Titles of threads: what Discord takes, and nothing that pings, links or hides."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.prompt_text import mention
from bot.core.titles import LONGEST, LONGEST_PLAIN, plain_title, written_title

BO = 7
MENTION = re.compile(r"<[@#]|(?<!\\w)@\\w")
ACCENTED = "e\u0301"


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("why is the sky dark?", "why is the sky dark?"),
        ("  first\nand\n\n second ", "first and second"),
        (f"what did {mention(BO)} say about <#123> and @everyone?", "what did Bo say about and everyone?"),
        ("⟦picture: cat.png⟧", ""),
        ("is this good? ⟦picture: cat.png⟧ https://example.org/?q=1", "is this good?"),
        ("**bold** `code` __init__", "bold code init__"),
        ("mail bo@example.org", "mail bo@example.org"),
        ("word " * 40, f"{'word ' * 11}word…"),
        ("一" * 80, f"{'一' * 59}…"),
        ("😀" * 80, f"{'😀' * 29}…"),
        (ACCENTED * 40, f"{ACCENTED * 29}…"),
    ],
)
def test_a_question_gives_a_plain_title(prompt: str, title: str) -> None:
    assert plain_title(prompt, {BO: "Bo"}) == title


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("Why the night sky is dark", "Why the night sky is dark"),
        ('"Why the night sky is dark."', "Why the night sky is dark"),
        ("“Dark skies”.", "Dark skies"),
        ("About “dark skies”", "About “dark skies”"),
        ("“Dark” and “skies”", "“Dark” and “skies”"),
        ("\n\n# Title: **Dark skies**\nMore words", "Dark skies"),
        ("<@123> @here [a link](https://example.org) https://example.org <:wave:5> dark", "here a link dark"),
        ("dark\u200b\u202esky\u2066\u3164", "darksky"),
        ("a" * 300, f"{'a' * 99}…"),
        ("<@123>\n\u200b\n", ""),
        ("", ""),
    ],
)
def test_a_model_gives_a_title(written: str, title: str) -> None:
    assert written_title(written) == title


@given(st.text(max_size=400) | st.text("@<>#&!:[]()⟦⟧*_`h tps/.\u200d\ufe0f\u0301😀ae\n", max_size=400))
def test_whatever_is_written_is_a_name_that_discord_takes(text: str) -> None:
    for title, most in ((plain_title(text, {}), LONGEST_PLAIN), (written_title(text), LONGEST)):
        assert len(title.encode("utf-16-le")) // 2 <= most
        assert title == title.strip()
        assert not {unicodedata.category(each) for each in title} & {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
        assert not MENTION.search(title)
        assert "://" not in title
