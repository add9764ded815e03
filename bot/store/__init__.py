"""The memory of all conversations: turns, deliveries, quotas, people, guild rules, personas and retention.

The parts hold the SQL; an engine runs it: `bot.store.sqlite` or `bot.store.postgresql`, the only importers of a
database driver. The package imports the core; it knows no platform and says nothing to people.
"""

from bot.store.store import Store

__all__ = ["Store"]
