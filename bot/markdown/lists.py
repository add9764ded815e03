"""The lists that are open at a line: which of them it leaves, and how Discord writes the mark of an item."""

from __future__ import annotations

import re
from typing import Final

from bot.markdown.escaping import APART
from bot.markdown.rendered import Item

_DEEP: Final = 4
"""The number of columns by which code is indented."""


class OpenLists:
    """The open list items, outermost first."""

    def __init__(self, items: tuple[Item, ...], outer: tuple[Item, ...] = ()) -> None:
        self.items = items
        self.outer = outer
        """The items that the open quote is in."""
        self.left: tuple[Item, ...] = ()
        """The items that the last line closed. The next item of the same list continues its numbering."""

    def inside(self) -> int:
        """The column where the text of the innermost item begins."""
        return self.items[-1].text if self.items else 0

    def is_deep(self, indent: int) -> bool:
        """Whether a line with this indentation is code, or text if it continues a paragraph."""
        return indent >= self.inside() + _DEEP

    def is_text(self, item: re.Match[str], indent: int) -> bool:
        """Whether a line in a paragraph begins no list there: of numbers, only 1 does."""
        if item[2] and int(item[2]) != 1 and indent >= self.inside():
            return True
        return indent >= _DEEP and OpenLists(self._around(indent, item)).is_deep(indent)

    def leave(self, indent: int, item: re.Match[str] | None) -> None:
        """Close the items that a line with this indentation does not belong to."""
        around = self._around(indent, item)
        self.left, self.items = self.items[len(around) :], around

    def _around(self, indent: int, item: re.Match[str] | None) -> tuple[Item, ...]:
        """Return the open items that a line with this indentation belongs to.

        An item's text may be indented less than Markdown asks for.
        """
        items = self.items
        while items and indent < items[-1].text and not (item and indent >= items[-1].mark + 2):
            items = items[:-1]
        return items

    def begin_quote(self, indent: int) -> None:
        """Go on in a quote with this indentation, which may be within an item and has lists of its own."""
        self.end_on_discord()
        self.outer, self.items, self.left = self._around(indent, None), (), ()

    def end_quote(self) -> None:
        """Go on behind the quote."""
        self.items, self.outer, self.left = self.outer, (), ()

    def end_on_discord(self) -> None:
        """Note that Discord ends all lists here, as it does at a blank line and at most blocks.

        Their numbers then begin afresh.
        """
        self.items = tuple(item._replace(counted=-1) for item in self.items)

    def is_miscounted(self, item: re.Match[str]) -> bool:
        """Whether Discord would take an item for one of another list above it, and change its number or its mark.

        The first item of a list decides for Discord whether all of them have numbers.
        """
        counted = self._counted() if self.left else -1
        if counted < 0:
            return False
        return counted == 0 or counted + 1 != self._number(item) if item[2] else counted > 0

    def end(self) -> str:
        """Return a line that ends the innermost list on Discord and looks blank. A blank line would end all lists."""
        self.left = tuple(item._replace(counted=-1) for item in self.left)
        if self.items and self.items[-1].counted >= 0:
            return "  " * len(self.items) + APART
        self.end_on_discord()
        return ""

    def open(self, item: re.Match[str], indent: int, column: int, *, first: bool) -> str:
        """Return an item's mark for Discord, with two spaces for each list around the item."""
        if not first:
            self.left = ()
        sign, digits, stop = item.groups()
        number = self._number(item) if digits else 0
        before = "  " * len(self.items) if first else ""
        # Discord begins no list with 0: it would show a 1.
        counted = -1 if digits and number == 0 else number
        self.items += (Item(indent, column, sign or stop, number + 1, counted),)
        return before + ("- " if not digits else f"{number}. " if number else "0\\. ")

    def _number(self, item: re.Match[str]) -> int:
        """Return the number of a numbered item."""
        if self.left and self.left[0].sign == item[3]:
            return self.left[0].number
        return int(item[2])

    def _counted(self) -> int:
        """Return the last number that Discord has counted in the list that it takes the next item for, or -1.

        It takes an item that is indented for one of any list above it, even of one that is indented more.
        """
        for item in self.left:
            if item.counted >= 0 or not self.items:
                return item.counted
        return -1
