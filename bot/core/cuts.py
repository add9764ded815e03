"""Servers that read less of a context than they are sent, and say so in nothing but their counts. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from bot.core.model_events import Message

_FEWEST = 256
"""Tokens. A server that counts fewer, and an old one that counts only what its cache did not hold, says nothing."""
_GROWTH = 0.3
"""The part by which a context has to be larger than another of the same conversation, with about the same count."""
_LONG_TOKEN = 16
"""UTF-8 bytes. A text of any length has far fewer in a token."""
_SAME = 0.1
"""The part by which two counts may differ that are about the same. A server that drops whole messages does not fill its
window to the last token."""
_NOT_BLANK = bytes(set(range(256)) - set(b" \t\n\r\v\f\x1c\x1d\x1e\x1f\xc2\xe1\xe2\xe3"))
"""The bytes of UTF-8 with which no white space begins."""
_SEARCHED = 1_000_000
"""Bytes in which words are counted, which takes a few milliseconds."""
_CONVERSATIONS = 100
"""The number of conversations whose counts are kept."""


@dataclass(frozen=True, slots=True)
class _Count:
    size: int
    tokens: int


class CutDetector:
    """Finds the counts of one process that are beyond doubt too low for what was sent."""

    def __init__(self) -> None:
        self._counts: dict[Hashable, _Count] = {}
        """By conversation, the smallest context with about the count that its contexts have now."""

    def is_cut(self, conversation: Hashable, messages: Sequence[Message], tokens: int) -> bool:
        """Whether a server that counts so many tokens cannot have read all messages of a request.

        There are two signs: no tokenizer has fewer tokens than there are words, and the context of a conversation does
        not grow without its count. Contexts of other conversations say nothing, since they may be in another language.
        """
        if tokens < _FEWEST:
            return False
        if any(message.pictures for message in messages):
            # Their tokens come and go without any text.
            self._counts.pop(conversation, None)
            return _has_more_words(_joined(messages), tokens)
        text = _joined(messages)
        size = len(text)
        now, before = _Count(size, tokens), self._counts.pop(conversation, None)
        about_the_same = before is not None and abs(tokens - before.tokens) <= _SAME * before.tokens
        self._counts[conversation] = before if before and about_the_same and before.size <= size else now
        if len(self._counts) > _CONVERSATIONS:
            del self._counts[next(iter(self._counts))]
        if before and about_the_same:
            growth = size - before.size
            if growth >= _GROWTH * before.size and growth > _LONG_TOKEN * max(_FEWEST, tokens - before.tokens):
                return True
        return _has_more_words(text, tokens)


def _joined(messages: Sequence[Message]) -> bytes:
    return "\n".join([message.content for message in messages]).encode(errors="replace")


def _has_more_words(text: bytes, most: int) -> bool:
    """Whether a text, or its beginning if it is very long, has more than so many words."""
    beginning = text[:_SEARCHED]
    # Words are split only where there is blank enough for so many: that takes four times as long.
    return len(beginning.translate(None, _NOT_BLANK)) >= most and len(beginning.decode(errors="ignore").split()) > most
