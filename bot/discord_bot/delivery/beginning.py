"""How a reply begins on Discord: from nothing, or with messages that an earlier attempt or process has posted.

A `Beginning` is one of five values. `ReplyMessages`, `LiveView` and `ShownMessages` each take from it what they need.
This module is pure: it does no IO.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import discord

SentMessage = tuple[int, int]
"""The id of a posted message, and the offset in the reply's source at which its text begins."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """Nothing of the reply has been posted."""


@dataclass(frozen=True, slots=True)
class ContinuedInPlace:
    """The reply goes on in the messages that show its text so far. Orphaned messages are deleted."""

    sent: Sequence[SentMessage]
    orphaned: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class ContinuedBelow:
    """The reply goes on in new messages. Its text up to `source_offset` stays in `part_count` old ones."""

    part_count: int
    source_offset: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """The reply is written again in the same messages.

    The previous text stays, with the status line under it, until there is new text. Then the first message shows the
    new text, and the others are deleted.
    """

    sent: Sequence[SentMessage]
    previous_text: str
    status_line: str
    orphaned: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class MovedBelow:
    """The reply is written again in new messages. The old ones are deleted once the first new one is posted."""

    stale_message_ids: Sequence[int]


Beginning = Fresh | ContinuedInPlace | ContinuedBelow | Restarted | MovedBelow


def sent_messages(beginning: Beginning) -> Sequence[SentMessage]:
    """The posted messages that the reply takes over."""
    return beginning.sent if isinstance(beginning, ContinuedInPlace | Restarted) else ()


def stale_message_ids(beginning: Beginning) -> Sequence[int]:
    """The posted messages that have to be deleted."""
    match beginning:
        case ContinuedInPlace(orphaned=stale) | Restarted(orphaned=stale) | MovedBelow(stale):
            return stale
    return ()


@dataclass(frozen=True, slots=True)
class PartialDelivery:
    """What an earlier process has posted of a reply."""

    sent: Sequence[SentMessage] = ()
    """The known messages, in the order of their parts."""
    unconfirmed: Mapping[int, str] = field(default_factory=dict)
    """The nonces of the parts that may have been posted, but whose messages were not found, by the parts' numbers."""
    orphaned: Sequence[int] = ()
    """Further messages, which are deleted: a part is missing before them, or nobody knows which text they show."""
    unrecorded: Collection[int] = ()
    """Those of the orphaned ones that are on no record, so that another reply may take them for its own."""

    @property
    def begun_at(self) -> datetime | None:
        """When the first message was posted. None: there is none."""
        return discord.utils.snowflake_time(self.sent[0][0]) if self.sent else None
