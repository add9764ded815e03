"""The reasoning that models write into their text, told from the reply by its marks. No IO.

A block of reasoning stands at the beginning of a line outside code; whoever talks about the marks puts them into code
or into a sentence. Where the chat template has written the opening mark, only the closing one comes, alone on its line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from bot.core.model_events import Discard, Event, Reasoning, Text

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "seed:think")
"""The names of tags, in any case: of most models, Gemini, EXAONE, Reflection, and Seed-OSS."""
_BLOCKS = {
    **{f"<{name}>": f"</{name}>" for name in _NAMES},
    "[THINK]": "[/THINK]",  # Magistral
    "◁think▷": "◁/think▷",  # Kimi
    "<|channel>": "<channel|>",  # Gemma
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A
    "<|begin_of_thought|>": "<|end_of_thought|>",  # OpenThinker
}
_MESSAGE = "<|message|>"
_HARMONY = ("<|start|>", "<|channel|>")
"""The marks of the harmony format that begin the header of a message, whose channel is named before `<|message|>`."""
_ENDS = ("<|end|>", "<|return|>", "<|call|>")
"""The marks of the harmony format that end a message."""


def _any_of(marks: Sequence[str]) -> str:
    """The pattern of any of these marks. Only tags come in any case: `[Think](https://…)` is a link."""
    return "|".join(f"(?i:{re.escape(mark)})" if mark[0] == "<" else re.escape(mark) for mark in marks)


_OPENING = re.compile(_any_of([*_BLOCKS, *_HARMONY]), re.ASCII)
_CLOSING = re.compile(rf"(?:{_any_of(list(_BLOCKS.values()))})[ \t]{{0,64}}", re.ASCII)
_MESSAGE_END = re.compile(_any_of(_ENDS), re.ASCII)
_MESSAGE_MARK = re.compile(_any_of([*_HARMONY, *_ENDS]), re.ASCII)
_FINAL = re.compile(r"<\|channel\|>\s*final\b", re.ASCII)
_MARKS = tuple(mark.lower() for mark in (*_BLOCKS, *_BLOCKS.values(), *_HARMONY, *_ENDS))
_LONGEST_MARK = max(map(len, _MARKS))
_LONGEST_HEADER = 200
_LONGEST_BLANK = 256
"""Characters of white space before a reply that are held back until it is known what follows."""
_LONGEST_LINE = 300
"""Characters of a line, from its first backtick or tilde on, that are searched for fences."""
_INDENT = 3
"""Spaces before a block at most. With more it is code."""
_TELLING = re.compile(r"[<\[◁`~\n]")
_TICKS = re.compile(r"`{3,}")
_TILDES = re.compile(r"(~{3,})[^~]*$")


class _State(Enum):
    START = auto()
    """Only white space came."""
    REPLY = auto()
    HEADER = auto()
    """Between a mark of `_HARMONY` and `<|message|>`."""
    THOUGHT = auto()
    GAP = auto()
    """Behind a block, before the text that follows it."""


_REPLY = _State.REPLY
"""A name of its own for what is compared with for every delta: reading a member of an enumeration takes longer."""


class ReasoningFilter:
    """Removes reasoning from the text of a reply. The text may be divided into deltas anywhere.

    `Discard` says that all text before it was reasoning.
    """

    def __init__(self) -> None:
        self._state = _State.START
        self._held = ""
        self._closing = re.compile("")
        """The pattern of what ends the block."""
        self._may_be_open = True
        """Whether all text so far may be reasoning whose opening mark the chat template wrote."""
        self._shown = False
        self._harmony = False
        self._fence = ""
        """The marks that opened the code block we are in."""
        self._line = ""
        """The line so far, from its first backtick or tilde on."""
        self._indent = 0
        """The columns of white space that the line consists of so far, or -1 if there is more in it."""

    def feed(self, text: str) -> Sequence[Event]:
        """Take a delta's text."""
        if self._state is _REPLY and not self._held and not _TELLING.search(text):
            if self._line:
                self._line = (self._line + text)[:_LONGEST_LINE]
            if self._indent >= 0:
                self._indent = self._indent + len(text) if text.isspace() else -1
            self._shown = True
            return (Text(text),)
        return self._take(text, final=False)

    def close(self) -> Sequence[Event]:
        """End the text. What was held back as it looked like the beginning of a mark is text."""
        return [event for event in self._take("", final=True) if not isinstance(event, Reasoning)]

    def _take(self, text: str, *, final: bool) -> Sequence[Event]:
        self._held += text
        found = _Found(reasons=self._state in (_State.HEADER, _State.THOUGHT))
        while _STEPS[self._state](self, found, final):
            pass
        events: list[Event] = [Discard()] if found.discards else []
        if found.reasons:
            events.append(Reasoning())
        if said := "".join(found.said):
            self._shown = True
            events.append(Text(said))
        return events

    # Each of these takes what it can of the text that is held. They return whether the state changed.

    def _begin(self, found: _Found, final: bool) -> bool:
        rest = self._held.lstrip()
        blank = len(self._held) - len(rest)
        if self._state is _State.GAP or (final and not rest):
            self._held, blank = rest, 0
        if blank <= _LONGEST_BLANK:
            if not rest or self._is_undecided(rest, 0, final):
                return False
            if self._enter(rest, 0):
                return True
            if self._is_alone(rest, 0, final):
                self._held = rest[len(self._closing_mark(rest, 0)) :]
                self._state, self._may_be_open, found.reasons = _State.GAP, False, True
                return True
            if self._harmony and (end := _MESSAGE_END.match(rest)):
                self._held = rest[end.end() :]
                return True
        self._state, self._indent = _State.REPLY, 0
        return True

    def _enter(self, text: str, at: int) -> bool:
        """Enter the block that begins here. Returns whether one does."""
        opening = _OPENING.match(text, at)
        if opening is None:
            return False
        mark = opening[0]
        self._may_be_open = False
        if mark in _HARMONY:
            self._state, self._held, self._harmony = _State.HEADER, text[at:], True
            return True
        closing = _BLOCKS.get(mark) or _BLOCKS.get(mark.lower()) or _BLOCKS[mark.upper()]
        self._state, self._held = _State.THOUGHT, text[opening.end() :]
        self._closing = re.compile(_any_of([closing]), re.ASCII)
        return True

    def _read_header(self, found: _Found, final: bool) -> bool:
        found.reasons = True
        header, found_mark, rest = self._held.partition(_MESSAGE)
        if not found_mark and (len(header) <= _LONGEST_HEADER or final):
            return False
        if len(header) > _LONGEST_HEADER:
            found.said.append(self._held[:1])
            self._state, self._held, self._indent = _State.REPLY, self._held[1:], -1
            return True
        self._held = rest
        if "<|channel|>" not in header or _FINAL.search(header):
            self._state = _State.GAP
        else:
            self._state, self._closing = _State.THOUGHT, _MESSAGE_MARK
        return True

    def _think(self, found: _Found, final: bool) -> bool:
        found.reasons = True
        held, kept = self._held, 0
        for closing in self._closing.finditer(held):
            if held[: closing.start()].endswith("`"):
                behind = held[closing.end() : closing.end() + 1]
                if not behind and not final:
                    self._held = held[closing.start() - 1 :]
                    return False
                if behind == "`":
                    # The reasoning is about the mark.
                    kept = closing.end()
                    continue
            self._held = held[closing.start() if closing[0] in _HARMONY else closing.end() :]
            self._state = _State.GAP
            return True
        self._held = "" if final else held[max(kept, len(held) - _LONGEST_MARK - 1) :]
        return False

    def _reply(self, found: _Found, final: bool) -> bool:
        text, at = self._held, 0
        while at < len(text):
            if self._indent >= 0 and not self._fence:
                begin = at
                while text[at : at + 1] in (" ", "\t"):
                    at += 1
                self._indent += at - begin
                if self._indent <= _INDENT and text[at : at + 1] in ("<", "[", "◁"):
                    if self._is_undecided(text, at, final):
                        found.said.append(text[:at])
                        self._held = text[at:]
                        return False
                    if self._is_alone(text, at, final):
                        found.said.clear()
                        found.discards, found.reasons = found.discards or self._shown, True
                        self._held = text[at + len(self._closing_mark(text, at)) :]
                        self._state, self._may_be_open, self._shown = _State.GAP, False, False
                        return True
                    if self._enter(text, at):
                        found.said.append(text[:at])
                        return True
            end = text.find("\n", at)
            if self._harmony and not self._fence:
                mark_at, mark = self._message_mark(text, at, end if end >= 0 else len(text), final)
                if mark_at >= 0:
                    self._note(text[at:mark_at])
                    found.said.append(text[:mark_at])
                    self._held = text[mark_at:]
                    if mark in _HARMONY:
                        self._state = _State.HEADER
                    elif mark:
                        self._state, self._held = _State.GAP, self._held[len(mark) :]
                    return bool(mark)
            if end < 0:
                self._note(text[at:])
                break
            self._note(text[at:end])
            self._end_line()
            at = end + 1
        found.said.append(text)
        self._held = ""
        return False

    def _is_undecided(self, text: str, at: int, final: bool) -> bool:
        """Whether more text is needed to know if a mark stands here."""
        if final:
            return False
        rest = text[at : at + _LONGEST_MARK + 1].lower()
        if any(mark.startswith(rest) and mark != rest for mark in _MARKS):
            return True
        mark = self._closing_mark(text, at)
        return bool(mark) and at + len(mark) == len(text)

    def _is_alone(self, text: str, at: int, final: bool) -> bool:
        """Whether a closing mark without an opening one stands here, alone on its line."""
        mark = self._closing_mark(text, at)
        behind = text[at + len(mark) : at + len(mark) + 1]
        return bool(mark) and (behind in ("\r", "\n") or (final and not behind))

    def _closing_mark(self, text: str, at: int) -> str:
        """The closing mark that stands here without an opening one, with the spaces behind it, or nothing."""
        # Directly behind a block it closes that one once more.
        mark = _CLOSING.match(text, at) if self._may_be_open or self._state is _State.GAP else None
        return mark[0] if mark else ""

    def _message_mark(self, text: str, at: int, end: int, final: bool) -> tuple[int, str]:
        """The place and text of a harmony mark in a line. The text is empty if only a part of it came."""
        while (at := text.find("<", at, end)) >= 0:
            quoted = (text[at - 1] if at else self._line[-1:]) == "`"
            if not quoted:
                if mark := _MESSAGE_MARK.match(text, at):
                    return at, mark[0]
                rest = text[at : at + _LONGEST_MARK].lower()
                if not final and any(mark.startswith(rest) for mark in (*_HARMONY, *_ENDS)):
                    return at, ""
            at += 1
        return -1, ""

    def _note(self, piece: str) -> None:
        """Note what tells of a line whether it opens or closes a code block."""
        if self._line:
            self._line = (self._line + piece)[:_LONGEST_LINE]
        else:
            first = piece.find("`")
            if self._indent >= 0 and piece.lstrip().startswith("~"):
                first = piece.index("~")
            if first >= 0:
                self._line = piece[first : first + _LONGEST_LINE]
        if piece and not piece.isspace():
            self._indent = -1

    def _end_line(self) -> None:
        line, self._line, self._indent = self._line, "", 0
        if self._fence:
            if line.rstrip().endswith(self._fence) and len(line) < _LONGEST_LINE:
                self._fence = ""
        elif tildes := _TILDES.match(line):
            self._fence = tildes[1]
        elif len(ticks := _TICKS.findall(line)) % 2:
            self._fence = ticks[-1]


@dataclass(slots=True)
class _Found:
    """What was found in one delta."""

    said: list[str] = field(default_factory=list)
    discards: bool = False
    reasons: bool = False


_STEPS = {
    _State.START: ReasoningFilter._begin,
    _State.GAP: ReasoningFilter._begin,
    _State.HEADER: ReasoningFilter._read_header,
    _State.THOUGHT: ReasoningFilter._think,
    _State.REPLY: ReasoningFilter._reply,
}
