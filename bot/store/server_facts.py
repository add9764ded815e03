"""What is known of model servers, and the keys of the hashes that are sent to them."""

from __future__ import annotations

import secrets

from bot.store.part import Part


class ServerFactStore(Part):
    """Facts about the models of each server, as JSON, and secret keys by purpose. Nothing here is about a person."""

    async def load(self, server: str, model: str) -> tuple[str, int] | None:
        rows = await self._engine.read(
            "SELECT facts, learned_at FROM server_facts WHERE server = :server AND model = :model",
            server=server,
            model=model,
        )
        return (rows[0]["facts"], rows[0]["learned_at"]) if rows else None

    async def save(self, server: str, model: str, facts: str, learned_at: int) -> None:
        await self._engine.write(
            """
            INSERT INTO server_facts (server, model, facts, learned_at)
            VALUES (:server, :model, :facts, :learned_at)
            ON CONFLICT (server, model) DO UPDATE SET facts = excluded.facts, learned_at = excluded.learned_at
            """,
            server=server,
            model=model,
            facts=facts,
            learned_at=learned_at,
        )

    async def forget(self, server: str, model: str) -> None:
        await self._engine.write(
            "DELETE FROM server_facts WHERE server = :server AND model = :model", server=server, model=model
        )

    async def hash_key(self, purpose: str) -> str:
        """The key for hashes with this purpose, 32 bytes as hexadecimal digits. It is made when first asked for."""
        rows = await self._engine.write(
            """
            INSERT INTO hash_keys (purpose, key) VALUES (:purpose, :key)
            ON CONFLICT (purpose) DO UPDATE SET key = hash_keys.key RETURNING key
            """,
            purpose=purpose,
            key=secrets.token_hex(32),
        )
        return str(rows[0]["key"])
