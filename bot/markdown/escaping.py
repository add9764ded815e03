"""Text and code in a form in which Discord reads no mark: escaped, or within backticks."""

from __future__ import annotations

import re
from typing import Final

APART: Final = "\u200b"
"""An invisible character that Discord does not treat as a space. It separates marks that would be read as one."""
LONGEST_TICKS: Final = 16
"""The longest run of backticks that counts as a mark. A longer one would leave no room in a message for its code."""
_ESCAPED: Final = re.compile(r"([*_~`|\\\[<])")
"""Pattern of a character that is escaped in text: in `a*b`, `*`, which becomes `\\*`."""
_UNESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
r"""Pattern of an escaped character, such as `\_` in `a\_b`."""
_TICKS: Final = re.compile("`+")
"""Pattern of a run of backticks: in ``` a``b`c ```, two and one."""
_RISKY: Final = re.compile(r"_(?![A-Za-z0-9_])(?<!\\_)")
"""Pattern of an underscore that may end italics on Discord, such as the last one in `my_name and `a_``."""
_GUARDED: Final = re.compile(
    r"```.*?```|¯\\_\(ツ\)_/¯|(`{1,2})(?!`).*?[^`]\1(?!`)|\\.|<[^\s<>]+>|\]\((?:[^\s()<]|\([^\s()]*\))*\)|https?://\S+"
    r"|__|(_)",
    re.DOTALL,
)
"""Pattern of any underscore, and first of constructs where underscores are safe, such as `[a](http://b_c_)`.

Two underscores are a mark, since all others are escaped.
"""


def escape(text: str) -> str:
    """Return the text with all of Discord's marks escaped."""
    return _ESCAPED.sub(r"\\\1", text)


def unescape(text: str) -> str:
    r"""Return the text without the backslashes of its escaped characters: `a_b` for `a\_b`."""
    return _UNESCAPE.sub(r"\1", text)


def has_marks(text: str) -> bool:
    """Whether Discord might read a mark of emphasis in the text."""
    return "*" in text or "__" in text or "~~" in text or "||" in text


def apart(code: str) -> str:
    """Return code without three backticks in a row, which would end a block. An invisible character separates them."""
    while "```" in code:
        code = code.replace("```", f"``{APART}`")
    return code


def code_span(code: str) -> str:
    """Return inline code within as many backticks as it needs, but never three, which begin a block on Discord."""
    if code.startswith(" ") and code.endswith(" ") and code.strip():
        code = code[1:-1]
    if "`" not in code:
        return f"`{code}`" if code else ""
    if code.strip("`") == "":
        return f"`` {apart(code)} ``" if len(code) == 1 else f"` {apart(code)} `"
    runs = {len(run) for run in _TICKS.findall(code)}
    ticks = "``" if 2 not in runs else "`"
    if ticks == "`" and 1 in runs:
        code, ticks = code.replace("``", f"`{APART}`"), "``"
    code = apart(code)
    before, after = (" " if code[at] == "`" else "" for at in (0, -1))
    return f"{ticks}{before}{code}{after}{ticks}"


def as_code(formula: str) -> str:
    """Return a formula as inline code on one line."""
    return code_span(" ".join(formula.split()))


def guarded(content: str) -> str:
    """Return a message in which no italics run from an underscore in a word to one in code or an address."""
    if "_" not in content or _RISKY.search(content) is None:
        return content
    return _GUARDED.sub(lambda found: "\\_" if found[2] else found[0], content)
