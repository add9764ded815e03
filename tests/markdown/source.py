"""What a reply's Markdown shows, as markdown-it-py reads it, and whether a number of messages shows the same.

Where the project reads otherwise than CommonMark, which has neither formulas nor mentions, each such rule is one of
the functions below and says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.rules_inline.state_inline import Delimiter, StateInline
from markdown_it.token import Token

from tests.discord_reading import INVISIBLE, Shown, Styles, read

FORMULAS: Final = {
    "$x^2$": "x²",
    "$E = mc^2$": "E = mc²",
    r"\(\alpha + 1\)": "α + 1",
    r"\[a = \frac{b}{c}\]": "a = b/c",
    r"$\sqrt{2}$": "√2",
    "$n$": "n",
    "$x$": "x",
    r"\frac{1}{2}": "1/2",
    r"\boxed{42}": "42",
    r"$$\sum_{i=1}^n i$$": "∑ᵢ₌₁ⁿ i",
    "\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}": "a = b c = d",
    r"\(x\)": "x",
}
"""Formulas that documents are drawn with, and what they become."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, which a message shows as text in columns or as a list of its rows."""

    header: list[str]
    rows: list[list[str]]


Expected = list[tuple[str, Styles] | Table]
ANY: Final = "any style"
"""Of a character whose style is not compared: a formula's, which may be code, or a heading's, which may be bold."""


def _emphasis(state: StateInline, silent: bool) -> bool:
    """CommonMark's rule, except that a mark between two letters or digits does not open: `2*3*4` is text."""
    marker = state.src[state.pos]
    if silent or marker not in "*_~":
        return False
    scanned = state.scanDelims(state.pos, marker != "_")
    before = state.src[state.pos - 1] if state.pos else " "
    after = state.src[state.pos + scanned.length : state.pos + scanned.length + 1] or " "
    opens = scanned.can_open and not (_in_word(before) and _in_word(after) and before < "\u0e00")
    if marker == "~":
        if scanned.length != 2:
            state.pending += marker * scanned.length
            state.pos += scanned.length
            return True
        state.push("text", "", 0).content = "~~"
        state.delimiters.append(Delimiter(ord("~"), 0, len(state.tokens) - 1, -1, opens, scanned.can_close))
    else:
        for _ in range(scanned.length):
            state.push("text", "", 0).content = marker
            state.delimiters.append(
                Delimiter(ord(marker), scanned.length, len(state.tokens) - 1, -1, opens, scanned.can_close)
            )
    state.pos += scanned.length
    return True


def _in_word(character: str) -> bool:
    return not re.match(r"[\s!-/:-@\[-`{-~\u2000-\u206f\u3000-\u303f\uff00-\uff0f]", character)


def _text_rule(pattern: re.Pattern[str]):  # type: ignore[no-untyped-def]
    """What is text as it stands, however it looks: its first group, or all of it."""

    def rule(state: StateInline, silent: bool) -> bool:
        match = pattern.match(state.src, state.pos, state.posMax)
        if match is None:
            return False
        if not silent:
            state.pending += match[1] if match.lastindex else match[0]
        state.pos = match.end()
        return True

    return rule


_URL = re.compile(r"https?://[^\s<>*`~|\"\]，。）]*[^\s<>*`~|\"\]，。）.,:;!?)']")
_TOKEN = re.compile(r"<(?:@!?\d+|#\d+|a?:\w+:\d+|t:\d+:R)>")
_NAME = re.compile(r"(?<![^\W_])__(?:[a-z][a-z0-9]*(?:_[a-z0-9]+)*|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)__(?![A-Za-z0-9_])")
_SHRUG = re.compile(r"¯\\_\(ツ\)_/¯")


def _formula(state: StateInline, silent: bool) -> bool:
    """A formula becomes text."""
    for formula, text in FORMULAS.items():
        if state.src.startswith(formula, state.pos) and state.pos + len(formula) <= state.posMax:
            before = state.src[state.pos - 1] if state.pos else " "
            after = state.src[state.pos + len(formula) : state.pos + len(formula) + 1]
            if formula[0] == "$" and (re.match(r"[^\W_]|[$=/{]", before) or re.match(r"[^\W_]|\$", after)):
                continue
            if formula[:2] == "\\(" and re.match(r"\w", before):
                continue
            if not silent:
                state.push("formula", "", 0).content = text
            state.pos += len(formula)
            return True
    return False


def _pair(pattern: re.Pattern[str], style: str):  # type: ignore[no-untyped-def]
    """Marks that CommonMark has not: spoilers, and tags of HTML that are a pair; a tag that is none is text."""

    def rule(state: StateInline, silent: bool) -> bool:
        match = pattern.match(state.src, state.pos, state.posMax)
        if match is None or silent:
            return False
        state.push(f"{style}_open", style, 1)
        end, (state.pos, state.posMax) = state.posMax, match.span(match.lastindex or 0)
        state.md.inline.tokenize(state)
        state.pos, state.posMax = match.end(), end
        state.push(f"{style}_close", style, -1)
        return True

    return rule


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # A reference to a link stays as it is written: what it refers to may come in another message.
    parser.disable(["reference", "html_block", "html_inline"])
    ruler = parser.inline.ruler
    ruler.at("emphasis", _emphasis)
    ruler.disable("strikethrough")
    ruler.before("escape", "formula", _formula)
    ruler.before("escape", "shrug", _text_rule(_SHRUG))
    ruler.before("emphasis", "name", _text_rule(_NAME))
    ruler.before("autolink", "token", _text_rule(_TOKEN))
    ruler.before("emphasis", "bold", _pair(re.compile(r"<(?:b|strong)>([^<>\n]+)</(?:b|strong)>"), "strong"))
    ruler.before(
        "emphasis", "spoiler", _pair(re.compile(r"(?<![\w|])\|\|(?=\S)([^|\n]+?)(?<=\S)\|\|(?![\w|])"), "spoiler")
    )
    ruler.before("text", "url", _text_rule(_URL))
    for character in "|h¯":
        parser.inline.add_terminator_char(character)
    return parser


_PARSER: Final = _parser()
_STYLES: Final = {"strong": "bold", "em": "italic", "s": "strike", "spoiler": "spoiler"}


_MARKS: Final = re.compile(r"\A(?:[ \t]*(?:>|[-*+][ \t]|\d{1,9}[.)][ \t]))*[ \t]*")
"""The marks of quotes and items that a line begins with."""


def _as_commonmark(source: str) -> str:
    """The rules for lines in which the project differs.

    Python's prompt `>>> ` is text; `-# ` is Discord's subtext; a fence may begin behind text, and end before some; a
    formula alone on its line is a block.
    """
    lines: list[str] = []
    fence, inside = "", 0
    for line in source.replace("\r\n", "\n").split("\n"):
        body = _MARKS.sub("", line, count=1)
        if line.strip() and len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip(" >")) < inside:
            # A fence ends with the item that it is in.
            fence, inside = "", 0
        if fence:
            closed = re.match(rf"([ >\t]*{fence}{fence[0]}*)(?:[ \t]*$|[ \t]+([^\s`]+[ \t]+[^\s`].*))", line)
            if closed:
                fence, inside = "", 0
                lines.append(closed[1])
                if closed[2]:
                    lines.append(closed[2])
                continue
        elif opened := re.match(r"(`{3,})[^`]*$|(~{3,})", body):
            fence = opened[1] or opened[2]
            marks = line[: len(line) - len(body)]
            inside = len(marks.expandtabs(4)) if marks.strip(" \t>") else 0
        elif (alone := re.match(r"([ >]*)((?:\\\[|\$\$).*?)[ \t]*$", line)) and alone[2] in FORMULAS:
            lines += [alone[1], line, alone[1]]
            continue
        elif (behind := re.match(r"(.*[^`\s])[ \t]*(```[A-Za-z0-9_+.#-]*)[ \t]*$", line)) and "```" not in behind[1]:
            lines.append(behind[1])
            line, fence = behind[2], "```"
        else:
            line = re.sub(r"^((?:[ ]*>)?[ ]*)>>>(?=\s|$)", r"\1\\>>>", line)
            line = re.sub(r"^([ >]*)-# ", r"\1", line)
        lines.append(line)
    return "\n".join(lines)


def expected(source: str) -> Expected:
    """Every visible character of a reply, in order, with its styles."""
    out: Expected = []
    numbers: list[int | None] = []
    tokens = _PARSER.parse(_as_commonmark(source))
    heading = False
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.type == "table_open":
            end = next(i for i in range(at, len(tokens)) if tokens[i].type == "table_close")
            out.append(_table(tokens[at:end]))
            at = end
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            numbers.append(int(token.attrs.get("start", 1)) if token.type[0] == "o" else None)
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            numbers.pop()
        elif token.type == "list_item_open" and (number := numbers[-1]) is not None:
            empty = tokens[at + 1].type == "list_item_close"
            out += [(character, frozenset()) for character in f"{token.info if empty else number}."]
            numbers[-1] = number + 1
        elif token.type == "list_item_open" and tokens[at + 1].type == "list_item_close":
            # Discord has no item without text: the sign itself is shown.
            out.append((token.markup, frozenset()))
        elif token.type in ("heading_open", "heading_close"):
            heading = token.type == "heading_open"
        elif token.type in ("fence", "code_block"):
            out += [(c, frozenset({"code"})) for c in token.content if _visible(c)]
        elif token.type == "inline":
            out += _inline(token.children or [], frozenset({ANY}) if heading else frozenset())
        at += 1
    return out


def _visible(character: str) -> bool:
    return not character.isspace() and character not in INVISIBLE


def _inline(tokens: Sequence[Token], styles: Styles) -> Shown:
    out: Shown = []
    depth: list[str] = []
    links: list[tuple[str, int]] = []
    for token in tokens:
        name = token.type.removesuffix("_open").removesuffix("_close")
        now = styles | {_STYLES[each] for each in depth}
        if name in _STYLES:
            if token.nesting == 1:
                depth.append(name)
            else:
                depth.remove(name)
        elif token.type == "code_inline":
            out += [(c, frozenset({"code"})) for c in token.content if _visible(c)]
        elif token.type == "formula":
            out += [(c, frozenset({ANY})) for c in token.content if _visible(c)]
        elif token.type == "image":
            name = token.content or "image"
            out += [(c, frozenset({ANY})) for c in _plain(token) if _visible(c)]
        elif token.type == "link_open":
            links.append((str(token.attrs["href"]) if token.info != "auto" else "", len(out)))
        elif token.type == "link_close":
            target, start = links.pop()
            out[start:] = _link(target, out[start:], now)
        elif token.type == "text":
            out += [(c, now) for c in token.content if _visible(c)]
    return out


def _plain(token: Token) -> str:
    return "".join(child.content for child in token.children or []) or "image"


def _link(target: str, label: Shown, styles: Styles) -> Shown:
    """Discord has links to http(s) only: of mail the address is shown, too; a label that is an address is not."""
    text = "".join(character for character, _ in label)
    if target.startswith("mailto:") and text != target[7:]:
        return label + [(c, styles) for c in f"({target[7:]})"]
    if not target.startswith(("http://", "https://")):
        return label
    if (address := re.search(r"https?://\S*", text)) and address[0] != text:
        return label[: address.start()] + label[address.end() :]
    # Emphasis pauses for an address that contains its marks, which cannot be escaped there.
    return (
        label
        if text and not address
        else [(c, frozenset({ANY}) if set("*~") & set(target) else styles) for c in target]
    )


def _table(tokens: Sequence[Token]) -> Table:
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append("".join(c for c, _ in _inline(token.children or [], frozenset())))
    return Table(rows[0], [row for row in rows[1:] if any(row)])


def difference(source: str, messages: Sequence[str]) -> str | None:
    """Where messages show something else than the Markdown that they were made of; None if nowhere."""
    return difference_from(expected(source), messages)


def difference_from(wanted: Expected, messages: Sequence[str]) -> str | None:
    """Where messages show something else than is `wanted`; None if nowhere."""
    shown = [each for message in messages for each in read(message)]
    at = 0
    for index, want in enumerate(wanted):
        if isinstance(want, Table):
            end = _matched(want, "".join(c for c, _ in shown), at, 0)
            if end is None:
                return f"table {want}: {_excerpt(shown, at)}"
            at = end
            continue
        if at == len(shown):
            return f"lost: {_excerpt(wanted, index)}"
        have = shown[at]
        if have[0] != want[0] or (ANY not in want[1] and have[1] - {"heading"} != want[1]):
            return f"wanted {_excerpt(wanted, index)}, shown {_excerpt(shown, at)}"
        at += 1
    return None if at == len(shown) else f"gained: {_excerpt(shown, at)}"


def _matched(table: Table, text: str, at: int, row: int) -> int | None:
    """Where a table ends that is shown from there on, its rows one by one as text or as a list."""
    if row == len(table.rows) and (row or text.startswith("".join(table.header), at)):
        return at if row else _after_header(table, text, at) or at + len("".join(table.header))
    cells = table.rows[row] if row < len(table.rows) else []
    listed = "".join(f"{name}:{cell}" if name else cell for name, cell in zip(table.header, cells, strict=True) if cell)
    if (after := _after_header(table, text, at)) is not None and text.startswith("".join(cells), after):
        end = _matched(table, text, after + len("".join(cells)), row + 1)
        if end is not None:
            return end
    for form in (listed, "".join(cells)):
        if (
            (form or row)
            and text.startswith(form, at)
            and (end := _matched(table, text, at + len(form), row + 1)) is not None
        ):
            return end
    return None


def _after_header(table: Table, text: str, at: int) -> int | None:
    header = re.compile(re.escape("".join(table.header)) + "-+").match(text, at)
    return header.end() if header else None


def _excerpt(shown: Sequence[tuple[str, Styles] | Table], at: int) -> str:
    pieces = shown[at : at + 12]
    text = "".join(each[0] if isinstance(each, tuple) else "|table|" for each in pieces)
    first = shown[at][1] if at < len(shown) and isinstance(shown[at], tuple) else ()  # type: ignore[index]
    return f"{text!r} {sorted(first)}"
