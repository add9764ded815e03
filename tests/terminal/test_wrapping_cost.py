"""What wrapping costs, counted in calls: that does not depend on the machine."""

from __future__ import annotations

import pytest

from bot.terminal.styling import BOLD, CODE, VERBATIM
from bot.terminal.wrapping import Wrapper
from tests.markdown.test_cost import calls


def cost(text: str, piece: int, *, styled: bool = False) -> int:
    """The calls that wrapping takes for a text in pieces of so many characters."""

    def wrap() -> None:
        wrapper = Wrapper(80, styled=styled)
        for at in range(0, len(text), piece):
            wrapper.feed(text[at : at + piece])
        wrapper.finish()

    return calls(wrap)


@pytest.mark.parametrize(
    ("begins", "pattern"),
    [
        ("```", "x"),
        ("", "x"),
        ("", "\u200b"),
        ("a", "\u0301"),
        ("", "👨\u200d"),
        ("~~~", "-"),
        ("", "- "),
        ("", "> "),
        ("", "`"),
        ("", "\n"),
        ("", "word "),
    ],
)
def test_wrapping_costs_in_proportion_to_length(begins: str, pattern: str) -> None:
    once, double, fourfold = (
        cost(begins + (pattern * (size // len(pattern) + 1))[:size], 4) for size in (2_000, 4_000, 8_000)
    )
    assert double < 3 * once
    assert fourfold < 6 * once


@pytest.mark.parametrize("pattern", [f"{BOLD}word{BOLD} ", f"{BOLD}", f"{VERBATIM}{CODE}line{CODE}\n", f"猫{BOLD}"])
def test_styles_cost_in_proportion_to_length(pattern: str) -> None:
    once, fourfold = (cost((pattern * size)[:size], 4, styled=True) for size in (2_000, 8_000))
    assert fourfold < 6 * once
