"""Rendering of a message's Markdown as HTML, with Discord's grammar as rules of markdown-it's inline parser.

Discord has no blocks. A heading, a list or a quote is a span that begins at the start of a line, and a code fence is a
span that begins anywhere. All constructs are therefore inline here, and each is one rule. The rules are tried in order,
and the first one that matches consumes its text, as in the simple-markdown parser of Discord's clients. The remaining
text is plain. A newline after a block belongs to the block, and every other newline is a `<br>`. The style sheet keeps
runs of spaces (`white-space: break-spaces`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from bot.playground.highlighting import SECONDS, highlighted

LONGEST: Final = 4000
"""Number of characters of a message that are rendered. Discord allows no longer message."""

_HEADING: Final = re.compile(r" *(#{1,3}) (?!#) *(?=\S)([^\n]+)\n?")
_SUBTEXT: Final = re.compile(r" *-# (?!-#) *(?=\S)([^\n]+)\n?")
_QUOTE: Final = re.compile(r" *>>> (.+)|((?: *> [^\n]*(?:\n|\Z))+)", re.DOTALL)
_QUOTE_MARK: Final = re.compile(r"^ *> ", re.MULTILINE)
_ITEM: Final = re.compile(r"( *)(?:[*-]|([0-9]{1,9})\.) +(?=\S)")
_MARK: Final = re.compile(r" *(?:#{1,3}|-#|>>>|>) +(?=\S)")

_STRONG: Final = re.compile(r"\*\*((?:\\.|[^\\])+?)\*\*(?!\*)", re.DOTALL)
_EMPHASIS: Final = re.compile(
    r"\*(?=\S)((?:\*\*|\\.|\s+(?:\\.|[^\s*\\]|\*\*)|[^\s*\\])+?)\*(?!\*)"
    r"|_((?:__|\\.|[^\\_])+?)_(?![A-Za-z0-9_])",
    re.DOTALL,
)
_UNDERLINE: Final = re.compile(r"__((?:\\.|[^\\])+?)__(?!_)", re.DOTALL)
_STRIKE: Final = re.compile(r"~~(.+?)~~", re.DOTALL)
_SPOILER: Final = re.compile(r"\|\|(.+?)\|\|", re.DOTALL)
_SPANS: Final[Mapping[str, Sequence[tuple[re.Pattern[str], str, Mapping[str, str]]]]] = {
    "*": [(_EMPHASIS, "em", {}), (_STRONG, "strong", {})],
    "_": [(_EMPHASIS, "em", {}), (_UNDERLINE, "u", {})],
    "~": [(_STRIKE, "s", {})],
    "|": [(_SPOILER, "span", {"class": "spoiler"})],
}

_LANGUAGE: Final = re.compile(r"([A-Za-z0-9_+\-.#]+)\n(?=.)", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(_\(ツ\)_/¯|[^0-9A-Za-z\s])")
"""A backslash escape, or the arm of a shrug, which Discord's clients keep."""
_URL: Final = re.compile(r"(?<![A-Za-z0-9_])https?://[^\s<)][^\s<]*(?<![.,:;\"'\]])")
_LINK: Final = re.compile(
    r"\[((?:[^\[\]\\]|\\.|\[[^\[\]]*\])++)\]"
    r"\(\s*(?:<(https?://[^\s<>]+)>|(https?://[^\s<>()]++(?:\([^\s<>()]*\)[^\s<>()]*+)*+))"
    r"(?:\s+(?:\"[^\"\n]*\"|'[^'\n]*'))?\s*\)",
    re.DOTALL,
)
_LOOKS_LIKE_A_URL: Final = re.compile(r"https?://\S")
"""Text that looks like a URL. It cannot be the label of a link, so that no link contains another."""
_TOKEN: Final = re.compile(
    r"<(?:@!?(?P<user>[0-9]{1,20})|@&(?P<role>[0-9]{1,20})|\#(?P<channel>[0-9]{1,20})"
    r"|/(?P<command>[-'\w]{1,32}(?:\ [-'\w]{1,32}){0,2}:[0-9]{1,20})|a?:(?P<emoji>[A-Za-z0-9_]{2,32}:[0-9]{1,20})"
    r"|t:(?P<time>-?[0-9]{1,17})(?::(?P<style>[tTdDfFRsS]))?|(?P<url>https?://[^\s<>]+))>",
    re.VERBOSE,
)
_EVERYBODY: Final = re.compile(r"@(everyone|here)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_PICTOGRAPH: Final = (
    r"(?:[\U0001F000-\U0001FAFF]|[⌚⌛⏩-⏬⏰⏳◽◾☔☕♈-♓♿⚓⚡⚪⚫⚽⚾⛄⛅⛎⛔⛪⛲⛳⛵⛺⛽✅✊✋✨❌❎❓-❕❗➕-➗➰➿⬛⬜⭐⭕]"
    r"|[\u00A9-\u3299]\uFE0F|[0-9#*]\uFE0F?\u20E3)[\uFE0F\U0001F3FB-\U0001F3FF\U000E0020-\U000E007F]*"
)
_FLAG: Final = r"[\U0001F1E6-\U0001F1FF]{2}"
_JUMBO: Final = re.compile(
    rf"\s*(?:(?:{_FLAG}|{_PICTOGRAPH}(?:\u200D{_PICTOGRAPH})*|<a?:[A-Za-z0-9_]{{2,32}}:[0-9]{{1,20}}>)\s*){{1,27}}+"
)
"""A message of up to 27 emoji and nothing else, which is shown large."""


class Names(Protocol):
    """Lookup of current names for the ids in a message. Each method returns None for an unknown id."""

    def user(self, snowflake: int, /) -> str | None: ...
    def role(self, snowflake: int, /) -> str | None: ...
    def channel(self, snowflake: int, /) -> str | None: ...


def render(content: str, names: Names) -> str:
    """Return the HTML of a message. All text from the message is escaped."""
    content = content[:LONGEST]
    html: str = _MESSAGE.renderInline(content, {"names": names})
    return f'<span class="jumbo">{html}</span>' if _JUMBO.fullmatch(content) else html


def render_line(content: str, names: Names) -> str:
    """Return the HTML of a message on one line, for the quote above a reply.

    Block marks are dropped, and code blocks become text.
    """
    html: str = _QUOTED_LINE.renderInline(content[:LONGEST], {"names": names})
    return html


# Each rule checks whether its construct starts at `state.pos`. If so, it pushes the tokens and moves `state.pos` behind
# the construct. The second argument asks for a check without tokens. It is never true here, because the rules that look
# ahead are not in use.


def _block(state: StateInline, _: bool) -> bool:
    if not _starts_line(state):
        return False
    return _heading(state) or _quote(state) or _list(state)


def _heading(state: StateInline) -> bool:
    if match := _HEADING.match(state.src, state.pos, state.posMax):
        _span(state, f"h{len(match[1])}", {}, match.span(2))
    elif match := _SUBTEXT.match(state.src, state.pos, state.posMax):
        _span(state, "div", {"class": "subtext"}, match.span(1))
    else:
        return False
    state.pos = match.end()
    return True


def _quote(state: StateInline) -> bool:
    match = None if state.env.get("quoted") else _QUOTE.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    state.push("quote_open", "blockquote", 1)
    _nested(state, match[1] or _QUOTE_MARK.sub("", match[2]).removesuffix("\n"), {**state.env, "quoted": True})
    state.push("quote_close", "blockquote", -1)
    state.pos = match.end()
    return True


def _list(state: StateInline) -> bool:
    item = _ITEM.match(state.src, state.pos, state.posMax)
    if item is None:
        return False
    tag, indented = "ol" if item[2] else "ul", item[1] != ""
    state.push("list_open", tag, 1).attrs = {"start": max(1, int(item[2]))} if item[2] else {}
    while item:
        end = _end_of_item(state, item)
        text = state.src[item.end() : end].removesuffix("\n")
        state.push("item_open", "li", 1)
        _nested(state, re.sub(rf"^ {{1,{item.end() - item.start()}}}", "", text, flags=re.MULTILINE), state.env)
        state.push("item_close", "li", -1)
        state.pos = end
        item = _ITEM.match(state.src, end, state.posMax) if _starts_line(state) else None
        if item and indented and not item[1]:
            break  # a list that began indented, as the rest of one in an earlier message, ends here
    state.push("list_close", tag, -1)
    return True


def _end_of_item(state: StateInline, item: re.Match[str]) -> int:
    """Return the end of a list item.

    The item continues while lines are indented further than its mark, and to the end of an open fence.
    """
    at = item.end()
    further = re.compile(rf" {{{len(item[1]) + 1},}}\S")
    while at == item.end() or further.match(state.src, at, state.posMax):
        start, at = at, _end_of_line(state, at)
        if state.src.count("```", start, at) % 2 and (close := state.src.find("```", at, state.posMax)) >= 0:
            at = _end_of_line(state, close)
    return at


def _end_of_line(state: StateInline, at: int) -> int:
    return state.src.find("\n", at, state.posMax) + 1 or state.posMax


def _mark(state: StateInline, _: bool) -> bool:
    match = _MARK.match(state.src, state.pos, state.posMax) if _starts_line(state) else None
    if match:
        state.pos = match.end()
    return match is not None


def _newline(state: StateInline, _: bool) -> bool:
    if state.src[state.pos] != "\n":
        return False
    state.push("break", "br", 0)
    state.pos += 1
    return True


def _escape(state: StateInline, _: bool) -> bool:
    match = _ESCAPE.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    state.append_pending(match[1] if len(match[1]) == 1 else match[0])
    state.pos = match.end()
    return True


def _fence(state: StateInline, _: bool) -> bool:
    if not state.src.startswith("```", state.pos):
        return False
    start = state.pos + 3
    language = _LANGUAGE.match(state.src, start, state.posMax)
    return (language is not None and _code(state, language.end(), language[1])) or _code(state, start, "")


def _code(state: StateInline, start: int, language: str) -> bool:
    while start < state.posMax and state.src[start] == "\n":
        start += 1
    end = state.src.find("```", start + 1, state.posMax)
    if end < 0:
        return False
    token = state.push("fence", "code", 0)
    token.content, token.info = state.src[start:end].rstrip("\n"), language.lower()
    state.pos = end + 3
    if state.src.startswith("\n", state.pos, state.posMax):
        state.pos += 1
    return True


def _styled(state: StateInline, _: bool) -> bool:
    spans = _SPANS.get(state.src[state.pos])
    if spans is None:
        return False
    end = 0
    for pattern, tag, attributes in spans:
        match = pattern.match(state.src, state.pos, state.posMax)
        if match and match.end() > end:
            end, inside, element = match.end(), match.span(match.lastindex or 0), (tag, attributes)
    if not end:
        return False
    _span(state, *element, inside)
    state.pos = end
    return True


def _link(state: StateInline, _: bool) -> bool:
    if state.src[state.pos] != "[":
        return False
    match = _LINK.match(state.src, state.pos, state.posMax)
    if match is None or _LOOKS_LIKE_A_URL.search(match[1]) or not match[1].strip():
        return False
    _span(state, "a", _anchor(match[2] or match[3]), match.span(1))
    state.pos = match.end()
    return True


def _url(state: StateInline, _: bool) -> bool:
    if not state.src.startswith("://", state.pos):
        return False
    scheme = next((scheme for scheme in ("https", "http") if state.pending.endswith(scheme)), None)
    match = scheme and _URL.match(state.src, state.pos - len(scheme), state.posMax)
    if not scheme or not match:
        return False
    url = match[0]
    unopened = url.count(")") - url.count("(")
    if unopened > 0:
        url = url[: max(len(url) - unopened, len(url.rstrip(")")))]
    state.pending = state.pending.removesuffix(scheme)
    _element(state, "a", _anchor(url), url)
    state.pos = match.start() + len(url)
    return True


def _everybody(state: StateInline, _: bool) -> bool:
    match = _EVERYBODY.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    _element(state, "span", {"class": "mention", "data-id": match[1]}, match[0])
    state.pos = match.end()
    return True


def _token(state: StateInline, _: bool) -> bool:
    match = _TOKEN.match(state.src, state.pos, state.posMax) if state.src[state.pos] == "<" else None
    if match is None:
        return False
    names: Names = state.env["names"]
    kind = match.lastgroup or ""
    value: str = match[kind]
    match kind:
        case "user":
            _mention(state, kind, value, f"@{names.user(int(value)) or 'unknown-user'}")
        case "role":
            _mention(state, kind, value, f"@{names.role(int(value)) or 'unknown-role'}")
        case "channel":
            _mention(state, kind, value, f"#{names.channel(int(value)) or 'unknown'}")
        case "command":
            name, _colon, snowflake = value.partition(":")
            _mention(state, kind, snowflake, f"/{name}")
        case "emoji":
            name, _colon, snowflake = value.partition(":")
            _element(state, "span", {"class": "emoji", "data-id": snowflake}, f":{name}:")
        case "url":
            _element(state, "a", _anchor(value), value)
        case _:
            try:
                moment = _EPOCH + timedelta(seconds=int(match["time"]))
            except OverflowError:
                return False
            attributes = {"datetime": moment.isoformat(), "data-style": match["style"] or "f"}
            _element(state, "time", attributes, f"{moment:%Y-%m-%d %H:%M} UTC")
    state.pos = match.end()
    return True


def _starts_line(state: StateInline) -> bool:
    return state.pos == 0 or state.src[state.pos - 1] == "\n"


def _span(state: StateInline, tag: str, attributes: Mapping[str, str], inside: tuple[int, int]) -> None:
    """Push the tokens of an element around a range of the source."""
    state.push(f"{tag}_open", tag, 1).attrs = dict(attributes)
    end = state.posMax
    state.pos, state.posMax = inside
    state.md.inline.tokenize(state)
    state.posMax = end
    state.push(f"{tag}_close", tag, -1)


def _nested(state: StateInline, text: str, env: EnvType) -> None:
    """Push the tokens of a text that is not in the source as it stands, since indentation or marks were removed."""
    inner = StateInline(text, state.md, env, [])
    inner.level = state.level
    state.md.inline.tokenize(inner)
    state.tokens += inner.tokens


def _element(state: StateInline, tag: str, attributes: Mapping[str, str], text: str) -> None:
    state.push(f"{tag}_open", tag, 1).attrs = dict(attributes)
    state.push("text", "", 0).content = text
    state.push(f"{tag}_close", tag, -1)


def _mention(state: StateInline, kind: str, snowflake: str, text: str) -> None:
    _element(state, "span", {"class": f"mention {kind}", "data-id": snowflake}, text)


def _anchor(url: str) -> dict[str, str]:
    return {"href": url, "rel": "noopener noreferrer nofollow", "target": "_blank"}


def _fence_html(_: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    code, env["lexing"] = highlighted(tokens[at].content, tokens[at].info, env.get("lexing", SECONDS))
    return f"<pre>{code}</pre>"


def _fence_text(_: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return escapeHtml(tokens[at].content.replace("\n", " ")) + " "


def _fixed(html: str) -> Callable[[RendererHTML, Sequence[Token], int, OptionsDict, EnvType], str]:
    return lambda renderer, tokens, at, options, env: html


def _parser() -> MarkdownIt:
    parser = MarkdownIt("zero")
    discord = {
        "linkify": _url, "newline": _newline, "escape": _escape, "emphasis": _styled, "link": _link, "autolink": _token,
    }  # fmt: skip
    for name, rule in discord.items():
        parser.inline.ruler.at(name, rule)
    parser.inline.ruler.before("backticks", "fence", _fence)
    parser.inline.ruler.push("everybody", _everybody)
    parser.inline.add_terminator_char("|")
    parser.inline.ruler2.enableOnly([])  # they pair the delimiters of CommonMark's emphasis
    return parser.enable([*discord, "backticks"])


def _message_parser() -> MarkdownIt:
    parser = _parser()
    parser.inline.ruler.before("text", "block", _block)
    parser.add_render_rule("fence", _fence_html)
    return parser


def _line_parser() -> MarkdownIt:
    parser = _parser()
    parser.inline.ruler.before("text", "mark", _mark)
    parser.add_render_rule("fence", _fence_text)
    parser.add_render_rule("break", _fixed(" "))
    # The whole line is one control on the page, so nothing inside it may be clickable.
    parser.add_render_rule("a_open", _fixed('<span class="link">'))
    parser.add_render_rule("a_close", _fixed("</span>"))
    return parser


_MESSAGE: Final = _message_parser()
_QUOTED_LINE: Final = _line_parser()
