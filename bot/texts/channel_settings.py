"""Words that the sentences of /persona and /model share."""

from __future__ import annotations

CHANNEL = "this channel"
"""The label of a guild's channel."""
THREAD = "this thread"
"""The label of a thread."""
DIRECT = "this chat"
"""The label of a DM."""

AS_BEFORE = "That's how it was already."
NOT_CHANGED = "I can't save right now, so nothing is changed. Please try again later."
