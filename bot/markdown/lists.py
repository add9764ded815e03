"""The lists that are open at a line: which of them it leaves, and how Discord writes the mark of an item."""

from __future__ import annotations

import re

from bot.markdown.rendered import Item


class OpenLists:
    """The open list items, outermost first."""

    def __init__(self, items: tuple[Item, ...]) -> None:
        self.items = items
        self.left: Item | None = None
        """The item that the last line closed. The next item of the same list continues its numbering."""

    def inside(self) -> int:
        """The column where the text of the innermost item begins."""
        return self.items[-1].text if self.items else 0

    def is_number_in_text(self, item: re.Match[str], indent: int) -> bool:
        """Whether a line in a paragraph begins with a number that begins no list there. Only 1 does."""
        return item[2] is not None and int(item[2]) != 1 and indent >= self.inside()

    def leave(self, indent: int, item: re.Match[str] | None) -> None:
        """Close the items that a line with this indentation does not belong to.

        An item's text may be indented less than Markdown asks for.
        """
        items = self.items
        self.left = None
        while items and indent < items[-1].text and not (item and indent >= items[-1].mark + 2):
            self.left, items = items[-1], items[:-1]
        self.items = items

    def end_on_discord(self) -> None:
        """Note that Discord ends all lists here, as it does at a blank line, so that their numbers begin afresh."""
        self.items = tuple(item._replace(counted=-1) for item in self.items)

    def continues_wrongly(self, item: re.Match[str]) -> bool:
        """Whether Discord would take an item for one of the list above it and change its number."""
        left = self.left
        if left is None or left.counted < 0 or not item[2] or left.sign == item[3]:
            return False
        return left.counted + 1 != int(item[2])

    def open(self, item: re.Match[str], indent: int, column: int, *, first: bool) -> str:
        """Return an item's mark for Discord, with two spaces for each list around the item."""
        sign = item[1] or item[3]
        number = counted = int(item[2]) if item[2] else 0
        if first and self.left:
            if self.left.sign == sign:
                number = counted = self.left.number
            if not item[2]:
                counted = max(self.left.counted, 0)
        depth = len(self.items)
        self.items += (Item(indent, column, sign, number + 1, counted),)
        return ("  " * depth if first else "") + (f"{number}. " if item[2] else "- ")
