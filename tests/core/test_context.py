"""What the model is sent."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.context import RESUME, Context, credible, learn_from_usage, tokens
from bot.core.model_events import Message, TokenStatistics
from bot.core.prompt_text import speaker
from bot.core.quotas import Usage
from bot.core.turns import EarlierTurn, RecentMessage, Turn, TurnState, UserName
from tests.places import on_discord
from tests.talking import TODAY

SUNDAY = date(2026, 11, 22)


def turn(prompt: str) -> Turn:
    return Turn(1, on_discord(1), 9, prompt, "", TurnState.PENDING, 1, None, None, None, 0)


def earlier(prompt: str, reply: str, *, finished: bool = True) -> EarlierTurn:
    return EarlierTurn(1, None, prompt, reply, finished)


def context(prompt: str, budget: int = 1000) -> Context:
    return Context("Be brief.", turn(prompt), today=SUNDAY, budget=budget, learned=TokenStatistics())


def test_context_is_oldest_first_with_alternating_roles() -> None:
    built = context("newest")
    for n in (3, 2, 1):
        assert built.add(earlier(f"prompt {n}", f"reply {n}"))
    assert [(message.role, message.content) for message in built.messages()] == [
        ("system", "Be brief."),
        ("user", "prompt 1"),
        ("assistant", "reply 1"),
        ("user", "prompt 2"),
        ("assistant", "reply 2"),
        ("user", "prompt 3"),
        ("assistant", "reply 3"),
        ("user", f"{TODAY}\nnewest"),
    ]


def test_unfinished_reply_is_marked() -> None:
    built = context("and?")
    built.add(earlier("tell me", "It was", finished=False))
    assert built.messages()[2].content == "It was\n\n[This reply was cut off here.]"


@given(st.lists(st.text(min_size=1), max_size=8), st.integers(10, 200))
def test_context_holds_whole_turns_within_the_budget(replies: list[str], budget: int) -> None:
    built = context("the prompt", budget)
    taken = 0
    for reply in replies:
        if not built.add(earlier("p", reply)):
            break
        taken += 1
    messages = built.messages()
    assert len(messages) == 2 + 2 * taken
    assert messages[-1].content == f"{TODAY}\nthe prompt"
    assert taken == 0 or built.tokens <= budget


RECENT = [RecentMessage(number, 2, UserName("Bo", "bo"), f"{number} " + "word " * 20) for number in range(25)]


def with_recent(budget: int, window: int | None = None, prompt: str = "so?") -> Context:
    return Context(
        "Be brief.",
        turn(prompt),
        recent=RECENT,
        today=SUNDAY,
        budget=budget,
        window=window,
        learned=TokenStatistics(),
    )


def recent_in(built: Context) -> list[int]:
    """The numbers of the recent messages in a context, in their order."""
    return [int(line.split()[1]) for line in built.messages()[-1].content.splitlines() if line.startswith("> ")]


@pytest.mark.parametrize(("budget", "most"), [(8000, 2000), (2000, 500), (300, 75), (40, 10)])
def test_latest_recent_messages_take_a_quarter_of_the_window(budget: int, most: int) -> None:
    built = with_recent(budget)
    alone = context("so?", budget).tokens
    found = recent_in(built)
    assert found == [*range(25 - len(found), 25)]
    assert built.tokens - alone <= most
    assert len(found) == 25 or built.tokens - alone > most - 100, "there is room for another"


@pytest.mark.parametrize("prompt", ["so?", "so? " * 50])
@pytest.mark.parametrize("window", range(300, 3000, 97))
def test_recent_messages_stay_when_a_context_is_built_again_in_its_own_size(window: int, prompt: str) -> None:
    """What is deleted while a request waits for tokens is not sent, so that its context is built again."""
    built = with_recent(window, window, prompt)
    again = with_recent(built.tokens, window, prompt)
    assert again.messages() == built.messages()


@pytest.mark.parametrize("character", ["x", "字"])
def test_resumed_reply_fits_half_the_budget(character: str) -> None:
    begun = character * 100_000 + " and so it"
    built = Context("Be brief.", turn("go on"), begun=begun, today=SUNDAY, budget=1000, learned=TokenStatistics())
    user, told, end = built.messages()[1:]
    assert (user.content, told.role) == (f"{TODAY}\ngo on", "assistant")
    assert begun.endswith(told.content)
    assert 450 < tokens(told.content, 3.5) < 510
    assert end.content == RESUME
    assert built.tokens < 1000


@given(st.text(), st.sampled_from(["ada", "b.o_1"]))
def test_display_name_cannot_leave_its_brackets(name: str, username: str) -> None:
    line = str(speaker(name, username))
    assert len(line.splitlines()) == 1
    assert line.endswith(f"@{username})" if " " in line else f"@{username}")
    shown = line.removesuffix(f"(@{username})").removesuffix(f"@{username}")
    assert not set(shown) & set("[]()@:")
    assert len(line) <= 32 + len(username) + 4


def test_reservation_is_generous_before_the_first_count() -> None:
    def built(learned: TokenStatistics) -> Context:
        return Context("Be brief.", turn("🦜" * 100), today=SUNDAY, budget=1000, learned=learned)

    unknown, known = built(TokenStatistics(window=900)), built(TokenStatistics(bytes_per_token=3.5))
    assert unknown.tokens == known.tokens == known.reserved_tokens
    assert unknown.reserved_tokens == pytest.approx(unknown.tokens * 3.5 / 2, rel=0.05)


@pytest.mark.parametrize(
    ("said", "thoughts", "counted", "kept"),
    [
        (350, 0, Usage(1008, 100), Usage(1008, 100)),
        (350, 0, Usage(32, 3), Usage(32, 3)),
        (350, 0, Usage(31, 2), Usage(0, 0)),
        (350, 0, Usage(4000 + 4 + 2000, 800), Usage(6004, 800)),
        (350, 0, Usage(6005, 801), Usage(0, 0)),
        (3000, 0, Usage(1008, 3000), Usage(1008, 3000)),
        (0, 0, Usage(1008, 0), Usage(1008, 0)),
        (0, 900, Usage(1008, 900), Usage(1008, 900)),
        (1, 0, Usage(-1, -1), Usage(0, 0)),
        (1, 0, Usage(10**400, 10**400), Usage(0, 0)),
        (350, 0, Usage(1008, 100, 1008, 100), Usage(1008, 100, 1008, 100)),
        (350, 0, Usage(1008, 100, 1009, 101), Usage(1008, 100)),
        (350, 0, Usage(1008, 100, -1, -1), Usage(1008, 100)),
        (350, 0, Usage(1008, 100, 10**30, 10**30), Usage(1008, 100)),
        (350, 0, Usage(6005, 801, 6005, 801), Usage(0, 0)),
    ],
)
def test_implausible_counts_are_discarded(said: int, thoughts: int, counted: Usage, kept: Usage) -> None:
    assert credible(counted, [Message("user", "x" * 4000)], said, thoughts, 800) == kept


def test_estimate_follows_the_servers_counts() -> None:
    messages = [Message("user", "x" * 4000)]
    learned = TokenStatistics()
    for _ in range(20):
        learned = learn_from_usage(learned, messages, Usage(2004, 1))
    assert learned.bytes_per_token == pytest.approx(2.0, abs=0.1)
    assert tokens("x" * 200, learned.bytes_per_token or 0) == pytest.approx(104, abs=6)
    assert learn_from_usage(TokenStatistics(), messages, Usage(0, 0)) == TokenStatistics(), (
        "a server that counts nothing teaches nothing"
    )
    for counted in (1, 10**9):
        assert 1 <= (learn_from_usage(TokenStatistics(), messages, Usage(counted + 4, 1)).bytes_per_token or 0) <= 8


@pytest.mark.parametrize(("size", "expected"), [(80, 3.485), (800, 3.35), (4000, 2.75), (80_000, 2.75)])
def test_one_count_moves_the_estimate_partway(size: int, expected: float) -> None:
    """From 3.5 bytes a token towards 2: in proportion to the size of what was counted, and half the way at most."""
    before = TokenStatistics(bytes_per_token=3.5)
    after = learn_from_usage(before, [Message("user", "x" * size)], Usage(size // 2 + 4, 1))
    assert after.bytes_per_token == pytest.approx(expected)
