"""What the operator reads of what is kept."""

from __future__ import annotations

from bot import reports
from bot.store.records import Extent, Remembered

BO = 777_000_111_222_333_444


def test_conversations_stand_in_columns() -> None:
    day = 24 * 3600
    remembered = [
        Remembered("discord:1234567890123456789", 987654321098765432, 12_345, 67, 7_000_000, 0, day, True, "gpt-4.1"),
        Remembered("terminal:default", None, 1, 0, 350, None, 20_000 * day, False, None),
    ]
    lines = [reports.heads(), *reports.conversations(remembered), reports.total(2, 12_346, 7_000_350)]
    assert "\n".join(lines) == (
        "conversation                  server               exchanges  people     tokens ≈       first   last used"
        "  own behaviour\n"
        "discord:1234567890123456789   987654321098765432      12,345      67    2,000,000  1970-01-01  1970-01-02"
        "  persona, gpt-4.1\n"
        "terminal:default              -                            1       0          100           -  2024-10-04\n"
        "2 conversations, 12,346 exchanges, about 2,000,100 tokens"
    )
    assert reports.total(0, 0, 0) == "There are no conversations."


def test_what_goes_and_what_went_is_said() -> None:
    assert reports.to_forget(BO, Extent(1, 1, traces=True, blocked=False)) == (
        f"On record of {BO}: 1 exchange in 1 conversation, what others quoted of it, and what they used."
    )
    assert reports.forgotten(BO, 2000, blocked=True).splitlines() == [
        f"Forgotten: 2,000 exchanges of {BO}.",
        "The messages on Discord stay, and so do backups and logs.",
        "A server's moderators have blocked them; that stays, with their id.",
    ]
