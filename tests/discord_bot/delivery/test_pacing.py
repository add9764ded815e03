"""The pace of calls against buckets like Discord's, computed without a clock."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.discord_bot.delivery.pacing import (
    SHORTEST_GAP,
    WAYS_VARY,
    Budget,
    ChannelPacer,
    InteractionPacer,
    RateLimitHeaders,
)
from tests.discord_bot.delivery.buckets import Bucket


@dataclass
class Shown:
    staleness: float
    """The mean age of what people see, in seconds."""
    final_delay: float
    refused: int
    spared: bool
    """Whether the last call left a token, so that discord.py did not sleep in it."""
    calls: list[float] = field(default_factory=list)


def stream(
    *,
    fixed: bool,
    seconds: float,
    limit: int = 5,
    period: float = 1.0,
    rtt: float = 0.08,
    like: ChannelPacer | None = None,
    through_token: bool = False,
    ways: Callable[[], float] | None = None,
) -> Shown:
    """Show one evenly growing reply at the pacer's pace, with the sleeps of discord.py, which no call by token has.

    `ways` gives how long a request or its answer is on its way, if that is not half of the round trip.
    """
    posts, edits = Bucket(fixed, limit, period), Bucket(fixed, limit, period)
    pacer = ChannelPacer(like)
    if through_token:
        # All calls with a token count together.
        pacer, posts = InteractionPacer(like), edits
    begin = now = 100.0
    end = begin + seconds
    shown: list[tuple[float, float]] = []
    refused = left = 0

    def call(method: str, bucket: Bucket) -> None:
        nonlocal now, refused, left
        there, back = (rtt / 2, rtt / 2) if ways is None else (ways(), ways())
        shown.append((min(now, end), now + there + back))
        pacer.bucket(method).spend(now)
        sent, now = now, now + there
        seen = bucket.call(now)
        now += back
        pacer.observe(method, seen, now, retry_after=1.0 if seen is None else None, sent=sent)
        refused += seen is None
        left = seen.remaining if seen else 0
        if seen and seen.remaining == 0 and not through_token:
            now += seen.reset_after

    call("POST", posts)
    while (at := pacer.edit_at(now, 1)) < end:
        now = max(now, at)
        call("PATCH", edits)
    now = max(now, end)
    now = max(now, pacer.final_at(now))
    call("PATCH", edits)
    stale, before = 0.0, begin
    for cut, visible in shown:
        stale += (cut - before) * (visible - (before + cut) / 2)
        before = cut
    return Shown(stale / seconds, shown[-1][1] - end, refused, left > 0, [visible for _, visible in shown])


@pytest.mark.parametrize(
    ("fixed", "seconds", "bound", "factor"),
    [
        (False, 8, 0.39, 1.25),
        (False, 20, 0.48, 1.15),
        (False, 60, 0.54, 1.10),
        (True, 8, 0.51, 1.20),
        (True, 20, 0.58, 1.20),
        (True, 60, 0.58, 1.20),
    ],
)
def test_the_pace_is_nearly_optimal(fixed: bool, seconds: int, bound: float, factor: float) -> None:
    runs = [stream(fixed=fixed, seconds=seconds + random.Random(seed).random()) for seed in range(20)]
    assert sorted(run.staleness for run in runs)[10] <= bound * factor
    assert max(run.final_delay for run in runs) <= (1.1 if fixed else 0.25)
    assert all(run.refused == 0 for run in runs)
    if not fixed:
        assert all(run.spared for run in runs)


def bound(*, fixed: bool, seconds: float, limit: int, period: float, rtt: float) -> float:
    """The lowest possible mean staleness: all edits are known in advance, and every token is used."""
    if fixed:
        windows, rest = divmod(seconds, limit * period)
        gap = (windows * limit * period**2 + rest**2 / limit) / seconds
    else:
        gap = seconds / (seconds / period + limit)
    return rtt + max(SHORTEST_GAP, gap) / 2


def test_unusual_limits_are_learned_and_kept() -> None:
    ratios = []
    for seed in range(300):
        draw = random.Random(seed)
        scene: dict[str, Any] = {
            "fixed": draw.random() < 0.5,
            "seconds": draw.choice([8, 20, 60]) + draw.random(),
            "limit": draw.randint(3, 10),
            "period": draw.uniform(0.3, 2.0),
            "rtt": draw.uniform(0.03, 0.4),
        }
        run = stream(**scene)
        assert run.refused == 0, f"seed {seed}"
        ratios.append((run.staleness / bound(**scene), seed))
    ratios.sort()
    assert ratios[int(0.97 * len(ratios))][0] <= 1.4, ratios[-9:]
    assert ratios[-1][0] <= 1.6, ratios[-1]


@pytest.mark.parametrize("fixed", [False, True])
def test_new_channels_start_with_learned_limits(fixed: bool) -> None:
    known = ChannelPacer()
    for bucket in (known.posts, known.edits):
        server, now = Bucket(fixed, 5, 1.0), 100.0
        for _ in range(3):
            bucket.spend(now)
            seen = server.call(now)
            assert seen is not None
            bucket.observe(seen, now)
            now += 0.5
    assert known.edits.fixed is fixed
    run = stream(fixed=fixed, seconds=8.5, like=known)
    assert run.staleness <= 1.25 * bound(fixed=fixed, seconds=8.5, limit=5, period=1.0, rtt=0.08)
    assert run.refused == 0
    assert run.calls[1] - run.calls[0] > 0.5, "the first edit is not wasted on the first words"


def test_changed_limits_are_followed() -> None:
    pacer, now = ChannelPacer(), 100.0
    edits = Bucket(False, 5, 1.0)
    for calls in range(60):
        if calls == 20:
            edits = Bucket(True, 3, 2.0)
        now = max(now, pacer.edit_at(now, 1))
        pacer.edits.spend(now)
        seen = edits.call(now)
        pacer.observe("PATCH", seen, now, retry_after=1.0 if seen is None else None)
    assert edits.refused == 0
    assert pacer.edits.fixed is True
    assert pacer.edits.period == pytest.approx(2.0, abs=0.01)


def test_refusals_slow_the_pace_for_a_while() -> None:
    pacer, now = ChannelPacer(), 100.0
    edits = Bucket(False, 5, 1.0)
    gaps = []
    for calls in range(40):
        before, now = now, max(now, pacer.edit_at(now, 1))
        gaps.append(now - before)
        pacer.edits.spend(now)
        refused = calls == 10
        seen = None if refused else edits.call(now)
        pacer.observe("PATCH", seen, now, retry_after=3.0 if refused else None)
    assert gaps[11] >= 3.0, "it waits as long as it was told to"
    assert gaps[12] > 1.5 * gaps[2], "and then goes slower than with as many tokens before"
    assert gaps[-1] == pytest.approx(1.0, abs=0.05)


def test_missing_headers_mean_the_usual_limits() -> None:
    pacer, now = ChannelPacer(), 100.0
    edits = Bucket(False, 5, 1.0)
    for _ in range(30):
        now = max(now, pacer.edit_at(now, 1))
        pacer.edits.spend(now)
        edits.call(now)
        pacer.observe("PATCH", None, now, retry_after=None)
    assert edits.refused == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-RateLimit-Limit": "5"},
        {
            "X-RateLimit-Limit": "many",
            "X-RateLimit-Remaining": "1",
            "X-RateLimit-Reset": "1",
            "X-RateLimit-Reset-After": "1",
        },
        {
            "X-RateLimit-Limit": "0",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": "1",
            "X-RateLimit-Reset-After": "1",
        },
    ],
)
def test_senseless_headers_are_ignored(headers: dict[str, str]) -> None:
    assert RateLimitHeaders.read(headers) is None


def test_the_bot_stays_below_fifty_requests() -> None:
    budget, now, sent = Budget(), 100.0, []
    draw = random.Random(1)
    for _ in range(500):
        now = max(now + draw.choice([0, 0, 0, 0, 0.3]), budget.at(now))
        budget.spend(now)
        sent.append(now)
    assert max(sum(1 for each in sent if at <= each < at + 1) for at in sent) <= 50
    assert sent[-1] - sent[0] < 100 * 0.3 + 500 / 40


def test_no_second_has_more_than_fifty_requests_however_late_they_leave_and_arrive() -> None:
    """In a busy process requests leave with the turns of its loop, each of which may take long.

    Where their ways differ, the first of them may arrive with those that leave later than a second after them.
    """
    budget, now, counted, left = Budget(), 100.0, 0, list[float]()
    draw = random.Random(1)
    while now < 200.0:
        for _ in range(counted):
            budget.left(now)
            left.append(now)
        counted = 0
        turn_ends = now + draw.choice([0.001, 0.01, 0.05, 0.2])
        while (now := budget.at(now)) < turn_ends:
            budget.spend(now)
            counted += 1
        now = turn_ends
    assert max(sum(1 for each in left if at <= each < at + 1 + WAYS_VARY) for at in left) <= 50
    assert len(left) > 40 * 100


def test_request_that_never_leaves_holds_up_no_other() -> None:
    budget = Budget(per_second=4, burst=1)
    for _ in range(5):
        budget.spend(100.0)
    assert budget.at(101.25) == 101.25


@pytest.mark.parametrize("seconds", [8, 20, 60])
def test_reply_through_a_token_is_followed_twice_as_closely(seconds: float) -> None:
    found = stream(fixed=True, seconds=seconds, period=0.4, through_token=True)
    assert found.staleness <= 0.3
    assert found.final_delay <= 0.5 + 2 * 0.08
    assert found.refused == 0
    message = stream(fixed=True, seconds=seconds)
    assert found.staleness <= message.staleness / 1.8


@pytest.mark.parametrize("rtt", [0.03, 0.08, 0.3])
def test_windows_of_tokens_follow_each_other_without_a_pause(rtt: float) -> None:
    """However far the server is, its next window is used from its beginning."""
    found = stream(fixed=True, seconds=60, period=0.4, rtt=rtt, through_token=True)
    assert found.refused == 0
    assert len(found.calls) >= 60 / 0.41
    assert found.staleness <= rtt + 0.21


WAYS: list[Callable[[random.Random], float]] = [
    lambda draw: draw.uniform(0.015, 0.2),
    lambda draw: 0.02 + draw.expovariate(20),
    lambda draw: 0.04 + (draw.random() < 0.1) * 0.5,
    lambda draw: 0.04 + draw.uniform(0, 0.003),
    lambda draw: max(0.001, draw.gauss(0.1, 0.03)),
]
"""How long a request or an answer is on its way, in seconds, through networks that are not steady."""


@pytest.mark.parametrize("way", WAYS)
def test_no_window_of_tokens_is_begun_too_early(way: Callable[[random.Random], float]) -> None:
    for seed in range(25):
        draw = random.Random(seed)
        found = stream(fixed=True, seconds=60, period=0.4, through_token=True, ways=lambda draw=draw: way(draw))  # type: ignore[misc]
        assert found.refused == 0, f"seed {seed}"


def test_after_a_refusal_every_window_is_waited_for() -> None:
    """The network has become much faster, which no earlier call could tell."""
    calls = iter(range(10**6))
    found = stream(
        fixed=True, seconds=120, period=0.4, through_token=True, ways=lambda: 0.3 if next(calls) < 40 else 0.02
    )
    assert found.refused <= 1


@pytest.mark.parametrize(
    ("fixed", "limit", "period"), [(True, 5, 0.4), (False, 5, 0.4), (True, 3, 1.0), (True, 10, 1.0)]
)
def test_limits_of_tokens_are_learned(fixed: bool, limit: int, period: float) -> None:
    for seconds in (8, 60):
        found = stream(fixed=fixed, seconds=seconds, limit=limit, period=period, through_token=True)
        assert found.refused == 0
        assert found.staleness <= 0.08 + max(SHORTEST_GAP, period) * 1.3
