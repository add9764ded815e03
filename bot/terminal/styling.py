"""Markdown as `bot.markdown` writes it for Discord, as text with marks of styles, and these as escape sequences. Pure.

Within this package a style is a control character that switches it: `plain` leaves none of them in a model's text.
"""

from __future__ import annotations

import re

BOLD, ITALIC, UNDERLINED, STRUCK, CODE, DIM, HEADING, SPEAKER = "\x01\x02\x03\x04\x05\x06\x07\x08"
VERBATIM = "\x0e"
"""Begins a line that is not wrapped."""
_CODES = {BOLD: "1", ITALIC: "3", UNDERLINED: "4", STRUCK: "9", CODE: "36", DIM: "2", HEADING: "1", SPEAKER: "1;35"}
STYLES = re.compile(f"[{''.join(_CODES)}{VERBATIM}]")
_MARKS = {"*": ITALIC, "**": BOLD, "***": BOLD + ITALIC, "__": UNDERLINED, "~~": STRUCK, "||": ""}
_FENCE = re.compile(r"[ ]*```")
_QUOTE = re.compile(r"> ?")
_HEADING = re.compile(r"(#{1,3}|-#) ")
_ITEM = re.compile(r"( *)- ")
_INLINE = re.compile(
    r"¯\\_\(ツ\)_/¯"
    r"|\\(?P<escaped>[^0-9A-Za-z\s])"
    r"|(?P<ticks>`{1,2})(?!`)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)"
    r"|\[(?P<label>(?:\\.|[^\[\]\\]|\[[^\[\]]*\])*)\]\((?P<target>https?://[^\s)]*(?:\([^\s()]*\)[^\s()]*)*)\)"
    r"|<(?P<address>https?://[^\s<>]+)>"
    r"|https?://\S+"
    r"|(?<!\S)\*(?!\S)"
    r"|(?P<apart>\u200b)"
    r"|(?P<mark>\*{1,3}|__|~~|\|\|)",
    re.DOTALL,
)
"""What is not plain text in a message: `\\*`, `` `a` ``, `[a](http://b.c)`, `<http://b.c>`, `**`."""
_APART = "\u200b"
"""What the renderer puts between marks that Discord would read as one."""


def styled(content: str) -> str:
    """A message as text with marks of styles. Fences are left out, as their lines are marked."""
    lines: list[str] = []
    text: list[str] = []
    in_code = False
    for line in content.split("\n"):
        quoted = _QUOTE.match(line)
        body = line[quoted.end() :] if quoted else line
        if _FENCE.match(body):
            in_code = not in_code
            lines += _paragraph(text)
            text = []
        elif in_code:
            bar = f"{DIM}│{DIM} " if quoted else ""
            lines.append(f"{VERBATIM}{bar}{CODE}{body.replace(_APART, '')}{CODE}")
        else:
            text.append(line)
    return "\n".join(lines + _paragraph(text))


def _paragraph(lines: list[str]) -> list[str]:
    """Lines without code, of which inline marks may span several."""
    if not lines:
        return []
    heads, bodies, tails = zip(*map(_line, lines), strict=True)
    written = _inline("\n".join(bodies)).split("\n")
    return [head + body + tail for head, body, tail in zip(heads, written, tails, strict=True)]


def _line(line: str) -> tuple[str, str, str]:
    """The beginning of a line, its text, and what ends its style."""
    head = ""
    if quote := _QUOTE.match(line):
        head, line = f"{DIM}│{DIM} ", line[quote.end() :]
    if heading := _HEADING.match(line):
        style = {"#": HEADING + UNDERLINED, "-#": DIM}.get(heading[1], HEADING)
        return head + style, line[heading.end() :], style
    if item := _ITEM.match(line):
        return f"{head}{item[1]}• ", line[item.end() :], ""
    return head, line, ""


def _inline(text: str) -> str:
    return _INLINE.sub(_replaced, text)


def _replaced(found: re.Match[str]) -> str:
    if found["mark"]:
        return _MARKS[found["mark"]]
    if found["apart"]:
        return ""
    if found["code"]:
        code = found["code"].replace(_APART, "")
        padded = code[0] == code[-1] == " " and "`" in code
        return f"{CODE}{code[1:-1] if padded else code}{CODE}".replace("\n", f"{CODE}\n{CODE}")
    if found["label"]:
        return f"{UNDERLINED}{_inline(found['label'])}{UNDERLINED} ({found['target']})"
    return found["escaped"] or found["address"] or found[0]


class Painter:
    """Turns marks of styles into escape sequences, over all the pieces of a text."""

    def __init__(self) -> None:
        self._on: list[str] = []

    def paint(self, text: str) -> str:
        """More of the text."""
        return STYLES.sub(self._switch, text)

    def _switch(self, mark: re.Match[str]) -> str:
        style = mark[0]
        if style == VERBATIM:
            return ""
        if style in self._on:
            self._on.remove(style)
        else:
            self._on.append(style)
        return f"\x1b[{';'.join(['0', *(_CODES[each] for each in self._on)])}m"
