"""What was used, as the operator reads it."""

from __future__ import annotations

from bot.config import Price
from bot.usage import Prices, Total, UsageRow, money, report

PRICES = Prices({"small": Price(0.5, 2.0)})
ROWS = [
    UsageRow(20_667, "small", 111, 1, 3, 1_000_000, 100_000),
    UsageRow(20_667, "small", None, 2, 1, 200, 100),
    UsageRow(20_668, "a-maker/with-names-of-great-length", 111, 2, 10, 2_000_000, 500_000),
    UsageRow(20_668, "small", 111, None, 1, 50, 5),
]


def test_the_report_tells_days_models_servers_and_people() -> None:
    assert report(ROWS, PRICES, people=2).splitlines() == [
        "day (UTC)   model                               requests    context  replies     tokens   cost",
        "2026-08-02  small                                      4  1,000,200  100,100  1,100,300   0.70",
        "2026-08-03  a-maker/with-names-of-great-length        10  2,000,000  500,000  2,500,000      -",
        "2026-08-03  small                                      1         50        5         55  <0.01",
        "total                                                 15  3,000,250  600,105  3,600,355  >0.70",
        "",
        "server                            requests    context  replies     tokens   cost",
        "111                                     14  3,000,050  600,005  3,600,055  >0.70",
        "none (direct messages, terminal)         1        200      100        300  <0.01",
        "",
        "person (the 2 who used most)  requests    context  replies     tokens   cost",
        "2                                   11  2,000,200  500,100  2,500,300  >0.00",
        "1                                    3  1,000,000  100,000  1,100,000   0.70",
        "",
        "No price is set in PRICES for: a-maker/with-names-of-great-length.",
    ]


def test_without_a_use_or_a_price_there_is_little_to_say() -> None:
    assert report([], PRICES) == "Nothing was used in this time."
    text = report(ROWS, Prices())
    assert text.count("No price is set in PRICES") == 1
    assert "0.7" not in text


def test_the_report_fits_a_hundred_columns() -> None:
    many = [UsageRow(20_668, f"model-{n}" * 9, 2**63, 2**63 - n, 10**6, 10**9 - 1, 10**8) for n in range(30)]
    names = Prices({row.model: Price(100, 100) for row in many[1:]})
    assert max(map(len, report(many, names).splitlines())) <= 100
    assert max(map(len, report(many, Prices()).splitlines())) <= 100


def test_a_cost_says_what_is_not_known_of_it() -> None:
    assert money(Total()) is None
    assert money(Total(cost=1234.5)) == "1,234.50"
    assert money(Total(cost=0.0)) == "0.00", "a local server costs nothing"
    assert money(Total(cost=0.001)) == "<0.01"
    assert money(Total(cost=1.5, all_priced=False)) == ">1.50"
