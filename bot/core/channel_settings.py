"""What the moderators of a server chose for one of its channels. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class WithoutMention(Enum):
    """Where in a channel the bot answers messages that do not mention it."""

    NEVER = "never"
    THREADS = "threads"
    """In the channel's threads that it answers in."""
    ALL = "all"


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """The settings of a channel, which hold in its threads too. `recent` is the messages sent before a mention."""

    without_mention: WithoutMention = WithoutMention.NEVER
    recent: int = 0
    threads: bool = False
    """Whether a new question is answered in a thread on it."""


DEFAULTS = ChannelSettings()
