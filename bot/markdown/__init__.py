"""A model's Markdown as what Discord renders, cut into messages. Pure: no IO, no clock.

Not its job: limits on the number of messages, and how they are sent. Imports nothing of ours.
"""

from bot.markdown.document import Document, Part

__all__ = ["Document", "Part"]
