"""Which of what looks like a formula is one: what is not plainly a formula stays as it was written."""

# ruff: noqa: E501 (one case a line)

from __future__ import annotations

import pytest

from tests.discord_reading import read
from tests.markdown.growing import whole

NO_FORMULAS = [
    # prices and currencies
    *("It costs $5 and $10.", "From $5-$10, or US$3", "$1,000 or $2,500", "5$ and 6$", "A$5/B$6", "between $5 and $x"),
    *("₹5 or $6 or ₹7", "R$ 10 e R$ 20", "HK$5至HK$9", "$5/mo, $50/yr", "£3, $4, €5", "$3.50–$4.50", "CA$7 + US$8"),
    *("$20k to $30k a year", "($5, $6)", "价格$5到$6之间", "१० $ या २० $", "kr 5, $6"),
    # shells
    *("echo $HOME/$USER", "add $JAVA_HOME/bin:$PATH", "$VERIFIED_COUNT/$TOTAL_COUNT", "${a}/${b}", "$(date) $(pwd)"),
    *(
        "$1 $2 $@",
        "kill $$ and $$",
        "$?$!",
        "cp $SRC $DST",
        "if [ $a -lt $b ]",
        "$i<$n",
        "for x in $list; do y=$x",
        "$x+$y",
    ),
    # spreadsheets
    *("=$A1*$B1", "=SUM($A$1:$B$9)", "A$1+B$1", "=$C2-$D2", "$A$1", "=IF($A1>$B1,1,0)"),
    # programming languages and templates
    *("$first_name,$last_name", "id=$user_id/$org_id", "$this->name . $that", "$a[$b]", "$f($x)", "$_GET and $_POST"),
    *(
        "$x = $y + 1;",
        "df$a + df$b",
        "$('#a') and $('#b')",
        "`$x$`",
        "{{ $x }} {{ $y }}",
        "{$a}{$b}",
        "%$a%$b%",
        "$name$",
    ),
    *("$scope.x = $scope.y", "s/$a/$b/", "let $el = $(x)", "$user$", "@$x@$y"),
    *(r"$first_name \alpha + 1$ or", r"so $user_id \times 2$", r"$max_len \to \min_len$", r"$a__b \pm 1$"),
    # regular expressions
    *("/^abc$/", "^a$|^b$", "/x$/ and /y$/", r"/\d+$/ or /\w+$/", "^[a-z]+$ to $1$2", "(a|b)$ and (c|d)$"),
    # escaped brackets and citations
    *(r"\[1\]", r"\[1\] and \[2\]", r"\[options\]", r"\[y/N\]", r"\[x\] done", r"\[ \] open", r"f\(x\)", r"file\(s\)"),
    *(
        r"\(optional\)",
        r"\(see below\)",
        r"\[a-z\]",
        r"\[Smith 2020\]",
        r"\[not a link\](https://example.com)",
        r"\(1\)",
    ),
    *(r"\(x, y\)", r"\[0\] = 1", r"C:\begin\end", r"\section{Intro}", r"\n and \t"),
]
FORMULAS = {
    "$x$": "x", "$n$": "n", "$f(x)$": "f(x)", "$x^2$": "x²", "$a_1$": "a₁", "$x_{ij}$": "xᵢⱼ", "$n-1$": "n−1",
    "$2x + 1$": "2x+1", "$E = mc^2$": "E=mc²", "$a^2 + b^2 = c^2$": "a²+b²=c²", "$F = ma$": "F=ma", "$x > 0$": "x>0",
    "$p < 0.05$": "p<0.05", "$10^6$": "10⁶", "$2^n$": "2ⁿ", "$O(n)$": "O(n)", "$O(n^2)$": "O(n²)", "$-1$": "−1",
    "$O(n \\log n)$": "O(nlogn)", "$O(log n)$": None, "$f'(x)$": "f′(x)", "$n!$": "n!", "$(a+b)(c+d)$": "(a+b)(c+d)",
    "$\\alpha$": "α", "$\\pi r^2$": "πr²", "$\\frac{1}{2}$": "1/2", "$\\sqrt{2}$": "√2", "$\\sum_{i=1}^n i$": "∑ᵢ₌₁ⁿi",
    "$\\int_0^1 x\\,dx$": "∫₀¹xdx", "$\\lim_{x \\to 0} x$": None, "$x \\in \\mathbb{R}$": "x∈ℝ", "$A \\cup B$": "A∪B",
    "$a \\neq b$": "a≠b", "$\\vec{v}$": "v⃗", "$x \\to \\infty$": "x→∞", "$\\sin(x)$": "sin(x)", "$v_{max}$": None,
    "$\\text{if } x$": "ifx", "$i = 0, 1, 2$": "i=0,1,2", "$|x|$": None, "$P(A|B) = 1$": None, "$\\{1, 2\\}$": "{1,2}",
    "$y = mx + b$": "y=mx+b", "$k$-means": "k-means", "$5$": "5", "$\\Delta t$": "Δt",
    "$$x^2$$": "x²", "$$\\frac{a}{b}$$": "a/b", "$$a = b$$": "a=b", "$$\\begin{align} a &= b \\end{align}$$": None,
    r"\(x\)": "x", r"\(x^2\)": "x²", r"\(a/b\)": "a/b", r"\(n - 1\)": "n−1", r"\(\alpha + \beta\)": "α+β", r"\(f(x) = 2\)": "f(x)=2",
    r"\(E = mc^2\)": "E=mc²", r"\[x^2\]": "x²", r"\[a = b\]": "a=b", r"\[\alpha\]": "α", r"\[ E = mc^2 \]": "E=mc²",
    r"\frac{1}{2}": "1/2", r"\boxed{42}": "42", r"\sqrt{x}": "√x", r"\(\weird{x}\)": r"\weird{x}",
    "\\[\na^2 + b^2 = c^2\n\\]": "a²+b²=c²", "$$\nx = 1\n$$": "x=1", "\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}": "a=bc=d",
    "$$\nspeed = way / time\n$$": "speed=way/time", "\\begin{equation}\nx = 1\n\\end{equation}": "x=1",
    "\\begin{pmatrix}\na & b\n\\end{pmatrix}": "\\begin{pmatrix}a&b\\end{pmatrix}",
}  # fmt: skip
"""And what is seen of each; None where it is enough that the dollars are gone."""


def seen(text: str) -> str:
    return "".join(character for message in whole(text, 2000) for character, _ in read(message))


def unescaped(text: str) -> str:
    for sign in "[]()":
        text = text.replace(f"\\{sign}", sign)
    return "".join(text.replace("`", "").split())


@pytest.mark.parametrize("text", NO_FORMULAS)
def test_what_is_not_plainly_a_formula_stays_as_it_is(text: str) -> None:
    assert seen(f"Here: {text}, you see") == unescaped(f"Here: {text}, you see")


@pytest.mark.parametrize(("formula", "text"), FORMULAS.items())
def test_what_is_plainly_a_formula_becomes_text(formula: str, text: str | None) -> None:
    shown = seen(formula)
    assert "$" not in shown
    assert text is None or shown == text


def test_there_are_enough_of_both() -> None:
    assert len(NO_FORMULAS) >= 60
    assert len(FORMULAS) >= 60
