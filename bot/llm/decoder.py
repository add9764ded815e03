"""The decoder of a model server's answer: from bytes to events. No IO.

The SDK's typed chunks cost over 100 µs of CPU each, so only what is needed of each line is decoded here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any

import jiter

from bot.core.model_events import End, Event, Reasoning, Text
from bot.core.quotas import Usage
from bot.core.turns import FailureReason

_ENDINGS = {
    "length": FailureReason.LENGTH,
    "max_tokens": FailureReason.LENGTH,
    "content_filter": FailureReason.CONTENT_FILTERED,
}
_GIVEN_UP = {"error", "insufficient_system_resource"}
"""Finish reasons with which OpenRouter and DeepSeek report that a reply could not be finished."""


# Where servers put each count of a request's tokens; the first one that is there counts.
_PROMPT = (("prompt_tokens",),)
_REPLY = (("completion_tokens",),)
_TOTAL = (("total_tokens",),)
_CACHED = (
    ("prompt_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),  # DeepSeek
    ("cached_tokens",),  # Moonshot, Together
    ("num_cached_tokens",),  # Mistral
)
_REASONING = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("reasoning_tokens",),  # SGLang
)


class StreamError(Exception):
    """A server's error object in place of a reply. It is raised and caught within this package."""

    def __init__(self, body: object) -> None:
        super().__init__()
        self.body = body


class Decoder:
    """Decodes one answer. Raises `StreamError` for a server's error, and `ConnectionError` for an incomplete reply."""

    def __init__(self) -> None:
        self.done = False
        self._rest = b""
        self._in_error = False
        self._finish = ""
        self._usage: Usage | None = None
        self._reasoning = ReasoningFilter()
        self._high = ""

    @property
    def finished(self) -> bool:
        """Whether the reply is whole."""
        return self.done or bool(self._finish)

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Decode the next bytes of a stream of server-sent events. The bytes may end anywhere."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line or self._in_error:
                yield from self._line(line)

    def decode_json(self, body: bytes) -> Iterator[Event]:
        """Decode the JSON of an answer that was not streamed."""
        self.done = True
        yield from self._chunk(_json(body), "message")
        yield from self.close()

    def close(self) -> Iterator[Event]:
        """End the decoding: yields text that was held back, the usage and the end."""
        rest, self._rest = self._rest, b""
        yield from self._line(rest)
        if not self.finished:
            raise ConnectionError("it ended without an end")
        if self._finish in _GIVEN_UP:
            raise ConnectionError(f"it was given up with {self._finish}")
        yield from self._reasoning.close()
        if self._usage:
            yield self._usage
        yield End(_ENDINGS.get(self._finish))

    # The methods below run for every delta, so they use lists instead of generators and `get` instead of patterns.

    def _line(self, line: bytes) -> Sequence[Event]:
        if line.startswith(b"data:"):
            data = line[5:].strip()
        elif line.startswith(b"{"):
            data = line
        elif line.startswith(b"error:"):  # llama.cpp before 2024
            data = line[6:].strip()
            self._in_error = True
        elif line.startswith(b"event:"):
            self._in_error = line[6:].strip() == b"error"
            return ()
        else:  # a comment, a field of no use, or the empty line behind an event
            self._in_error = self._in_error and bool(line.strip())
            return ()
        if not data or self.done:
            return ()
        if data == b"[DONE]":
            self.done = True
            return ()
        chunk = _json(data)
        if self._in_error:
            raise StreamError(chunk)
        return self._chunk(chunk, "delta")

    def _chunk(self, chunk: Any, key: str) -> Sequence[Event]:
        if not isinstance(chunk, dict):
            return ()
        if not self._finish and (chunk.get("error") or chunk.get("object") == "error"):
            raise StreamError(chunk.get("error") or chunk)
        if usage := chunk.get("usage"):
            self._count(usage)
        if groq := chunk.get("x_groq"):
            self._count(groq.get("usage") if isinstance(groq, dict) else None)
        choices = chunk.get("choices")
        if not choices or not isinstance(choices, list) or not isinstance(choice := choices[0], dict):
            return ()
        if usage := choice.get("usage"):  # Moonshot
            self._count(usage)
        if finish := choice.get("finish_reason"):
            self._finish = str(finish)
        delta = choice.get(key)
        if not isinstance(delta, dict):
            return ()
        events: list[Event] = []
        if delta.get("reasoning_content") or delta.get("reasoning"):
            events.append(Reasoning())
        if content := delta.get("content"):
            events += self._content(content)
        if isinstance(refusal := delta.get("refusal"), str) and refusal:
            events.append(Text(refusal))
        return events

    def _count(self, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        prompt, reply, reasoning = (_first_count(usage, names) for names in (_PROMPT, _REPLY, _REASONING))
        # xAI and Gemini count thoughts in the total only, and bill them like the reply. Elsewhere nothing is left over.
        left_over = _first_count(usage, _TOTAL) - prompt - reply
        if prompt and left_over > 0 and reasoning in (0, left_over):
            reply, reasoning = reply + left_over, left_over
        # Each count includes those of earlier events. An event without a count leaves an earlier one in place.
        before = self._usage or Usage(0, 0)
        counted = Usage(
            prompt or before.prompt_tokens,
            reply or before.reply_tokens,
            cached_tokens=_first_count(usage, _CACHED) or before.cached_tokens,
            reasoning_tokens=reasoning or before.reasoning_tokens,
        )
        self._usage = None if counted == Usage(0, 0) else counted

    def _content(self, content: object) -> Sequence[Event]:
        if isinstance(content, str):
            text = self._join_surrogates(content)
            return self._reasoning.feed(text) if text else ()
        events: list[Event] = []
        for part in content if isinstance(content, list) else ():
            match part:
                case {"text": str(text)} if text:
                    events += self._content(text)
                case {"type": "thinking" | "reasoning"}:
                    events.append(Reasoning())
        return events

    def _join_surrogates(self, text: str) -> str:
        """Join the two surrogates of a character beyond the BMP. JSON can divide them between two deltas."""
        if text.isascii() and not self._high:
            return text
        text = self._high + text
        self._high = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        text = text[: len(text) - len(self._high)]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Part(Enum):
    START = auto()
    THOUGHT = auto()
    GAP = auto()
    REPLY = auto()


class ReasoningFilter:
    """Removes a `<think>` block before the reply. The tags may be divided between deltas."""

    _OPEN, _CLOSE = "<think>", "</think>"

    def __init__(self) -> None:
        self._part = _Part.START
        self._held = ""

    def feed(self, text: str) -> Sequence[Event]:
        """Decode a delta's text."""
        if self._part is _Part.REPLY:
            return (Text(text),)
        self._held += text
        if self._part is _Part.START:
            first = self._held.lstrip()
            if first.startswith(self._OPEN):
                self._part, self._held = _Part.THOUGHT, first.removeprefix(self._OPEN)
            elif not self._OPEN.startswith(first):
                return self._reply(self._held)
        thinks = self._part is _Part.THOUGHT
        if thinks:
            _, closed, after = self._held.partition(self._CLOSE)
            self._held = after if closed else self._held[1 - len(self._CLOSE) :]
            self._part = _Part.GAP if closed else _Part.THOUGHT
        reply = self._held.lstrip() if self._part is _Part.GAP else ""
        return [*([Reasoning()] if thinks else []), *(self._reply(reply) if reply else [])]

    def close(self) -> Sequence[Event]:
        """The held-back text that looked like the beginning of a tag and was none."""
        return self._reply(self._held) if self._part is _Part.START and self._held.strip() else ()

    def _reply(self, text: str) -> Sequence[Event]:
        self._part = _Part.REPLY
        return (Text(text),)


def _first_count(usage: Mapping[str, object], places: Sequence[Sequence[str]]) -> int:
    """The first count of tokens in these places, each a path of names. Without one it is 0."""
    for path in places:
        found: object = usage
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if count := _whole_number(found):
            return count
    return 0


def _whole_number(count: object) -> int:
    """A count of tokens, or 0 for anything else. JSON does not distinguish 7 from 7.0."""
    if isinstance(count, float) and count.is_integer():
        count = int(count)
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0


def _json(data: bytes) -> Any:
    try:
        return jiter.from_json(data)
    except ValueError:
        pass  # jiter takes neither lone surrogates nor invalid UTF-8, and some servers send these
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except ValueError:
        raise ConnectionError("a part of it was not JSON") from None
