"""Who may start a session: the bot's token, its intents, its shards and how many sessions it has started."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from bot.standin.entities import PRIVILEGED, Intent, Json
from bot.standin.sessions import Close, Refusal
from bot.standin.sharding import SessionStarts, Sharding

_ALL_INTENTS = (1 << 26) - 1


class Logins:
    """The credentials of one bot. `allowed` are the privileged intents that are enabled for it."""

    def __init__(
        self, token: str, sharding: Sharding, *, allowed: Callable[[], Intent], clock: Callable[[], float]
    ) -> None:
        self.token = token
        self.allowed = allowed
        self.starts = SessionStarts(sharding, clock)

    def knows(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self.token.encode())

    def reset_token(self) -> None:
        """Make the token invalid, as Discord does with that of a bot that starts too many sessions."""
        self.token = secrets.token_urlsafe(32)

    def refusal(self, identify: Json) -> Refusal | None:
        """Return why an IDENTIFY is not accepted, whenever it comes."""
        shard_id, count = identify.get("shard", (0, 1))
        intents = identify["intents"]
        if not self.knows(identify["token"]):
            return UNKNOWN_TOKEN
        if not 0 <= shard_id < count:
            return Refusal(Close.INVALID_SHARD, "Invalid shard.")
        if intents & ~_ALL_INTENTS:
            return Refusal(Close.INVALID_INTENTS, "Invalid intent(s).")
        if intents & PRIVILEGED & ~self.allowed():
            return Refusal(Close.DISALLOWED_INTENTS, "Disallowed intent(s).")
        return None


UNKNOWN_TOKEN = Refusal(Close.AUTHENTICATION_FAILED, "Authentication failed.")
