"""The states of a live reply, and what leads from one to the next. No IO.

    WAITING ─── something is shown ──> STREAMING
       └──────────────┬───────────────────┘
                      │ the reply has ended
                      v
                    ENDING ─── its end is shown ──> SHOWN

    WAITING, STREAMING, ENDING ─┬─ somebody deletes a message ──> REMOVING ─── the other messages are gone ──> REMOVED
                                ├─ the platform shows no more of it ──> REJECTED
                                └─ the platform fails for too long, or the process ends ──> ABANDONED

SHOWN, REMOVED, REJECTED and ABANDONED are final. A reply that is being removed ends as REMOVED in any case, because its
turn is forgotten, and another process has nothing to show of it.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto


class State(Enum):
    """Where a reply is between its beginning and its end."""

    WAITING = auto()
    """Nothing of this attempt is shown."""
    STREAMING = auto()
    """Something of this attempt is shown, and the text may grow."""
    ENDING = auto()
    """The end is known, and has to be shown."""
    REMOVING = auto()
    """Somebody deleted a message of the reply, so the others are deleted too."""
    SHOWN = auto()
    """The end is shown."""
    REMOVED = auto()
    """Nothing of the reply is left, or no more of it can be removed."""
    REJECTED = auto()
    """The platform shows no more of the reply; see `Lifecycle.delivery_error`."""
    ABANDONED = auto()
    """The end is not shown. Another process may still show it."""


_FINAL = frozenset({State.SHOWN, State.REMOVED, State.REJECTED, State.ABANDONED})


class Lifecycle:
    """The state of one reply, and events for those who wait for a state."""

    def __init__(self) -> None:
        self.state = State.WAITING
        self.delivery_error: str | None = None
        """Why the platform would not show all of the reply."""
        self.shut_out = False
        """Whether that is because the bot may not write in the channel any more."""
        self.visible = asyncio.Event()
        """Set once something of this attempt is shown, or nothing will be."""
        self.done = asyncio.Event()
        """Set in a final state."""

    @property
    def removing(self) -> bool:
        """Whether the reply is being removed."""
        return self.state is State.REMOVING

    @property
    def deleted(self) -> bool:
        """Whether somebody deleted a message of the reply."""
        return self.state in (State.REMOVING, State.REMOVED)

    @property
    def abandoned(self) -> bool:
        """Whether another process may still show the end."""
        return self.state is State.ABANDONED

    def mark_shown(self) -> None:
        """Something of this attempt is shown."""
        if self.state is State.WAITING:
            self.state = State.STREAMING
        self.visible.set()

    def mark_ended(self) -> None:
        """The end of the reply is known."""
        if self.state in (State.WAITING, State.STREAMING):
            self.state = State.ENDING

    def mark_deleted(self) -> None:
        """Somebody deleted a message of the reply."""
        if self.state not in _FINAL:
            self.state = State.REMOVING
        self.visible.set()

    def close(self, state: State) -> bool:
        """Enter a final state, which is REMOVED for a reply that is being removed. False: there was one before."""
        if self.state in _FINAL:
            return False
        self.state = State.REMOVED if self.removing else state
        self.visible.set()
        self.done.set()
        return True
