"""What the operator reads of what is kept."""

from __future__ import annotations

import pytest

from bot.core.records import ConversationOverview, UserRecord
from bot.core.turns import Conversation
from bot.core.usage import Price, Prices, UsageReport, UsageRow
from bot.operator import reports
from tests.places import on_discord

BO = 777_000_111_222_333_444


PRICES = Prices({"small": Price(500_000, 2_000_000, 50_000)})
ROWS = [
    UsageRow(20_667, "small", 111, 1, 3, 1_000_000, 100_000),
    UsageRow(20_667, "small", None, 2, 1, 200, 100),
    UsageRow(20_668, "a-maker/with-names-of-great-length", 111, 2, 10, 2_000_000, 500_000),
    UsageRow(20_668, "small", 111, None, 1, 50, 5),
]
REPORT = UsageReport(ROWS, ROWS, ROWS)


DAY = 24 * 3600
REMEMBERED = [
    ConversationOverview(
        on_discord(1234567890123456789),
        987654321098765432,
        12_345,
        67,
        7_000_000,
        0,
        DAY,
        True,
        "gpt-6-luna",
    ),
    ConversationOverview(
        Conversation("terminal", "with-a-long-name"), None, 1, 0, 350, None, 20_000 * DAY, False, None
    ),
]


def test_conversations_are_listed_in_columns() -> None:
    table = reports.ConversationTable()
    lines = [table.heads(), *table.lines(REMEMBERED), reports.total(2, 12_346, 7_000_350)]
    assert lines == [
        "conversation         server               questions  people    tokens ≈       first   last used",
        "1234567890123456789  987654321098765432      12,345      67   2,000,000  1970-01-01  1970-01-02",
        "  has a persona and the model gpt-6-luna",
        "…l:with-a-long-name  -                            1       0         100           -  2024-10-04",
        "2 conversations, 12,346 questions, about 2,000,100 tokens",
    ]
    assert reports.total(0, 0, 0) == "There are no conversations."


def test_narrow_list_keeps_conversation_ids() -> None:
    table = reports.ConversationTable(80)
    long = [ConversationOverview(on_discord(1), 1, 1, 1, 1, 0, 0, True, "a-maker/" * 20)]
    lines = [table.heads(), *table.lines([*REMEMBERED, *long])]
    assert max(map(len, lines)) == 80
    assert lines[1].split() == ["1234567890123456789", "987654321098765432", "12,345", "2,000,000", "1970-01-02"]


def test_usage_lists_days_models_guilds_and_people() -> None:
    report = UsageReport(ROWS, ROWS, [row for row in ROWS if row.user_id is not None])
    assert reports.usage(report, PRICES).splitlines() == [
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


def test_usage_lists_cached_and_reasoning_tokens() -> None:
    rows = [
        *ROWS,
        UsageRow(20_669, "small", 111, 1, 1, 1_000_000, 100_000, cached_tokens=800_000),
        UsageRow(20_669, "b", 111, 1, 1, 0, 4_000, reasoning_tokens=3_000),
    ]
    days, details, *_ = reports.usage(UsageReport(rows, rows, rows), PRICES).split("\n\n")
    assert details.splitlines() == [
        "model   cached  of context  reasoning  of replies",
        "small  800,000        39 %          0         0 %",
        "b            0           -      3,000        75 %",
    ]
    assert "1,000,000  100,000  1,100,000   0.34" in days, "800,000 at a tenth of the price"


def test_usage_report_without_use_or_prices() -> None:
    assert reports.usage(UsageReport([], [], []), PRICES) == "Nothing was used in these days."
    text = reports.usage(REPORT, Prices())
    assert text.count("No price is set in PRICES") == 1
    assert "0.7" not in text


@pytest.mark.parametrize("width", [80, 100, 200])
def test_usage_report_fits_the_terminal(width: int) -> None:
    many = [UsageRow(20_668, f"model-{n}" * 9, 2**63, 2**63 - n, 10**4, 10**7 - 1, 10**6) for n in range(30)]
    report = UsageReport(many, many, many[:10])
    names = Prices({row.model: Price(10**8, 10**8, 10**8) for row in many[1:]})
    assert max(map(len, reports.usage(report, names, width=width).splitlines())) <= width
    assert max(map(len, reports.usage(report, Prices(), width=width).splitlines())) <= width


def test_forgetting_reports_what_goes_and_went() -> None:
    assert reports.deletion_preview(BO, UserRecord(1, 1, traces=True, blocked=False)) == (
        f"Stored about {BO}: 1 question in 1 conversation, quotes by others, and their usage."
    )
    assert reports.deleted(BO, 2000, blocked=True).splitlines() == [
        f"Forgotten: 2,000 questions of {BO}.",
        "The messages on Discord stay, and so do backups and logs.",
        "A server's moderators have blocked this person. The block and the id stay.",
    ]
