"""The marks of a paragraph in Discord's form: written once it is known which runs are marks, closed and reopened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bot.markdown.emphasis import WRITTEN, Open, Run, match
from bot.markdown.escaping import APART, has_marks

_PLAIN_MARKS: Final = frozenset(["*", "**", "_", "__"])


class Marks:
    """The output in pieces, and the runs in it that may be marks of emphasis.

    A run reserves a piece of output, which is written when the chunk of source with the run is finished. `carried` are
    the marks that the previous part closed at its end. They are written at the first chunk and always closed, unlike
    marks of this part that turn out to be text.
    """

    def __init__(self, carried: tuple[Open, ...] = ()) -> None:
        self.out: list[str] = []
        self.runs: list[Run] = []
        self.open: list[Open] = []
        """The open marks, outermost first."""
        self.code = ""
        """The backticks of inline code that continues."""
        self.opaque: list[int] = []
        """The indices of output pieces that contain `*`, `_`, `~~` or `||` that cannot be escaped."""
        self.unsure = False
        """Whether only more text behind a cut tells what marks in the last chunk mean."""
        self._spoiler: Run | None = None
        """The open spoiler, which may span paragraphs."""
        self._split_off: dict[int, str] = {}
        """Pieces of output that a spoiler is closed before and opened after, as they are without the spoiler."""
        self._carried = carried

    def reopen(self, *, paragraph: bool, bold: bool = False) -> None:
        """Reopen the marks that the previous part left open, within text that is all `bold`.

        Emphasis and code continue only in the same paragraph, but a spoiler continues everywhere.
        """
        if bold:
            self.add("<h>", opens=True)
        for each in self._carried:
            mark = each.mark
            if mark[0] == "`":
                if paragraph:
                    self.code = mark
            elif mark == "||":
                self._spoiler = Run(len(self.out), "|", 2, opens=True, closes=False, literal="", carried=True)
                self.open = [Open("||", "||")]
                self.out.append("||")
            elif paragraph:
                kind, length = (mark, 1) if mark[0] == "<" else (mark[0], len(mark))
                run = Run(len(self.out), kind, length, opens=True, closes=False, literal="", carried=True)
                run.whole, run.both = each.whole, each.both
                self.runs.append(run)
                self.out.append("")
        self._carried = ()

    def begin_chunk(self) -> None:
        """Take up the open spoiler. The other marks that the chunk before left open are forgotten."""
        self.open = []
        self.unsure = False
        if self._spoiler:
            self.runs.insert(0, self._spoiler)
            self._spoiler = None

    def add(self, kind: str, *, opens: bool = False, closes: bool = False, literal: str = "") -> None:
        """Add a mark that is no run of characters, such as an HTML tag."""
        self.runs.append(Run(len(self.out), kind, 1, opens, closes, literal))
        self.out.append("")

    def end_paragraph(self) -> None:
        """Forget the open marks except a spoiler, which may span paragraphs."""
        if self.open:
            self.open = [Open("||", "||")] if self._spoiler else []

    @property
    def half_spoiler(self) -> bool:
        """Whether a spoiler is open that began in this part."""
        return self._spoiler is not None and not self._spoiler.carried

    def drop_spoiler(self) -> None:
        """Write the mark of the open spoiler as text, since nothing closes it."""
        if self._spoiler:
            start = self._spoiler.piece
            self.out[start] = self._spoiler.literal * 2
            for piece, text in self._split_off.items():
                if piece > start:
                    self.out[piece] = text
            self.open = [each for each in self.open if each.mark != "||"]
            self._spoiler = None

    def end(self, content: str) -> str:
        """Return the text that closes the marks open at the end of this content."""
        closing = "".join(each.written for each in reversed(self.open))
        return APART + closing if closing[:1] in ("~", "|") and content.endswith(closing[0]) else closing

    def finish_chunk(self, ahead: list[Run], *, goes_on: bool, unsure: bool) -> None:
        """Write the chunk's marks. They stay open if runs `ahead` close them, or may if the text just `goes_on`.

        `unsure` means that more text can tell what a mark means which nothing closes yet.
        """
        if self.runs and not self._plain_pairs():
            self._finish(ahead, goes_on=goes_on, unsure=unsure)
        if self.code:
            self.open.append(Open(self.code))

    def _plain_pairs(self) -> bool:
        """Write the chunk's marks if each pair stands by itself, as in `**a** and *b*`. Most paragraphs are such."""
        out, opener = self.out, ""
        written: list[tuple[int, str]] = []
        if self.opaque:
            return False
        for run in self.runs:
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
        self.runs = []
        return True

    def _finish(self, ahead: list[Run], *, goes_on: bool, unsure: bool) -> None:
        """Write the chunk's marks once it is known which runs are marks."""
        runs, out = self.runs, self.out
        left = set(map(id, match([*runs, *ahead])))
        last = len(out) - 1
        while last >= 0 and not out[last]:
            last -= 1
        for run in reversed(runs):
            # A run that is no mark is text, too.
            if run.piece <= last:
                break
            if run.length and not (id(run) in left and (goes_on or run.carried or run.kind == "|") and run.pending()):
                last = run.piece
        stack: list[Open] = []
        due: list[str] = []
        closed_at = -2
        opaque = iter([*self.opaque, len(out)])
        next_opaque = next(opaque)
        for run in runs:
            while next_opaque < run.piece:
                self._split(next_opaque, stack)
                next_opaque = next(opaque)
            text = ""
            if run.closing:
                for _ in run.closing:
                    text += stack.pop().written if stack else ""
                if text and text[0] in "~|":
                    text = self.kept_apart(run.piece, text)
                if not run.length and not run.opening:
                    out[run.piece] = text
                    if text[-1:] == "*":
                        closed_at = run.piece
                    continue
            closes_star = text[-1:] == "*"
            marks: tuple[str, ...] = ()
            if run.length and id(run) in left and not run.dead:
                self.unsure = self.unsure or (unsure and not run.carried and run.kind not in ("|", "<h>"))
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
            opened = ""
            if marks or run.opening:
                # Marks that only text behind the cut stands in are opened there.
                hidden = ahead != [] and last < run.piece
                opened = self._opened(run, (*marks, *run.opening), stack, hidden=hidden)
            if opened:
                if opened[0] == "*":
                    if closes_star or (not text and closed_at >= 0 and self.piece_before(run.piece) == closed_at):
                        text += APART
                elif not text:
                    opened = self.kept_apart(run.piece, opened)
            out[run.piece] = text + opened
            if closes_star and not opened:
                closed_at = run.piece
        while next_opaque < len(out):
            self._split(next_opaque, stack)
            next_opaque = next(opaque)
        self.runs, self.opaque = [], []
        if due:
            while stack and stack[-1].mark in due:
                if closing := stack.pop().written:
                    out.append(self.kept_apart(len(out), closing))
        self.open = stack

    def _opened(self, run: Run, marks: Iterable[str], stack: list[Open], *, hidden: bool) -> str:
        """Return a run's marks in Discord's form. A mark within another of its kind has no meaning and is left out."""
        text = ""
        for mark in marks:
            written = "" if hidden else WRITTEN[mark]
            for outer in stack:
                if outer.written == written:
                    written = ""
            stack.append(Open(mark, written, run.whole, run.both))
            text += written
        return text

    def piece_before(self, piece: int) -> int:
        """Return the index of the last piece with text before a piece, or -1."""
        piece -= 1
        while piece >= 0 and not self.out[piece]:
            piece -= 1
        return piece

    def kept_apart(self, piece: int, mark: str) -> str:
        """Return a mark for the output.

        A mark of tildes or pipes is separated from the same character before it, as in `\\~` and `~~`.
        """
        if mark[0] not in "~|":
            return mark
        before = self.piece_before(piece)
        return APART + mark if before >= 0 and self.out[before][-1] == mark[0] else mark

    def _split(self, piece: int, stack: list[Open]) -> None:
        """Close emphasis before a construct that contains its mark, and reopen it after the construct.

        Discord ends emphasis at the next such mark anywhere. `*see `a*b` there*` becomes `*see *`a*b`* there*`, with an
        invisible character inside.
        """
        text = self.out[piece]
        marks = [each.written for each in stack if each.written]
        self.out[piece] = _apart(text, marks)
        if "||" in marks:
            self._split_off[piece] = _apart(text, [written for written in marks if written != "||"])

    def note_marks(self, text: str) -> None:
        """Remember that the next piece of output is this text, if there are marks in it that cannot be escaped."""
        if has_marks(text):
            self.opaque.append(len(self.out))


def _apart(text: str, marks: list[str]) -> str:
    """Return text outside of these marks, outermost first, if one of them is in it."""
    if any((mark[0] if mark[0] == "*" else mark) in text for mark in marks):
        return f"{APART}{''.join(reversed(marks))}{text}{''.join(marks)}{APART}"
    return text
