"""The sentences about the threads in which questions are answered."""

from __future__ import annotations

GO_ON = "-# To go on, mention me or reply to me with the ping on."
NOT_ALLOWED = "-# I may not open threads here. Moderators can allow it in the channel's permissions."
NOT_OPENED = "-# I couldn't open a thread right now, so I answer here."


def cannot_write(thread_id: int, *, locked: bool) -> str:
    """What people are told in the channel of a thread in which the bot was asked something and cannot write."""
    why = f"<#{thread_id}> is locked, so I can't answer there." if locked else f"I may not write in <#{thread_id}>."
    return f"-# {why} Ask me here instead."


def answered_here(thread_id: int) -> str:
    """Stands in a channel under the answer to a question in a thread in which the bot cannot write any more."""
    return f"-# I can't write in <#{thread_id}> any more, so my answer is here."


def answered_in(channel_id: int) -> str:
    """Stands in a thread under the beginning of an answer that the bot cannot go on with there."""
    return f"-# I can't write here any more. My whole answer is in <#{channel_id}>."


def untitled(name: str | None) -> str:
    """The title of a thread on a question without words, such as a picture."""
    return "A question" if name is None else f"A question from {name}"
