"""The sentences about the threads in which questions are answered."""

from __future__ import annotations

GO_ON = "-# To go on, mention me or reply to me with the ping on."
NOT_ALLOWED = "-# I may not open threads here. Moderators can allow it in the channel's permissions."
NOT_OPENED = "-# I couldn't open a thread right now, so I answer here."


def untitled(name: str | None) -> str:
    """The title of a thread on a question without words, such as a picture."""
    return "A question" if name is None else f"A question from {name}"
