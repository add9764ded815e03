"""What a cut falls into is shown as it is meant on both of its sides, however the reply came."""

from __future__ import annotations

import pytest

from bot.markdown import Document
from tests.markdown.growing import mistakes, whole
from tests.markdown.source import difference

WORDS = "go on and on " * 35
KINDS: dict[str, list[str]] = {
    "a mark that nothing closes is text": [
        f"Look: **bold words {WORDS}end\n\nfin",
        f"> Call it with *args {WORDS}and\n> no more\n\nfin",
        f"- an ~~item {WORDS}\n  _{WORDS}\n- b* c",
    ],
    "emphasis goes on behind the cut": [
        f"**bold {'word ' * 45}\n{'word ' * 30}end** x",
        f"A ***b {WORDS}c* d {WORDS}e** f",
        f"1. _it {WORDS}`_` it_ x\n2. b",
    ],
    "the longest run of marks closes as many as it can": [
        f"#### __a *b {WORDS}c* {WORDS}d__ e",
        f"#### **a *b {WORDS}c*** d {WORDS}e",
        f"###### __***a__ {WORDS}b*** c__ d",
    ],
    "a spoiler that nothing closes is text": [
        f"Look: ||bold words {WORDS}end\n\nfin",
        f"- *a ||b {WORDS}c* d\n- e",
        f"> ||a **b {WORDS}c** `d`",
    ],
    "a mark stands apart from the same character before the cut": [
        f"x ~~{'go on and ' * 28}b~~~~ {'c ' * 9}{WORDS}end~~ d",
        f"- ~~a {'word ' * 56}~~~ {'word ' * 30}*c*~~ d",
        f"- ~~a {'word ' * 57}~~~ {'word ' * 30}*c*~~ d",
    ],
    "marks around characters that are none": [
        f"{'word ' * 50}*x *****~~~*****\n{'word ' * 30} x *",
        f"> {'word ' * 50}*x **~~**\n> {'word ' * 30} x *",
        f"- {'word ' * 45}_x <b>**</b>\n  {'word ' * 30} x _",
    ],
    "the length of a run of marks is known behind the cut": [
        f"a ***b {WORDS}****c `d`*****. e",
        f"_x_ ___b {WORDS}____c `d`_____. e",
        f"- a\n  ***b {WORDS}****`c`*****. d",
    ],
    "what stands behind a backtick that nothing closes is kept whole": [
        f"> {'word ' * 10}`` {'word ' * 44}[a **b** c](http://x.y/a) and <b>two words</b>\n> {'word ' * 20}",
        f"> {'word ' * 25}`` {'word ' * 30}[a **b** c](http://x.y/a) and <b>two words</b>\n> {'word ' * 20}",
        f"- {'word ' * 20}` {'word ' * 36}<b>*a* b e*</b> x ||two words|| {'word ' * 20}\n- b",
    ],
    "a backtick that nothing closes is text": [
        f"A ` tick {WORDS}end\n\nfin",
        f"> `` a ` b {WORDS}end\n\nfin `` x",
        f"#### a ` tick {WORDS}end\n\nfin ` x",
    ],
    "inline code goes on behind the cut": [
        f"Run `a {WORDS}x` now",
        f"*Run ``a ` {WORDS}*`` now*",
        f"- Run `a {WORDS}\n  *x*` now",
    ],
    "no block begins within a line": [
        f"{'word ' * 59}+ 1 more\nand 1",
        f"> {'word ' * 57}address > 1 more {'word ' * 30}",
        f"{'word ' * 59}# 1 more\n---\nend",
        f"{'word ' * 59}~~~ 1 more\n~~~\nend",
    ],
    "indented code keeps its indentation": [
        f"{'word ' * 8}\n\n### {'word ' * 48}\n\n    x = *a*\n      y\n    `z`",
        f"{'word ' * 8}\n\n## {'word ' * 48}\n\n\tx = *a*\n\ty",
        f"> {'word ' * 8}\n>\n> ### {'word ' * 46}\n>\n>     # *a*\n>     b",
    ],
    "a fence in an item ends with the item": [
        f"- {'word ' * 50}\n- ~~~\n{'  x = 1' * 9}\n\n  y\n- *b*\n\nend",
        f"> 1. {'word ' * 48}\n> 2. ~~~ text\n>    {'x ' * 30}\n>    y\n> 3. *b*",
        f"{'word ' * 48}\n\n- a\n  - ~~~ py\n\n\n- *b* {'word ' * 10}",
    ],
    "the rest of a row stays in its columns": [
        f"| A | B |\n|---|---|\n| {'x ' * 30} | {'go on ' * 80} |\n| c | d |",
        f"| A | B | C |\n|---|---|---|\n| {'x ' * 60} | {'*go* on ' * 15} | {'end `a b` ' * 20} |\n| c | d |  |",
        f"> | N | [a](http://x.y) |\n> |---|---|\n> |  | {'go on ' * 40}**b {'w ' * 20}c** |\n> | {'b ' * 60}| d |",
        f"intro\n\nA | B\n---|---\nx | {'go on ' * 30}\\| {'go on ' * 40}\nc | d\n\nend",
    ],
    "a list goes on behind the cut": [
        f"1. a\n   > {'word ' * 50}\n   > {'word ' * 20}\n1. b\n   - c\n\n1. d",
        f"> 1. {'word ' * 30}\n> 1. {'word ' * 30}\n> 1. a\n> 1. {'word ' * 30}",
        f"- a\n  - b\n    - {'word ' * 50}\n  7. {'word ' * 20}\n- c\n4. d",
        f"- a\n  - {'word ' * 30}\n{'word ' * 20}\n{'word ' * 20}\n\n    - b",
    ],
}
LIMITS = (250, 296, 300, 301)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("text", [text for texts in KINDS.values() for text in texts])
def test_what_a_cut_falls_into_is_shown_as_it_is_meant(text: str, limit: int) -> None:
    messages = whole(text, limit)
    assert len(messages) > 1
    assert difference(text, messages) is None
    assert mistakes(text, limit, range(0, len(text), 7), messages) is None


def test_a_part_fits_its_message_while_it_is_not_known_what_its_marks_mean() -> None:
    text = (
        "- ~~a ***[https://x.y/*a*](<http://x.y/a**b**c](http://x.y/~~a||b)~~~~[`code`](http://x.y/a*b) a-b __  `c` $n$"
        "x*[[1]](https://x.y/a_b_(c)) **x ~~<b>e* c**</b>\n  https://x.y/a_b_](mailto:me@x.y) __init__ 漢字 "
        "~~[a_b](http://x.y/a*b) *** <b>漢字 a-b *</b><b>x two words *</b> _ (http://x.y/z).\\* ***`c` ***End.***x*"
        "\\[y/N\\]*\n  word</b> @everyone\n  [`code`](mailto:me@x.y) two words [at https://x.y/a_b_](http://x.y/~~a||b)"
        "  .漢.a__`c`(__b***éb \\(\\alpha +"
    )
    for limit in range(300, 400):
        document = Document(limit)
        document.update(text)
        assert all(len(part.content) <= limit for part in document.parts)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("**bold " + "word " * 80 + "end** and then " + "word " * 40, 300 + 128),
        ("a *b " + "word " * 65 + "\n\n" + "word " * 40, len("a *b " + "word " * 65 + "\n\n" + "word " * 25)),
        ("a *b " + "word " * 800, 300 + 2048 + 64),
    ],
    ids=["its end", "the end of its paragraph", "neither for long"],
)
def test_a_part_with_an_open_mark_ends_once_it_is_known_what_the_mark_means(text: str, seen: int) -> None:
    document, ends = Document(300), list[int]()
    for end in range(len(text)):
        document.update(text[:end])
        ends += [end] * (len(document.parts) > 1)
    assert 300 < ends[0] <= seen
