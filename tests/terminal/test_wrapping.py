"""The wrapping of what streams in."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth
from wcwidth import width as width_with_tabs

from bot.terminal.styling import BOLD, CODE, VERBATIM
from bot.terminal.wrapping import Wrapper


def wrapped(width: int, *deltas: str) -> str:
    wrapper = Wrapper(width)
    return "".join(map(wrapper.feed, deltas)) + wrapper.finish()


def test_text_is_wrapped_but_code_is_not() -> None:
    text = """

The quick brown fox jumps.
- A list item that goes on
  1. and one inside of it
> A quote that goes on

```python
the_quick_brown(fox, jumps)   # over

    the_lazy(dog)
```
吾輩は猫である。まだ「無い」。
https://example.com/a/very/long/path is long
e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301

"""
    assert wrapped(16, *text) == (
        "The quick brown\nfox jumps.\n"
        "- A list item\n  that goes on\n"
        "  1. and one\n     inside of\n     it\n"
        "> A quote that\n  goes on\n"
        "\n"
        "```python\nthe_quick_brown(fox, jumps)   # over\n\n    the_lazy(dog)\n```\n"
        "吾輩は猫である。\nまだ「無い」。\n"
        "https://example.com/a/very/long/path\nis long\n"
        "e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301"
    )


def test_output_lags_by_a_word_at_most() -> None:
    wrapper = Wrapper(20)
    assert [wrapper.feed(delta) for delta in ["An", "swers", " come", " as", " they\nare"]] == [
        "",
        "",
        "Answers",
        " come",
        " as they",
    ]
    assert wrapper.feed("x" * 30).startswith("\narex")


TEXTS = st.lists(
    st.sampled_from(
        [
            *"ab-*>.`~ \n\t",
            "1. ",
            "```",
            "word ",
            "https://long.example/",
            "世",
            "「",
            "。",
            "👨‍👩‍👧",
            "🇳🇴",
            "❤",
            "\ufe0f",
            "é",
        ]
    )
)


@given(TEXTS, st.integers(10, 40))
def test_wrapping_changes_only_white_space(pieces: list[str], width: int) -> None:
    text = "".join(pieces)
    whole = wrapped(width, text)
    assert wrapped(width, *pieces) == wrapped(width, *text) == whole
    assert "".join(whole.split()) == "".join(text.split())


@given(
    st.lists(st.sampled_from([*"ab-*>. \n\t", "1. ", "word ", "https://long.example/", "世", "「", "。", "🇳🇴"])),
    st.integers(10, 40),
)
def test_lines_fit_the_terminal(pieces: list[str], width: int) -> None:
    for line in wrapped(width, *pieces).split("\n"):
        columns = width_with_tabs(line)
        *_, word = re.split(r"[ \t]", line)
        assert columns <= width or wcswidth(word) >= width - width // 2, line


def test_styles_have_no_width() -> None:
    wrapper = Wrapper(10, styled=True)
    text = (
        f"{BOLD}one{BOLD} {BOLD}two{BOLD} three\n• {CODE}four{CODE} five six\n"
        f"{VERBATIM}{CODE}a = 1; b = 2{CODE}\n```\nand so on"
    )
    assert wrapper.feed(text) + wrapper.finish() == (
        f"{BOLD}one{BOLD} {BOLD}two{BOLD}\nthree\n• {CODE}four{CODE}\n  five six\n"
        f"{VERBATIM}{CODE}a = 1; b = 2{CODE}\n```\nand so on"
    )
