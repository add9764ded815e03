"""Links, images and addresses in text, in the forms that Discord has for them."""

from __future__ import annotations

import re
from typing import Final

from bot.markdown.addresses import IN_LABEL, WEB, as_target, find_url, in_text, masked
from bot.markdown.code_spans import code_end
from bot.markdown.emphasis import match
from bot.markdown.escaping import APART, escape, unescape
from bot.markdown.inline_state import InlineState

_CODE: Final = r"(?>(`+)(?!`).{0,300}?(?<!`)\2(?!`)|`+)"
"""Pattern of inline code, or of backticks that may begin none: in ``[a ` b](c)``, `` ` ``."""
_LABEL: Final = rf"\[((?:[^\[\]\\`\n]{{1,100}}+|\\.|{_CODE}|\n(?!\n)|\[[^\[\]\n]{{0,300}}\]){{0,1000}})\]"
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
_BALANCED_END: Final = re.compile(rf"[\[\]](?={_BALANCED.pattern}\Z)")
"""Pattern of the bracket in a label behind which Discord finds its end: in ``a `[` b``, `[`."""
_TICKS: Final = re.compile(r"\\.|(`+)")
"""Pattern of backticks that may begin code, and first of what is escaped: in ``\\` `a` ``, the second one."""
_SHORTEST: Final = 9
"""The least number of characters of an address, such as `http://ab`."""


def bracket(state: InlineState, at: int) -> int:
    """Write a link, or a bracket that begins none as text."""
    source, end = state.source, state.end
    if state.link is not None:
        return state.literal(at, at + 1)
    if at < state.last("]("):
        if link := _LINKED_IMAGE.match(source, at, end):
            name = unescape(link[1])
            return state.solid(at, link.end(), named(state, name, as_target(link[5] or link[6] or ""), link.end()))
        if (link := _LINK.match(source, at, end)) and not _ends_in_code(state, link):
            return _link(state, at, link)
    if state.hold(at, _HALF_LINK, _HALF_LINKED_IMAGE):
        return at
    if at < state.last("](") or at > state.last("]"):
        # Discord would take text up to the next link, even in another paragraph, for the label.
        state.out.append("\\")
    return state.literal(at, at + 1)


def _ends_in_code(state: InlineState, link: re.Match[str]) -> bool:
    """Whether the bracket that seems to end a link's label stands in code, which begins in the label."""
    at, end = link.span(1)
    while ticks := _TICKS.search(state.source, at, end):
        at = ticks.end()
        if ticks[1] and (close := code_end(state, ticks[1], at)):
            at = close.end()
    return at > end


def _link(state: InlineState, at: int, link: re.Match[str]) -> int:
    """Write a link whose label has marks of its own. No mark may begin in a label and end behind it, or the reverse."""
    state.atoms.append((at, link.end()))
    target = as_target(link[3] or link[4] or "")
    out, marks, span = state.out, state.marks, (state.start, state.end)
    runs = marks.runs
    first = len(out)
    out.append("")
    marks.runs, state.link, (state.start, state.end) = [], target, link.span(1)
    state.walk(state, state.start, state.end)
    inside, marks.runs, state.link, (state.start, state.end) = marks.runs, runs, None, span
    match(inside)
    for run in inside:
        run.opens = run.closes = False
    text = "".join(out[first:])
    before, behind = _around(state, text.strip(), target, link.end())
    if "://" in text and before == "[" and (address := IN_LABEL.search(text)):
        inside, text = [], IN_LABEL.sub("", text).strip()
        marks.opaque = [piece for piece in marks.opaque if piece < first]
        out[first:] = ["", text]
        if not text or address[0] == text:
            before, behind = _around(state, "", target, link.end())
    if text and behind and not before and WEB.match(target) and not any(run.opening for run in inside):
        before, behind = _from_balanced(out, first, target) or (before, behind)
    out[first] = before
    if not before and behind:
        marks.note_marks(behind)
    out.append(behind if text or before or behind else APART)
    runs += inside
    return link.end()


def _from_balanced(out: list[str], first: int, target: str) -> tuple[str, str] | None:
    """Begin a link behind the last bracket in its label that Discord would misread, if there is text behind it.

    ``[a `[` b](http://c.d)`` becomes ``a `[`[ b](http://c.d)``.
    """
    bracket = _BALANCED_END.search("".join(out[first:]))
    size, at = 0, first
    while bracket and size < bracket.end():
        size += len(out[at])
        at += 1
    label = "".join(out[at:])
    if at == first or not label.strip() or not _BALANCED.fullmatch(label):
        return None
    out[at - 1] += "["
    return "", f"]({masked(target)})"


def _around(state: InlineState, text: str, target: str, after: int) -> tuple[str, str]:
    """Return the text before and after a link's label in Discord's form.

    A link to `http://a.b` becomes `[label](http://a.b)`, and one to `mailto:me@a.b` becomes `label (me@a.b)`. A
    link to `#part` or `./file` becomes its label.
    """
    if target[:7].lower() == "mailto:":
        mail = target[7:].partition("?")[0]
        return "", "" if text.replace("\\", "") == mail else f"{' ' * bool(text)}({escape(mail)})"
    if not WEB.match(target):
        return "", ""
    if not text:
        return "", in_text(target, state.source, after, state.end)
    return ("[", f"]({masked(target)})") if _BALANCED.fullmatch(text) else ("", f" (<{target}>)")


def named(state: InlineState, name: str, target: str, after: int) -> str:
    """Return a picture or an HTML element as a link if Discord supports its address, otherwise as text."""
    name = escape(IN_LABEL.sub("", name).strip() or "image")
    return "".join((before := _around(state, name, target, after))[:1]) + name + before[1]


def image(state: InlineState, at: int) -> int:
    """Write an image as a link, or an exclamation mark that begins none as text."""
    if at < state.last("](") and (picture := _IMAGE.match(state.source, at, state.end)):
        name, target = unescape(picture[1]), as_target(picture[3] or picture[4] or "")
        return state.solid(at, picture.end(), named(state, name, target if WEB.match(target) else "", picture.end()))
    return at if state.hold(at, _HALF_LINK) else state.literal(at, at + 1)


def url(state: InlineState, at: int) -> int:
    """Write an address, or the letter that begins none."""
    source, end = state.source, state.end
    address = find_url(source, at, end)
    if not address:
        return state.literal(at, at + 1)
    after = at + len(address)
    if (state.link is not None and WEB.match(state.link)) or len(address) < _SHORTEST:
        return state.atom(at, after)
    address = unescape(address)
    return state.solid(at, after, f"<{address}>" if state.link is not None else in_text(address, source, after, end))
