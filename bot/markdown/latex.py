r"""Conversion of LaTeX formulas to Unicode text, where Unicode can express the whole formula.

Converted: Greek letters, operators, relations, arrows, sets and logic, big operators with their bounds, `^` and `_`
(super- and subscript characters where Unicode has all of them, else `^(…)` and `_(…)`), `\frac`, `\sqrt`, `\binom`,
`\mathbb`, accents over one letter, function names, `\pmod`, `\text` and the other font commands, sizes
(`\left`, `\big`, …), spacing. Not converted: environments (`\begin`), alignment (`&`, `\\`) and every command not
listed here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_LETTERS: Final = _pairs(
    r"""
    alpha α beta β gamma γ delta δ epsilon ε zeta ζ eta η theta θ iota ι kappa κ lambda λ mu μ nu ν xi ξ pi π rho ρ
    sigma σ tau τ upsilon υ phi φ chi χ psi ψ omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ
    Psi Ψ Omega Ω varepsilon ε vartheta ϑ varphi φ varrho ϱ varsigma ς omicron ο infty ∞ partial ∂ nabla ∇ hbar ℏ ell ℓ
    Re ℜ Im ℑ aleph ℵ emptyset ∅ varnothing ∅ forall ∀ exists ∃ nexists ∄ neg ¬ lnot ¬ top ⊤ bot ⊥ angle ∠ degree °
    circ ∘ prime ′ dagger † star ⋆ bullet • ldots … dots … dotsc … dotsb ⋯ cdots ⋯ vdots ⋮ ddots ⋱ sum ∑ prod ∏ coprod ∐
    int ∫ iint ∬ iiint ∭ oint ∮ bigcup ⋃ bigcap ⋂ langle ⟨ rangle ⟩ lfloor ⌊ rfloor ⌋ lceil ⌈ rceil ⌉ vert | lvert |
    rvert | Vert ‖ lVert ‖ rVert ‖ lbrace { rbrace } backslash \ therefore ∴ because ∵ square □ checkmark ✓ triangle △
    imath ı jmath ȷ { { } } % % $ $ # # & & _ _ | ‖
    """
)
"""Commands for a character that needs no space around it."""

_RELATIONS: Final = _pairs(
    """
    times × cdot · div ÷ pm ± mp ∓ ast ∗ oplus ⊕ otimes ⊗ ominus ⊖ odot ⊙ setminus ∖ cup ∪ cap ∩ sqcup ⊔ land ∧ wedge ∧
    lor ∨ vee ∨ leq ≤ le ≤ geq ≥ ge ≥ neq ≠ ne ≠ ll ≪ gg ≫ lt < gt > approx ≈ equiv ≡ sim ∼ simeq ≃ cong ≅ propto ∝
    prec ≺ succ ≻ in ∈ notin ∉ ni ∋ subset ⊂ subseteq ⊆ subsetneq ⊊ supset ⊃ supseteq ⊇ perp ⊥ parallel ∥ mid ∣ nmid ∤
    vdash ⊢ models ⊨ colon : coloneqq ≔ to → rightarrow → longrightarrow ⟶ leftarrow ← gets ← longleftarrow ⟵
    leftrightarrow ↔ Rightarrow ⇒ implies ⟹ Longrightarrow ⟹ Leftarrow ⇐ impliedby ⟸ Leftrightarrow ⇔ iff ⟺ mapsto ↦
    longmapsto ⟼ hookrightarrow ↪ uparrow ↑ downarrow ↓ updownarrow ↕ rightleftharpoons ⇌ nearrow ↗ searrow ↘ bmod mod
    """
)
"""Commands for a binary operator, relation or arrow, which get a space on either side."""

FUNCTIONS: Final = _words(
    """
    sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim limsup liminf max min sup inf arg det
    dim ker deg gcd lcm hom Pr argmax argmin
    """
)
"""Commands that are written as their own name, and words that may stand in a formula."""
_FONTS: Final = _words(
    """
    text textbf textit textrm texttt textsf mathrm mathbf mathit mathsf mathtt mathnormal boldsymbol bm operatorname
    boxed mbox hbox mathcal mathscr
    """
)
_SIZES: Final = _words("left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr")
_NOTHING: Final = _words("displaystyle textstyle limits nolimits nonumber !")
_SPACES: Final = {",": " ", ";": " ", ":": " ", " ": " ", "quad": "  ", "qquad": "   ", "thinspace": " "}
_ACCENTS: Final = {
    "hat": "\u0302", "widehat": "\u0302", "bar": "\u0304", "overline": "\u0304", "tilde": "\u0303", "vec": "\u20d7",
    "dot": "\u0307", "ddot": "\u0308", "underline": "\u0332", "check": "\u030c",
}  # fmt: skip
_DOUBLE_STRUCK: Final = dict(zip("RNZQCPHEFKDAITS1", "ℝℕℤℚℂℙℍ𝔼𝔽𝕂𝔻𝔸𝕀𝕋𝕊𝟙", strict=True))
_ROOTS: Final = {"": "√", "2": "√", "3": "∛", "4": "∜"}
_NEGATED: Final = {"=": "≠", "∈": "∉", "⊂": "⊄", "⊆": "⊈", "≡": "≢", "∃": "∄", "∣": "∤", "∼": "≁", "≈": "≉"}
_SUPERSCRIPT: Final = str.maketrans(
    "0123456789+−=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWαβγδθφχ′∘∗",
    "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵅᵝᵞᵟᶿᵠᵡ′°*",
)
_SUBSCRIPT: Final = str.maketrans("0123456789+−=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ")

_PIECE: Final = re.compile(r"\\(?:[A-Za-z]+\*?|.)|[{}^_&~]|\s+|'+|.", re.DOTALL)
r"""Pattern of a formula's smallest piece: in `\frac{a}2`, `\frac`, `{`, `a`, `}` and `2`."""
_SIMPLE: Final = re.compile(r"[\w∞∂′.]*[\u0300-\u036f\u20d7]*|\([^()]*\)|[√∛∜]?\w+")
"""Pattern of a term that needs no brackets in a fraction: `12`, `(a+b)` or `√x`, but not `a+b`."""
_SINGLE: Final = re.compile(r"[\d.]+|[^\W\d][⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉′\u0300-\u036f\u20d7]*|\([^()]*\)|[√∛∜]\w")
"""Pattern of a term that needs no brackets before another: `12`, `x²` or `(a+b)`, but not `ab`."""
_DEEPEST: Final = 20
_MOST_ARGUMENTS: Final = 60
"""The deepest nesting of arguments without braces. A deeper one would exceed the interpreter's recursion limit."""


class _NoUnicode(Exception):
    """A part of the formula has no form in plain text."""


@lru_cache(maxsize=512)
def to_unicode(formula: str) -> str | None:
    """Return the formula as one line of text, or None if any part of it would be lost."""
    try:
        text = _Parser(_PIECE.findall(formula)).sequence()
    except _NoUnicode:
        return None
    return re.sub(r" {2,}", " ", text).strip() or None


_ROWS: Final = re.compile(
    r"\\begin\{(align|aligned|gather|gathered|equation|split|multline)(\*?)\}(.*)\\end\{\1\2\}", re.DOTALL
)
r"""Pattern of an environment with rows, such as `\begin{align} a &= b \\ c &= d \end{align}`, with its content."""
_ALIGNMENT: Final = re.compile(r"(?<!\\)&")
r"""Pattern of the mark where lines are aligned: in `a &= b \& c`, the first `&`."""
_ROW_END: Final = re.compile(r"\\\\(?:\[[^\]]*\])?")
r"""Pattern of the end of a row: in `a \\[2pt] b`, `\\[2pt]`."""


def to_lines(formula: str) -> list[str] | None:
    r"""Return a formula of several rows as lines of text, or None if any part would be lost.

    `a &= b \\ c &= d` becomes `a = b` and `c = d`.
    """
    rows = _ROWS.fullmatch(formula.strip())
    if rows is None:
        text = to_unicode(formula)
        return None if text is None else [text]
    lines = [to_unicode(_ALIGNMENT.sub(" ", row)) for row in _ROW_END.split(rows[3]) if row.strip()]
    return [line for line in lines if line is not None] if lines and None not in lines else None


class _Parser:
    def __init__(self, pieces: list[str]) -> None:
        self._pieces = pieces
        self._at = 0
        self._depth = 0
        self._arguments = 0

    def sequence(self, until: str | None = None) -> str:
        """Convert the source up to and including `until`."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _NoUnicode
        out = ""
        while self._at < len(self._pieces):
            piece = self._next()
            if piece == until:
                self._depth -= 1
                return out
            out = self._append(out, piece)
        if until is not None:
            raise _NoUnicode
        self._depth -= 1
        return out

    def _next(self) -> str:
        if self._at == len(self._pieces):
            raise _NoUnicode
        self._at += 1
        return self._pieces[self._at - 1]

    def _peek(self) -> str:
        return self._pieces[self._at] if self._at < len(self._pieces) else ""

    def _argument(self) -> str:
        self._arguments += 1
        if self._arguments > _MOST_ARGUMENTS:
            raise _NoUnicode
        piece = self._next()
        while piece.isspace():
            piece = self._next()
        argument = self._append("", piece).strip()
        self._arguments -= 1
        return argument

    def _append(self, out: str, piece: str) -> str:
        if piece == "^":
            return out.rstrip() + _script(self._argument(), _SUPERSCRIPT, "^")
        if piece == "_":
            return out.rstrip() + _script(self._argument(), _SUBSCRIPT, "_")
        if piece == "{":
            return out + self.sequence("}")
        if piece in {"}", "&", "\\\\", "`"}:
            raise _NoUnicode
        if piece.startswith("\\"):
            return self._command(out, piece[1:])
        if piece.isspace() or piece == "~":
            return out + " "
        if piece.startswith("'"):
            return out + "′" * len(piece)
        if piece in "=<>":
            return f"{out.rstrip()} {piece} "
        return out + {"-": "−", "*": "∗"}.get(piece, piece)

    def _command(self, out: str, name: str) -> str:
        name = name.removesuffix("*")
        if name in _LETTERS:
            return out + _LETTERS[name]
        if name in _RELATIONS:
            return f"{out.rstrip()} {_RELATIONS[name]} "
        if name in FUNCTIONS:
            return (out + " " if out and out[-1].isalnum() else out) + name + (" " if self._peek().isalnum() else "")
        if name in _NOTHING:
            return out
        if name in _SPACES:
            return out + _SPACES[name]
        if name in _SIZES:
            if self._peek() == ".":
                self._next()
            return out
        if name in {"frac", "dfrac", "tfrac", "cfrac"}:
            fraction = f"{_group(self._argument())}/{_group(self._argument(), _SINGLE)}"
            alone = not out[-1:].isalnum() and (self._peek().isspace() or self._peek() in _AFTER_FRACTION)
            return out + (fraction if alone else f"({fraction})")
        if name == "sqrt":
            degree = ""
            if self._peek() == "[":
                self._next()
                degree = self.sequence("]").strip()
            root = _ROOTS.get(degree) or _script(degree, _SUPERSCRIPT, "") + "√"
            return out + root + _group(self._argument())
        if name in {"binom", "dbinom", "tbinom"}:
            return out + f"C({self._argument()}, {self._argument()})"
        if name == "mathbb":
            letters = self._argument()
            if not letters or any(letter not in _DOUBLE_STRUCK for letter in letters):
                raise _NoUnicode
            return out + "".join(_DOUBLE_STRUCK[letter] for letter in letters)
        if name in _FONTS:
            return out + (self._text() if name.startswith(("text", "mbox", "hbox")) else self._argument())
        if name in _ACCENTS:
            letter = self._argument()
            if len(letter) != 1:
                raise _NoUnicode
            return out + letter + _ACCENTS[name]
        if name == "pmod":
            return f"{out.rstrip()} (mod {self._argument()})"
        if name == "not":
            relation = self._argument()
            if relation not in _NEGATED:
                raise _NoUnicode
            return f"{out.rstrip()} {_NEGATED[relation]} "
        raise _NoUnicode

    def _text(self) -> str:
        """Return the argument of a text command unchanged."""
        if self._next() != "{":
            raise _NoUnicode
        words = ""
        while (piece := self._next()) != "}":
            if piece == "{" or (piece.startswith("\\") and piece[1:] not in {"%", "$", "#", "&", "_", " "}):
                raise _NoUnicode
            words += piece.removeprefix("\\")
        return words


COMMANDS: Final = (
    frozenset(_LETTERS) | frozenset(_RELATIONS) | FUNCTIONS | _FONTS | _SIZES | _NOTHING | frozenset(_SPACES)
    | frozenset(_ACCENTS)
    | _words("frac dfrac tfrac cfrac sqrt binom dbinom tbinom mathbb pmod not begin end hline mathfrak tag label")
    | _words("underbrace overbrace xrightarrow xleftarrow stackrel overset underset substack cases boxed cancel color")
)  # fmt: skip
"""All known commands of formulas, including those without a form in plain text."""

_AFTER_FRACTION: Final = frozenset(
    ["", "}", "]", ")", ",", ".", ";", "=", "+", "-", "\\,", "\\right", "\\quad", "<", ">"]
)


def _script(text: str, alphabet: dict[int, int], mark: str) -> str:
    compact = re.sub(r"\s+", "", text)
    if compact and all(ord(character) in alphabet for character in compact):
        return compact.translate(alphabet)
    return mark + (compact if len(compact) == 1 else f"({text.strip()})")


def _group(text: str, simple: re.Pattern[str] = _SIMPLE) -> str:
    text = text.strip()
    return text if simple.fullmatch(text) else f"({text})"
