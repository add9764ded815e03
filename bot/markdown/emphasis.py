"""Which runs of `*`, `_`, `~~` and `||` are marks, by CommonMark's rules, and how each is written for Discord."""

from __future__ import annotations

from typing import Final
from unicodedata import category

WRITTEN: Final = {
    "*": "*", "_": "*", "**": "**", "__": "**", "~~": "~~", "||": "||",
    "<b>": "**", "<strong>": "**", "<h>": "**", "<i>": "*", "<em>": "*", "<u>": "__", "<ins>": "__",
    "<s>": "~~", "<del>": "~~", "<strike>": "~~",
}  # fmt: skip
"""What Discord is given for each mark of the source, HTML's tags among them; `<h>` stands for a deep heading."""
APART: Final = "\u200b"
"""Shown as nothing; Discord does not take it for a space. Keeps marks apart that would be read as one."""
_FIRST_WITHOUT_SPACES: Final = "\u0e00"
"""From here on (Thai) most scripts put no spaces between words, so that a mark may open anywhere."""


class Run:
    """Some characters in a row that may open or close emphasis, or an HTML tag that does.

    `piece` is the piece of the output that is kept for it, `kind` the character or the tag, `length` how many of the
    characters are not used yet (a tag counts as one), `literal` how one of them is written if it is no mark. One that
    is `carried` goes on from the part before, and is closed at the paragraph's end at the latest.
    """

    __slots__ = (
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
        self.literal = literal
        self.carried = carried
        self.dead = False
        """Whether it stands within a pair, so that nothing after that can close it."""
        self.closing: list[str] = []
        self.opening: list[str] = []

    def pending(self) -> tuple[str, ...]:
        """The marks that it opens if what closes it is still to come, outermost first."""
        if not self.opens or self.dead:
            return ()
        if self.kind[0] == "<":
            return (self.kind,)
        if self.kind in "~|":
            return (self.kind * 2,) if self.length == 2 else ()
        return {1: (self.kind,), 2: (self.kind * 2,), 3: (self.kind * 2, self.kind)}.get(self.length, ())


def sides(kind: str, before: str, behind: str) -> tuple[bool, bool]:
    """Whether a run between these two characters may open, and whether it may close.

    CommonMark's rules of flanking, but stricter within words: `2*3*4` and `x**2` are text, and so is `a || b`.
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
    """Whether CommonMark counts a character among punctuation: whatever is neither letter, digit nor space."""
    return not (character.isalnum() or character.isspace() or (character >= "\x80" and _is_mark(character)))


def _is_mark(character: str) -> bool:
    """Whether a character outside of ASCII is part of a word though Python does not count it so, as accents are."""
    return category(character)[0] not in "PS"


def match(runs: list[Run]) -> list[Run]:
    """Pair the runs, and return those that are left and may still open: CommonMark's "process emphasis"."""
    stack: list[Run] = []
    bottoms: dict[tuple[str, int, bool], int] = {}
    for run in runs:
        while run.closes and run.length:
            key = (run.kind, run.whole % 3, run.opens)
            floor = bottoms.get(key, 0)
            at = len(stack) - 1
            while at >= floor and not _fits(stack[at], run):
                at -= 1
            if at < floor:
                bottoms[key] = len(stack)
                break
            opener = stack[at]
            for passed in stack[at + 1 :]:
                passed.dead = True
            count = 2 if opener.length >= 2 and run.length >= 2 else 1
            mark = opener.kind * count
            opener.opening.insert(0, mark)
            run.closing.append(mark)
            opener.length -= count
            run.length -= count
            del stack[at + 1 :]
            if not opener.length:
                del stack[at]
            for each, bottom in bottoms.items():
                if bottom > len(stack):
                    bottoms[each] = len(stack)
        if run.opens and run.length:
            stack.append(run)
    return stack


def _fits(opener: Run, closer: Run) -> bool:
    if opener.kind != closer.kind:
        return False
    if closer.kind in "~|":
        return opener.length >= 2 and closer.length >= 2
    if closer.kind not in "*_":
        return True
    odd = (opener.closes or closer.opens) and (opener.whole + closer.whole) % 3 == 0
    return not odd or (opener.whole % 3 == 0 and closer.whole % 3 == 0)
