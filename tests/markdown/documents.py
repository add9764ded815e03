"""A grammar of what models write: everything that replies have been seen to go wrong with.

A rule draws a text from a `random.Random`, which may be Hypothesis' own: it then shrinks what it has drawn.
"""

# ruff: noqa: E501 (one case a line)

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from tests.markdown.source import FORMULAS

Rule = Callable[[Random], str]


def one(*texts: str) -> Rule:
    """Any of these texts."""
    return lambda drawn: texts[drawn.randrange(len(texts))]


def any_of(*rules: Rule) -> Rule:
    return lambda drawn: rules[drawn.randrange(len(rules))](drawn)


def several(rule: Rule, least: int, most: int, between: str) -> Rule:
    """As many texts of a rule, one behind the other."""
    return lambda drawn: between.join([rule(drawn) for _ in range(drawn.randint(least, most))])


def built(form: str, *rules: Rule) -> Rule:
    """Texts put into a format string."""
    return lambda drawn: form.format(*[rule(drawn) for rule in rules])


def such(rule: Rule, condition: Callable[[str], bool]) -> Rule:
    """A text for which the condition holds."""

    def draw(drawn: Random) -> str:
        while not condition(text := rule(drawn)):
            pass
        return text

    return draw


WORDS = one(
    *("word", "a", "longer-word", "semi;", "End.", "Really?", "漢字。", "größer", "слово", "👨‍👩‍👧‍👦", "5", "C#", "x"),
    *("snake_case", "my_private_", "_private", "__init__", "__init__.py", "__FILE__", "a__b", "*args,", "**kwargs"),
    *("2*3*4", "2 * 3", "x**2", "a*b", "*", "**", "_", "~", "~~", "||", "|", "a||b", "`", "``", "[", "]", "(", ")"),
    *("$5", "$10", "US$3", "=$A1*$B1", "$HOME/bin:$PATH", "${a}/${b}", "$first_name,$last_name", "/^abc$/", "$"),
    *(r"\[1\]", r"\[y/N\]", r"f\(x\)", r"\*", r"\_", r"\#", r"\\", r"C:\Users\me", r"C:\_x", r"\é", r"\~~", r"\`"),
    *("<b>", "List<b>", "Option<i>", "<T>", "a < b", "x <y", "<@123>", "<:smile_:45>", "<t:6:R>", "<#7>"),
    *("&lt;div&gt;", "&amp;", "&nbsp;", "&times;", "&#39;", "&ast;", "&unknown;", "&#42;b&#42;", "AT&T", "&gt;"),
    *("http://x.y/z", "https://x.y/a_b_", "(http://x.y/z).", "https://x.y/a_(b)", "http://x.y/?q=1&r=2,", "!"),
    *("#hashtag", "+1", "-5", "->", ">=", "10:30", "@everyone", "¯\\_(ツ)_/¯", "a.b", "-", "~~~", "~~~~"),
    *(formula for formula in FORMULAS if "\n" not in formula),
)
CODE = one(
    *("`code`", "`a*b`", "`**kwargs`", "`__init__`", "`my_`", "`a || b`", "``a ` b``", "`~~`", "`$x$`", "`<b>`"),
    *("`\\`", "`` ` ``", "```` ``` ````", "`[a](b)`", "` x `", "`&lt;`"),
)
LABELS = one(
    "label",
    "*it*",
    "`code`",
    "a **b** c",
    "[1]",
    r"\[1\]",
    "a_b",
    "x*y",
    "2 * 3",
    "",
    "https://x.y",
    "at https://x.y/a_b_",
    "https://x.y/*a*",
)
TARGETS = one(
    *("http://x.y", "https://x.y/a_b_(c)", "http://x.y/a*b", "#part", "./file.md", "mailto:me@x.y"),
    *("<http://x.y/a b>", 'http://x.y "Title"', "http://x.y/~~a||b"),
)
LINKS = such(
    built("{0}[{1}]({2})", one("", "", "", "!"), LABELS, TARGETS),
    lambda link: link[0] != "!" or not re.search(r"\*.*\]|`|\[\[|\\|://x.y", link),
)
PLAIN = one("word", "two words", "a-b", "x", "End.", "漢字")
MARKS = one("*", "**", "_", "__", "***", "~~")


def _emphasis(depth: int) -> Rule:
    leaf = any_of(PLAIN, CODE, LINKS, WORDS)
    if depth == 0:
        return leaf
    sentence = several(any_of(PLAIN, _emphasis(depth - 1)), 1, 4, " ")

    def draw(drawn: Random) -> str:
        mark = MARKS(drawn)
        return f"{mark}{sentence(drawn)}{mark}"

    return any_of(leaf, draw)


EMPHASIS = _emphasis(3)
TAGGED = several(any_of(PLAIN, PLAIN, one("*", "**", "_", "*a*", "**b", "c**", "*d", "e*")), 1, 3, " ")
PAIRS = any_of(built("||{}||", PLAIN), built("<b>{}</b>", TAGGED), built("<strong>{}</strong>", TAGGED))
SPANS = any_of(WORDS, WORDS, PLAIN, PLAIN, CODE, LINKS, EMPHASIS, PAIRS)
LINES = such(several(SPANS, 1, 7, " "), lambda line: not re.match(r"~~~|(?:[-*+]|\d+[.)])$", line))
GLUED = several(one("*", "**", "***", "_", "__", "a", "b", " ", "~~", ".", "(", "é", "漢", "`c`"), 0, 12, "")
"""Marks in every position, as in the hard examples of CommonMark's specification."""
TEXT = any_of(LINES, LINES, LINES, built("x {} x", GLUED))
PARAGRAPHS = several(TEXT, 1, 3, "\n")

CODE_LINES = one(
    *("x = 1", "    return **kwargs", "", "| not | a table |", "# not a heading", "$x^2$", 's = "``` in it"'),
    *("> no quote", "\tindented", "- no item", "1. no item", "`tick`", "&lt;", "__init__", "[a](http://b.c)", "||"),
    "````",
)
CODE_BODIES = such(several(CODE_LINES, 1, 5, "\n"), lambda code: code.strip() != "")
INFO = one("", "py", "python", " js", 'python title="x"', "js {1,3}", "python:app/main.py", "{r}", "{.python}")
TICKS = one("```", "```", "````", "~~~", "`````")


def _fenced(drawn: Random) -> str:
    ticks, info, code = TICKS(drawn), INFO(drawn), CODE_BODIES(drawn)
    code = code if ticks != "```" else code.replace("````", "")
    code = code if ticks != "````" else code.replace("````", "```")
    return f"{ticks}{info}\n{code}\n{ticks}"


FENCES = such(_fenced, lambda fence: fence.strip("`~ \n") != "")
BEHIND = built("{}: ```py\nx = 1\n```", PLAIN)
BEFORE = built("```py\nx = 1\n``` One. This {}", PLAIN)
INDENTED = several(one("    x = *a*", "      y", "    `z`", "    __init__"), 1, 3, "\n")
CELLS = one(
    *("a", "two words", "**b**", "`c`", "1.5", "x_y", "2*3", "", "漢字", "$5", "a &amp; b", r"a \| b", "__init__")
)
NAMES = one("Name", "**Bold**", "`code`", "N", "Größe", "x_y")


def _table(drawn: Random) -> str:
    columns = drawn.randint(2, 4)
    rows = [[CELLS(drawn) for _ in range(columns)] for _ in range(drawn.randint(1, 4))]
    lines = [[NAMES(drawn) for _ in range(columns)], ["---"] * columns, *rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return text if drawn.randrange(2) else text.replace(" | two words", " | two words " + "and more " * 4)


HEADINGS = built("{0} {1}{2}", one("#", "##", "###", "####", "######"), LINES, one("", "", " ##", " #"))


def _behind(marks: str, rule: Rule) -> Rule:
    """The lines of a text, with these marks before each."""
    return lambda drawn: "\n".join(marks + line for line in rule(drawn).split("\n"))


QUOTES = _behind("> ", any_of(PARAGRAPHS, LINES, FENCES))
NUMBERS = one(
    "and\n5. five\n9. nine", "in\n2. word", "1. a\n\n   b\n   7. c\n2. d", "-\nword", "1.\nword", "> +\n> word", "*"
)
"""Numbers that begin no list, and signs without text."""
PROMPTS = one(">>> 1 + 1\n2", ">>> x\n>>> y * 2", ">>> print(__name__)")


def _list(drawn: Random) -> str:
    sign = one("-", "*", "+", "1.", "1)", "1")(drawn)
    indent = one("  ", "    ", "\t")(drawn)
    items = [LINES(drawn) for _ in range(drawn.randint(1, 3))]
    inner = [LINES(drawn) for _ in range(drawn.randint(0, 2))]
    lines = []
    for number, item in enumerate(items, 1):
        mark = {"1.": f"{number}.", "1)": f"{number})", "1": "1."}.get(sign, sign)
        lines.append(f"{mark} {item}")
        deeper = indent if len(indent.expandtabs(4)) > len(mark) else "    "
        lines += [f"{deeper}- {each}" for each in inner[:number]]
    return "\n".join(lines)


BLOCKS = any_of(
    PARAGRAPHS, PARAGRAPHS, PARAGRAPHS, FENCES, FENCES, BEHIND, BEFORE, _table, _table, HEADINGS, HEADINGS, QUOTES, QUOTES,
    PROMPTS, _list, _list, _list, INDENTED, NUMBERS,
    one("---", "\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}", "-# small", "Title\n===", "1986. A year, and\n1987. another"),
)  # fmt: skip


def document(drawn: Random, most: int = 6) -> str:
    """A reply of up to so many blocks."""
    text = several(BLOCKS, 1, most, "\n\n")(drawn)
    return text if drawn.randrange(4) else text.replace("\n", "\r\n")
