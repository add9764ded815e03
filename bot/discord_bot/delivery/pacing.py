"""When the next call to the platform may go: arithmetic over time and the limits seen in answers. No IO, no clock of
its own.

All times are seconds on one monotonic clock of the caller's. What is known of Discord's limits: a bucket for each
route and channel, with POST and PATCH of messages counted apart; either leaky (`limit` tokens, one back every
`period`) or a fixed window (all tokens back at its end); and 50 requests a second for the whole bot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

SHORTEST_GAP = 0.25
"""Seconds between two edits in a channel at the fastest: more often, people see flicker, not progress."""
PER_SECOND = 46
"""Requests a second for the whole bot: with a burst, still under Discord's 50 in any one second."""
BURST = 3
"""How many of these may go at one moment after a pause."""
_SPARE_LASTS = 4.0
"""Seconds in which the tokens to spare of a leaky bucket are used, the sooner the more: nobody knows how long a reply
will be, and most are short."""
_WINDOW_LASTS = 8.0
"""Seconds in which a longer window is taken to be used up, for the same reason: never quite, as what is left is spread
anew after each call."""
_LAST_SHARE = 0.5
"""How long before a fixed window's end its last token may be taken, in shares of a token."""
_ROUNDING = 0.005
"""Seconds by which a time from a header may be off: headers are rounded to milliseconds."""


@dataclass(frozen=True, slots=True)
class RateLimitHeaders:
    """The rate-limit headers of one answer. `reset` is on the server's clock, `reset_after` counts from the answer."""

    limit: int
    remaining: int
    reset: float
    reset_after: float

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Self | None:
        """What the headers say; None without them, or where they make no sense."""
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


class Bucket:
    """One bucket, as far as it can be known from here.

    Before the first header it is taken for Discord's usual one. The first answer after a pause fits both kinds of
    bucket, and then the more careful reading of the two counts; the second tells them apart, because an absolute
    reset time that stays where it was is a window's end, and one that moves with each call moves by one token's
    period.
    """

    def __init__(self, limit: int = 5, period: float = 1.0) -> None:
        self.limit = limit
        self.period = period
        """Seconds for one token; of a window, its length divided by the limit."""
        self.fixed: bool | None = False
        """Whether it is a fixed window; None while that is not clear."""
        self.last = float("-inf")
        """When the last call went."""
        self._remaining = limit
        self._resets_at = float("-inf")
        self._seen: RateLimitHeaders | None = None

    def fresh(self) -> Bucket:
        """A full bucket that starts with what this one has learned."""
        bucket = Bucket(self.limit, self.period)
        bucket.fixed = self.fixed
        return bucket

    def tokens(self, now: float) -> float:
        """How many calls the bucket has left."""
        if now >= self._resets_at:
            return self.limit
        if self.fixed is False:
            return max(0.0, self.limit - (self._resets_at - now) / self.period)
        return self._remaining

    def available_at(self, tokens: float, now: float) -> float:
        """The first moment from now on at which there are as many tokens."""
        if self.tokens(now) >= tokens:
            return now
        if self.fixed is False:
            return max(now, self._resets_at - (self.limit - tokens) * self.period) + _ROUNDING
        return self._resets_at + _ROUNDING

    def spend(self, now: float) -> None:
        """A call goes. Its answer's headers, where it has any, will correct this."""
        self.last = now
        if self.fixed is False:
            self._resets_at = max(self._resets_at, now) + self.period
        else:
            if now >= self._resets_at:
                self._remaining, self._resets_at = self.limit, now + self.limit * self.period
            self._remaining = max(0, self._remaining - 1)

    def observe(self, seen: RateLimitHeaders, now: float) -> None:
        """Learn from an answer that came now."""
        before, self._seen = self._seen, seen
        if before is None or before.limit != seen.limit or seen.reset - seen.reset_after >= before.reset:
            used = max(1, seen.limit - seen.remaining)
            known = before is not None and before.limit == seen.limit and self._fits(seen, used)
            if not known:
                self.fixed = None
                self.period = seen.reset_after / seen.limit
        elif seen.reset - before.reset <= 2 * _ROUNDING:
            if self.fixed is not True:
                self.period = max(before.reset_after, seen.reset_after) / seen.limit
            self.fixed = True
        else:
            self.fixed = False
            self.period = seen.reset - before.reset
        self.limit = seen.limit
        self._remaining = seen.remaining
        self._resets_at = now + seen.reset_after

    def _fits(self, seen: RateLimitHeaders, used: int) -> bool:
        """Whether the first answer after a pause is what the known kind of bucket would give."""
        if self.fixed is None:
            return False
        expected = used * self.period if self.fixed is False else seen.limit * self.period
        return abs(seen.reset_after - expected) <= 0.02 * expected + _ROUNDING

    def hold(self, until: float) -> None:
        """The platform said to wait: nothing is left before that moment."""
        self._remaining = 0
        self._resets_at = max(self._resets_at, until + (self.limit - 1) * self.period if self.fixed is False else until)

    def even_gap(self, streams: int) -> float:
        """How long after the last call the next should go so that all are spaced as evenly as the tokens allow.

        As many tokens as replies are streaming, and one more, stay in hand: so the end of each can be shown at once,
        and discord.py, which sleeps inside the call that takes the last one, never has to.
        """
        left = self.tokens(self.last)
        if self.fixed is False:
            keep = max(0, min(streams + 1, self.limit - 2))
            if left < keep:
                gap = self.period * (1 + keep - left)
            else:
                gap = self.period * _SPARE_LASTS / (_SPARE_LASTS + (left - keep) * self.period)
        elif self.fixed:
            # The last token goes shortly before the window ends: until then an end can be shown at once.
            unused = self.last == float("-inf")
            until = self.limit * self.period if unused else self._resets_at - self.last
            gap = min(_WINDOW_LASTS, until - _LAST_SHARE * self.period) / left if left else until
        else:
            # The longer of what the two kinds would ask for, within a second: while tokens are left, that is safe for
            # both, and the next answer tells.
            gap = min(1.0, max(self.period, self.limit * self.period / 2)) if left > 1 else self._resets_at - self.last
        return max(SHORTEST_GAP, gap)


class ChannelPacer:
    """The pace of one channel: its messages' buckets and what refusals have taught."""

    def __init__(self, like: ChannelPacer | None = None) -> None:
        self.posts: Bucket = Bucket() if like is None else like.posts.fresh()
        self.edits: Bucket = Bucket() if like is None else like.edits.fresh()
        self.deletes: Bucket = Bucket() if like is None else like.deletes.fresh()
        self._wider = 1.0

    def idle(self, now: float) -> bool:
        """Whether all its buckets are full, so that it knows no more than a new one."""
        return all(bucket.tokens(now) == bucket.limit for bucket in (self.posts, self.edits, self.deletes))

    def bucket(self, method: str) -> Bucket:
        """The bucket that a method on messages counts in."""
        return {"POST": self.posts, "PATCH": self.edits}.get(method, self.deletes)

    def post_at(self, now: float) -> float:
        """When a new message may go. The last token stays: with it, discord.py would hold the channel up."""
        return self.posts.available_at(min(2, self.posts.limit), now)

    def delete_at(self, now: float) -> float:
        """When a message may be deleted."""
        return self.deletes.available_at(min(2, self.deletes.limit), now)

    def edit_at(self, now: float, streams: int) -> float:
        """When the next edit of a reply that goes on should go, with so many replies streaming in the channel."""
        shown = max(self.posts.last, self.edits.last)
        return max(now, shown + self.edits.even_gap(streams) * self._wider, self.edits.available_at(1, now))

    def final_at(self, now: float) -> float:
        """When an edit that shows an end may go: as soon as there is a token."""
        return self.edits.available_at(1, now)

    def observe(self, method: str, seen: RateLimitHeaders | None, now: float, *, retry_after: float | None) -> None:
        """Learn from an answer; `retry_after` where it was a refusal (429)."""
        bucket = self.bucket(method)
        if seen is not None:
            bucket.observe(seen, now)
        if retry_after is None:
            self._wider = max(1.0, self._wider * 0.9)
        else:
            bucket.hold(now + retry_after)
            self._wider = min(4.0, self._wider * 2)


class Budget:
    """The requests of the whole bot: evenly, with room for a few at once."""

    def __init__(self, per_second: float = PER_SECOND, burst: int = BURST) -> None:
        self._gap = 1 / per_second
        self._burst = burst
        self._taken_until = float("-inf")
        self.held_until = float("-inf")
        """Until when the platform refuses everything."""

    def at(self, now: float) -> float:
        """When the next request may go."""
        return max(now, self._taken_until - (self._burst - 1) * self._gap)

    def has_room(self, now: float) -> bool:
        """Whether something that could as well not happen may go now."""
        return self.room_at(now) <= now

    def room_at(self, now: float) -> float:
        """When something may go that gives way to others."""
        return max(now, self._taken_until - self._gap)

    def spend(self, now: float) -> None:
        """A request goes."""
        self._taken_until = max(self._taken_until, now) + self._gap

    def hold(self, until: float) -> None:
        """The platform refused everything until that moment."""
        self.held_until = max(self.held_until, until)
        self._taken_until = max(self._taken_until, until + (self._burst - 1) * self._gap)
