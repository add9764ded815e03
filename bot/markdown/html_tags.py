"""Text in angle brackets: Discord's own tokens, autolinks, comments and HTML tags."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from bot.markdown.addresses import as_target
from bot.markdown.emphasis import WRITTEN
from bot.markdown.entities import decoded
from bot.markdown.escaping import code_span, escape
from bot.markdown.inline_state import InlineState
from bot.markdown.latex import to_unicode
from bot.markdown.links import named

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
_ANY_TAG: Final = re.compile(r"<[^<>]*>")
"""Pattern of a tag: in `a <i>b</i>`, `<i>` and `</i>`."""
_INLINE_TAGS: Final = frozenset(tag[1:-1] for tag in WRITTEN if tag[0] == "<" and tag != "<h>")
_DROPPED_TAGS: Final = frozenset(["mark", "small", "span", "font", "big", "abbr", "center", "sub", "sup", "picture"])
_BLOCK_TAGS: Final = frozenset(
    ["p", "div", "ul", "ol", "li", "details", "summary", "section", "article", "center", "picture",
     "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "header", "footer", "main", "nav"]
)  # fmt: skip


def angle_bracket(state: InlineState, at: int) -> int:
    """Write what an angle bracket begins, or the bracket as text."""
    source, end = state.source, state.end
    if token := _TOKEN.match(source, at, end):
        return state.solid(at, token.end(), token[0])
    if mail := _AUTOLINK.match(source, at, end):
        return state.atom(at, mail.end(), escape(mail[1]))
    if comment := _COMMENT.match(source, at, end):
        return state.atom(at, comment.end(), "")
    if script := _SCRIPTED.match(source, at, end):
        text = to_unicode(("_" if script[1].lower() == "sub" else "^") + f"{{{script[2]}}}")
        return state.atom(at, script.end(), escape(script[2] if text is None or text[0] in "_^" else text))
    if tag := _TAG.match(source, at, end):
        done = _tag(state, tag)
        if done or state.held:
            return done
        state.atoms.append((at, tag.end()))
    elif state.hold(at, _HALF_TOKEN):
        return at
    return state.literal(at, at + 1)


def _tag(state: InlineState, tag: re.Match[str]) -> int:
    """Write an HTML tag's meaning and return the offset after it, or 0 if the tag is text."""
    at, after, name = tag.start(), tag.end(), tag[2].lower()
    if at in state.closers:
        state.atoms.append((at, after))
        text = state.closers.pop(at)
        if text == "<":
            state.marks.add(f"<{name}>", closes=True, literal=tag[0])
        elif text != "\n" or state.source[after : after + 1] not in ("", "\n", "<"):
            state.write(state.newline if text == "\n" else text)
        return after
    alone = _is_alone(state, at, after)
    if tag[1]:
        return state.atom(at, after, "") if alone and name in _BLOCK_TAGS else 0
    if name == "br":
        mentioned = state.source[at - 1 : at] == " " and state.source[after : after + 1] == " "
        return 0 if mentioned and not alone else state.atom(at, after, state.newline)
    if name == "hr":
        return state.atom(at, after, "") if alone else 0
    if name == "img" and (picture := _attribute("src", tag[3])):
        return state.solid(at, after, named(state, _attribute("alt", tag[3]) or "", as_target(picture), after))
    if name in ("code", "kbd"):
        code = _code_element(name).match(state.source, after, state.end)
        return state.solid(at, code.end(), code_span(decoded(code[1]))) if code else _half(state, at, after)
    link = _attribute("href", tag[3]) if name == "a" else None
    if name in _INLINE_TAGS or name in _BLOCK_TAGS or name in _DROPPED_TAGS or link:
        close = state.find(_closing_tag(name), name, after)
        if close and name in _INLINE_TAGS and _opening_tag(name).search(state.source, after, close.start()):
            return 0
        if close is None:
            if state.growing and state.end == len(state.source):
                # The end of the element may still come, and a cut before it would leave two tags as text.
                state.atoms.append((at, state.end))
            return state.atom(at, after, "") if alone and name in _BLOCK_TAGS else _half(state, at, after)
        if name in _INLINE_TAGS:
            state.closers[close.start()] = "<"
            # A cut within it would leave the tag without its end, as text.
            state.atoms.append((at, close.end()))
            state.marks.add(f"<{name}>", opens=True, literal=tag[0])
            return after
        if link:
            label = _ANY_TAG.sub("", state.source[after : close.start()]).strip()
            return state.solid(at, close.end(), named(state, decoded(label), as_target(link), close.end()))
        state.closers[close.start()] = "\n" if name in _BLOCK_TAGS else ""
        if name in _BLOCK_TAGS and "".join(state.out[-3:]).strip() and not "".join(state.out[-3:]).endswith("\n"):
            state.write(state.newline)
        return state.atom(at, after, "- " if name == "li" else "")
    return 0


def _half(state: InlineState, at: int, after: int) -> int:
    """Return `at` if a closing tag may still be written, otherwise 0. A tag that nothing closes is text."""
    return at if state.growing and state.source[after:].strip() == "" and state.hold(at) else 0


def _is_alone(state: InlineState, at: int, after: int) -> bool:
    """Whether a range is alone on its line."""
    source = state.source
    line = source[source.rfind("\n", 0, at) + 1 : at]
    end = source.find("\n", after)
    return not line.strip(" \t>") and not source[after : end if end >= 0 else len(source)].strip()


def _attribute(name: str, attributes: str) -> str | None:
    found = re.search(_ATTRIBUTE.format(name), attributes or "", re.IGNORECASE)
    return next((value for value in found.groups() if value is not None), None) if found else None


@lru_cache(maxsize=64)
def _closing_tag(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{name}\s*>", re.IGNORECASE)


@lru_cache(maxsize=64)
def _opening_tag(name: str) -> re.Pattern[str]:
    return re.compile(rf"<{name}[\s>]", re.IGNORECASE)


@lru_cache(maxsize=4)
def _code_element(name: str) -> re.Pattern[str]:
    return re.compile(rf"([^<>`\n]{{1,300}})</{name}>", re.IGNORECASE)
