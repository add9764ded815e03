r"""Recognition of formulas between dollars or escaped brackets.

Only text that is plainly a formula counts. `$x^2$` is a formula. `$HOME/bin:$PATH`, `$5 and $6`, `\[y/N\]` and
`/^abc$/` are text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from bot.markdown.latex import COMMANDS, FUNCTIONS

_COMMAND: Final = re.compile(r"\\([A-Za-z]+)\*?")
r"""Pattern of a command's name, such as `frac` in `\frac{1}{2}`."""
_WORDS_OF_TEXT: Final = re.compile(r"\\(?:text\w*|mathrm|mathbf|operatorname|mbox)\{[^{}]*\}|_\{[A-Za-z ,]+\}")
r"""Pattern of words that are allowed in a formula, as in `v_{max} = \text{top speed}`."""
_PLAIN: Final = re.compile(r"[\w\s+\-*/=<>()\[\]{},.;:!'|^∞-⋿×÷±·°≤≥≠→′]+")
"""Pattern of a formula without commands, such as `2x + 1 = f(n)`."""
_NAME: Final = re.compile(r"(?<![^\W\d_])(?<!\\)[^\W\d_]{2,}_[^\W\d_]{2,}|__")
r"""Pattern of a name of a program in a formula, such as `last_name`, but not in `x_max` and `\alpha_max`."""
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
"""Pattern of a word, such as `log` in `log n`."""
_SCRIPT: Final = re.compile(
    r"(?:\b[^\W\d_]{1,2}'*|[)\]}\d])\^[\w{+\-*(]|\b[^\W\d_]_(?:\w\b|\w[\^,=+\-*/ )]|\{)|[)\]}]_[\w{]"
)
"""Pattern of superscripts and subscripts, as in `x^2`, `a_n`, `x_{ij}` and `(1+r)^n`, but not in `user_id`."""
_OPERATOR: Final = re.compile(r"[+\-*/=<>!^∞-⋿×÷±·≤≥≠→]")
"""Pattern of an operator, such as `+` in `a + b`."""
# Operators that a formula may begin or end with. `n!` and `-1` are formulas, but `a/` and `*b` are not.
_ENDS: Final = re.compile(r"[\w)\]}!'|.…∞°′]|\\[A-Za-z,;]")
r"""Pattern of what a formula may end with: `2`, `)`, `!` or `\,`, but not `/`."""
_BEGINS: Final = re.compile(r"[^\W_]|[(\[{|+\-±¬∀∃∞√<>=]|\\[A-Za-z|{,;]|_\{|\^")
r"""Pattern of what a formula may begin with: `x`, `(`, `-`, `\alpha` or `^`, but not `*`."""
_OTHER: Final = re.compile(r"`|(?<!\\)\\[\[(]")
r"""Pattern of what begins something else than a formula, such as a backtick and the `\[` in `\[x\]`."""
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
"""Pattern of a number, such as `42` or `-1.5`, which alone between dollars is a formula. `1,000` is a price."""
_CALL: Final = re.compile(r"[^\W\d_]'*(?:\([^()]+\))?|\|[^|]+\|")
"""Pattern of a variable or a call, such as `n`, `f'`, `f(x)`, `O(n log n)` or `|x|`."""
_SHORT: Final = 3
"""The largest number of letters in a product of variables, such as `mc` in `E = mc^2`."""


def in_dollars(formula: str) -> bool:
    """Whether text between dollars is a formula.

    `x`, `n-1`, `E = mc^2` and `5` are, but `5 and `, `HOME/bin:` and `name` are not.
    """
    if _OTHER.search(formula):
        return False
    return bool(_NUMBER.fullmatch(formula)) or _is_formula(formula, _OPERATOR)


def in_round(formula: str) -> bool:
    r"""Whether text in `\(…\)` is a formula. `x`, `a/b` and `\alpha` are, but `optional`, `1` and `x, y` are not."""
    return _is_formula(formula, _OPERATOR)


def in_square(formula: str) -> bool:
    r"""Whether text in `\[…\]` within a line is a formula.

    `x^2`, `a = b` and `\alpha` are, but `1`, `x`, `y/N` and `a-z` are not.
    """
    return _CALL.fullmatch(formula.strip()) is None and _is_formula(formula, _EQUATION)


def in_display(formula: str) -> bool:
    """Whether text on lines of its own is a formula.

    `a = b`, `a + b` and `speed = way / time` are, but `1`, `x` and `some words` are not.
    """
    text = formula.strip()
    if _CALL.fullmatch(text) or _NUMBER.fullmatch(text):
        return False
    return _is_formula(text, _OPERATOR) or (" = " in text and _PLAIN.fullmatch(text) is not None)


_EQUATION: Final = re.compile(r"\s[=<>≤≥≠≈]\s")
"""Pattern of a relation between spaces, such as ` = ` in `a = b`."""


@lru_cache(maxsize=512)
def _is_formula(formula: str, operator: re.Pattern[str]) -> bool:
    text = formula.strip()
    if not text or not _balanced(text) or not _BEGINS.match(text):
        return False
    if not (_ENDS.fullmatch(text[-1]) or _ENDS.fullmatch(text[-2:]) or _COMMAND.search(text[-20:])):
        return False
    bare = _WORDS_OF_TEXT.sub(" ", text)
    if "_" in bare and _NAME.search(bare):
        return False
    commands = _COMMAND.findall(text)
    if any(command not in COMMANDS for command in commands):
        # `\bin;` is a path, and `\unknown{x}` is a formula that has no other form here.
        return any(command in COMMANDS for command in commands) or bool(re.search(r"\\[A-Za-z]+\{[^{}]*\}", text))
    if commands or re.search(r"\\[,;|{}!]", text):
        return True
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
    """Whether the brackets of a text are balanced.

    `f(x)` is balanced, but `f(` and `a[` are not. Intervals such as `[0, 1)` count as balanced.
    """
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
