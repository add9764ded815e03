"""All conversations, in one SQLite file; the one place that imports aiosqlite."""

from bot.store.backup import backup
from bot.store.connection import MEMORY
from bot.store.store import SQLiteStore

__all__ = ["MEMORY", "SQLiteStore", "backup"]
