"""Whether a server reads a context of the largest size that it is sent: its count of one such request shows it."""

from __future__ import annotations

from bot.core.context import BYTES_PER_TOKEN
from bot.core.errors import ContextTooLong, EmptyStream
from bot.core.model_events import Message
from bot.core.quotas import Usage
from bot.llm.client import OpenAIModel

_LINE = "The quick brown fox jumps over the lazy dog. "
_EXCHANGES = 8
"""The number of exchanges that the context consists of. A server that cuts drops whole messages."""
_REPLY_TOKENS = 16
_MOST_OVERHEAD = 0.25
"""The part of the expected count that may be missing, since each request has some tokens beside its text."""
_SHORTEST = 1_000
"""Tokens. A shorter context fits every server that can chat."""


async def read_context(model: OpenAIModel, name: str, context_tokens: int, reply_tokens: int) -> str:
    """A sentence on how much the model reads of a context of this size, with what to do. Raises ModelError.

    It costs one request of an eighth of that size and, if the server counts tokens, one of the whole size. The result
    is empty where it is not worth asking.
    """
    if context_tokens < _SHORTEST:
        return ""
    try:
        one = await _count(model, name, context_tokens, 1)
        whole = await _count(model, name, context_tokens, _EXCHANGES) if one else 0
    except (ContextTooLong, EmptyStream):
        return (
            f"{name} cannot read CONTEXT_TOKENS, {context_tokens} tokens, so it is sent less. Give it a longer context,"
            " or lower CONTEXT_TOKENS in .env."
        )
    if not whole:
        return f"{name} does not count tokens, so this cannot check how many it reads."
    if whole >= (1 - _MOST_OVERHEAD) * _EXCHANGES * one:
        return f"{name} reads all of CONTEXT_TOKENS (checked with one request of {context_tokens} tokens)."
    return (
        f"{name} reads only {whole} tokens of CONTEXT_TOKENS and ignores the rest. Give it a context of"
        f" {context_tokens + reply_tokens} tokens (for Ollama: OLLAMA_CONTEXT_LENGTH), or lower CONTEXT_TOKENS"
        " and REPLY_TOKENS in .env."
    )


async def _count(model: OpenAIModel, name: str, context_tokens: int, exchanges: int) -> int:
    """The server's count of so many exchanges of equal size, or 0 if it does not count."""
    text = _LINE * int(context_tokens * BYTES_PER_TOKEN / _EXCHANGES / len(_LINE))
    messages = [Message("user", text), Message("assistant", "Ok.")] * exchanges
    counted = 0
    async with model.stream([*messages, Message("user", "Say ok.")], model=name, reply_tokens=_REPLY_TOKENS) as events:
        async for event in events:
            if isinstance(event, Usage):
                counted = event.prompt_tokens
    return counted
