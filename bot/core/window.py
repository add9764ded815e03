"""The window of a model: how much of it the context and the reply of a request may take. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bot.core import context

SMALLEST = 256
"""The fewest tokens that are believed to be a whole window. No server that can chat has fewer."""
_MARGIN = 16
"""The part of a window that stays free, as a divisor, since our counts are estimates."""
_REPLY_SHARE = 4
"""The part of a window that a long context leaves to the reply, as a divisor."""
REASONING_TOKENS = {
    "none": 0,
    "minimal": 1_000,
    "low": 4_000,
    "medium": 8_000,
    "high": 16_000,
    "xhigh": 32_000,
    "max": 32_000,
}
"""What a request allows for reasoning beside the text of the reply, by the effort that it asks for."""


def reasoning_tokens(effort: str, *, seen: bool) -> int:
    """The tokens to allow for reasoning. `seen`: the model reasons, whatever it is asked for."""
    usual = REASONING_TOKENS["medium"]
    return REASONING_TOKENS.get(effort, usual) or (usual if seen else 0)


@dataclass(frozen=True, slots=True)
class Room:
    """The most tokens of a request, by our estimate: of its context, of its reply, and of both where that is known."""

    context: int
    reply: int
    window: int | None = None

    def within(self, window: int, minimum: int) -> Room:
        """Limit a request to a window of so many tokens.

        The context leaves a quarter of the window to the reply, or `minimum` tokens if that is more.
        """
        reply = min(self.reply, max(window // _REPLY_SHARE, minimum))
        return Room(max(1, min(self.context, window - reply)), self.reply, window)

    def with_more_reasoning(self, reply_tokens: int) -> Room:
        """Allow a longer reply, after one of `reply_tokens` that was reasoning and nothing else."""
        return replace(self, reply=reply_tokens + max(reply_tokens, REASONING_TOKENS["medium"]))

    def with_reply_within(self, longest: int | None) -> Room:
        """Limit the reply to the longest one that the server allows, in tokens. None: its limit is not known."""
        return self if longest is None else replace(self, reply=min(self.reply, longest))

    def beside(self, context_tokens: int) -> int:
        """The tokens that a context of this size leaves to the reply. Below zero if the window is too small for it."""
        return self.reply if self.window is None else min(self.reply, self.window - context_tokens)


def named_window(named: int | None, counted: int, context_tokens: int, reply_tokens: int) -> int | None:
    """The window that a server names in its refusal of a request of this size, by our estimate, with a margin.

    `counted` is the server's count of the context, or 0. The result is None if the window cannot be true.
    """
    if named is None:
        return None
    # What the server counts more than we do is not ours to use: a template's own text, or a wrong estimate.
    more = max(0, min(counted - context_tokens, context.SERVERS_OWN_TOKENS))
    window = named - named // _MARGIN - more
    return window if SMALLEST <= window < context_tokens + reply_tokens else None


def read_window(counted: int) -> int:
    """The window of a server that read so many tokens of a longer context, by our estimate, with a margin."""
    return counted - counted // _MARGIN
