"""What tokens cost, and reports on them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.config import Price
from bot.turns import Usage

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of models, by name, in the operator's currency for a million tokens."""

    of_models: Mapping[str, Price] = field(default_factory=dict)

    def cost(self, model: str, usage: Usage) -> float | None:
        """What that many tokens of a model cost. None: its price is not known."""
        price = self.of_models.get(model)
        if price is None:
            return None
        return (usage.prompt_tokens * price.prompt + usage.reply_tokens * price.reply) / _MILLION
