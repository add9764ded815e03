"""When the next call to the platform may go: arithmetic over times and over the limits seen in answers.

This module is pure: it does no IO and reads no clock. All times are seconds on one monotonic clock of the caller's.

Discord documents that limits must be read from the headers of its answers, and a limit of 50 requests a second for the
whole bot: https://discord.com/developers/docs/topics/rate-limits. From these headers follows that each route has a
bucket in each channel, that POST and PATCH of messages are counted apart, and that there are two kinds of buckets:
leaky ones (`limit` tokens, one back every `period`) and fixed windows (all tokens back at the window's end).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

SHORTEST_GAP = 0.25
"""The shortest update interval of a channel in seconds. More frequent edits look like flicker."""
PER_SECOND = 44
"""Requests a second for the whole bot, in one process or in several.

Discord takes 50 in any second. It counts those that arrive, and what left in somewhat more than a second may arrive in
one: see `WAYS_VARY`, and `bot.discord_bot.delivery.shared_budget` for what several processes add to that.
"""
BURST = 3
"""Requests that may go at the same moment after a pause."""
WAYS_VARY = 0.02
"""Seconds by which the ways of two requests to the platform may differ."""
_WINDOW = 1.0 + WAYS_VARY
"""Seconds in which those left that arrive in one second."""
_SPARE_LASTS = 4.0
"""Seconds in which the spare tokens of a leaky bucket are used, most of them early.

How long a reply will be is not known, and most replies are short.
"""
_WINDOW_LASTS = 8.0
"""Seconds over which the remaining tokens of a longer fixed window are spread after each call.

How long a reply will be is not known, and most replies are short.
"""
_LAST_SHARE = 0.5
"""How long before a fixed window's end its last token may be taken, in shares of a token's period."""
_END_WAITS = 0.5
"""Seconds for which the end of a reply may always wait for a token: in a short window all edits are spaced evenly."""
_ROUNDING = 0.005
"""Seconds by which a time from a header may be wrong, because headers are rounded to milliseconds."""
_WAYS = 5
"""Calls after which it is known how long the shortest way to the platform takes."""


@dataclass(frozen=True, slots=True)
class RateLimitHeaders:
    """The rate-limit headers of one answer, as Discord documents them.

    `reset` is a time on the server's clock. `reset_after` are the seconds from the answer to that time.
    """

    limit: int
    remaining: int
    reset: float
    reset_after: float

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Self | None:
        """The headers of an answer. None: they are missing, or make no sense."""
        try:
            seen = cls(
                int(headers["X-RateLimit-Limit"]),
                int(headers["X-RateLimit-Remaining"]),
                float(headers["X-RateLimit-Reset"]),
                float(headers["X-RateLimit-Reset-After"]),
            )
        except (KeyError, ValueError):
            return None
        return seen if seen.limit > 0 and 0 <= seen.remaining <= seen.limit and seen.reset_after >= 0 else None


class Way:
    """How long calls are on their way to the server, in seconds by its clock and the caller's.

    The clocks may differ, so that only differences between ways mean something.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._mean = 0.0
        self._shortest = float("inf")

    def observe(self, sent: float, handled: float) -> None:
        """Learn from a call that was sent and handled at these times, each on its own clock."""
        way = handled - sent
        self._calls += 1
        self._mean += (way - self._mean) / self._calls
        self._shortest = min(self._shortest, way)

    def send_at(self, handled: float) -> float:
        """When a call may be sent that must not be handled before this time. Infinite: too little is known."""
        if self._calls < _WAYS:
            return float("inf")
        # A later call may be faster than all before it, by the less the more alike they were. Three times as much kept
        # within the limits in every network that was tried.
        return handled - self._shortest + 3 * (self._mean - self._shortest) + _ROUNDING


class Bucket:
    """One bucket of the server, as far as it is known from the answers.

    Before the first answer it counts as a leaky bucket of 5 tokens and one second. The first answer after a pause fits
    both kinds of buckets, so the more careful assumption holds. The second answer tells them apart: the reset time of a
    fixed window stays where it was, and that of a leaky bucket moves by one token's period with each call.
    """

    def __init__(self, limit: int = 5, period: float = 1.0) -> None:
        self.limit = limit
        self.period = period
        """Seconds for one token. For a fixed window: its length divided by the limit."""
        self.fixed: bool | None = False
        """Whether the bucket is a fixed window. None: that is not known yet."""
        self.assumed = False
        """Whether the first answer is taken for one of that kind, with these limits, if it fits them."""
        self.last = float("-inf")
        """When the last call went."""
        self.way: Way | None = None
        """The way of the calls, if one for the next fixed window may be sent before this one has ended.

        After a refusal none is.
        """
        self._remaining = limit
        self._resets_at = float("-inf")
        """When a leaky bucket is full, or the first call of the next fixed window may be sent."""
        self._ended_by = float("-inf")
        """When the fixed window has ended for certain."""
        self._seen: RateLimitHeaders | None = None

    def fresh(self) -> Bucket:
        """Return a full bucket with the limits learned so far."""
        bucket = Bucket(self.limit, self.period)
        bucket.fixed = self.fixed
        bucket.way = None if self.way is None else Way()
        return bucket

    def tokens(self, now: float) -> float:
        """The number of calls that the bucket has left."""
        if now >= self._resets_at:
            return self.limit
        if self.fixed is False:
            return max(0.0, self.limit - (self._resets_at - now) / self.period)
        return self._remaining

    def available_at(self, tokens: float, now: float) -> float:
        """The first time from now on at which the bucket has so many tokens."""
        if self.tokens(now) >= tokens:
            return now
        if self.fixed is False:
            return max(now, self._resets_at - (self.limit - tokens) * self.period) + _ROUNDING
        return self._resets_at + _ROUNDING

    def spend(self, now: float) -> None:
        """Count a call. The headers of its answer will correct the count."""
        self.last = now
        if self.fixed is False:
            self._resets_at = max(self._resets_at, now) + self.period
        else:
            if now >= self._resets_at:
                self._remaining, self._resets_at = self.limit, now + self.limit * self.period
            self._remaining = max(0, self._remaining - 1)

    def observe(self, seen: RateLimitHeaders, now: float, sent: float | None = None) -> None:
        """Learn from the headers of an answer that came now. `sent` is when its request was sent, if that is known."""
        before, self._seen = self._seen, seen
        # Each answer tells the end too late by its own way back.
        ended_by = now + seen.reset_after
        if before is None or before.limit != seen.limit or seen.reset - seen.reset_after >= before.reset - _ROUNDING:
            used = max(1, seen.limit - seen.remaining)
            limit = before.limit if before is not None else self.limit if self.assumed else None
            known = limit == seen.limit and self._fits(seen, used)
            if not known:
                self.fixed = None
                self.period = seen.reset_after / seen.limit
        elif seen.reset - before.reset <= 2 * _ROUNDING:
            if self.fixed is not True:
                self.period = max(before.reset_after, seen.reset_after) / seen.limit
            self.fixed = True
            ended_by = min(ended_by, self._ended_by)
        else:
            self.fixed = False
            self.period = seen.reset - before.reset
        self.limit = seen.limit
        self._remaining = seen.remaining
        self._resets_at = self._ended_by = ended_by
        if self.way is not None and sent is not None:
            self.way.observe(sent, seen.reset - seen.reset_after)
            if self.fixed:
                self._resets_at = min(ended_by, self.way.send_at(seen.reset))

    def _fits(self, seen: RateLimitHeaders, used: int) -> bool:
        """Whether the first answer after a pause is one that the known kind of bucket gives."""
        if self.fixed is None:
            return False
        expected = used * self.period if self.fixed is False else seen.limit * self.period
        return abs(seen.reset_after - expected) <= 0.02 * expected + _ROUNDING

    def hold(self, until: float) -> None:
        """Make no call before that time, because the platform has refused one."""
        self._remaining = 0
        self.way = None
        self._resets_at = max(self._resets_at, until + (self.limit - 1) * self.period if self.fixed is False else until)

    def even_gap(self, streams: int) -> float:
        """Seconds from the last call to the next, so that all are spaced as evenly as the tokens allow.

        One token for each streaming reply and one more stay unused, so that the end of each reply can be shown at once.
        With one token left, discord.py does not sleep inside a call either, as it does after the last one (see
        `discord.http.Ratelimit`).
        """
        left = self.tokens(self.last)
        if self.fixed is False:
            keep = max(0, min(streams + 1, self.limit - 2))
            if left < keep:
                gap = self.period * (1 + keep - left)
            else:
                gap = self.period * _SPARE_LASTS / (_SPARE_LASTS + (left - keep) * self.period)
        elif self.fixed:
            # The last token is taken shortly before the window ends. Until then it can show a reply's end at once.
            unused = self.last == float("-inf")
            until = self.limit * self.period if unused else self._resets_at - self.last
            before_end = max(_LAST_SHARE * self.period, min(until / (left + 1), _END_WAITS))
            gap = min(_WINDOW_LASTS, until - before_end) / left if left else until
        else:
            # The longer interval of the two kinds, but a second at most. It is safe for both kinds while tokens are
            # left, and the next answer tells the kind.
            gap = min(1.0, max(self.period, self.limit * self.period / 2)) if left > 1 else self._resets_at - self.last
        return max(SHORTEST_GAP, gap)


class ChannelPacer:
    """The pace of one channel: the buckets of its messages, and a slower pace after refusals.

    `like` is another channel's pacer, whose limits the new one starts with.
    """

    def __init__(self, like: ChannelPacer | None = None) -> None:
        self.posts: Bucket = Bucket() if like is None else like.posts.fresh()
        self.edits: Bucket = Bucket() if like is None else like.edits.fresh()
        self.deletes: Bucket = Bucket() if like is None else like.deletes.fresh()
        self._wider = 1.0

    def idle(self, now: float) -> bool:
        """Whether all buckets are full, so that nothing is lost with the pacer."""
        return all(bucket.tokens(now) == bucket.limit for bucket in (self.posts, self.edits, self.deletes))

    def bucket(self, method: str) -> Bucket:
        """The bucket in which a method on messages counts."""
        return {"POST": self.posts, "PATCH": self.edits}.get(method, self.deletes)

    def post_at(self, now: float) -> float:
        """When a message may be posted.

        The last token is not used: after it, discord.py sleeps inside the call and keeps the channel busy.
        """
        return self.posts.available_at(min(2, self.posts.limit), now)

    def delete_at(self, now: float) -> float:
        """When a message may be deleted."""
        return self.deletes.available_at(min(2, self.deletes.limit), now)

    def edit_at(self, now: float, streams: int) -> float:
        """When a reply that goes on should be edited, while so many replies stream in the channel."""
        shown = max(self.posts.last, self.edits.last)
        return max(now, shown + self.edits.even_gap(streams) * self._wider, self.edits.available_at(1, now))

    def final_at(self, now: float) -> float:
        """When an edit that shows a reply's end may go: as soon as there is a token."""
        return self.edits.available_at(1, now)

    def observe(
        self,
        method: str,
        seen: RateLimitHeaders | None,
        now: float,
        *,
        retry_after: float | None,
        sent: float | None = None,
    ) -> None:
        """Learn from an answer to what was `sent` then. `retry_after` are the seconds to wait after a refusal (429)."""
        bucket = self.bucket(method)
        if seen is not None:
            bucket.observe(seen, now, sent)
        if retry_after is None:
            self._wider = max(1.0, self._wider * 0.9)
        else:
            bucket.hold(now + retry_after)
            self._wider = min(4.0, self._wider * 2)


class InteractionPacer(ChannelPacer):
    """The pace of the messages of one interaction, whose calls all count in one bucket.

    Before the first answer that counts as a fixed window of five calls in two seconds, as library authors report it.
    """

    def __init__(self, like: ChannelPacer | None = None) -> None:
        super().__init__(like)
        if like is None:
            self.edits = Bucket(5, 0.4)
            self.edits.fixed = True
            self.edits.way = Way()
        self.edits.assumed = True
        self.posts = self.deletes = self.edits

    def post_at(self, now: float) -> float:
        """When a message may be posted. The window is so short that the sleep after its last token does no harm."""
        return self.posts.available_at(1, now)


class Budget:
    """The requests of the whole bot: a steady rate, with a burst after a pause.

    A busy process sends requests some time after they were counted, and several at once. So what leaves is counted too:
    in any second, as many arrive as the rate and the burst allow.
    """

    def __init__(self, per_second: float = PER_SECOND, burst: int = BURST) -> None:
        self._gap = 1 / per_second
        self._burst = burst
        self._most = int(per_second + burst)
        self._taken_until = float("-inf")
        self._left: deque[float] = deque(maxlen=self._most)
        """When the latest requests left."""
        self._leaving: deque[float] = deque(maxlen=self._most)
        """When those were counted that have not left yet. One that never leaves is dropped after a second."""
        self.held_until = float("-inf")
        """The time until which the platform refuses all requests."""
        self.on_room: list[Callable[[], None]] = []
        """Called when there is room earlier than was said."""

    def at(self, now: float) -> float:
        """When the next request may go."""
        return self.paced_at(now)

    def paced_at(self, now: float) -> float:
        """When the next request may go by this process's own pace, whether or not there is one."""
        return max(now, self._taken_until - (self._burst - 1) * self._gap, self._window_at(now))

    def has_room(self, now: float) -> bool:
        """Whether a request that gives way to others may go now."""
        return self.room_at(now) <= now

    def room_at(self, now: float) -> float:
        """When a request that gives way to others may go."""
        return max(now, self._taken_until - self._gap, self._window_at(now))

    def spend(self, now: float) -> None:
        """Count a request."""
        self._taken_until = max(self._taken_until, now) + self._gap
        self._leaving.append(now)

    def left(self, now: float) -> None:
        """Note that a request that was counted has left."""
        if self._leaving:
            self._leaving.popleft()
        self._left.append(now)

    def last_second(self, now: float) -> int:
        """The requests that left in the last second."""
        return sum(each > now - 1.0 for each in self._left)

    def _window_at(self, now: float) -> float:
        """When there is room for one more among those that may arrive within a second."""
        while self._leaving and self._leaving[0] <= now - _WINDOW:
            self._leaving.popleft()
        over = len(self._left) + len(self._leaving) - self._most
        if over < 0:
            return now
        return _WINDOW + (self._left[over] if over < len(self._left) else self._leaving[over - len(self._left)])

    def hold(self, until: float) -> None:
        """Make no request before that time, because the platform has refused all."""
        self.held_until = max(self.held_until, until)
        self._taken_until = max(self._taken_until, until + (self._burst - 1) * self._gap)
