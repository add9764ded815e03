"""A server's rate-limit buckets, computed without a clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bot.discord_bot.delivery.pacing import RateLimitHeaders


@dataclass
class Bucket:
    """One bucket of a server: leaky, or a fixed window that begins with the first call in it."""

    fixed: bool
    limit: int
    period: float
    refused: int = 0
    _full_at: float = -math.inf
    _left: int = 0

    def call(self, at: float) -> RateLimitHeaders | None:
        if self.fixed:
            if at >= self._full_at:
                self._left, self._full_at = self.limit, at + self.limit * self.period
            if self._left == 0:
                self.refused += 1
                return None
            self._left -= 1
            left = self._left
        else:
            full_at = max(self._full_at, at)
            if (full_at - at) / self.period > self.limit - 1 + 1e-9:
                self.refused += 1
                return None
            self._full_at = full_at + self.period
            left = int(self.limit - (self._full_at - at) / self.period + 1e-9)
        # The server's clock differs from that of the caller.
        return RateLimitHeaders(self.limit, left, round(self._full_at + 5e8, 3), round(self._full_at - at, 3))
