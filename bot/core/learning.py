"""What the requests of one process have shown of its models: their windows, whether they reason, and what they read."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bot.core import context
from bot.core.cuts import CutDetector
from bot.core.errors import ContextTooLong
from bot.core.model_events import Message, TokenStatistics
from bot.core.quotas import Usage
from bot.core.turns import Conversation
from bot.core.window import Room, named_window, read_window, reasoning_tokens

WINDOW_MAX_AGE = 24 * 3600.0
"""Seconds after which a model is once sent more than the window that was learned, in case it has grown. A start does
the same."""


class ModelLearning:
    """One process's experience with each model. `key` is the model's name with its server."""

    def __init__(self) -> None:
        self._tried: dict[str, float] = {}
        """When each model was last sent more than its known window, or that was learned."""
        self._reasoning = set[str]()
        self._cuts = CutDetector()

    def mark_reasoning(self, key: str) -> None:
        """Note that the model reasons, whatever it is asked for."""
        self._reasoning.add(key)

    def mark_tried(self, key: str) -> None:
        """Note that the model was just sent as much as it may take."""
        self._tried[key] = _now()

    def room(
        self, key: str, wanted: Room, effort: str, longest: int | None, known: TokenStatistics, minimum: int
    ) -> Room:
        """The wanted room with what reasoning takes, in the known window unless it is time to try a larger one.

        `longest` is the longest reply, in tokens, that the server is known to allow.
        """
        reply = wanted.reply + reasoning_tokens(effort, seen=key in self._reasoning)
        room = replace(wanted, reply=reply).with_reply_within(longest)
        tried = self._tried.get(key)
        due = tried is None or _now() - tried >= WINDOW_MAX_AGE
        return room if known.window is None or due else room.within(known.window, minimum)

    def tries_more(self, key: str, known: TokenStatistics, size: int) -> bool:
        """Note a request of so many tokens. The result is whether it is more than the window that is known."""
        more = known.window is not None and size > known.window
        if more:
            self.mark_tried(key)
        return more

    def from_refusal(
        self,
        key: str,
        known: TokenStatistics,
        refusal: ContextTooLong,
        messages: list[Message],
        context_tokens: int,
        reply_tokens: int,
    ) -> tuple[TokenStatistics, int | None]:
        """What is known after a server refused a request of this size, and the window that it names, if that can be."""
        self.mark_tried(key)
        counted = context.credible(Usage(refusal.prompt_tokens or 0, 0), messages, 0, 0, 0)
        named = named_window(refusal.window, counted.prompt_tokens, context_tokens, reply_tokens)
        return context.learn_from_usage(known, messages, counted), named

    def from_count(
        self, key: str, conversation: Conversation, known: TokenStatistics, messages: list[Message], counted: Usage
    ) -> tuple[TokenStatistics, bool]:
        """What is known after a server's count of these messages, and whether it can have read only a part of them."""
        if not self._cuts.is_cut((key, conversation), messages, counted.prompt_tokens):
            return context.learn_from_usage(known, messages, counted), False
        self.mark_tried(key)
        return replace(known, window=read_window(counted.prompt_tokens)), True


def cut_advice(model: str, tokens: int) -> str:
    """What the operator can do about a server that reads less than the `tokens` of context and reply that it should."""
    return (
        f"The server of {model} reads less than it is sent and ignores the rest. Give it a context of {tokens}"
        " tokens (for Ollama: OLLAMA_CONTEXT_LENGTH), or lower CONTEXT_TOKENS and REPLY_TOKENS in .env and restart."
    )


def thoughts_advice(model: str, reply_tokens: int, longest: int | None) -> str:
    """What the operator can do about a reply whose tokens were used up before anything could be seen of it."""
    if longest is not None and longest <= reply_tokens:
        return (
            f"{model} used all {longest} tokens of its reply for thinking, and its server allows no more. Lower"
            " REASONING_EFFORT in .env and restart, or choose another model."
        )
    return (
        f"{model} used all {reply_tokens} tokens of its reply for thinking. Raise REPLY_TOKENS or lower"
        " REASONING_EFFORT in .env and restart."
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
