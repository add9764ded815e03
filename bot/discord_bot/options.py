"""How one bot on Discord is to run: what the adapter takes from the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bot.config import Settings
from bot.core.access import AccessSettings
from bot.core.usage import Prices


@dataclass(frozen=True, slots=True)
class Options:
    """Times are seconds.

    What is older than `recovery_max_age` is no longer answered, nor more than the newest `catch_up_per_channel` prompts
    that came to a channel while the bot was away. Conversations that nobody used for `retention_days` are deleted (0:
    never); of others the model is sent up to `context_tokens` at a time. In a server's channels a reply over
    `messages_per_reply` messages comes as a file. Beside the file `database` it can be asked for its health. `provider`
    names in one word where the messages go.
    """

    grace: float = 8.0
    messages_per_reply: int | None = None
    recovery_max_age: float = 900.0
    catch_up_per_channel: int = 3
    retention_days: int = 90
    context_tokens: int = 8000
    database: Path | None = None
    access: AccessSettings = field(default_factory=AccessSettings)
    prices: Prices = field(default_factory=Prices)
    provider: str = "OpenAI"

    @classmethod
    def of(cls, settings: Settings, *, grace: float, database: Path | None = None) -> Self:
        """What the settings say."""
        return cls(
            grace=grace,
            messages_per_reply=settings.messages_per_reply,
            recovery_max_age=settings.recovery_max_age,
            catch_up_per_channel=settings.catch_up_per_channel,
            retention_days=settings.retention_days,
            context_tokens=settings.context_tokens,
            database=database,
            access=settings.access,
            prices=Prices(settings.prices or {}),
            provider=settings.provider,
        )
