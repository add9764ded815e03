"""Summaries of what has left a conversation's window, and the work of making them. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bot.core.turns import Conversation, EarlierTurn

TITLE = 0
"""The level of a job for a title, which is made from the first turn of a thread."""


class Summary(NamedTuple):
    """A summary of turns that follow each other, or of such summaries.

    `since` and `until` are when the first and the last of their questions were asked, in seconds since the epoch.
    """

    since: int
    until: int
    text: str


class WindowSummaries(NamedTuple):
    """What a request has in place of the turns before the window."""

    latest_first: Sequence[Summary]
    planned: int | None
    """The number with which the window begins once the block that was summarized last has left it. It may have."""
    begins: int | None = None
    """The number before which they were asked for. None: of such a turn there are none."""


NO_SUMMARIES = WindowSummaries((), None)


class RememberedSummaries(NamedTuple):
    """What the model is told of what has left a window, the oldest first, and the blocks of which it is told nothing.

    `due` are to be summarized, `failed` are given up.
    """

    summaries: Sequence[Summary]
    due: int
    failed: int

    @property
    def only_due(self) -> bool:
        """Whether all are still to be made, so that there is nothing to make again."""
        return self.due > 0 and not self.summaries and not self.failed


@dataclass(frozen=True, slots=True)
class SummaryJob:
    """A summary to be made, of the turns with the numbers from `begins` to before `ends`.

    At level 0 (`TITLE`) it is the title of a thread, from its first turn. At level 1 it is made from the turns, above
    that from the summaries of the level below. `failures` are in a row.
    """

    id: int
    conversation_id: int
    conversation: Conversation
    level: int
    begins: int
    ends: int
    failures: int


@dataclass(frozen=True, slots=True)
class Block:
    """What a summary is made from: turns or summaries, oldest first.

    `sources` is all of it, for the comparison when the summary is committed.
    """

    since: int
    until: int
    turns: Sequence[EarlierTurn]
    summaries: Sequence[Summary]
    sources: str
