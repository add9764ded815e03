"""What people see of what a model writes: other forms for what Discord cannot show, and half-written constructs."""

from __future__ import annotations

import pytest

from bot.markdown import Document
from bot.markdown.latex import to_unicode
from tests.discord_reading import read


def shown(text: str, *, final: bool = True) -> str:
    document = Document()
    document.update(text, final=final)
    return "\n<cut>\n".join(part.content for part in document.parts)


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("#### Deep\ntext", "**Deep**\ntext"),
        ("##### Deep **and bold** `code`", "**Deep and bold `code`**"),
        ("above\n\n---\n\nbelow", "above\n\nbelow"),
        ("above.\n***\nbelow", "above.\n\nbelow"),
        ("A title\n---\nbelow", "## A title\nbelow"),
        ("A title\n===\nbelow", "# A title\nbelow"),
        ("![a cat](http://x.y/cat.png)", "[a cat](http://x.y/cat.png)"),
        ("![](http://x.y/cat.png)", "[image](http://x.y/cat.png)"),
        ("[![build](http://x.y/b.svg)](http://x.y/ci)", "[build](http://x.y/ci)"),
        ("~~~py\nx = 1\n~~~", "```py\nx = 1\n```"),
        ("one<br>two <b>three</b> <kbd>Esc</kbd>", "one\ntwo **three** `Esc`"),
        ("> one<br/>two", "> one\n> two"),
        ("H<sub>2</sub>O and x<sup>10</sup>, 1<sup>st?</sup>", "H₂O and x¹⁰, 1st?"),
    ],
)
def test_unsupported_markdown_gets_another_form(written: str, seen: str) -> None:
    assert shown(written) == seen


@pytest.mark.parametrize(
    "text",
    [
        "# One\n## Two\n### Three\n-# small\n**b** *i* ***bi*** ~~s~~ ||p|| `c` ``c ` c``",
        "- one\n  - nested\n- two\n\n1. first\n2. second\n\n> quoted\n> more",
        "[link](http://x.y/a_(b)) <http://x.y> <@1> <@&2> <#3> <:name:4> <a:name:5> <t:6:R> </cmd:7> http://x.y/_a_",
        "- [ ] open\n- [x] done\n\n[^1] and a footnote\n\n[^1]: the note",
        "```md\n| a | b |\n|---|---|\n$x^2$ #### no\n---\n~~~\n![a](b)\n```",
        "`$x^2$ ![a](b) <br>` and `| a |`",
        "It costs $5 and $10, or $5-$10, US$3; echo $HOME/$USER; 2 * 3 * 4 and snake_case_name",
        "a < b and c > d, x <y and z, a | b",
        r"escaped \*stars\* and \$5\$",
        "a | b\nc | d",
    ],
)
def test_supported_markdown_stays(text: str) -> None:
    assert shown(text) == text


def test_table_becomes_aligned_text() -> None:
    table = (
        "| Name | Right | Mid |\n|:-----|------:|:---:|\n| **Ann** | 1 | `a\\|b` |\n"
        "| 太郎 | 22.5 | 👨‍👩‍👧‍👦 |\n| Zoë | $x^2$ | |\n\nend"
    )
    assert shown(table) == (
        "```\nName  Right  Mid\n----  -----  ---\nAnn       1  a|b\n太郎   22.5  👨‍👩‍👧‍👦\nZoë      x²\n```\n\nend"
    )


def test_wide_or_linked_table_becomes_a_list() -> None:
    wide = f"| Plan | For | Against |\n|---|---|---|\n| **One** | {'good ' * 8}| {'bad ' * 8}|\n| Two | | `no` |\n"
    assert shown(wide) == (
        f"- Plan: **One**\n  - For: {('good ' * 8).strip()}\n  - Against: {('bad ' * 8).strip()}\n"
        "- Plan: **Two**\n  - Against: `no`"
    )
    assert shown("| A | B |\n|---|---|\n| x | [y](http://z.z) |") == "- A: **x**\n  - B: [y](http://z.z)"


def test_quoted_table_stays_quoted() -> None:
    assert (
        shown("> | A | B |\n> |---|---|\n> | x | y |\n\nend") == "> ```\n> A    B\n> ---  ---\n> x    y\n> ```\n\nend"
    )


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (r"\alpha + \beta_1^2 \leq \infty", "α + β₁² ≤ ∞"),
        (r"x=\frac{-b\pm\sqrt{b^2-4ac}}{2a}", "x = (−b ± √(b²−4ac))/(2a)"),
        (r"\frac{1}{2}mv^2", "(1/2)mv²"),
        (r"\sum_{i=1}^{n} i = \frac{n(n+1)}{2}", "∑ᵢ₌₁ⁿ i = (n(n+1))/2"),
        (r"\int_0^\infty e^{-x^2/2}\,dx", "∫₀^∞ e^(−x²/2) dx"),
        (r"f:\mathbb{R}\to\mathbb{C}, \quad A\subseteq B \cup C", "f:ℝ → ℂ, A ⊆ B ∪ C"),
        (r"\text{if } x \not= 0 \implies \vec{v} \cdot \hat n", "if x ≠ 0 ⟹ v⃗ · n̂"),
        (r"\sqrt[3]{x+1} \approx \left( \log_2 n \right)", "∛(x+1) ≈ ( log₂ n )"),
        (r"\begin{pmatrix} a & b \end{pmatrix}", None),
        (r"\unknown{x}", None),
        (r"x_{", None),
    ],
)
def test_formulas(formula: str, text: str | None) -> None:
    assert to_unicode(formula) == text


def test_formulas_in_text() -> None:
    assert shown(r"Let $x_1$ be \(\alpha^2\), $5$ or $a * b$.") == r"Let x₁ be α², 5 or a ∗ b."
    assert shown(r"Then \(\weird{x}\) holds") == r"Then `\weird{x}` holds"
    assert shown("So\n\n\\[\nE = mc^2\n\\]\n\n$$\n\\begin{a}\nb\n\\end{a}\n$$\nend") == (
        "So\n\nE = mc²\n\n```tex\n\\begin{a}\nb\n\\end{a}\n```\nend"
    )


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("so **bold and *ital", "so **bold and *ital***"),
        ("so **bold*", "so **bold**"),
        ("so **", "so"),
        ("run `ls -l", "run `ls -l`"),
        ("it was ||her\n\nor h", "it was ||her\n\nor h||"),
        ("```py", ""),
        ("see\n```py\n", "see"),
        ("```py\nx = 1", "```py\nx = 1\n```"),
        ("```py\nx = 1\n``", "```py\nx = 1\n```"),
        ("> ```\n> x", "> ```\n> x\n> ```"),
        ("see [the do", "see"),
        ("see [the docs](http://x.y/", "see"),
        ("a list [1] of", "a list [1] of"),
        ("ask <@12", "ask"),
        ("a picture !", "a picture"),
        ("now $x^", "now"),
        ("for $5 a", "for $5 a"),
        ("now \\(x +", "now"),
        ("text\n\n##", "text"),
        ("text\n-", "text"),
        ("A title\n--", "A title"),
        ("a\n\n| A | B", "a"),
        ("a\n\n| A | B |\n|--", "a"),
        ("| A | B |\n|---|---|\n| x | y |\n| z |", "```\nA    B\n---  ---\nx    y\n```"),
    ],
)
def test_half_written_markdown_looks_right(written: str, seen: str) -> None:
    assert shown(written, final=False) == seen


@pytest.mark.parametrize("opening", ["[", "| a ", "\\(", "$x", "```", "see <http://"])
def test_at_most_300_characters_are_held_back(opening: str) -> None:
    text = opening + "x" * 301
    assert shown(text, final=False) != ""
    assert shown(text[:299], final=False) in ("", "see")


@pytest.mark.parametrize("text", ["**a", "`", "[a](b", "<", "| a |", "$", "\\", "x\n---", "a *", "#", "<b>a", "&am"])
def test_nothing_is_held_back_at_the_end(text: str) -> None:
    assert "".join(character for character, _ in read(shown(text))) == "".join(text.removesuffix("\n---").split())
