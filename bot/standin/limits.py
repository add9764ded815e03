"""Discord's rate limits: token buckets and their headers, computed from a clock that the caller passes in."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Literal, Protocol

Kind = Literal["leaky", "fixed"]
Key = tuple[str, str, object]


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate limit of `tokens` requests at once and one request per `period` seconds on average.

    In a `leaky` limit each used token returns `period` seconds after the one before it. In a `fixed` limit all tokens
    return together, `tokens * period` seconds after the first one was used.
    """

    tokens: int = 5
    period: float = 1.0
    kind: Kind = "leaky"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one request. The bucket is full in `reset_after` seconds. A token is due in `retry_after`."""

    allowed: bool
    limit: int
    remaining: int
    reset_after: float
    retry_after: float


class Bucket(Protocol):
    def take(self, now: float) -> Verdict: ...


class Leaky:
    """A bucket that regains one token every `period` seconds until it is full."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._full_at = -math.inf

    def take(self, now: float) -> Verdict:
        tokens, period = self.limit.tokens, self.limit.period
        missing = max(self._full_at - now, 0.0) / period
        # A floating-point error must not withhold a token that is due now.
        allowed = missing <= tokens - 1 + 1e-9
        if allowed:
            missing += 1
            self._full_at = now + missing * period
        remaining = max(int(tokens - missing + 1e-9), 0)
        retry_after = 0.0 if allowed else (missing - (tokens - 1)) * period
        return Verdict(allowed, tokens, remaining, missing * period, retry_after)


class Fixed:
    """A bucket with time windows. A window starts with its first request and returns all tokens when it ends."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._ends = -math.inf
        self._used = 0

    def take(self, now: float) -> Verdict:
        tokens = self.limit.tokens
        # A rounding error must not refuse a client that waited exactly the required time.
        if now >= self._ends - 1e-9:
            self._ends = now + tokens * self.limit.period
            self._used = 0
        allowed = self._used < tokens
        self._used += allowed
        left = self._ends - now
        return Verdict(allowed, tokens, tokens - self._used, left, 0.0 if allowed else left)


def bucket(limit: Limit) -> Bucket:
    return Leaky(limit) if limit.kind == "leaky" else Fixed(limit)


MESSAGES = "/channels/{channel_id}/messages"
MESSAGE = MESSAGES + "/{message_id}"

# Library authors have reported these numbers. The documentation publishes none.
_REPORTED = {
    ("GET", MESSAGES): Limit(5, 0.2),
    ("POST", "/channels/{channel_id}/typing"): Limit(5, 1.0, "fixed"),
    ("PUT", MESSAGE + "/reactions/{emoji}/@me"): Limit(1, 0.25),
    ("DELETE", MESSAGE + "/reactions/{emoji}/@me"): Limit(1, 0.25),
    ("PATCH", "/channels/{channel_id}"): Limit(2, 300.0, "fixed"),
}
_OTHERWISE = Limit(20, 0.05)
_WEBHOOK = Limit(5, 0.4, "fixed")
"""The limit of all calls with the token of one interaction, whatever their method and route."""
_BUCKETS_KEPT = 10_000
_UNLIMITED = {"/users/@me", "/gateway", "/gateway/bot", "/oauth2/applications/@me", "/applications/@me"}


@dataclass
class Limits:
    """All rate limits of one bot. The fields can be changed at any time. A changed limit starts with a new bucket."""

    messages: Limit = field(default_factory=Limit)
    """The limit for sending and for editing in one channel. Both share a bucket hash but count separately."""
    everything: Limit | None = Limit(50, 1 / 50, "fixed")
    """The limit over all routes except interactions and webhooks."""
    old_edits: Limit | None = Limit(3, 2.0, "fixed")
    """The limit for edits of messages in one channel that are over an hour old."""
    webhooks: Limit = _WEBHOOK
    others: dict[tuple[str, str], Limit] = field(default_factory=_REPORTED.copy)
    """The limits of other routes, by method and route."""
    _buckets: dict[Key, tuple[Limit, Bucket]] = field(default_factory=dict)

    def rule(self, method: str, route: str) -> tuple[str, Limit] | None:
        """Return the bucket hash and the limit of a route, or None if the route has no rate-limit headers."""
        if route in _UNLIMITED or route.startswith("/interactions/"):
            return None
        if (method, route) in (("POST", MESSAGES), ("PATCH", MESSAGE)):
            return _hash(MESSAGES), self.messages
        if route.startswith("/webhooks/"):
            return _hash("/webhooks"), self.webhooks
        return _hash(method + route), self.others.get((method, route), _OTHERWISE)

    def take(self, now: float, counter: str, hashed: str, major: object, limit: Limit) -> Verdict:
        """Use a token of a bucket if it has one. `counter`, `hashed` and `major` together identify the bucket."""
        key = (counter, hashed, major)
        known = self._buckets.get(key)
        if known is None or known[0] != limit:
            known = self._buckets[key] = (limit, bucket(limit))
            if len(self._buckets) > _BUCKETS_KEPT:
                # Every interaction has its own bucket.
                del self._buckets[next(iter(self._buckets))]
        return known[1].take(now)


def _hash(name: str) -> str:
    return hashlib.blake2s(name.encode(), digest_size=16).hexdigest()


def headers(verdict: Verdict, hashed: str, now: float) -> dict[str, str]:
    """Build the rate-limit headers. `now` is seconds since the epoch. Times are rounded up to milliseconds."""
    return {
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": f"{math.ceil(round((now + verdict.reset_after) * 1000, 2)) / 1000:.3f}",
        "X-RateLimit-Reset-After": f"{math.ceil(round(verdict.reset_after * 1000, 2)) / 1000:.3f}",
        "X-RateLimit-Bucket": hashed,
    }
