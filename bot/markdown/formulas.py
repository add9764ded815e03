r"""Which of what stands between dollars or escaped brackets is a formula: only what plainly is one.

`$x^2$` → yes; `$HOME/bin:$PATH`, `$5 and $6`, `\[y/N\]`, `/^abc$/` → no, they are text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from bot.markdown.latex import COMMANDS, FUNCTIONS

_COMMAND: Final = re.compile(r"\\([A-Za-z]+)\*?")
r"""`\frac{1}{2}` → `frac`."""
_WORDS_OF_TEXT: Final = re.compile(r"\\(?:text\w*|mathrm|mathbf|operatorname|mbox)\{[^{}]*\}|_\{[A-Za-z ,]+\}")
r"""`v_{max} = \text{top speed}` → `v =`: words that are allowed in a formula."""
_PLAIN: Final = re.compile(r"[\w\s+\-*/=<>()\[\]{},.;:!'|^∞-⋿×÷±·°≤≥≠→′]+")
"""`2x + 1 = f(n)`: what a formula without a command is made of."""
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
"""`log n` → `log`."""
_SCRIPT: Final = re.compile(
    r"(?:\b[^\W\d_]{1,2}'*|[)\]}\d])\^[\w{+\-*(]|\b[^\W\d_]_(?:\w\b|\w[\^,=+\-*/ )]|\{)|[)\]}]_[\w{]"
)
"""`x^2`, `a_n`, `x_{ij}`, `(1+r)^n`: super- and subscripts; not those of `user_id`."""
_OPERATOR: Final = re.compile(r"[+\-*/=<>!^∞-⋿×÷±·≤≥≠→]")
"""`a + b` → `+`."""
# What a formula may end and begin with: `n!` and `-1`, but neither `a/` nor `*b`.
_ENDS: Final = re.compile(r"[\w)\]}!'|.…∞°′]|\\[A-Za-z,;]")
_BEGINS: Final = re.compile(r"[^\W_]|[(\[{|+\-±¬∀∃∞√<>=]|\\[A-Za-z|{,;]|_\{|\^")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
"""`42`, `-1.5`: a number alone is one between dollars; `1,000` is a price."""
_CALL: Final = re.compile(r"[^\W\d_]'*(?:\([^()]+\))?|\|[^|]+\|")
"""`n`, `f'`, `f(x)`, `O(n log n)`, `|x|`."""
_SHORT: Final = 3
"""Letters of a product of variables, such as `mc` in `E = mc^2`, at the most."""


def in_dollars(formula: str) -> bool:
    """`x`, `n-1`, `E = mc^2`, `5` → yes; `5 and `, `HOME/bin:`, `name` → no."""
    return bool(_NUMBER.fullmatch(formula)) or _is_formula(formula, _OPERATOR)


def in_round(formula: str) -> bool:
    r"""What stands in `\(…\)`. `x`, `a/b`, `\alpha` → yes; `optional`, `1`, `x, y` → no."""
    return _is_formula(formula, _OPERATOR)


def in_square(formula: str) -> bool:
    r"""What stands in `\[…\]` within a line. `x^2`, `a = b`, `\alpha` → yes; `1`, `x`, `y/N`, `a-z` → no."""
    return _CALL.fullmatch(formula.strip()) is None and _is_formula(formula, _EQUATION)


def in_display(formula: str) -> bool:
    """What has lines of its own. `a = b`, `a + b`, `speed = way / time` → yes; `1`, `x`, `some words` → no."""
    text = formula.strip()
    if _CALL.fullmatch(text) or _NUMBER.fullmatch(text):
        return False
    return _is_formula(text, _OPERATOR) or (" = " in text and _PLAIN.fullmatch(text) is not None)


_EQUATION: Final = re.compile(r"\s[=<>≤≥≠≈]\s")
"""`a = b` → ` = `."""


@lru_cache(maxsize=512)
def _is_formula(formula: str, operator: re.Pattern[str]) -> bool:
    text = formula.strip()
    if not text or not _balanced(text) or not _BEGINS.match(text):
        return False
    if not (_ENDS.fullmatch(text[-1]) or _ENDS.fullmatch(text[-2:]) or _COMMAND.search(text[-20:])):
        return False
    commands = _COMMAND.findall(text)
    if any(command not in COMMANDS for command in commands):
        # `\bin;` is a path, and `\unknown{x}` a formula that nobody here can write differently.
        return any(command in COMMANDS for command in commands) or bool(re.search(r"\\[A-Za-z]+\{[^{}]*\}", text))
    if commands or re.search(r"\\[,;|{}!]", text):
        return True
    bare = _WORDS_OF_TEXT.sub(" ", text)
    if not _PLAIN.fullmatch(bare):
        return False
    scripted = _SCRIPT.search(text) is not None
    longest = _SHORT if scripted or " = " in text else 1
    if any(len(word) > longest and word not in FUNCTIONS for word in _WORD.findall(bare)):
        return False
    if re.search(r"\w_\w", bare) and not scripted:
        return False
    if "$" in text or re.search(r"^[-+*/]?\d[\d.,]*\s*[-–/]?$|[\w)]\s+[^\W\d_]+\s+\d", bare):
        return False
    if scripted or _CALL.fullmatch(text):
        return True
    return operator.search(bare) is not None


def _balanced(text: str) -> bool:
    """`f(x)` → yes; `f(`, `a[` → no. Halves of an interval, `[0, 1)`, count as well."""
    depth = braces = 0
    for at, character in enumerate(text):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character in "{}" and (at == 0 or text[at - 1] != "\\"):
            braces += 1 if character == "{" else -1
        if depth < 0 or braces < 0:
            return False
    return depth == braces == 0
