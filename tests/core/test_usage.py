"""What was used, and what it cost."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from bot.core.hearing import TOKENS_PER_SECOND
from bot.core.quotas import Usage
from bot.core.usage import MICRO, Price, Total, amount, money


def test_cost_names_its_unknown_parts() -> None:
    assert money(Total()) is None
    assert money(Total(cost=1_234_500_000)) == "1,234.50"
    assert money(Total(cost=0)) == "0.00", "a local server costs nothing"
    assert money(Total(cost=1_000)) == "<0.01"
    assert money(Total(cost=1_500_000, all_priced=False)) == ">1.50"


def test_cost_of_cached_tokens_is_their_own() -> None:
    price = Price(prompt=100_000, reply=500_000, cached=10_000)
    assert price.cost(Usage(1_000_000, 200_000)) == 200_000
    assert price.cost(Usage(1_000_000, 200_000, cached_tokens=500_000, reasoning_tokens=100_000)) == 155_000
    assert price.cost(Usage(1, 0, cached_tokens=1)) == 1, "a part of a millionth counts as one"


def test_small_amounts_are_exact() -> None:
    assert [amount(each) for each in (1_000_000, 123_456_789_000, 812_345, 50_000, 5_001)] == [
        "1.00",
        "123,456.79",
        "0.81",
        "0.05",
        "0.005001",
    ]


def test_the_price_in_the_docs_is_that_of_a_minute_of_a_voice_message() -> None:
    docs = " ".join((Path(__file__).parents[2] / "docs/settings.md").read_text(encoding="utf-8").split())
    stated = re.search(r"gpt-transcribe costs ([0-9.]+) a minute and has the price `([0-9.]+)/0`", docs)
    assert stated is not None
    minute, price = (round(Decimal(each) * MICRO) for each in stated.groups())
    assert Price(price, 0, price).cost(Usage(60 * TOKENS_PER_SECOND, 0)) == minute
