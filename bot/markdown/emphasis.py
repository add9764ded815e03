"""Emphasis: the runs of `*`, `_`, `~~` and `||` that are marks by CommonMark's rules, and their form for Discord."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple
from unicodedata import category

WRITTEN: Final = {
    "*": "*", "_": "*", "**": "**", "__": "**", "~~": "~~", "||": "||",
    "<b>": "**", "<strong>": "**", "<h>": "**", "<i>": "*", "<em>": "*", "<u>": "__", "<ins>": "__",
    "<s>": "~~", "<del>": "~~", "<strike>": "~~",
}  # fmt: skip
"""Discord's form of each mark in the source, including HTML tags. `<h>` stands for a deep heading."""
_FIRST_WITHOUT_SPACES: Final = "\u0e00"
"""The first character (in Thai) of the range where most scripts use no spaces between words.

A mark may open anywhere there.
"""


class Open(NamedTuple):
    """An open mark, as it stands in the source and as it was written, with what is known of the run it began in."""

    mark: str
    written: str = ""
    whole: int = 0
    """The length of the run."""
    both: bool = False
    """Whether the run may close emphasis, too."""


class Run:
    """A run of equal characters, or an HTML tag, that may open or close emphasis.

    `piece` is the output piece reserved for the run, and `kind` is its character or tag. `length` is the number of
    unused characters, and a tag counts as one. `literal` is the text written for one character that is no mark. A
    `carried` run continues from the previous part and is closed at the paragraph's end at the latest.
    """

    __slots__ = (
        "both",
        "carried",
        "closes",
        "closing",
        "dead",
        "kind",
        "length",
        "literal",
        "opening",
        "opens",
        "piece",
        "whole",
    )

    def __init__(
        self, piece: int, kind: str, length: int, opens: bool, closes: bool, literal: str, *, carried: bool = False
    ) -> None:
        self.piece = piece
        self.kind = kind
        self.length = self.whole = length
        self.opens = opens
        self.closes = closes
        self.both = opens and closes
        self.literal = literal
        self.carried = carried
        self.dead = False
        """Whether the run stands within a matched pair, so that no later run can close it."""
        self.closing: tuple[str, ...] = ()
        self.opening: tuple[str, ...] = ()

    def pending(self) -> tuple[str, ...]:
        """The marks that the run opens if its closing run is still to come, outermost first."""
        if not self.opens or self.dead:
            return ()
        if self.kind[0] == "<":
            return (self.kind,)
        if self.kind in "~|":
            return (self.kind * 2,) if self.length == 2 else ()
        return {1: (self.kind,), 2: (self.kind * 2,), 3: (self.kind * 2, self.kind)}.get(self.length, ())


@lru_cache(maxsize=1024)
def sides(kind: str, before: str, behind: str) -> tuple[bool, bool]:
    """Whether a run between these two characters may open emphasis, and whether it may close emphasis.

    The rules are CommonMark's flanking rules, but stricter within words. `2*3*4`, `x**2` and `a || b` are text.
    """
    space_before, space_behind = before.isspace(), behind.isspace()
    if space_before and space_behind:
        return False, False
    sign_before, sign_behind = _is_sign(before), _is_sign(behind)
    left = not space_behind and (not sign_behind or space_before or sign_before)
    right = not space_before and (not sign_before or space_behind or sign_behind)
    if kind == "_":
        return left and (not right or sign_before), right and (not left or sign_behind)
    within = not (space_before or space_behind or sign_before or sign_behind)
    if kind == "|":
        return left and (not within) and not right, right and not left
    return left and not (within and before < _FIRST_WITHOUT_SPACES), right


def _is_sign(character: str) -> bool:
    """Whether CommonMark counts a character as punctuation, that is, as neither letter, digit nor space."""
    return not (character.isalnum() or character.isspace() or (character >= "\x80" and _is_mark(character)))


def _is_mark(character: str) -> bool:
    """Whether a non-ASCII character, such as an accent, is part of a word although Python does not count it as one."""
    return category(character)[0] not in "PS"


def match(runs: list[Run]) -> list[Run]:
    """Pair the runs by CommonMark's "process emphasis" and return those that may still open emphasis."""
    stack: list[Run] = []
    bottoms: dict[tuple[str, int, bool], int] = {}
    outside: dict[Run, dict[tuple[str, int, bool], int]] = {}
    for run in runs:
        while stack and run.closes and run.length:
            at = len(stack) - 1
            if not _fits(stack[at], run):
                key = (run.kind, run.whole % 3, run.opens)
                floor = bottoms.get(key, 0)
                while at >= floor and not _fits(stack[at], run):
                    # An open tag will be closed, so that no emphasis ends within it that began before it.
                    at = -1 if stack[at].kind[0] == "<" != run.kind[0] else at - 1
                if at < floor:
                    bottoms[key] = len(stack)
                    break
            opener = stack[at]
            count = 2 if opener.length >= 2 and run.length >= 2 else 1
            mark = opener.kind * count
            opener.opening = (mark, *opener.opening)
            run.closing = (*run.closing, mark)
            opener.length -= count
            run.length -= count
            while len(stack) > at + 1:
                stack.pop().dead = True
            bottoms = outside.pop(opener, bottoms)
            if not opener.length:
                stack.pop()
            for each, bottom in bottoms.items():
                if bottom > len(stack):
                    bottoms[each] = len(stack)
        if run.opens and run.length:
            stack.append(run)
            if run.kind[0] == "<":
                outside[run] = dict(bottoms)
    return stack


def _fits(opener: Run, closer: Run) -> bool:
    if opener.kind != closer.kind:
        return False
    if closer.kind in "~|":
        return opener.length >= 2 and closer.length >= 2
    if closer.kind not in "*_" or not (opener.both or closer.both):
        return True
    return (opener.whole + closer.whole) % 3 != 0 or (opener.whole % 3 == 0 and closer.whole % 3 == 0)
