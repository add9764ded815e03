"""A streamed chat completion, from any server that speaks OpenAI's protocol, as events."""

from bot.llm.client import OpenAIModel

__all__ = ["OpenAIModel"]
