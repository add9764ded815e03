"""A grammar of what models write, for Hypothesis: everything that replies have been seen to go wrong with."""

# ruff: noqa: E501 (one case a line)

from __future__ import annotations

import re

from hypothesis import strategies as st

from tests.markdown.source import FORMULAS

WORDS = st.sampled_from(
    [
        *(
            "word",
            "a",
            "longer-word",
            "semi;",
            "End.",
            "Really?",
            "漢字。",
            "größer",
            "слово",
            "👨‍👩‍👧‍👦",
            "5",
            "C#",
            "x",
        ),
        *("snake_case", "my_private_", "_private", "__init__", "__init__.py", "__FILE__", "a__b", "*args,", "**kwargs"),
        *("2*3*4", "2 * 3", "x**2", "a*b", "*", "**", "_", "~", "~~", "||", "|", "a||b", "`", "``", "[", "]", "(", ")"),
        *("$5", "$10", "US$3", "=$A1*$B1", "$HOME/bin:$PATH", "${a}/${b}", "$first_name,$last_name", "/^abc$/", "$"),
        *(r"\[1\]", r"\[y/N\]", r"f\(x\)", r"\*", r"\_", r"\#", r"\\", r"C:\Users\me", r"C:\_x", r"\é", r"\~~", r"\`"),
        *("<b>", "List<b>", "Option<i>", "<T>", "a < b", "x <y", "<@123>", "<:smile_:45>", "<t:6:R>", "<#7>"),
        *("&lt;div&gt;", "&amp;", "&nbsp;", "&times;", "&#39;", "&ast;", "&unknown;", "&#42;b&#42;", "AT&T", "&gt;"),
        *("http://x.y/z", "https://x.y/a_b_", "(http://x.y/z).", "https://x.y/a_(b)", "http://x.y/?q=1&r=2,", "!"),
        *("#hashtag", "+1", "-5", "->", ">=", "10:30", "@everyone", "¯\\_(ツ)_/¯", "a.b", "-"),
        *FORMULAS,
    ]
).filter(lambda word: "\n" not in word)

CODE = st.sampled_from(
    [
        "`code`",
        "`a*b`",
        "`**kwargs`",
        "`__init__`",
        "`my_`",
        "`a || b`",
        "``a ` b``",
        "`~~`",
        "`$x$`",
        "`<b>`",
        "`\\`",
        "`` ` ``",
        "```` ``` ````",
        "`[a](b)`",
        "` x `",
        "`&lt;`",
    ]
)
LABELS = st.sampled_from(
    ["label", "*it*", "`code`", "a **b** c", "[1]", r"\[1\]", "a_b", "x*y", "2 * 3", "", "https://x.y"]
)
TARGETS = st.sampled_from(
    [
        "http://x.y",
        "https://x.y/a_b_(c)",
        "http://x.y/a*b",
        "#part",
        "./file.md",
        "mailto:me@x.y",
        "<http://x.y/a b>",
        'http://x.y "Title"',
        "http://x.y/~~a||b",
    ]
)
LINKS = st.builds("{0}[{1}]({2})".format, st.sampled_from(["", "", "", "!"]), LABELS, TARGETS).filter(
    lambda link: (
        not (
            (link[0] == "!" and ("*" in link or "`" in link or "[[" in link or "\\" in link or "://x.y]" in link))
            or (("[]" in link or "[https" in link) and ("*" in link or "~" in link or " b>" in link))
        )
    )
)
PLAIN = st.sampled_from(["word", "two words", "a-b", "x", "End.", "漢字"])
MARKS = st.sampled_from(["*", "**", "_", "__", "***", "~~", "||"])


def _marked(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    sentence = st.lists(st.one_of(PLAIN, inner), min_size=1, max_size=4).map(" ".join)
    return st.builds("{0}{1}{0}".format, MARKS.filter(lambda mark: mark != "||"), sentence)


EMPHASIS = st.recursive(st.one_of(PLAIN, CODE, LINKS, WORDS), _marked, max_leaves=6)
PAIRS = st.one_of(
    st.builds("||{}||".format, PLAIN),
    st.builds("<b>{}</b>".format, PLAIN),
    st.builds("<strong>{}</strong>".format, PLAIN),
)
SPANS = st.one_of(WORDS, WORDS, PLAIN, CODE, LINKS, EMPHASIS, PAIRS)
LINES = (
    st.lists(SPANS, min_size=1, max_size=7)
    .map(" ".join)
    .filter(lambda line: "~~~" not in line and not re.fullmatch(r"[-*+]|\d+[.)]", line))
)
GLUED = st.lists(
    st.one_of(st.sampled_from(["*", "**", "***", "_", "__", "a", "b", " ", "~~", ".", "(", "é", "漢", "`c`"])),
    max_size=12,
).map("".join)
"""Marks in every position, as in the hard examples of CommonMark's specification."""
TEXT = st.one_of(LINES, LINES, LINES, st.builds("x {} x".format, GLUED))
PARAGRAPHS = st.lists(TEXT, min_size=1, max_size=3).map("\n".join)

CODE_LINES = st.sampled_from(
    [
        "x = 1",
        "    return **kwargs",
        "",
        "| not | a table |",
        "# not a heading",
        "$x^2$",
        's = "``` in it"',
        "> no quote",
        "\tindented",
        "- no item",
        "1. no item",
        "`tick`",
        "&lt;",
        "__init__",
        "[a](http://b.c)",
        "||",
        "````",
    ]
)
CODE_BODIES = st.lists(CODE_LINES, min_size=1, max_size=5).map("\n".join).filter(lambda code: code.strip())
INFO = st.sampled_from(
    ["", "py", "python", " js", 'python title="x"', "js {1,3}", "python:app/main.py", "{r}", "{.python}"]
)


def _fenced(ticks: str, info: str, code: str) -> str:
    code = code if ticks != "```" else code.replace("````", "")
    code = code if ticks != "````" else code.replace("````", "```")
    return f"{ticks}{info}\n{code}\n{ticks}"


FENCES = st.builds(_fenced, st.sampled_from(["```", "```", "````", "~~~", "`````"]), INFO, CODE_BODIES).filter(
    lambda fence: fence.strip("`~ \n") != ""
)
BEHIND = st.builds("{}: ```py\nx = 1\n```".format, PLAIN)
BEFORE = st.builds("```py\nx = 1\n``` {} This {}".format, st.just("One."), PLAIN)
INDENTED = st.lists(st.sampled_from(["x = *a*", "  y", "`z`", "__init__"]), min_size=1, max_size=3).map(
    lambda lines: "\n".join(f"    {line}" for line in lines)
)
CELLS = st.sampled_from(
    ["a", "two words", "**b**", "`c`", "1.5", "x_y", "2*3", "", "漢字", "$5", "a &amp; b", r"a \| b", "__init__"]
)
NAMES = st.sampled_from(["Name", "**Bold**", "`code`", "N", "Größe", "x_y"])


def _table(header: list[str], rows: list[list[str]], wide: bool) -> str:
    lines = [header, ["---"] * len(header), *(row[: len(header)] for row in rows)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return text.replace(" | two words", " | two words " + "and more " * 4) if wide else text


TABLES = st.builds(
    _table,
    st.lists(NAMES, min_size=2, max_size=4),
    st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=4),
    st.booleans(),
)
HEADINGS = st.builds(
    "{0} {1}{2}".format,
    st.sampled_from(["#", "##", "###", "####", "######"]),
    LINES,
    st.sampled_from(["", "", " ##", " #"]),
)
QUOTES = st.one_of(PARAGRAPHS, LINES, FENCES).map(lambda text: "\n".join(f"> {line}" for line in text.split("\n")))
PROMPTS = st.sampled_from([">>> 1 + 1\n2", ">>> x\n>>> y * 2", ">>> print(__name__)"])
INDENTS = st.sampled_from(["  ", "    ", "\t"])


def _list(items: list[str], sign: str, indent: str, inner: list[str]) -> str:
    lines = []
    for number, item in enumerate(items, 1):
        mark = {"1.": f"{number}.", "1)": f"{number})", "1": "1."}.get(sign, sign)
        lines.append(f"{mark} {item}")
        deeper = indent if len(indent.expandtabs(4)) > len(mark) else "    "
        lines += [f"{deeper}- {each}" for each in inner[:number]]
    return "\n".join(lines)


LISTS = st.builds(
    _list,
    st.lists(LINES, min_size=1, max_size=3),
    st.sampled_from(["-", "*", "+", "1.", "1)", "1"]),
    INDENTS,
    st.lists(LINES, max_size=2),
)
BLOCKS = st.one_of(
    PARAGRAPHS, PARAGRAPHS, FENCES, BEHIND, BEFORE, TABLES, HEADINGS, QUOTES, PROMPTS, LISTS, st.just("---"), INDENTED,
    st.just("\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}"), st.just("-# small"), st.just("Title\n==="), st.just("1986. A year, and\n1987. another"),
)  # fmt: skip
DOCUMENTS = st.builds(
    lambda blocks, ends: blocks.replace("\n", "\r\n") if ends else blocks,
    st.lists(BLOCKS, min_size=1, max_size=6).map("\n\n".join),
    st.sampled_from([False, False, False, True]),
)
