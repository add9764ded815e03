"""A reply in pieces that nothing after them changes."""

from __future__ import annotations

from functools import partial

import pytest

from bot.markdown import Piece, Stream
from bot.markdown.blocks import render
from bot.markdown.rendered import Carry, End
from tests.markdown.test_cost import calls

REPLY = r"""
# Tea **and** its kinds
Here is **a short** overview of the kinds of tea that people drink, with a [link](https://a.b/c), `some code` and $x^2$.
It goes on: 5 * 3 is 15, snake_case stays, and **bold
goes over** a line; an *unclosed mark does not.

- **Green**: fresh
- *Black*: strong, and
  goes on here
  1. one
  2. two | three

| Kind | Price of it in euro | Where it comes from |
|---|--:|---|
| Green | 12 | China and also Japan |

> A quote **bold**
> that goes on

```python
def f(x):

    return x | 1


print(f(2))
```

---

Title
=====

\[ x^2 + 1 = y \]

<details>
Hidden
</details>
The end.
"""


def pieces(text: str, *steps: int, columns: int = 80) -> list[tuple[str, str]]:
    """What a reply that comes in steps of so many characters is shown as."""
    stream, at = Stream(columns), 0
    shown: list[Piece] = []
    while at < len(text):
        step = steps[len(shown) % len(steps)]
        shown += stream.feed(text[at : at + step])
        at += step
    return [(piece.before, piece.content) for piece in (*shown, *stream.finish())]


def words(content: str) -> list[str]:
    """What is to be read, without the lines around code, which come again with each piece of it."""
    return "\n".join(line for line in content.split("\n") if not line.startswith("```")).split()


@pytest.mark.parametrize("steps", [(1,), (4,), (7, 1, 30), (100,), (5_000,)])
def test_the_pieces_of_a_reply_say_what_all_of_it_says(steps: tuple[int, ...]) -> None:
    whole = render(REPLY, Carry(), End.FINAL, 100_000, columns=80).content
    assert words("".join(before + content for before, content in pieces(REPLY, *steps))) == words(whole)


@pytest.mark.parametrize(
    ("text", "certain", "rest"),
    [
        ("All who read this far " * 5, " ".join(["All who read this far"] * 5)[:-4], "far"),
        ("A line\nand **an", "A line", "and \\*\\*an"),
        ("A title\n", "", "A title"),
        ("a | b\n", "", "a | b"),
        ("- one\n- tw", "- one", "- tw"),
        ("- one\n-", "", "- one\n  -"),
        (
            "- one\n\n" + "All who read this far " * 5,
            "- one\n\n" + "All who read this far " * 4 + "All who read this",
            "far",
        ),
        ("# Title\n", "# Title", ""),
        ("```py\na = 1\n\nb = 2\nc", "```py\na = 1\n```\n\n```py\nb = 2\n```", "```py\nc\n```"),
        ("| a | b |\n|--|--|\n| 1 | 2 |\n", "", "```\na    b\n---  ---\n1    2\n```"),
        ("> one\n> *two\n> x", "> one", "> \\*two\n> x"),
    ],
)
def test_a_piece_comes_once_nothing_can_change_it(text: str, certain: str, rest: str) -> None:
    stream = Stream(80)
    shown = [piece for character in text for piece in stream.feed(character)]
    assert "".join(piece.before + piece.content for piece in shown) == certain
    assert "".join(piece.content for piece in stream.finish()) == rest


def test_an_aligned_table_is_as_wide_as_it_may_be() -> None:
    table = "| Kind | Where it comes from |\n|---|---|\n| Green | China and also Japan, they say |"
    assert pieces(table, 9)[0][1].startswith("```\nKind ")
    assert pieces(table, 9, columns=30) == [
        ("", "- Kind: **Green**\n  - Where it comes from: China and also Japan, they say")
    ]


@pytest.mark.parametrize(
    "pattern",
    [
        "word ",
        "**b** and `c` ",
        "*a ",
        "- item\n",
        "| a | b |\n|--|--|\n",
        "code line\n",
        "`",
        "[a",
        "> q\n",
        "\n",
        "x",
    ],
)
@pytest.mark.parametrize("begins", ["", "```\n", "| a | b |\n|--|--|\n"])
def test_streaming_costs_in_proportion_to_length(begins: str, pattern: str) -> None:
    once, double, fourfold = (
        calls(partial(pieces, begins + (pattern * size)[:size], 8)) for size in (1_000, 2_000, 4_000)
    )
    assert double < 3 * once
    assert fourfold < 7 * once
