r"""Reads a message as Discord's clients show it: each visible character with the styles it is shown in.

Written from the rules of Discord's clients, which are those of simple-markdown with Discord's changes, and not from
anything in `bot`. At each place the rules are tried in the order below and the first that matches takes its text; of
bold, italic, underline and strike, which simple-markdown gives the same rank, the longest. Where the rules come from:

* simple-markdown's `defaultRules`: escape, autolink, url, link, em, strong, u, inlineCode
  (github.com/Khan/perseus, packages/simple-markdown/src/index.ts);
* `MarkupRules` of Discord's web client as published by several parsers of it, such as
  github.com/ItzDerock/discord-markdown-parser (src/rules): codeBlock, blockQuote, heading, subtext, list, s, spoiler,
  emoticon, mentions, timestamps;
* Discord's help article 210298617, "Markdown Text 101": headings, subtext, masked links, lists, code blocks, quotes;
* Discord's developer reference, "Message Formatting": mentions, emoji, timestamps, navigation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

Styles = frozenset[str]
Shown = list[tuple[str, Styles]]

INVISIBLE: Final = "\u200b\u200c\u200d\u2060\ufeff"
"""Shown as nothing. Discord's clients do not take them for spaces."""

# Blocks: only where a line begins.
HEADING: Final = re.compile(r" *(#{1,3})\s+((?!#)[^\n]+?)#*\s*(?:\n|\Z)")
SUBTEXT: Final = re.compile(r" *-#\s+((?!-#)[^\n]+?)\s*(?:\n|\Z)")
QUOTE: Final = re.compile(r" *>>> +(?P<rest>.*)|(?: *>(?!>>) +[^\n]*(?:\n|\Z))+", re.DOTALL)
QUOTE_MARK: Final = re.compile(r"^ *> ?", re.MULTILINE)
LIST: Final = re.compile(r"( *)(?:[*-]|\d+\.) .+?(?:\n(?! )(?!\1(?:[*-]|\d+\.) )|\Z)", re.DOTALL)
ITEM: Final = re.compile(r"( *)([*-]|\d+\.) +")
# Anywhere.
FENCE: Final = re.compile(r"```(?:([a-z0-9_+\-.#]+?)\n)?\n*([^\n].*?)\n*```", re.DOTALL | re.IGNORECASE)
EMOTICON: Final = "¯\\_(ツ)_/¯"
ESCAPE: Final = re.compile(r"\\([^0-9A-Za-z\s])")
AUTOLINK: Final = re.compile(r"<(https?://[^\s>]+)>")
MAIL: Final = re.compile(r"<([^\s<>@]+@[^\s<>@]+\.[^\s<>@]+)>")
URL: Final = re.compile(r"https?://[^\s<]+[^<.,:;\"'\]\s]")
LINK: Final = re.compile(
    r"\[((?:\[[^\]]*\]|[^\[\]]|\](?=[^\[]*\]))*)\]\(\s*<?((?:\([^)]*\)|[^\s\\]|\\.)*?)>?(?:\s+['\"](.*?)['\"])?\s*\)",
    re.DOTALL,
)
TOKEN: Final = re.compile(
    r"<(?:@[!&]?\d+|#\d+|a?:\w+:\d+|t:-?\d{1,17}(?::[tTdDfFRsS])?|/[-'\w ]+:\d+|id:(?:customize|browse|guide))>"
)
EM: Final = re.compile(
    r"_((?:__|\\.|[^\\_])+?)_(?![A-Za-z0-9_])"
    r"|\*(?=\S)((?:\*\*|\\.|\s+(?:\\.|[^\s*\\]|\*\*)|[^\s*\\])+?)\*(?!\*)",
    re.DOTALL,
)
SPANS: Final = {
    "bold": re.compile(r"\*\*((?:\\.|[^\\])+?)\*\*(?!\*)", re.DOTALL),
    "underline": re.compile(r"__((?:\\.|[^\\])+?)__(?!_)", re.DOTALL),
    "strike": re.compile(r"~~(.+?)~~(?!_)", re.DOTALL),
}
CODE: Final = re.compile(r"(`+)(.*?[^`])\1(?!`)", re.DOTALL)
SPOILER: Final = re.compile(r"\|\|(.+?)\|\|", re.DOTALL)
TEXT: Final = re.compile(r"[^\\<\[*_~|`h\n¯]+")
"""What none of the rules above begins with."""


class _In(NamedTuple):
    """What the rules know about where they are."""

    styles: Styles = frozenset()
    quote: bool = False
    link: bool = False

    def styled(self, *styles: str) -> _In:
        return self._replace(styles=self.styles | set(styles))


def read(message: str) -> Shown:
    """Every visible character of the message, in order. A list's numbers count as text, its bullets do not."""
    return [(character, styles) for text, styles in _parse(message, _In()) for character in text if _visible(character)]


def _visible(character: str) -> bool:
    return not character.isspace() and character not in INVISIBLE


def _parse(text: str, state: _In, *, line_start: bool = True) -> Iterator[tuple[str, Styles]]:
    at = 0
    while at < len(text):
        found = _block(text, at, state) if line_start else None
        pieces, end = found or _inline(text, at, state, line_start=line_start)
        yield from pieces
        line_start = text[end - 1] == "\n"
        at = end


def _block(text: str, at: int, state: _In) -> tuple[Iterator[tuple[str, Styles]], int] | None:
    if match := HEADING.match(text, at):
        return _parse(match[2], state.styled("heading")), match.end()
    if match := SUBTEXT.match(text, at):
        return _parse(match[1], state), match.end()
    if not state.quote and (match := QUOTE.match(text, at)):
        quoted = match["rest"] if match["rest"] is not None else QUOTE_MARK.sub("", match[0])
        return _parse(quoted, state._replace(quote=True)), match.end()
    if match := LIST.match(text, at):
        return _list(_whole_fences(text, match), state), at + len(_whole_fences(text, match))
    return None


def _whole_fences(text: str, match: re.Match[str]) -> str:
    """A list as far as it goes: a code block that begins in it belongs to it to its end."""
    end = match.end()
    while (fences := text.count("```", match.start(), end)) % 2 and (close := text.find("```", end)) >= 0:
        end = text.find("\n", close) + 1 or len(text)
        assert fences
    return text[match.start() : end]


def _list(text: str, state: _In) -> Iterator[tuple[str, Styles]]:
    """The items of a list, each with what is indented below it. The first mark decides whether all have numbers."""
    indent = len(text) - len(text.lstrip(" "))
    starts, at, open_fence = [], 0, False
    for line in text.splitlines(keepends=True):
        item = ITEM.match(line)
        if item and len(item[1]) <= indent and not open_fence:
            starts.append(at)
        open_fence ^= line.count("```") % 2 == 1
        at += len(line)
    mark = ITEM.match(text)
    first = None if mark is None or mark[2][0] in "*-" else max(1, int(mark[2][:-1]))
    for count, (start, end) in enumerate(zip(starts, [*starts[1:], len(text)], strict=True)):
        item = ITEM.match(text, start)
        assert item is not None
        if first is not None:
            yield f"{first + count}.", state.styles
        inside = re.sub(rf"^ {{1,{item.end() - start}}}", "", text[item.end() : end], flags=re.MULTILINE)
        yield from _parse(inside, state)


def _inline(text: str, at: int, state: _In, *, line_start: bool) -> tuple[Iterator[tuple[str, Styles]], int]:
    character = text[at]
    if plain := TEXT.match(text, at):
        return iter([(plain[0], state.styles)]), plain.end()
    if match := FENCE.match(text, at):
        return iter([(match[2], frozenset({"code"}))]), match.end()
    if text.startswith(EMOTICON, at):
        return iter([(EMOTICON, state.styles)]), at + len(EMOTICON)
    if match := ESCAPE.match(text, at):
        return iter([(match[1], state.styles)]), match.end()
    if match := AUTOLINK.match(text, at) or MAIL.match(text, at):
        return iter([(match[1], state.styles)]), match.end()
    if character == "h" and (match := URL.match(text, at)):
        url = _balanced(match[0])
        return iter([(url, state.styles)]), at + len(url)
    if character == "[" and not state.link and (match := LINK.match(text, at)) and _is_link(match):
        return _parse(match[1], state._replace(link=True), line_start=False), match.end()
    if match := TOKEN.match(text, at):
        return iter([(match[0], state.styles)]), match.end()
    if span := _longest_span(text, at):
        style, match = span
        inside = next(filter(None, match.groups()))
        return _parse(inside, state.styled(style), line_start=line_start), match.end()
    if match := CODE.match(text, at):
        return iter([(match[2], frozenset({"code"}))]), match.end()
    if match := SPOILER.match(text, at):
        return _parse(match[1], state.styled("spoiler"), line_start=line_start), match.end()
    return iter([(character, state.styles)]), at + 1


def _longest_span(text: str, at: int) -> tuple[str, re.Match[str]] | None:
    """Of what may begin here, the longest; italic before bold before underline where they are as long."""
    if text[at] not in "*_~":
        return None
    matches = [(style, pattern.match(text, at)) for style, pattern in (("italic", EM), *SPANS.items())]
    found = [(style, match) for style, match in matches if match]
    return max(found, key=lambda one: one[1].end(), default=None)


def _balanced(url: str) -> str:
    """An address without a closing bracket at its end that nothing in it opens."""
    return url[:-1] if url.endswith(")") and url.count(")") > url.count("(") else url


def _is_link(match: re.Match[str]) -> bool:
    """Targets are http(s) only, and a label that looks like an address is not believed."""
    return bool(re.match(r"https?://\S", match[2]) and match[1].strip() and not re.search(r"https?://\S", match[1]))
