"""The schema of a PostgreSQL database: made, and brought up to date by `bot/migrations/postgresql/*.sql`."""

from __future__ import annotations

from importlib import resources

import psycopg

from bot.core.errors import StoreUnusable
from bot.store.postgresql.connection import Connection

_MIGRATING = 0x5061726C
"""The advisory lock of whoever brings a schema up to date ("Parl")."""


def migrations() -> dict[int, str]:
    """The scripts by the version that each makes, which is the number that its name begins with."""
    folder = resources.files("bot") / "migrations" / "postgresql"
    scripts = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return {int(script.name[:4]): script.read_text(encoding="utf-8") for script in scripts}


async def migrate(connection: Connection, name: str) -> None:
    """Bring the schema up to date in one transaction, one process after the other.

    Raises StoreUnusable, with nothing changed, where it is another program's or a newer version's.
    """
    scripts = migrations()
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = 0")
        await connection.execute(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
        version = await _version(connection, name)
        if version > max(scripts):
            raise StoreUnusable(
                f"{name} was written by a newer version of this bot: install that version again, or use another"
                " database."
            )
        for number, script in scripts.items():
            if number > version:
                # Without parameters, so that one call takes all its statements.
                await psycopg.AsyncClientCursor(connection).execute(script.encode())
                await connection.execute(f"UPDATE schema_version SET version = {number}")


async def _version(connection: Connection, name: str) -> int:
    [[known, others]] = await (
        await connection.execute(
            "SELECT to_regclass('schema_version') IS NOT NULL,"
            " EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema())"
        )
    ).fetchall()
    if not known:
        if others:
            raise StoreUnusable(f"{name} has tables of another program: make a database for this bot alone.")
        await connection.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
        await connection.execute("INSERT INTO schema_version (version) VALUES (0)")
    [[version]] = await (await connection.execute("SELECT version FROM schema_version")).fetchall()
    return int(version)
