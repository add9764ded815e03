"""Text inside a paragraph: its open marks, its unbreakable constructs, and Discord's forms of its constructs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from html.entities import html5
from typing import Final

from bot.markdown.emphasis import APART, WRITTEN, Run, match, sides
from bot.markdown.formulas import in_display, in_dollars, in_round, in_square
from bot.markdown.latex import to_unicode

HOLD: Final = 300
"""The number of characters for which a half-written construct is held back before it is shown as it stands."""

_SPECIAL: Final = re.compile(r"[\\`*_~|\[<$&\n!h](?:(?<![!h])|(?<=!)(?=\[)|(?<=!)(?<!\S!)\Z|(?<=h)ttps?://)")
"""Pattern of the places where text may be something else, such as `*` in `see *this*`.

It begins with one set of characters, for which `re` searches several times faster than for alternatives.
"""
_TOKEN: Final = re.compile(
    r"<(?:@[!&]?\d+|#\d+|a?:\w+:\d+|t:-?\d+(?::\w)?|/[^<>\n:]+:\d+|id:\w+(?::\d+)?|https?://[^\s<>]+)>", re.ASCII
)
"""Pattern of tokens that Discord has a form for, such as `<@12>`, `<:name:3>`, `<t:4:R>` and `<https://a.b>`."""
_HALF_TOKEN: Final = re.compile(r"<(?:[@#:/a-zA-Z][^<>\s]*)?$")
"""Pattern of a half-written token, such as `<@1` or `<http`."""
_AUTOLINK: Final = re.compile(
    r"<(?:mailto:)?([A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*|[\w.+-]+@[\w-]+(?:\.[\w-]+)+)>", re.ASCII
)
"""Pattern of other autolinks, such as `<me@a.b>` and `<ftp://a.b>`, with the address inside them."""
_TAG: Final = re.compile(r"<(/?)([a-z]+[1-6]?)((?:\s[^<>]{0,300})?)/?>", re.IGNORECASE)
"""Pattern of an HTML tag, such as `<b>`, `</p>`, `<br/>` or `<a href="x">`."""
_COMMENT: Final = re.compile(r"<!--.{0,2000}?-->", re.DOTALL)
"""Pattern of an HTML comment, such as `<!-- a note -->`."""
_SCRIPTED: Final = re.compile(r"<(su[bp])>([^<>\n]{0,300})</\1>", re.IGNORECASE)
"""Pattern of a subscript or superscript element, such as `<sub>2</sub>`, with its content."""
_ATTRIBUTE: Final = r"""\b{}\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"""
_LABEL: Final = r"\[((?:[^\[\]\\`\n]{1,100}+|\\.|`[^`\n]{0,300}`|\n(?!\n)|\[[^\[\]\n]{0,300}\]){0,1000})\]"
_TARGET: Final = (
    r"\(\s*+(?:<([^<>\n]{0,1000})>|([^()\s<]*(?:\([^()\s]*\)[^()\s]*)*))"
    r"(?:\s++(?:\"[^\"\n]{0,300}\"|'[^'\n]{0,300}'|\([^()\n]{0,300}\)))?\s*+\)"
)
_LINK: Final = re.compile(rf"{_LABEL}{_TARGET}")
"""Pattern of a link, such as `[label](target "title")`."""
_IMAGE: Final = re.compile(rf"!{_LABEL}{_TARGET}")
"""Pattern of an image, such as `![name](target)`."""
_LINKED_IMAGE: Final = re.compile(rf"\[!{_LABEL}{_TARGET}\]{_TARGET}")
"""Pattern of an image within a link, such as `[![name](picture)](target)`."""
_HALF_LINK: Final = re.compile(r"!$|!?\[(?:[^\[\]\n]|\[(?:[^\[\]\n]*+\])?)*(?:\](?:\([^\n)]*)?)?$")
"""Pattern of a half-written link, such as `[lab` or `[label](tar`."""
_HALF_LINKED_IMAGE: Final = re.compile(r"\[(?:!(?:\[[^\[\]\n]*(?:\](?:\([^\n()]*(?:\)(?:\](?:\([^\n)]*)?)?)?)?)?)?)?$")
"""Pattern of a half-written image within a link, such as `[![name](pic`."""
_BALANCED: Final = re.compile(r"(?:[^\[\]]++|\[[^\[\]]*+\])*+")
"""Pattern of a label whose end Discord finds, such as `a [1] b`."""
_ADDRESS: Final = re.compile(r"<?https?://[^\s<>]*>?")
"""Pattern of an address in a label, such as `https://a.b` in `docs at https://a.b`. No label may contain one."""
_URL: Final = re.compile(r"https?://(?:[^\s<>*|~`\"\]\\，。、；：！？）」』】]|\\[_*~&#%()+=.-]|~(?!~))+")
"""Pattern of an address in text, such as `https://a.b/c?d_e`."""
_URL_TAIL: Final = ".,;:!?'"
_AFTER_URL: Final = re.compile(r"[.,:;\"'!?)\]]*(?:\s|\Z)")
"""Pattern of text that may follow an address without becoming a part of it, such as `).` after `https://a.b/c`."""
_IN_DOLLARS: Final = re.compile(r"(?<![^\W_])(?<![$\\=/{])\$(?=\S)([^$\n]{1,300}+)(?<=\S)\$(?![^\W_]|\$)")
"""Pattern of a formula in dollars, such as `$x^2$`. It does not match `=$A1*$B1` and `US$5 and $6`."""
_IN_TWO_DOLLARS: Final = re.compile(r"(?<![^\W_])(?<![$\\])\$\$([^$]{1,300}+)\$\$(?![^\W_])")
"""Pattern of a formula in double dollars, such as `$$x^2$$`."""
_IN_BRACKETS: Final = re.compile(r"\\\((.{1,300}?)\\\)|\\\[(.{1,300}?)\\\]", re.DOTALL)
r"""Pattern of a formula in escaped brackets, such as `\(x^2\)` and `\[x^2\]`."""
_BRACKETS: Final = {"(": "\\)", "[": "\\]"}
_COMMAND: Final = re.compile(r"\\([A-Za-z]+)(?:\{(?:[^{}\n]|\{(?:[^{}\n]|\{[^{}\n]{0,60}\}){0,60}\}){0,200}\})+")
r"""Pattern of a formula in prose without dollars, such as `\frac{1}{2}` or `\boxed{42}`."""
_IN_PROSE: Final = frozenset(["frac", "dfrac", "tfrac", "boxed", "sqrt", "binom", "mathbb", "mathbf", "mathrm", "text"])
_HALF_MATH: Final = re.compile(r"(?<![\w$\\=/{])\$\$?(?=[^\s\d$])[^$\n]*\$?$|\$\$[^$]*\$?$")
"""Pattern of a half-written formula in dollars, such as `$x^`."""
_ENTITY: Final = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));")
"""Pattern of an HTML entity, such as `&lt;`, `&#39;` or `&#x27;`."""
_SIGNS: Final = frozenset("\\`*_~|[<>#-+.")
_HALF_ENTITY: Final = re.compile(r"&#?\w{0,31}$", re.ASCII)
"""Pattern of a half-written HTML entity, such as `&am`."""
_BLOCK: Final = re.compile(r"#{1,3}(?=\s)|-#(?=\s)|>|[-*](?=\s)|(\d+)\.(?=\s)")
"""Pattern of text that Discord takes for a block at the start of a line, as in `# a`, `> b`, `- c` and `1. d`."""
_LINE_START: Final = re.compile(r"\n[ \t]*+")
"""Pattern of a newline with the spaces after it: in `a\\n  b`, `\\n  `."""
_QUOTED_LINE_START: Final = re.compile(r"\n[ \t]*+(?:(?!>>>(?:\s|\Z))>[ \t]?)*+[ \t]*+")
"""Pattern of a newline with the quote marks after it, such as the text before `a` in `\\n> a`."""
_HTTP: Final = re.compile(r"https?://[^\s/]", re.IGNORECASE)
"""Pattern of an address that Discord can link to: `https://a.b`, but not `mailto:a@b` or `#part`."""
_UNESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
r"""Pattern of an escaped character, such as `\_` in `a\_b`."""
_PLAIN_TARGET: Final = re.compile(r"[^\s\\&*|~`<>\"\[\]()]*")
"""Pattern of an address that Discord reads as it is, such as `https://a.b/c_d?e=1`."""
_ROUND: Final = re.compile(r"[^()]*(?:\([^()]*\)[^()]*)*")
"""Pattern of an address whose end Discord finds, such as `/a_(b)`."""
_ANY_TAG: Final = re.compile(r"<[^<>]*>")
"""Pattern of a tag: in `a <i>b</i>`, `<i>` and `</i>`."""
_DUNDER: Final = re.compile(r"__(?:[a-z][a-z0-9]*(?:_[a-z0-9]+)*|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)__(?![A-Za-z0-9_])")
"""Pattern of names in programming languages that are not bold text, such as `__init__` and `__FILE__`."""
_PLAIN_MARKS: Final = frozenset(["*", "**", "_", "__"])
_SHRUG: Final = "¯\\_(ツ)_/¯"
_RISKY: Final = re.compile(r"_(?![A-Za-z0-9_])(?<!\\_)")
"""Pattern of an underscore that may end italics on Discord, such as the last one in `my_name and `a_``."""
_GUARDED: Final = re.compile(
    r"```.*?```|¯\\_\(ツ\)_/¯|(`{1,2})(?!`).*?[^`]\1(?!`)|\\.|<[^\s<>]+>|\]\([^\s)]*\)|https?://\S+"
    r"|(_)",
    re.DOTALL,
)
"""Pattern of any underscore, and first of constructs where underscores are safe, such as `[a](http://b_c_)`."""
_ESCAPED: Final = re.compile(r"([*_~`|\\\[<])")
"""Pattern of a character that is escaped in text: in `a*b`, `*`, which becomes `\\*`."""
_TICKS: Final = re.compile("`+")
"""Pattern of a run of backticks: in ``` a``b`c ```, two and one."""
_INLINE_TAGS: Final = frozenset(tag[1:-1] for tag in WRITTEN if tag[0] == "<" and tag != "<h>")
_DROPPED_TAGS: Final = frozenset(["mark", "small", "span", "font", "big", "abbr", "center", "sub", "sup", "picture"])
_BLOCK_TAGS: Final = frozenset(
    ["p", "div", "ul", "ol", "li", "details", "summary", "section", "article", "center", "picture",
     "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "header", "footer", "main", "nav"]
)  # fmt: skip
LONGEST_TICKS: Final = 16
"""The longest run of backticks that counts as a mark. A longer one would leave no room in a message for its code."""


class Inline:
    """A writer of paragraphs that takes one chunk of source after another and knows the open marks after each.

    `carried` are the marks that the previous part closed at its end. They are written at the first chunk and always
    closed, unlike marks of this part that turn out to be text. `final` means that no more text will come, and `growing`
    means that more is being written. Without either, a cut ends the text.
    """

    def __init__(
        self,
        source: str,
        carried: tuple[str, ...] = (),
        *,
        growing: bool = False,
        final: bool = False,
        long: int = 1000,
    ) -> None:
        self.out: list[str] = []
        self.atoms: list[tuple[int, int]] = []
        self.held = False
        self.newline = "\n"
        """The text that begins a new line. In a quote it includes the quote's mark."""
        self.quoted = False
        """Whether the lines of the chunk have quote marks before them."""
        self._source = source
        self._growing = growing
        self._final = final
        self._long = long
        """The length after which open inline code is continued after a cut."""
        self._pending = carried
        self._runs: list[Run] = []
        self._open: list[tuple[str, str]] = []
        """The open marks, outermost first, each as it stands in the source and as it was written."""
        self._code_open = ""
        """The backticks of inline code that continues."""
        self._spoiler: Run | None = None
        """The open spoiler, which may span paragraphs."""
        self._opaque: list[int] = []
        """The indices of output pieces that contain `*`, `_`, `~~` or `||` that cannot be escaped."""
        self._closers: dict[int, str] = {}
        """The offsets of closing tags and the text that is written for each."""
        self._none_after: dict[str, int] = {}
        """Searches that found nothing, each with the offset from which nothing was found."""
        self._last_target = -1
        """The last offset in the chunk where the address of a link may begin."""
        self._last_close = -1
        """The last offset of a closing bracket in the chunk."""
        self._in_label = False
        self._masked = False
        """Whether the label is that of a link, which may not contain an address."""
        self._line_at = -1
        """The offset where the text of a line begins, after the marks that open there."""
        self._start = 0
        self._end = 0

    def write(self, text: str) -> None:
        """Write text unchanged."""
        if text:
            self.out.append(text)

    @property
    def marks(self) -> tuple[str, ...]:
        """The open marks as they stand in the source, outermost first."""
        return tuple(mark for mark, _ in self._open)

    def end(self) -> str:
        """Return the text that closes the marks open at the end. A spoiler that nothing closes is no mark."""
        if self._final and self._spoiler and not self._spoiler.carried:
            self.out[self._spoiler.piece] = self._spoiler.literal * 2
            return ""
        return "".join(written for _, written in reversed(self._open))

    def reopen(self, *, paragraph: bool) -> None:
        """Reopen the marks that the previous part left open.

        Emphasis continues only in the same paragraph, but a spoiler continues everywhere.
        """
        for mark in self._pending:
            if mark[0] == "`":
                if paragraph:
                    self._code_open = mark
            elif mark == "||":
                self._spoiler = Run(len(self.out), "|", 2, opens=True, closes=False, literal="", carried=True)
                self._open = [("||", "||")]
                self.out.append("||")
            elif paragraph:
                kind, length = (mark, 1) if mark[0] == "<" else (mark[0], len(mark))
                self._runs.append(Run(len(self.out), kind, length, opens=True, closes=False, literal="", carried=True))
                self.out.append("")
        self._pending = ()

    def end_paragraph(self) -> None:
        """Forget the open marks except a spoiler, which may span paragraphs."""
        if self._open:
            self._open = [("||", "||")] if self._spoiler else []

    def chunk(self, start: int, end: int, *, bold: bool = False) -> None:
        """Write the source from `start` to `end`, which is a paragraph or its available beginning.

        `bold` makes all of it bold.
        """
        self._start, self._end = start, end
        self._none_after.clear()
        self._last_target = self._source.rfind("](", start, end)
        self._last_close = self._source.rfind("]", start, end)
        self._open = []
        if self._spoiler:
            self._runs.insert(0, self._spoiler)
            self._spoiler = None
        if bold:
            self._mark("<h>", opens=True)
        at = start
        if self._code_open:
            ticks, self._code_open = self._code_open, ""
            self.write(ticks)
            at = self._rest_of_code(at, ticks)
        else:
            at = self._line(at)
        self._text(at, end)
        if bold and not self.held and (end < len(self._source) or self._final):
            self._mark("<h>", closes=True)
        if self._runs and not self._plain_pairs():
            self._finish()
        if self._code_open:
            self._open.append((self._code_open, self._code_open))

    def _text(self, at: int, end: int) -> None:
        source, out, search = self._source, self.out, _SPECIAL.search
        while at < end and not self.held:
            found = search(source, at, end)
            if found is None:
                out.append(source[at:end])
                return
            special = found.start()
            if special > at:
                out.append(source[at:special])
            at = _HANDLERS[source[special]](self, special)

    def _mark(self, kind: str, *, opens: bool = False, closes: bool = False, literal: str = "") -> None:
        self._runs.append(Run(len(self.out), kind, 1, opens, closes, literal))
        self.out.append("")

    def _plain_pairs(self) -> bool:
        """Write the chunk's marks if each pair stands by itself, as in `**a** and *b*`. Most paragraphs are such."""
        out, opener = self.out, ""
        written: list[tuple[int, str]] = []
        if self._opaque:
            return False
        for run in self._runs:
            mark = run.kind * run.length
            if run.carried or mark not in _PLAIN_MARKS:
                return False
            if opener:
                if mark != opener or run.opens or not run.closes:
                    return False
                opener = ""
            elif run.closes:
                return False
            elif not run.opens:
                written.append((run.piece, run.literal * run.length))
                continue
            elif run.piece and not out[run.piece - 1]:
                return False
            else:
                opener = mark
            written.append((run.piece, WRITTEN[mark]))
        if opener:
            return False
        for piece, text in written:
            out[piece] = text
        self._runs = []
        return True

    def _finish(self) -> None:
        """Write the chunk's marks once it is known which runs are marks."""
        runs, out = self._runs, self.out
        goes_on = self._end == len(self._source) and not self._final
        left = set(map(id, match(runs)))
        last = len(out) - 1
        while last >= 0 and not out[last]:
            last -= 1
        stack: list[tuple[str, str]] = []
        due: list[str] = []
        closed_at = -2
        opaque = iter([*self._opaque, len(out)])
        next_opaque = next(opaque)
        for run in runs:
            while next_opaque < run.piece:
                self._split(next_opaque, stack)
                next_opaque = next(opaque)
            text = ""
            if run.closing:
                for _ in run.closing:
                    text += stack.pop()[1] if stack else ""
                if text and text[0] in "~|":
                    text = self._kept_apart(run.piece, text)
                if not run.length and not run.opening:
                    out[run.piece] = text
                    if text[-1:] == "*":
                        closed_at = run.piece
                    continue
            closes_star = text[-1:] == "*"
            marks: tuple[str, ...] = ()
            if run.length and id(run) in left and not run.dead:
                if run.kind == "|":
                    marks = run.pending() if run.carried or last > run.piece or not goes_on else ()
                    self._spoiler = run if marks else self._spoiler
                elif goes_on or run.carried:
                    marks = run.pending()
                if marks and last < run.piece:
                    marks, run.length = (), 0
                elif marks and not goes_on and run.kind != "|":
                    due += marks
            if run.length and not marks:
                literal = "\\*" if run.literal == "*" and stack else run.literal
                text += literal * run.length
                closes_star = False
            opened = self._opened((*marks, *run.opening), stack) if marks or run.opening else ""
            if opened:
                if opened[0] == "*":
                    if closes_star or (not text and closed_at >= 0 and self._piece_before(run.piece) == closed_at):
                        text += APART
                elif not text:
                    opened = self._kept_apart(run.piece, opened)
            out[run.piece] = text + opened
            if closes_star and not opened:
                closed_at = run.piece
        while next_opaque < len(out):
            self._split(next_opaque, stack)
            next_opaque = next(opaque)
        self._runs, self._opaque = [], []
        if due:
            while stack and stack[-1][0] in due:
                self.write(stack.pop()[1])
        self._open = stack

    def _opened(self, marks: Iterable[str], stack: list[tuple[str, str]]) -> str:
        """Return marks in Discord's form. A mark within another of its kind has no meaning there and is left out."""
        text = ""
        for mark in marks:
            written = WRITTEN[mark]
            for _, outer in stack:
                if outer == written:
                    written = ""
            stack.append((mark, written))
            text += written
        return text

    def _piece_before(self, piece: int) -> int:
        piece -= 1
        while piece >= 0 and not self.out[piece]:
            piece -= 1
        return piece

    def _kept_apart(self, piece: int, mark: str) -> str:
        """Return a mark for the output.

        A mark of tildes or pipes is separated from the same character before it, as in `\\~` and `~~`.
        """
        if mark[0] not in "~|":
            return mark
        before = self._piece_before(piece)
        return APART + mark if before >= 0 and self.out[before][-1] == mark[0] else mark

    def _split(self, piece: int, stack: list[tuple[str, str]]) -> None:
        """Close emphasis before a construct that contains its mark, and reopen it after the construct.

        Discord ends emphasis at the next such mark anywhere. `*see `a*b` there*` becomes `*see *`a*b`* there*`, with an
        invisible character inside.
        """
        text = self.out[piece]
        marks = [written for _, written in stack if written]
        if any((written[0] if written[0] == "*" else written) in text for written in marks):
            self.out[piece] = f"{APART}{''.join(reversed(marks))}{text}{''.join(marks)}{APART}"

    def _literal(self, at: int, end: int) -> int:
        self.out.append(self._source[at:end])
        return end

    def _atom(self, at: int, end: int, text: str | None = None) -> int:
        """Write text that no cut may split."""
        self.atoms.append((at, end))
        self.write(self._source[at:end] if text is None else text)
        return end

    def _note_marks(self, text: str) -> None:
        """Remember that the next piece of output is this text, if there are marks in it that cannot be escaped."""
        if _has_marks(text):
            self._opaque.append(len(self.out))

    def _address(self, address: str, after: int, *, alone: bool = True) -> str:
        """Return an address as it is shown, in angle brackets if what follows it might become a part of it."""
        bare = alone and _AFTER_URL.match(self._source, after, self._end) and not _has_marks(address)
        return address if bare else f"<{address}>"

    def _solid(self, at: int, end: int, text: str) -> int:
        """Write text whose marks cannot be escaped."""
        self._note_marks(text)
        if text[:1] == "`" and (before := self._piece_before(len(self.out))) >= 0 and self.out[before][-1] == "`":
            text = APART + text
        return self._atom(at, end, text)

    def _hold(self, at: int, *halves: re.Pattern[str]) -> bool:
        """Whether the construct at `at` may still become whole, so that nothing after it is shown.

        `halves` are the patterns of such constructs.
        """
        source, end = self._source, self._end
        if self._growing and end == len(source) and end - at <= HOLD:
            self.held = not halves
            for half in halves:
                self.held = self.held or half.match(source, at, end) is not None
        return self.held

    def _find(self, what: re.Pattern[str], name: str, at: int) -> re.Match[str] | None:
        """Search the chunk from an offset. A search that found nothing is not repeated."""
        if self._none_after.get(name, self._end) <= at:
            return None
        found = what.search(self._source, at, self._end)
        if found is None:
            self._none_after[name] = at
        return found

    def _run_end(self, at: int) -> int:
        source, end, after = self._source, self._end, at + 1
        while after < end and source[after] == source[at]:
            after += 1
        return after

    def _newline(self, at: int) -> int:
        start = (_QUOTED_LINE_START if self.quoted else _LINE_START).match(self._source, at, self._end)
        self.out.append(self.newline)
        return self._line(start.end() if start else at + 1)

    def _line(self, at: int) -> int:
        """Keep Discord from taking the text at the start of a line for a block. `# a` becomes `\\# a`."""
        block = _BLOCK.match(self._source, at, self._end)
        if block is None:
            self._line_at = at
            return at
        self.write(f"{block[1]}\\." if block[1] else f"\\{block[0]}")
        return block.end()

    def _rest_of_code(self, at: int, ticks: str) -> int:
        close = _closing_ticks(ticks).search(self._source, at, self._end)
        if close is None:
            self.atoms.append((at, self._end))
            self.write(self._code_text(at, self._end))
            self._code_open = ticks
            return self._end
        self._close_code(at, at, close)
        self.write(self._code_text(at, close.start()) + ticks)
        return close.end()

    def _code_text(self, start: int, end: int) -> str:
        """Return code for the output, without the marks of a quote around it.

        Three backticks in a row are separated.
        """
        code = self._source[start:end]
        if "\n" in code:
            code = (_QUOTED_LINE_START if self.quoted else _LINE_START).sub(" ", code)
        return apart(code) if "```" in code else code

    def _close_code(self, at: int, content: int, close: re.Match[str]) -> None:
        """Keep the last character of inline code together with its closing mark, however long the code is."""
        last = content + len(self._source[content : close.start()].rstrip()) - 1
        self.atoms.append((max(last, at), close.end()))
        self.atoms.append((at, close.end()))

    def _backticks(self, at: int) -> int:
        after = self._run_end(at)
        ticks = self._source[at:after]
        escaped = "\\`" * len(ticks)
        if len(ticks) > LONGEST_TICKS:
            return self._atom(at, after, escaped)
        close = self._find(_closing_ticks(ticks), ticks, after)
        if close is not None:
            self._close_code(at, after, close)
            text = code_span(self._code_text(after, close.start()))
            return self._solid(at, close.end(), text)
        last = self._end == len(self._source)
        if last and after == self._end and self._hold(at):
            return at
        if last and len(ticks) < 3 and self._goes_on(at) and self._source[after : self._end].strip("`"):
            rest = self._code_text(after, self._end)
            self.write(ticks + (rest.rstrip("`") if self._growing else rest))
            self._code_open = ticks
            self.atoms.append((at, self._end))
            return self._end
        return self._atom(at, after, escaped)

    def _goes_on(self, at: int) -> bool:
        """Whether inline code without an end yet is taken for code."""
        return not self._final and (self._growing or self._end - at > self._long)

    def _delimiters(self, at: int) -> int:
        source, after = self._source, self._run_end(at)
        if after == self._end and self._growing and after == len(source):
            self.held = True
            return at
        character, length = source[at], after - at
        if length == 1 and character in "~|":
            self.out.append(self._kept_apart(len(self.out), character))
            return after
        before = source[at - 1] if at > self._start else " "
        behind = source[after] if after < self._end else " "
        if length == 1:
            if character == "_" and before.isalnum() and behind.isalnum() and behind.isascii():
                return self._literal(at, after)
        elif character == "_" and not before.isalnum() and (dunder := _DUNDER.match(source, at, self._end)):
            return self._atom(at, dunder.end(), dunder[0].replace("_", "\\_"))
        opens, closes = sides(character, before, behind)
        if character in "~|" and length != 2:
            opens = closes = False
        spaced = character == "*" and length == 1 and before.isspace() and behind.isspace()
        self.atoms.append((at - 1 if closes else at, min(after + 1, self._end) if opens else after))
        self._runs.append(Run(len(self.out), character, length, opens, closes, "*" if spaced else f"\\{character}"))
        self.out.append("")
        return self._line(after) if at == self._line_at else after

    def _bracket(self, at: int) -> int:
        source, end = self._source, self._end
        if self._in_label:
            return self._literal(at, at + 1)
        if at < self._last_target:
            if link := _LINKED_IMAGE.match(source, at, end):
                name = _UNESCAPE.sub(r"\1", link[1])
                return self._solid(at, link.end(), self._named(name, _target(link[4] or link[5] or ""), link.end()))
            if link := _LINK.match(source, at, end):
                return self._link(at, link)
        if self._hold(at, _HALF_LINK, _HALF_LINKED_IMAGE):
            return at
        if at < self._last_target or at > self._last_close:
            # Discord would take text up to the next link, even in another paragraph, for the label.
            self.out.append("\\")
        return self._literal(at, at + 1)

    def _link(self, at: int, link: re.Match[str]) -> int:
        self.atoms.append((at, link.end()))
        target = _target(link[2] or link[3] or "")
        out, runs, span = self.out, self._runs, (self._start, self._end)
        first = len(out)
        out.append("")
        self._runs, self._in_label, (self._start, self._end) = [], True, link.span(1)
        self._masked = _HTTP.match(target) is not None
        self._text(*link.span(1))
        inside, self._runs, self._in_label, (self._start, self._end) = self._runs, runs, False, span
        match(inside)
        for run in inside:
            run.opens = run.closes = False
        text = "".join(out[first:])
        before, behind = self._around(text.strip(), target, link.end())
        if "://" in text and before == "[" and (address := _ADDRESS.search(text)):
            inside, text = [], _ADDRESS.sub("", text).strip()
            self._opaque = [piece for piece in self._opaque if piece < first]
            out[first:] = ["", text]
            if not text or address[0] == text:
                before, behind = self._around("", target, link.end())
        out[first] = before
        if not before and behind:
            self._note_marks(behind)
        out.append(behind if text or before or behind else APART)
        runs += inside
        return link.end()

    def _around(self, text: str, target: str, after: int) -> tuple[str, str]:
        """Return the text before and after a link's label in Discord's form.

        A link to `http://a.b` becomes `[label](http://a.b)`, and one to `mailto:me@a.b` becomes `label (me@a.b)`. A
        link to `#part` or `./file` becomes its label.
        """
        if target[:7].lower() == "mailto:":
            mail = target[7:].partition("?")[0]
            return "", "" if text.replace("\\", "") == mail else f"{' ' * bool(text)}({escape(mail)})"
        if not _HTTP.match(target):
            return "", ""
        if not text:
            return "", self._address(target, after)
        return ("[", f"]({_masked(target)})") if _BALANCED.fullmatch(text) else ("", f" (<{target}>)")

    def _named(self, name: str, target: str, after: int) -> str:
        """Return a picture or an HTML element as a link if Discord supports its address, otherwise as text."""
        name = escape(_ADDRESS.sub("", name).strip() or "image")
        return "".join((before := self._around(name, target, after))[:1]) + name + before[1]

    def _image(self, at: int) -> int:
        if at < self._last_target and (image := _IMAGE.match(self._source, at, self._end)):
            name, target = _UNESCAPE.sub(r"\1", image[1]), _target(image[2] or image[3] or "")
            return self._solid(at, image.end(), self._named(name, target if _HTTP.match(target) else "", image.end()))
        return at if self._hold(at, _HALF_LINK) else self._literal(at, at + 1)

    def _angle(self, at: int) -> int:
        source, end = self._source, self._end
        if token := _TOKEN.match(source, at, end):
            return self._solid(at, token.end(), token[0])
        if mail := _AUTOLINK.match(source, at, end):
            return self._atom(at, mail.end(), escape(mail[1]))
        if comment := _COMMENT.match(source, at, end):
            return self._atom(at, comment.end(), "")
        if script := _SCRIPTED.match(source, at, end):
            text = to_unicode(("_" if script[1].lower() == "sub" else "^") + f"{{{script[2]}}}")
            return self._atom(at, script.end(), escape(script[2] if text is None or text[0] in "_^" else text))
        if tag := _TAG.match(source, at, end):
            done = self._tag(tag)
            if done or self.held:
                return done
            self.atoms.append((at, tag.end()))
        elif self._hold(at, _HALF_TOKEN):
            return at
        return self._literal(at, at + 1)

    def _tag(self, tag: re.Match[str]) -> int:
        """Write an HTML tag's meaning and return the offset after it, or 0 if the tag is text."""
        at, after, name = tag.start(), tag.end(), tag[2].lower()
        if at in self._closers:
            self.atoms.append((at, after))
            text = self._closers.pop(at)
            if text == "<":
                self._mark(f"<{name}>", closes=True, literal=tag[0])
            elif text != "\n" or self._source[after : after + 1] not in ("", "\n", "<"):
                self.write(self.newline if text == "\n" else text)
            return after
        alone = self._is_alone(at, after)
        if tag[1]:
            return self._atom(at, after, "") if alone and name in _BLOCK_TAGS else 0
        if name == "br":
            named = self._source[at - 1 : at] == " " and self._source[after : after + 1] == " "
            return 0 if named and not alone else self._atom(at, after, self.newline)
        if name == "hr":
            return self._atom(at, after, "") if alone else 0
        if name == "img" and (picture := _attribute("src", tag[3])):
            return self._solid(at, after, self._named(_attribute("alt", tag[3]) or "", _target(picture), after))
        if name in ("code", "kbd"):
            code = _code_element(name).match(self._source, after, self._end)
            return self._solid(at, code.end(), code_span(_entities(code[1]))) if code else self._half(at, after)
        link = _attribute("href", tag[3]) if name == "a" else None
        if name in _INLINE_TAGS or name in _BLOCK_TAGS or name in _DROPPED_TAGS or link:
            close = self._find(_closing_tag(name), name, after)
            if close and name in _INLINE_TAGS and _opening_tag(name).search(self._source, after, close.start()):
                return 0
            if close is None:
                if self._growing and self._end == len(self._source):
                    # The end of the element may still come, and a cut before it would leave two tags as text.
                    self.atoms.append((at, self._end))
                return self._atom(at, after, "") if alone and name in _BLOCK_TAGS else self._half(at, after)
            if name in _INLINE_TAGS:
                self._closers[close.start()] = "<"
                # A cut within it would leave the tag without its end, as text.
                self.atoms.append((at, close.end()))
                self._mark(f"<{name}>", opens=True, literal=tag[0])
                return after
            if link:
                label = _ANY_TAG.sub("", self._source[after : close.start()]).strip()
                return self._solid(at, close.end(), self._named(_entities(label), _target(link), close.end()))
            self._closers[close.start()] = "\n" if name in _BLOCK_TAGS else ""
            if name in _BLOCK_TAGS and "".join(self.out[-3:]).strip() and not "".join(self.out[-3:]).endswith("\n"):
                self.write(self.newline)
            return self._atom(at, after, "- " if name == "li" else "")
        return 0

    def _half(self, at: int, after: int) -> int:
        """Return `at` if a closing tag may still be written, otherwise 0. A tag that nothing closes is text."""
        return at if self._growing and self._source[after:].strip() == "" and self._hold(at) else 0

    def _is_alone(self, at: int, after: int) -> bool:
        """Whether a range is alone on its line."""
        source = self._source
        line = source[source.rfind("\n", 0, at) + 1 : at]
        end = source.find("\n", after)
        return not line.strip(" \t>") and not source[after : end if end >= 0 else len(source)].strip()

    def _escape(self, at: int) -> int:
        source = self._source
        behind = source[at + 1 : at + 2]
        if closing := _BRACKETS.get(behind):
            # The bracket is searched for first, because the pattern would walk 300 characters for each unclosed
            # bracket.
            closed = source.find(closing, at + 3, min(self._end, at + 304)) >= 0
            if closed and (math := _IN_BRACKETS.match(source, at, self._end)):
                before = source[at - 1] if at > self._start else " "
                plain = in_square(math[2]) if math[2] else in_round(math[1]) and not (before.isalnum() or before == "_")
                if plain:
                    return self._formula(at, math.end(), math[1] or math[2])
            elif self._hold(at):
                return at
        elif at + 1 >= self._end:
            return at if self._hold(at) else self._atom(at, at + 1, "\\\\")
        elif behind == "\n":
            return at + 1
        elif source.startswith(_SHRUG, at - 1):
            return self._literal(at, at + len(_SHRUG) - 1)
        elif behind.isalpha() and behind.isascii():
            command = _COMMAND.match(source, at, self._end)
            if command and command[1] in _IN_PROSE:
                return self._formula(at, command.end(), command[0])
            return self._literal(at, at + 1)
        if not behind.isascii() or behind.isspace():
            return self._atom(at, at + 1, "\\\\")
        if behind.isdigit():
            return self._literal(at, at + 1)
        return self._atom(at, at + 2)

    def _dollar(self, at: int) -> int:
        source, end = self._source, self._end
        if (math := _IN_TWO_DOLLARS.match(source, at, end)) and in_display(math[1]):
            return self._formula(at, math.end(), math[1])
        if (math := _IN_DOLLARS.match(source, at, end)) and in_dollars(math[1]):
            return self._formula(at, math.end(), math[1])
        return at if self._hold(at, _HALF_MATH) else self._literal(at, self._run_end(at))

    def _formula(self, at: int, after: int, formula: str) -> int:
        if self.quoted:
            formula = _QUOTED_LINE_START.sub(" ", formula)
        text = to_unicode(formula)
        return self._solid(at, after, as_code(formula) if text is None else escape(text))

    def _entity(self, at: int) -> int:
        entity = _ENTITY.match(self._source, at, self._end)
        if entity is None:
            return at if self._hold(at, _HALF_ENTITY) else self._literal(at, at + 1)
        text = _character(entity)
        if text is None:
            return self._literal(at, at + 1)
        if text in _SIGNS:
            text = f"\\{text}"
        elif text.isspace():
            # Discord does not recognise a mark next to a space.
            text = APART + text + APART
        return self._atom(at, entity.end(), text)

    def _url(self, at: int) -> int:
        url = _URL.match(self._source, at, self._end)
        if url is None:
            return self._literal(at, at + 1)
        text = url[0].rstrip(_URL_TAIL)
        while text.endswith(")") and text.count(")") > text.count("("):
            text = text[:-1].rstrip(_URL_TAIL)
        after = max(at + 1, at + len(text))
        if (self._in_label and self._masked) or len(text) < 9:
            return self._atom(at, after)
        text = _UNESCAPE.sub(r"\1", text)
        return self._solid(at, after, self._address(text, after, alone=not self._in_label))


_HANDLERS: Final[dict[str, Callable[[Inline, int], int]]] = {
    "`": Inline._backticks,
    "*": Inline._delimiters,
    "_": Inline._delimiters,
    "~": Inline._delimiters,
    "|": Inline._delimiters,
    "[": Inline._bracket,
    "!": Inline._image,
    "<": Inline._angle,
    "\\": Inline._escape,
    "$": Inline._dollar,
    "&": Inline._entity,
    "\n": Inline._newline,
    "h": Inline._url,
}


def guarded(content: str) -> str:
    """Return a message in which no italics run from an underscore in a word to one in code or an address."""
    if "_" not in content or _RISKY.search(content) is None:
        return content
    return _GUARDED.sub(lambda found: "\\_" if found[2] else found[0], content)


def _has_marks(text: str) -> bool:
    return "*" in text or "__" in text or "~~" in text or "||" in text


def escape(text: str) -> str:
    """Return the text with all of Discord's marks escaped."""
    return _ESCAPED.sub(r"\\\1", text)


def apart(code: str) -> str:
    """Return code without three backticks in a row, which would end a block. An invisible character separates them."""
    while "```" in code:
        code = code.replace("```", f"``{APART}`")
    return code


def code_span(code: str) -> str:
    """Return inline code within as many backticks as it needs, but never three, which begin a block on Discord."""
    if code.startswith(" ") and code.endswith(" ") and code.strip():
        code = code[1:-1]
    if "`" not in code:
        return f"`{code}`" if code else ""
    if code.strip("`") == "":
        return f"`` {apart(code)} ``" if len(code) == 1 else f"` {apart(code)} `"
    runs = {len(run) for run in _TICKS.findall(code)}
    ticks = "``" if 2 not in runs else "`"
    if ticks == "`" and 1 in runs:
        code, ticks = code.replace("``", f"`{APART}`"), "``"
    code = apart(code)
    before, after = (" " if code[at] == "`" else "" for at in (0, -1))
    return f"{ticks}{before}{code}{after}{ticks}"


def as_code(formula: str) -> str:
    """Return a formula as inline code on one line."""
    return code_span(" ".join(formula.split()))


@lru_cache(maxsize=1024)
def inline(text: str, *, bold: bool = False) -> str:
    """Return the rendering of one finished line on its own, such as a cell of a table."""
    writer = Inline(text, final=True)
    writer.chunk(0, len(text), bold=bold and text != "")
    writer.end()
    return "".join(writer.out)


def _target(address: str) -> str:
    """Return an address as it can be shown, without spaces and angle brackets."""
    if _PLAIN_TARGET.fullmatch(address):
        return address
    return _encoded(_entities(_UNESCAPE.sub(r"\1", address)).strip(), ' \n|`\\<>"[]')


def _encoded(address: str, characters: str) -> str:
    for character in characters:
        if character in address:
            address = address.replace(character, f"%{ord(character):02X}")
    return address


def _masked(address: str) -> str:
    """Return an address in the form that Discord's links need, without marks and unpaired brackets."""
    if _PLAIN_TARGET.fullmatch(address):
        return address
    address = _encoded(address, "*~")
    if not _ROUND.fullmatch(address):
        address = address.replace("(", "%28").replace(")", "%29")
    return address


def _entities(text: str) -> str:
    return _ENTITY.sub(lambda entity: _character(entity) or entity[0], text)


def _character(entity: re.Match[str]) -> str | None:
    """Return the character of an HTML entity, such as `<` for `&lt;`, or None for an unknown name."""
    if entity[3]:
        return html5.get(f"{entity[3]};")
    point = int(entity[1]) if entity[1] else int(entity[2], 16)
    return chr(point) if 0 < point < 0x110000 and not 0xD800 <= point < 0xE000 else "\ufffd"


def _attribute(name: str, attributes: str) -> str | None:
    found = re.search(_ATTRIBUTE.format(name), attributes or "", re.IGNORECASE)
    return next((value for value in found.groups() if value is not None), None) if found else None


@lru_cache(maxsize=64)
def _closing_ticks(ticks: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!`){ticks}(?!`)")


@lru_cache(maxsize=64)
def _closing_tag(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{name}\s*>", re.IGNORECASE)


@lru_cache(maxsize=64)
def _opening_tag(name: str) -> re.Pattern[str]:
    return re.compile(rf"<{name}[\s>]", re.IGNORECASE)


@lru_cache(maxsize=4)
def _code_element(name: str) -> re.Pattern[str]:
    return re.compile(rf"([^<>`\n]{{1,300}})</{name}>", re.IGNORECASE)
