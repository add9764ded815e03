"""When a failing call to the platform is made again: arithmetic over times that are passed in."""

from __future__ import annotations

FIRST_DELAY = 0.5
"""Seconds from the first failure to the next call. Each further failure doubles them."""
LONGEST_DELAY = 15.0
"""Seconds between two calls at most."""
GIVE_UP_AFTER = 120.0
"""Seconds for which calls may fail before no more are made."""


class BackOff:
    """The growing delays between the failing calls of one reply."""

    def __init__(self) -> None:
        self._failing_since: float | None = None
        self._delay = FIRST_DELAY
        self.not_before = float("-inf")
        """The earliest time for the next call."""

    def failed(self, now: float) -> float | None:
        """Take a failure. Returns the seconds until the next call; None: it is time to give up."""
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since > GIVE_UP_AFTER:
            return None
        delay, self._delay = self._delay, min(LONGEST_DELAY, self._delay * 2)
        self.not_before = now + delay
        return delay

    def succeeded(self) -> None:
        """Take a success. The next failure is a first one again."""
        self._failing_since, self._delay = None, FIRST_DELAY

    def skip_delay(self) -> None:
        """Allow the next call at once. The delay after it does not become shorter."""
        self.not_before = float("-inf")
