"""What was used, and what it cost."""

from __future__ import annotations

from bot.core.usage import Total, money


def test_cost_names_its_unknown_parts() -> None:
    assert money(Total()) is None
    assert money(Total(cost=1234.5)) == "1,234.50"
    assert money(Total(cost=0.0)) == "0.00", "a local server costs nothing"
    assert money(Total(cost=0.001)) == "<0.01"
    assert money(Total(cost=1.5, all_priced=False)) == ">1.50"
