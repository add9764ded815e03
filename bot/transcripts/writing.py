"""A transcript as text: the `messages` of a chat completion in JSON, or Markdown for people. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import Protocol

from bot.core.records import Exchange
from bot.core.turns import Conversation
from bot.texts import transcripts as words

_FENCE = re.compile(r" {0,3}(?P<marks>`{3,}(?=[^`]*$)|~{3,})(?P<rest>.*)", re.DOTALL)
"""A line that opens or closes a block of code: https://spec.commonmark.org/0.31.2/#fenced-code-blocks"""
_NEXT = ",\n"


class Format(StrEnum):
    """The format of a file."""

    JSON = "json"
    MARKDOWN = "markdown"


class Writer(Protocol):
    """Writes one conversation piece by piece, oldest exchange first."""

    left_out: int
    """Questions that are left out, because they have no answer."""

    def start(self, conversation: Conversation, persona: str | None) -> str: ...

    def page(self, exchanges: Sequence[Exchange]) -> str: ...

    def end(self) -> str: ...


def format_of(file: PurePath | None) -> Format:
    """The format that a file's name asks for, JSON unless it ends as those of Markdown do."""
    return Format.MARKDOWN if file is not None and file.suffix.lower() in (".md", ".markdown") else Format.JSON


def writer_of(format_: Format) -> Writer:
    return _Markdown() if format_ is Format.MARKDOWN else _Json()


class _Json:
    """`[{"role": …, "content": …}, …]` as `json.dump` with an indent writes it.

    Questions and answers alternate. So a question without an answer is left out, unless it is the last.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._unanswered: str | None = None
        self._separator = "[\n"

    def start(self, conversation: Conversation, persona: str | None) -> str:
        return "" if persona is None else self._message("system", persona)

    def page(self, exchanges: Sequence[Exchange]) -> str:
        return "".join(map(self._exchange, exchanges))

    def end(self) -> str:
        last = "" if self._unanswered is None else self._message("user", self._unanswered)
        # Without a message: somebody has had it all forgotten since the export began.
        return f"{last}\n]\n" if self._separator == _NEXT else "[]\n"

    def _exchange(self, exchange: Exchange) -> str:
        self.left_out += self._unanswered is not None
        self._unanswered = None if exchange.reply else exchange.prompt
        if not exchange.reply:
            return ""
        return self._message("user", exchange.prompt) + self._message("assistant", exchange.reply)

    def _message(self, role: str, content: str) -> str:
        message = json.dumps({"role": role, "content": content}, ensure_ascii=False, indent=2).replace("\n", "\n  ")
        separator, self._separator = self._separator, _NEXT
        return f"{separator}  {message}"


class _Markdown:
    """Questions as quotes, each with its answer below, and a rule between exchanges."""

    left_out = 0

    def start(self, conversation: Conversation, persona: str | None) -> str:
        head = f"# {' '.join(str(conversation).split())}\n"
        return head if persona is None else f"{head}\n{words.PERSONA}\n\n{_quoted(persona)}\n"

    def page(self, exchanges: Sequence[Exchange]) -> str:
        return "".join(f"\n---\n\n{_quoted(each.prompt)}\n\n{_answer(each)}\n" for each in exchanges)

    def end(self) -> str:
        return ""


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _answer(exchange: Exchange) -> str:
    if not exchange.reply:
        return words.NO_ANSWER
    reply = exchange.reply + _closing(exchange.reply)
    return reply if exchange.finished else f"{reply}\n\n{words.UNFINISHED}"


def _closing(text: str) -> str:
    """What closes the block of code in which a text ends, lest what follows becomes code too."""
    marks = ""
    for line in text.splitlines():
        fence = _FENCE.fullmatch(line)
        if fence is None:
            continue
        if not marks:
            marks = fence["marks"]
        elif fence["marks"].startswith(marks) and not fence["rest"].strip():
            marks = ""
    return f"\n{marks}" if marks else ""
