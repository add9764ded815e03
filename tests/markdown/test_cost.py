"""What rendering costs, counted in calls: that does not depend on the machine."""

from __future__ import annotations

import cProfile
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.markdown import Document

LIMIT = 300
SIZE = 8 * LIMIT
"""As much source as one message is made from at the most."""

NOTHING = st.sampled_from(["---\n", "- - -\n", "***\n\n", "___ \n", "<i>\n\n", "<b></b>", "<br>", "\n", " \n"])
"""What is not shown."""
MARKS = st.sampled_from(
    [
        *(
            "`",
            "``",
            "```\n",
            "~~~\n",
            "$",
            "$$",
            "||",
            "> ",
            "\n> ",
            "[",
            "](",
            "![",
            "<",
            "<@",
            "\\(",
            "\\[\n",
            "|\n",
        ),
        *(
            "| a | b |\n|---|---|\n",
            "a|\n",
            "\n- ",
            "\n  - ",
            "1. a\n",
            "**a",
            "_",
            "*a ",
            "&amp;",
            "http://a.b ",
            "\\",
        ),
        *(
            "word ",
            "a" * 60,
            "e\u0301",
            "\u0301",
            "👨‍👩‍👧",
            "🇩🇪",
            "\u200b",
            "。",
            '[a](b "c',
            "- " + " " * 20,
            "\\[a\\]x\n",
        ),
    ]
)
PATTERNS = st.lists(st.one_of(NOTHING, MARKS), min_size=1, max_size=4).map("".join)


def calls(work: Callable[[], object]) -> int:
    """How many functions are called meanwhile, those written in C too."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(each.callcount for each in profile.getstats())


def whole(text: str) -> None:
    Document(LIMIT).update(text, final=True)


def stream(text: str) -> None:
    document = Document(LIMIT)
    for end in range(0, len(text), LIMIT):
        document.update(text[:end])
    document.update(text, final=True)


@pytest.mark.long
@settings(max_examples=15)
@given(st.one_of(NOTHING, PATTERNS), st.sampled_from([whole, stream]))
@example("---\n", whole)
@example("- - -\n", stream)
@example("<i>\n\n", whole)
def test_rendering_cost_grows_linearly(pattern: str, render: Callable[[str], None]) -> None:
    whole(pattern)  # what is cached once for a pattern is not part of it
    small, fourfold = (
        calls(lambda times=times: render((pattern * (SIZE * times // len(pattern) + 1))[: SIZE * times]))  # type: ignore[misc]
        for times in (1, 4)
    )
    most = 200 * SIZE
    assert small < most, "calls for each character"
    assert fourfold < max(6 * small, 4 * most)


@pytest.mark.parametrize(
    "text",
    [
        "word " + "[" + "[aaaaaaaaaa" * 12 + "\nx",
        "a\n\n" + " " * 2000 + "x",
        "a\n\n" + ("-" + " " * 100) * 4 + "x",
        "a|b\n" + " " * 4000 + "x|-\n",
        "|a|b|\n|-|-|\n|a" + " " * 8000 + "b|\n",
        "|a|b|\n|-|-|\n|\\" + "`" * 1000 + " |\n",
        "$$" + "^" * 900 + "$$\n",
        "$$" + "\\frac" * 190 + "$$\n",
    ],
)
def test_patterns_do_not_backtrack(text: str) -> None:
    # A pattern that does takes minutes or years for these: the test of a callback's time could not even fail.
    document = Document()
    document.update(text)
    document.update(text, final=True)
    assert document.parts
