"""Replies that came out wrong in the field, message by message, each with three more of its kind."""

# ruff: noqa: E501 (one case a line)

from __future__ import annotations

import pytest

from tests.discord_reading import read
from tests.markdown.growing import whole
from tests.markdown.source import difference

KINDS: dict[str, list[tuple[str, str]]] = {
    "a fence behind text, and text behind a fence": [
        ("Here is it: ```python\nx = 1\n\ny = 2\n```\n\n#### Notes", "Here is it:\n```python\nx = 1\n\ny = 2\n```\n\n**Notes**"),
        ("```python\nprint(1)\n``` This prints one.\n\n#### Deep", "```python\nprint(1)\n```\nThis prints one.\n\n**Deep**"),
        ("- Run: ```\nls\n```\n\nend", "- Run:\n```\nls\n```\n\nend"),
        ("Use it:```js\nlet a\n```\n| A | B |\n|---|---|\n| 1 | 2 |", "Use it:\n```js\nlet a\n```\n```\nA    B\n---  ---\n1    2\n```"),
        ("```\na\n``` and then **b**", "```\na\n```\nand then **b**"),
    ],
    "three backticks inside code": [
        ('```python\nprompt = "Answer inside ``` fences"\n```\n\nend', '```python\nprompt = "Answer inside ``~` fences"\n```\n\nend'),
        ("````markdown\n# Tool\n\n```bash\nmake\n```\n````\n\nend", "```markdown\n# Tool\n\n``~`bash\nmake\n``~`\n```\n\nend"),
        ("~~~markdown\n```js\nlet x\n```\n~~~\nafter **that**", "```markdown\n``~`js\nlet x\n``~`\n```\nafter **that**"),
        ("Write ```` ``` ```` to begin", "Write `` `~`~` `` to begin"),
        ("> ````\n> ```\n> ````\nend", "> ```\n> ``~`\n> ```\nend"),
        ("`````\n````\n`````", "```\n``~``\n```"),
    ],
    "more behind a fence than a language": [
        ('```python title="main.py"\nx\n```', "```python\nx\n```"),
        ("```js {1,3-5}\nx\n```", "```js\nx\n```"),
        ("```python:app/main.py\nx\n```", "```python\nx\n```"),
        ("```{r}\nx\n```", "```r\nx\n```"),
        ("```{.python}\nx\n```", "```python\nx\n```"),
        ("```c++ // main.cpp\nx\n```", "```c++\nx\n```"),
        ("``` rust\nx\n```", "```rust\nx\n```"),
        ("~~~ C# linenos\nx\n~~~", "```C#\nx\n```"),
        ("```src/main.rs\nx\n```", "```\nx\n```"),
        ('```title="x"\nx\n```', "```\nx\n```"),
    ],
    "links that Discord has not": [
        ("See [https://x.y/docs](https://x.y/docs) for more", "See https://x.y/docs for more"),
        ("[docs at https://x.y](https://x.y/a)", "[docs at](https://x.y/a)"),
        ("[https://x.y](https://x.y), or", "https://x.y, or"),
        ("[http://a.b here](http://a.b)", "[here](http://a.b)"),
        ("- [Install](#install)\n- [the guide](./docs/guide.md)", "- Install\n- the guide"),
        ("[mail us](mailto:help@x.y), [me@x.y](mailto:me@x.y)", "mail us (help@x.y), me@x.y"),
        ("![logo](logo.png) and ![](a.png)", "logo and image"),
        ("[*a* `b`](/c) [x](tel:1)", "*a* `b` x"),
        ("[](https://x.y/a*b), *see [https://x.y](https://x.y/*c) there*", "<https://x.y/a*b>, *see ~*<https://x.y/*c>*~ there*"),
        ("[ a\n\n[b](https://x.y)", "\\[ a\n\n[b](https://x.y)"),
    ],
    "a table that is hard to split": [
        ("| A | B |\r\n|---|---|\r\n| 1 | 2 |\r\n\r\n#### Deep\r\nend\r\n", "```\nA    B\n---  ---\n1    2\n```\n\n**Deep**\nend"),
        ("| Op | Is |\n|---|---|\n| `a || b` | or |\n| `ls | wc` | count |", "```\nOp       Is\n-------  -----\na || b   or\nls | wc  count\n```"),
        ("| A | B |\n|---|---|\n| `a \\| b` | 1 |", "```\nA      B\n-----  ---\na | b  1\n```"),
        ("| A | B |\n|---|---|\n| ``x | ` y`` | __init__ |", "```\nA        B\n-------  --------\nx | ` y  __init__\n```"),
    ],
    "a table with empty cells": [
        ("| A | [x](http://x.y) |\n|---|---|\n|  |  |\n| b | c |", "- A: **b**\n  - [x](http://x.y): c"),
        ("| A | B |\n|---|---|\n|  | [x](http://x.y) |\n| c |", "- B: **[x](http://x.y)**\n- A: **c**"),
        ("| A | B |\n|---|---|\n| a | b |\n|  |  |\n| <br> |\n|  | d |", "```\nA    B\n---  ---\na    b\n     d\n```"),
        ("|  | [x](http://x.y) |\n|---|---|\n|  |  |\n\nend", "- **[x](http://x.y)**\n\nend"),
    ],
    "HTML": [
        ('Go to <a href="https://x.y/x">the site</a>.', "Go to [the site](https://x.y/x)."),
        ('<p align="center">Hello</p>\n<ul><li>One</li><li>Two</li></ul>', "Hello\n- One\n- Two"),
        ("a <!-- note --> b\n\n<!-- one\n\ntwo -->\nc", "a  b\n\nc"),
        ('<img src="https://x.y/a.png" alt="A cat"> <img src="a.png" alt="B">', "[A cat](https://x.y/a.png) B"),
        ("a\n\n<hr>\n\n<h2>T</h2>", "a\n\n\n\nT"),
        ("*a <b>b* c</b>", "\\*a **b\\* c**"),
        ("<b>a *b</b> c* *d*", "**a \\*b** c\\* *d*"),
        ("**a List<b> c** <b>d</b>", "**a List<b> c** **d**"),
        ("<details>\n<summary>More</summary>\n\ntext\n</details>", "More\n\ntext"),
    ],
    "lists and headings": [
        ("- a\n\t- b\n\t\t- c", "- a\n  - b\n    - c"),
        ("1. a\n\t* b\n2) c", "1. a\n  - b\n2. c"),
        ("+ a\n    + b\n        + c", "- a\n  - b\n    - c"),
        ("1. a\n1. b\n\n   more\n1. c", "1. a\n2. b\n\n  more\n3. c"),
        ("## Title ##\n\n### Three ###", "## Title\n\n### Three"),
        ("# C# #\n#### F#\n## C#", "# C#~\n**F#**\n## C#~"),
        ("- ## In an item", "- **In an item**"),
        ("of\n5. five\n9. nine", "of\n5\\. five\n9\\. nine"),
        ("1. a\n   b\n   7. c\n3. d", "1. a\n  b\n  7\\. c\n2. d"),
        ("of\n1. one\n5. two", "of\n1. one\n2. two"),
        ("-\r\nword\n\n1.\n2. two", "\\- \nword\n\n1.\n2. two"),
    ],
    "a list below another list": [
        ("- a\n3. b\n4. c", "- a\n\n3. b\n4. c"),
        ("3. a\n1) b\n2) c", "3. a\n\n1. b\n2. c"),
        ("1. a\n   - b\n   7. c\n2. d", "1. a\n  - b\n  ~\n  7. c\n2. d"),
        ("> - a\n>   text\n> 3. b", "> - a\n>   text\n> \n> 3. b"),
        ("3. a\n\n- b\n4. c\n- d\n5. e", "3. a\n\n- b\n\n4. c\n\n- d\n\n5. e"),
        ("1. a\n- b\n- c\n2. d", "1. a\n\n- b\n- c\n\n2. d"),
        ("- a\n  1. b\n  - c", "- a\n  1. b\n  ~\n  - c"),
        ("0. a\n1. b\n   - c", "0\\. a\n1. b\n  - c"),
    ],
    "a line that begins as a formula does": [
        ("a *b\n$$x^2$$ c* d", "a *b\nx² c* d"),
        ("> a `b\n> \\[y/N\\] c` d", "> a `b \\[y/N\\] c` d"),
        ("a **b\n\\[x = 1\\] c\nd** e", "a **b\nx = 1 c\nd** e"),
        ("a *b\n$$x^2$$\nc* d", "a \\*b\nx²\nc\\* d"),
    ],
    "a spoiler without an end": [
        ("||x `a || b` c", "\\|\\|x `a || b` c"),
        ("||y|| x ||(z **`a||b` y** c", "||y|| x \\|\\|(z **`a||b` y** c"),
        ("- ||x `a || b`\n- b\n\n`c || d`", "- \\|\\|x `a || b`\n- b\n\n`c || d`"),
    ],
    "a block's sign behind marks": [
        ("*_-_ words*", "*\\- words*"),
        ("_**- a** b_", "***\\- a** b*"),
        ("<b>- a</b>", "**\\- a**"),
        ("**<b>#</b> a**\n__<b>1.</b> b__", "**\\# a**\n**1\\. b**"),
        ("> *<em>-#</em> a*", "> *\\-# a*"),
    ],
    "underlined text": [
        ("a <u>b</u> c", "a __b__ c"),
        ("snake_case <ins>b. </ins>`c_ d`", "snake\\_case __b. __`c_ d`"),
        ("*<u>my_ b</u>* _", "*__my\\_ b__* \\_"),
    ],
    "a backtick or a bracket in a label": [
        ("[a ` b](http://x.y) c", "[a \\` b](http://x.y) c"),
        ("``[`](#a) [``a ` b](http://x.y)", "``[`](#a) [``a \\` b](http://x.y)"),
        ("``[`](#a) c", "\\`\\`\\` c"),
        ("[``a ` b`` c](http://x.y)", "[``a ` b`` c](http://x.y)"),
        ("[a ` b](http://x.y) ` c", "\\[a `b](http://x.y)` c"),
        ("[ `` [`code`](http://x.y) d", "\\[ \\`\\` [`code`](http://x.y) d"),
        ("[a ``` [`b` ``c``](http://x.y)", "\\[a \\`\\`\\` [`b` `c`](http://x.y)"),
        ("[`` [`b`](http://x.y) [*c*](http://x.y)", "\\[\\`\\` [`b`](http://x.y) [*c*](http://x.y)"),
        ("[ >= ` [`code`](http://x.y) d", " >= ` [`[code\\`](http://x.y) d"),
        ("*[a \\[ [1] `b`](http://x.y)*", "*a \\[[ [1] `b`](http://x.y)*"),
        ("[a `]` b](http://x.y) [a \\] b](mailto:c@x.y)", "a `]`[ b](http://x.y) a \\] b (c@x.y)"),
        ("[*a* `[` b](http://x.y) [`[`](http://x.y)", "*a* `[` b (<http://x.y>) `[` (<http://x.y>)"),
    ],
    "a block that shows nothing between lists": [
        ("1. a\n```\n```\n5. b", "1. a\n\n5. b"),
        ("- a\n> ```\n> ```\n1. b", "- a\n> \n1. b"),
        ("1. a\n   > ~~~\n   > ~~~\n\n5. b", "1. a\n> \n\n2. b"),
        ("1. a\n<!-- -->\n5. b", "1. a\n\n5. b"),
    ],
    "a rule in an item": [
        ("- ***\n- a", "- ~\n- a"),
        ("+ ******\n  - b", "- ~\n  - b"),
        ("> 1. ___\n> 2. a", "> 1. ~\n> 2. a"),
    ],
    "the end of a quote": [
        ("> a\nb *c\nd* e\n\nf", "> a\n> b *c\n> d* e\n\nf"),
        ("> - a ``\nb `c`` d\n\n    e", "> - a `` b `c`` d\n\n```\ne\n```"),
        ("> a *b\n5. c*\n> d", "> a \\*b\n5. c\\*\n> d"),
        ("> 1. a\n\n    b\n\n2. c", "> 1. a\n\n```\nb\n```\n\n2. c"),
    ],
    "a list mark that is indented like code": [
        ("Options:\n\n    - a\n    - b\n\nend", "Options:\n\n```\n- a\n- b\n```\n\nend"),
        ("of *a\n    - b* and\n     1. c\nd", "of *a\n\\- b* and\n1\\. c\nd"),
        ("- a\n\n      - b\n\n  - c", "- a\n\n```\n- b\n```\n\n  - c"),
        ("> - a\n>       7. b\n> - c", "> - a\n>   7\\. b\n> - c"),
        ("1. a\n   - b\n         - c\n     - d", "1. a\n  - b\n    \\- c\n    - d"),
    ],
    "a fence of tildes that begins an item": [
        ("- ~~~\n- b\n\nend **it**", "- ~\n- b\n\nend **it**"),
        ("1. ~~~ py\n   x = 1\n\n   y = 2\n2. b", "1. ```py\n   x = 1\n\n   y = 2\n   ```\n2. b"),
        ("- a\n  - ~~~\n    ``x``\nend *it*", "- a\n  - ```\n    ``x``\n    ```\nend *it*"),
        ("> - ~~~~ text\n>   x\n> - b\n\nend", "> - ```text\n>   x\n>   ```\n> - b\n\nend"),
        ("- ~~~\n  ~~~\n\ntext", "- ~\n\ntext"),
    ],
    "a quote or a heading in an item": [
        ("1. a\n   > b\n1. c\n\n> d\n\n1. e", "1. a\n> b\n2. c\n\n> d\n\n1. e"),
        ("- a\n  4. b\n\n     > - c\n     > - d\n\n  4. e", "- a\n  4\\. b\n\n> - c\n> - d\n\n  4. e"),
        ("1. a\n   - b\n     > c\n   - d\n2. e", "1. a\n  - b\n> c\n  - d\n2. e"),
        ("1. a\n   ### b\n- c\n2. d", "1. a\n### b\n- c\n\n2. d"),
        ("3. a\n   | b | c |\n   |---|---|\n- d\n4. e", "3. a\n```\nb    c\n---  ---\n```\n- d\n\n4. e"),
    ],
    "formulas without dollars": [
        ("\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}", "a = b\nc = d"),
        ("So \\boxed{42}, or \\frac{1}{2}", "So 42, or 1/2"),
        ("\\begin{cases}\na \\\\\nb\n\\end{cases}", "```tex\n\\begin{cases}\na \\\\\nb\n\\end{cases}\n```"),
        ("> \\begin{equation}\n> x = 1\n> \\end{equation}", "> x = 1"),
    ],
}  # fmt: skip
AS_WRITTEN = [
    *(
        "Write =$A1*$B1 into C1.",
        "$VERIFIED/$TOTAL and $JAVA_HOME/bin:$PATH",
        "$first_name,$last_name",
        "${a}/${b} /^abc$/",
    ),
    *("The <b> tag, <i> too, and <br> breaks.", "List<b>, and Option<i>", "Use <code> for code", "</b> <u> Map<K, V>"),
    *("So 2*3*4 = 24, 2*pi*r, x**2 + y**2 = z**2", "*args, **kwargs", "f(*a, **b) 3 * 4", "a*b*c a ** b ** c"),
    *(
        "__init__ and __call__; __init__.py",
        "__name__ == '__main__'",
        "my_ and _my, snake_case a__b",
        "__FILE__ ~~ ~/a~",
    ),
    *("a || b is lazy, and so is c || d", "x||y||z", "cmd || exit || true", "||"),
    *("Try:\n\n>>> 1 + 1\n2\n>>> x", ">>> print(__name__)", "a\n>>> b * c", ">>>"),
    *("#b #", "-5 and +1", "1986 was\n1987. too"),
]
"""Text that no mark is read from, on any of the two sides."""
ESCAPED = [
    (r"As in \[1\] and \[2\]: cp \[options\] \[y/N\] f\(x\)", "As in [1] and [2]: cp [options] [y/N] f(x)"),
    (r"\[not a link\](https://x.y)", "[not a link](https://x.y)"),
    (r"\# a", "# a"),
    (r"1\. a \> b \- c \*d\* \`e\`", "1. a > b - c *d* `e`"),
    ("&lt;div&gt; &amp; &quot;x&quot;, 5 &times; 3, it&#39;s, &copy; &#x41;", '<div> & "x", 5 × 3, it\'s, © A'),
    ("&ast;a&ast; &lt;@123&gt; &gt; &#35; b", "*a* <@123> > # b"),
    ("10&nbsp;km &unknown; AT&T &amp;lt;", "10\xa0km &unknown; AT&T &lt;"),
]


MEANT = [
    ("> word " + "word " * 52 + "\n>     - b\n> c", 300),
    *(("*~~* x", 2000), ("- _~~_\n- *||* x", 2000), ("> **~~** x", 2000)),
    *(
        (f"`a` [`b`](https://x.y/a_(b))_ c_ `{end}", 2000)
        for end in ("` ` [`b`](http://x.y/(c))_ d", "` ` [`b](http://x.y/_(c))_ d_ `", " [`b`](http://x.y/(_c)_ d_")
    ),
    *(
        (rf"***$5 {inside}*** and /^a$/", 2000)
        for inside in (r"a \[a = \frac{b}{c}\]", r"`\alpha` b", r"\(\alpha + 1\) b")
    ),
    ("**[https://x.y](./a)~~b**", 2000),
    ("~~a *b \\~~* c~~ ~~~ x ~~~~", 2000),
    ("#### " + "word " * 54 + "@everyone @everyone ##\n\n#### End ##\n\n1. b", 302),
    ("## " + "word " * 56 + "@everyone @everyone ##\n\nend", 302),
    ("of " + "word " * 50 + "\n5. five " + "word " * 50 + "\n9. nine", 300),
    ("### " + "word " * 45 + "\n\n```py\nx = 1\n``` One. This " + "word " * 40, 270),
    ("word " * 55 + "<b>two words " + "and more " * 12 + "</b> end", 300),
]
"""Replies, with limits, in which marks and their ends fall on both sides of something else, such as a cut."""


def seen(text: str) -> str:
    return "".join(character for message in whole(text, 2000) for character, _ in read(message))


@pytest.mark.parametrize(("written", "sent"), [case for cases in KINDS.values() for case in cases])
def test_what_is_sent(written: str, sent: str) -> None:
    assert "\n<cut>\n".join(whole(written, 2000)) == sent.replace("~", "\u200b")


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_what_is_no_mark_is_seen_as_it_was_written(text: str) -> None:
    shown = [each for message in whole(text, 2000) for each in read(message)]
    styles = {style for _, each in shown for style in each}
    assert "".join(character for character, _ in shown) == "".join(text.split())
    assert not styles


@pytest.mark.parametrize(("text", "limit"), MEANT)
def test_what_stands_across_something_is_shown_as_it_is_meant(text: str, limit: int) -> None:
    assert difference(text, whole(text, limit)) is None


@pytest.mark.parametrize(("written", "want"), ESCAPED)
def test_what_is_escaped_is_seen_without_its_escapes(written: str, want: str) -> None:
    assert seen(written) == "".join(want.split())


def test_a_long_reply_with_a_fence_behind_text_is_code_only_where_it_says() -> None:
    text = "Here: ```python\n" + "x = 1\n" * 200 + "```\n\n" + "Some *words* of text. " * 100
    shown = [each for message in whole(text, 600) for each in read(message)]
    assert sum(styles == {"code"} for _, styles in shown) == 200 * len("x=1")
    assert sum(styles == {"italic"} for _, styles in shown) == 100 * len("words")
