"""A model's Markdown as what Discord renders, cut into messages. Pure: no IO, no clock."""

from bot.markdown.document import Document, Part

__all__ = ["Document", "Part"]
