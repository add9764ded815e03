"""Token statistics of each model."""

from __future__ import annotations

from collections.abc import Mapping

from bot.core.model_events import TokenStatistics
from bot.store.part import Part


class TokenStatisticsStore(Part):
    """Token statistics by model name, kept from one start to the next."""

    async def of(self, model: str) -> TokenStatistics:
        return (await self.of_all()).get(model, TokenStatistics())

    async def of_all(self) -> Mapping[str, TokenStatistics]:
        rows = await self._engine.read(
            "SELECT model, bytes_per_token, window_tokens, picture_ratio FROM token_statistics"
        )
        return {model: TokenStatistics(*statistics) for model, *statistics in rows}

    async def record(self, model: str, statistics: TokenStatistics) -> None:
        await self._engine.write(
            """
            INSERT INTO token_statistics (model, bytes_per_token, picture_ratio, window_tokens)
            VALUES (:model, :bytes, :picture_ratio, :window)
            ON CONFLICT (model) DO UPDATE SET
                bytes_per_token = excluded.bytes_per_token,
                picture_ratio = excluded.picture_ratio,
                window_tokens = excluded.window_tokens
            """,
            model=model,
            bytes=statistics.bytes_per_token,
            picture_ratio=statistics.picture_ratio,
            window=statistics.window,
        )
