"""Conversion of a model's Markdown to the form that Discord renders, cut into messages. Pure: no IO, no clock.

Not its job: limits on the number of messages, and how they are sent. Imports nothing of ours.
"""

from bot.markdown.document import Document, Part
from bot.markdown.stream import Piece, Stream

__all__ = ["Document", "Part", "Piece", "Stream"]
