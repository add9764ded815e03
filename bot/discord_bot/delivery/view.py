"""What a reply should look like on a platform, what of it people see, and the one step from here to there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bot.core.turns import FailureReason, Outcome, TurnState


class PlatformError(Exception):
    """The platform did not do what it was asked to; its kinds say what becomes of that."""


class TargetGone(PlatformError):
    """Nothing more can be shown: the message or the channel was deleted, or the right to write there is gone."""

    def __init__(self, reason: str, *, deleted: bool = False) -> None:
        self.deleted = deleted
        super().__init__(reason)


class Unavailable(PlatformError):
    """The platform failed just now; the same call may work later."""


class ContentRejected(PlatformError):
    """The platform will not show this content."""


class NotEditable(PlatformError):
    """The messages there are can no longer be edited, but new ones can be posted."""


class Button(StrEnum):
    """What a person can press under a reply."""

    STOP = "stop"
    CONTINUE = "continue"
    RETRY = "retry"


_AFTER: dict[FailureReason | None, Button] = {
    FailureReason.LENGTH: Button.CONTINUE,
    FailureReason.UNREACHABLE: Button.RETRY,
    FailureReason.BUSY: Button.RETRY,
    FailureReason.EMPTY_REPLY: Button.RETRY,
    FailureReason.INTERNAL: Button.RETRY,
}


def button_after(outcome: Outcome) -> Button | None:
    """What can be done about an end; None: nothing has to."""
    if outcome.state is TurnState.INTERRUPTED:
        return Button.RETRY
    if outcome.failure in (FailureReason.QUOTA, FailureReason.OUT_OF_ROOM):
        return Button.CONTINUE if outcome.text else Button.RETRY
    return _AFTER.get(outcome.failure)


@dataclass(frozen=True, slots=True)
class WantedMessage:
    """A message as it should be. `start` is where in the reply's source its text begins; `file`, a text to attach."""

    start: int
    content: str
    button: Button | None = None
    file: str | None = None


class MessageGateway(Protocol):
    """The messages of one reply on the platform. Errors are `PlatformError`."""

    async def post(self, part: int, wanted: WantedMessage) -> tuple[int, bool]:
        """Make a new message. Returns its id, and whether it shows what was wanted.

        Trying again after Unavailable must not show it twice: it gives the message that the first try made, which may
        show an older text.
        """
        ...

    async def edit(self, part: int, message_id: int, wanted: WantedMessage) -> None: ...

    async def delete(self, message_id: int) -> None: ...


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message as people see it. `wanted` is None where that is not known: after a restart."""

    message_id: int
    wanted: WantedMessage | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A further message is wanted."""

    part: int
    wanted: WantedMessage


@dataclass(frozen=True, slots=True)
class Edit:
    """A message should be otherwise."""

    part: int
    wanted: WantedMessage


@dataclass(frozen=True, slots=True)
class Delete:
    """A message is not wanted any more."""

    message_id: int


Action = Post | Edit | Delete
METHODS: dict[type[Action], str] = {Post: "POST", Edit: "PATCH", Delete: "DELETE"}
"""Under which a platform counts each."""


def next_action(wanted: Sequence[WantedMessage], shown: Sequence[ShownMessage], *, ended: bool = True) -> Action | None:
    """The next step from what is shown towards what is wanted: earlier parts first.

    Until the end a button that could join the last message waits for an edit that goes out anyway.
    """
    for part, want in enumerate(wanted):
        if part >= len(shown):
            return Post(part, want)
        have = shown[part].wanted
        if have is None or (have.content, have.file) != (want.content, want.file):
            return Edit(part, want)
        if have.button is not want.button and (ended or part < len(wanted) - 1):
            return Edit(part, want)
    return Delete(shown[-1].message_id) if len(shown) > len(wanted) else None
