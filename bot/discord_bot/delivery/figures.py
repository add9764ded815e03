"""Counts the requests to Discord and its refusals, and measures how old people see replies grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot.core.figures import WAITS, Figures

REQUESTS_PER_SECOND = 50
"""Discord's limit on the requests of a bot: https://discord.com/developers/docs/topics/rate-limits#global-rate-limit."""
_CALLS = {"POST": "post", "PATCH": "edit", "DELETE": "delete"}
_SCOPES = ("user", "global", "shared")
UNKNOWN = "unknown"


class DeliveryFigures:
    """The figures of one bot's requests to Discord.

    `waiting` returns how many replies have a call to make, `last_second` how many requests left in the last second that
    count towards the limit of the whole bot.
    """

    def __init__(self, figures: Figures, waiting: Callable[[], int], last_second: Callable[[], int]) -> None:
        self._requests = figures.counters(
            "discord_requests",
            "Requests that Discord answered: post, edit or delete a message in a channel, with an interaction's token"
            " (interaction), or any other.",
            "call",
        )
        self._rate_limited = figures.counters(
            "discord_rate_limited",
            "Requests that Discord refused with status 429, by the scope of the limit; unknown if it named none.",
            "scope",
        )
        # What may be rare is there from the beginning, so that its first time shows.
        for scope in (*_SCOPES, UNKNOWN):
            self._rate_limited.of(scope)
        self._staleness = figures.histogram(
            "staleness_seconds", "How long people had not seen what was there, at each call that showed it.", WAITS
        )
        figures.gauge("discord_calls_waiting", "Replies of which people do not see the latest.", waiting)
        figures.gauge(
            "discord_requests_last_second",
            f"Requests of the last second that count towards Discord's limit of {REQUESTS_PER_SECOND} a second.",
            last_second,
        )

    def answered(self, method: str | None, status: int, headers: Mapping[str, str], *, exempt: bool = False) -> None:
        """Count an answer to a request on a channel's messages, or to any other (`method` is None).

        `exempt`: it was made with an interaction's token.
        """
        call = "interaction" if exempt else _CALLS.get(method or "", "other")
        self._requests.of(call).add()
        if status == 429:
            scope = headers.get("X-RateLimit-Scope", "")
            self._rate_limited.of(scope if scope in _SCOPES else UNKNOWN).add()

    def shown(self, age: float) -> None:
        """Count a call that showed something that was not shown for `age` seconds."""
        self._staleness.observe(age)
