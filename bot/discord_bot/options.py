"""The options of the Discord adapter, taken from the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from bot.config import Settings
from bot.core.access import AccessSettings
from bot.core.shards import Shards, WantedShards
from bot.core.usage import Prices
from bot.network.connections import Network


@dataclass(frozen=True, slots=True)
class Options:
    """How one bot on Discord runs."""

    grace: float = 8.0
    """Seconds that replies under way have at a shutdown."""
    messages_per_reply: int | None = None
    """Messages that a reply may take in a guild's channel; a longer one comes as a file. None means no limit."""
    recovery_max_age: float = 900.0
    """Seconds after which a prompt without a reply is no longer answered by itself."""
    catch_up_per_channel: int = 3
    """How many of the newest prompts that came to a channel while the bot was away are answered."""
    retention_days: int = 90
    """Days without use after which a conversation is deleted; 0 means never."""
    context_tokens: int = 8000
    """Tokens of a conversation that the model is sent at most."""
    shards: int | Shards | None = None
    """How many shards the bot has, or those that this process serves. None means as many as Discord recommends."""
    message_content: bool = False
    """Whether the bot asks for the privileged intent with which Discord gives it the text of every message."""
    access: AccessSettings = field(default_factory=AccessSettings)
    prices: Prices = field(default_factory=Prices)
    network: Network = field(default_factory=Network)

    @property
    def serves_direct_messages(self) -> bool:
        """Whether this process serves the first shard, and with it what there is once for the whole bot."""
        return not isinstance(self.shards, Shards) or self.shards.of(None) in self.shards.ids

    @classmethod
    def of(cls, settings: Settings, *, grace: float) -> Self:
        """The options that settings ask for."""
        return cls(
            grace=grace,
            messages_per_reply=settings.messages_per_reply,
            recovery_max_age=settings.recovery_max_age,
            catch_up_per_channel=settings.catch_up_per_channel,
            retention_days=settings.retention_days,
            context_tokens=settings.context_tokens,
            shards=None if isinstance(settings.shards, WantedShards) else settings.shards,
            message_content=settings.message_content,
            access=settings.access,
            prices=Prices(settings.prices or {}),
            network=settings.network,
        )
