"""The decoder of a model server's answer: from bytes to events. No IO.

The SDK's typed chunks cost over 100 µs of CPU each, so only what is needed of each event is decoded here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bot.core.model_events import End, Event, Reasoning
from bot.core.quotas import Usage
from bot.core.turns import FailureReason
from bot.llm.reasoning import ReasoningFilter
from bot.llm.server_events import ServerEvents, StreamError

# Finish reasons in lower case: of OpenAI and Anthropic, Mistral, Gemini, Zhipu, and OpenRouter and DeepSeek.
_ENDINGS = {
    **dict.fromkeys(("length", "max_tokens", "model_length", "max_output_tokens"), FailureReason.LENGTH),
    **dict.fromkeys(
        ("content_filter", "refusal", "safety", "recitation", "blocklist", "prohibited_content", "spii", "sensitive"),
        FailureReason.CONTENT_FILTERED,
    ),
}
_GIVEN_UP = {"error", "insufficient_system_resource", "network_error"}
"""Finish reasons with which servers report that a reply could not be finished."""
_NO_FINISH = {"null", "none"}
_LINGER_DONE = 0.1
"""Seconds to wait for the response's end after `[DONE]`, so that its connection can be used again."""
_LINGER_FINISHED = 2.0
"""Seconds to wait for the usage after a finish reason."""
_LINGER_UNSURE = 10.0
"""Seconds to wait for more after a finish reason in the first event with text. Some servers send one in every event."""
_REASONING_KEYS = frozenset({"reasoning_content", "reasoning", "reasoning_details", "reasoning_text", "thinking"})
_TEXT_TYPES = (None, "text", "output_text")
"""The types of a content part that are shown. All others are reasoning, or nothing that a reply can show."""
_SUCCESS = (None, 0, 200, "0", "200", "ok", "OK", "success")
"""Codes of servers that wrap each answer in one."""

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


class Decoder:
    """Decodes one answer. `is_page`: its label says that it is a web page.

    Raises `StreamError` for a server's error, `WebPageError` for a page, and `ConnectionError` for an incomplete reply.
    """

    def __init__(self, *, is_page: bool = False) -> None:
        self._source = ServerEvents(is_page=is_page)
        self._finish = ""
        self._begun = False
        """Whether an event said something and had no finish reason."""
        self._sure = False
        """Whether the finish reason came where one is expected: behind events without one."""
        self._refuted = False
        """Whether more came behind a finish reason, so that this server's finish reasons mean nothing."""
        self._usage: Usage | None = None
        self._reasoning = ReasoningFilter()
        self._high = ""

    @property
    def complete(self) -> bool:
        """Whether the reply is whole for sure, so that nothing behind it counts."""
        return self._source.done or self._sure

    @property
    def linger(self) -> float | None:
        """The seconds to wait for more of a reply that seems to be whole. None: it does not."""
        if self._source.done:
            return _LINGER_DONE
        if not self._finish or self._refuted:
            return None
        return _LINGER_FINISHED if self._sure else _LINGER_UNSURE

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Decode the next bytes. They may end anywhere."""
        try:
            for value in self._source.feed(chunk):
                yield from self._value(value)
        except StreamError:
            if not self.complete:
                raise

    def close(self) -> Iterator[Event]:
        """End the decoding: yields text that was held back, the usage and the end."""
        try:
            for value in self._source.close():
                yield from self._value(value)
        except (StreamError, ConnectionError):
            if not self.complete:
                raise
        if not self._source.done and not self._finish:
            raise ConnectionError("it ended without an end")
        if self._finish in _GIVEN_UP:
            raise ConnectionError(f"it was given up with {self._finish}")
        yield from self._reasoning.close()
        if self._usage:
            yield self._usage
        yield End(_ENDINGS.get(self._finish))

    # The methods below run for every delta, so they use lists instead of generators and `get` instead of patterns.

    def _value(self, value: Any) -> Sequence[Event]:
        if not isinstance(value, dict) or value.get("error") or value.get("object") == "error":
            self._other(value)
            return ()
        if usage := value.get("usage"):
            self._count(usage)
        if groq := value.get("x_groq"):
            self._count(groq.get("usage") if isinstance(groq, dict) else None)
        choices = value.get("choices")
        if not choices or not isinstance(choices, list) or not isinstance(choice := choices[0], dict):
            self._other(value)
            return ()
        if usage := choice.get("usage"):  # Moonshot
            self._count(usage)
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message")
            if not isinstance(delta, dict):
                delta = {"content": choice.get("text")}
        if choice.get("finish_reason") or self._finish or not self._begun:
            self._mark(choice, delta)
        content = delta.get("content")
        if len(delta) == 1 and isinstance(content, str):
            if self._high or not content.isascii():
                content = self._join_surrogates(content)
            return self._reasoning.feed(content) if content else ()
        events: list[Event] = []
        if _reasons(delta):
            events.append(Reasoning())
        events += self._content(content)
        if isinstance(refusal := delta.get("refusal"), str):
            events += self._text(refusal)
        return events

    def _mark(self, choice: dict[str, Any], delta: dict[str, Any]) -> None:
        """Note whether an event says something, and its finish reason."""
        if choice.get("error"):
            raise StreamError(choice)
        says = bool(delta.get("content") or delta.get("refusal") or _reasons(delta))
        if says and self._finish:
            self._refuted, self._sure, self._finish = True, False, ""
        finish = str(choice.get("finish_reason") or "").lower()
        if finish and finish not in _NO_FINISH:
            self._finish = finish
            self._sure = self._begun and not self._refuted
        elif says:
            self._begun = True

    def _other(self, value: Any) -> None:
        """Take an event without a choice. Raises StreamError if it is an error, in whatever shape."""
        if not isinstance(value, dict):
            if self._source.bare or _is_error(value):
                self._raise(value)
            return
        if _is_error(value) or (self._source.bare and "choices" not in value):
            self._raise(value)

    def _raise(self, value: Any) -> None:
        if self.complete:
            return
        error = value.get("error") if isinstance(value, dict) else None
        raise StreamError(error if isinstance(error, dict) else value)

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

    def _text(self, text: str) -> Sequence[Event]:
        if self._high or not text.isascii():
            text = self._join_surrogates(text)
        return self._reasoning.feed(text) if text else ()

    def _content(self, content: object) -> Sequence[Event]:
        """Decode content that may be in parts, such as Mistral's."""
        if isinstance(content, str):
            return self._text(content)
        events: list[Event] = []
        for part in content if isinstance(content, list) else [content]:
            if isinstance(part, dict):
                if part.get("type") in _TEXT_TYPES and not part.get("thought"):
                    events += self._content(part.get("text"))
                elif part:
                    events.append(Reasoning())
            elif isinstance(part, str | list):
                events += self._content(part)
        return events

    def _join_surrogates(self, text: str) -> str:
        """Join the two surrogates of a character beyond the BMP. JSON can divide them between two deltas."""
        text = self._high + text
        self._high = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = text[: len(text) - len(self._high)]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _reasons(delta: dict[str, Any]) -> bool:
    return not _REASONING_KEYS.isdisjoint(delta) and any(delta.get(key) for key in _REASONING_KEYS)


def _is_error(value: object) -> bool:
    """Whether a value without a choice is an error. Each server has its own shape for it."""
    match value:
        case {"error": error} if error:
            return True
        case {"object": "error"} | {"type": "error"}:
            return True
        case {"error_code": said} | {"error_msg": said} | {"detail": said} | {"errors": said} if said:
            return True
        case {"base_resp": {"status_code": int(status)}} if status:  # MiniMax
            return True
        case {"message": str() | dict() | list()} | {"msg": str()}:
            assert isinstance(value, dict)  # noqa: S101 - for mypy
            codes = [value[key] for key in ("code", "status", "status_code") if key in value]
            return any(code not in _SUCCESS for code in codes) or not (codes or "choices" in value)
        case [first, *_]:
            return _is_error(first)
    return False


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
