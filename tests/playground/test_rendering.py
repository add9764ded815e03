"""What a person sees of a message's Markdown: Discord's subset of it, and never anything that the page would run."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.playground.rendering import render, render_line
from tests import callbacks


class Town:
    """Names as nasty as people may choose them."""

    def user(self, snowflake: int, /) -> str | None:
        return {1: "Ada", 2: '"><img src=x onerror=alert(1)>'}.get(snowflake)

    def role(self, snowflake: int, /) -> str | None:
        return {3: "mods' & <b>"}.get(snowflake)

    def channel(self, snowflake: int, /) -> str | None:
        return {4: "general"}.get(snowflake)


TOWN = Town()
_LINK = 'rel="noopener noreferrer nofollow" target="_blank"'


@pytest.mark.parametrize(
    ("content", "html"),
    [
        ("# One\n### Three\ntext", "<h1>One</h1><h3>Three</h3>text"),
        ("-# small\ntext", '<div class="subtext">small</div>text'),
        ("**b** *i* _i_ __u__ ~~s~~", "<strong>b</strong> <em>i</em> <em>i</em> <u>u</u> <s>s</s>"),
        ("***x*** __**y**__", "<em><strong>x</strong></em> <u><strong>y</strong></u>"),
        ("**強調。**次", "<strong>強調。</strong>次"),
        ("**over\n\nlines**", "<strong>over<br><br>lines</strong>"),
        ("||no *peeking*||", '<span class="spoiler">no <em>peeking</em></span>'),
        ("`a*b*` ``c`d``", "<code>a*b*</code> <code>c`d</code>"),
        ("- a\n  - b\n    more\n* c\nflush", "<ul><li>a<br><ul><li>b<br>more</li></ul></li><li>c</li></ul>flush"),
        ("3. c\n4. d", '<ol start="3"><li>c</li><li>d</li></ol>'),
        ("- ```\n  a\n\n  b\n  ```\n- c", '<ul><li><pre><code class="hl">a\n\nb</code></pre></li><li>c</li></ul>'),
        ("> a\n> **b**\nc", "<blockquote>a<br><strong>b</strong></blockquote>c"),
        ("> > a\n>b", "<blockquote>&gt; a</blockquote>&gt;b"),
        ("a\n>>> b\n\nc\n> d", "a<br><blockquote>b<br><br>c<br>&gt; d</blockquote>"),
        ("[a](https://x.y/z_(1))", f'<a href="https://x.y/z_(1)" {_LINK}>a</a>'),
        ("[**a**](<http://x.y>)", f'<a href="http://x.y" {_LINK}><strong>a</strong></a>'),
        ("(https://x.y/z).", f'(<a href="https://x.y/z" {_LINK}>https://x.y/z</a>).'),
        ("<https://x.y>", f'<a href="https://x.y" {_LINK}>https://x.y</a>'),
        ("<@1>", '<span class="mention user" data-id="1">@Ada</span>'),
        ("<@!9>", '<span class="mention user" data-id="9">@unknown-user</span>'),
        ("<@&9>", '<span class="mention role" data-id="9">@unknown-role</span>'),
        ("<#4>", '<span class="mention channel" data-id="4">#general</span>'),
        ("@here", '<span class="mention" data-id="here">@here</span>'),
        ("</reset all:5>", '<span class="mention command" data-id="5">/reset all</span>'),
        ("so <:wow:7>", 'so <span class="emoji" data-id="7">:wow:</span>'),
        ("<t:0:R>", '<time datetime="1970-01-01T00:00:00+00:00" data-style="R">1970-01-01 00:00 UTC</time>'),
        (r"\*a\* \<@1> ¯\_(ツ)_/¯", r"*a* &lt;@1&gt; ¯\_(ツ)_/¯"),
        ("a\n  b\r\n\n   c", "a<br>  b<br><br>   c"),
        ("👩‍💻 🇩🇪 1️⃣ <:wow:7>", '<span class="jumbo">👩‍💻 🇩🇪 1️⃣ <span class="emoji" data-id="7">:wow:</span></span>'),
    ],
)  # fmt: skip
def test_supported_markdown_is_rendered(content: str, html: str) -> None:
    assert render(content, TOWN) == html


@pytest.mark.parametrize(
    "content",
    [
        "#### four", "#tag", "text # no", "| a | b |\n|---|---|", "---", "Title\n===", "&amp; &#60; &copy;",
        "<b>no</b>", "<br>", "<!-- -->", "[^1]", "[a]: https", "[a][b]", "    code", "~~~", "$x^2$", "- ", ">no",
        "x * a", "snake_case_name", "2 * 3 * 4", "**open", "`open", "```py\nopen", "||open",
        "[a](javascript:alert(1))", "[a](data:text/html,x)", "[a](/x)", "javascript:alert(1)", "<javascript:alert(1)>",
        "ftp://x.y", "<@>", "<@x>", "<t:99999999999999999>", "1.5", "😀" * 28, "a😀",
    ],
)  # fmt: skip
def test_unsupported_markdown_stays_as_typed(content: str) -> None:
    html = render(content, TOWN)
    assert _text(html) == content
    assert set(re.findall(r"<\w+", html)) <= {"<br"}


def test_misleading_link_is_not_masked() -> None:
    assert 'href="https://evil.example"' not in render("[https://bank.example](https://evil.example)", TOWN)
    assert _text(render("[https://bank.example](https://evil.example)", TOWN)).startswith("[https://bank.example]")
    assert render("![i](https://x.y)", TOWN) == f'!<a href="https://x.y" {_LINK}>i</a>'


def test_code_is_rendered() -> None:
    highlighted = render("x ```py\ndef f(): return '<'\n``` y", TOWN)
    assert highlighted.startswith('x <pre><code class="hl lang-py"><span class="k">def</span>')
    assert highlighted.endswith("</code></pre> y")
    assert _text(highlighted) == "x def f(): return '<' y"
    assert render("```\n**a**\n\n```\nb", TOWN) == '<pre><code class="hl">**a**</code></pre>b'
    assert render("```klingon\na\n```", TOWN) == '<pre><code class="hl">a</code></pre>'
    assert render("```one line```", TOWN) == '<pre><code class="hl">one line</code></pre>'
    assert _text(render('```"><script>\na\n```', TOWN)) == '"><script>\na'


def test_quoted_reply_is_one_inert_line() -> None:
    line = render_line("# Hi <@1>\n> **so** [a](https://x.y) ||b||\n```py\nx = '<'\n```\n- c", TOWN)
    assert line == (
        'Hi <span class="mention user" data-id="1">@Ada</span> <strong>so</strong> <span class="link">a</span> '
        "<span class=\"spoiler\">b</span> x = '&lt;' - c"
    )


_ATTRIBUTES = {
    "class": r"spoiler|subtext|jumbo|emoji|link|mention(?: (?:user|role|channel|command))?"
    r"|hl(?: lang-[a-z0-9+#]+)?|[a-z][a-z0-9]{0,2}",
    "data-id": r"\d+|everyone|here", "data-style": "[tTdDfFRsS]", "datetime": r"[\d:T+-]+", "start": r"\d+",
    "href": r"https?://\S+", "rel": "noopener noreferrer nofollow", "target": "_blank",
}  # fmt: skip
_TAGS = re.compile("strong|em|u|s|span|h[123]|div|blockquote|[uo]l|li|a|pre|code|time|br")


class Strict(HTMLParser):
    """Reads HTML as a browser does, and objects to any that is ill-formed or not on the list."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert _TAGS.fullmatch(tag)
        assert tag != "a" or "a" not in self._open
        for name, value in attrs:
            assert re.fullmatch(_ATTRIBUTES[name], value or ""), (name, value)
        if tag == "br":
            self.text += "\n"
        else:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def close(self) -> None:
        super().close()
        assert not self._open


def _text(html: str) -> str:
    parser = Strict()
    parser.feed(html)
    parser.close()
    return parser.text


_PIECES = st.sampled_from(
    [
        *("**", "*", "_", "__", "~~", "||", "`", "``", "```", "```py\n", "```html\n", '```"><x y=\n', "\n", " "),
        *("\n# ", "\n-# ", "\n- ", "\n  - ", "\n1. ", "\n> ", "\n>>> ", "[", "](", ")", "](<", ">)", "<", ">"),
        *("https://", "http://a.b/?c=d&e=\"'<", "javascript:", "data:text/html,", "<@1>", "<@2>", "<@&3>", "<#4>"),
        *("<:a_b:5>", "</x y:6>", "[a](https:// )", "<t:1:R>", "<t:-99999999999>", "@everyone"),
        *("&lt;", "&#x3c;", "&", "<!--", "-->", "<img src=x onerror=y>", "\0", "\u2028", "\x0b", "漢"),
        *("<script>alert(1)</script>", "\\", "' x='", '" onclick="', "\n\n", "](https://x", "😀", "a", "b c"),
    ]
)  # fmt: skip
HOSTILE = st.one_of(
    st.lists(_PIECES, max_size=60).map("".join),
    st.text(alphabet="ab *_`~|\n>#-[]()<@!&:/\\\"'.1;=", max_size=300),
    st.text(max_size=100),
)


@given(HOSTILE)
def test_message_markup_is_escaped(content: str) -> None:
    _text(render(content, TOWN))
    _text(render_line(content, TOWN))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=300))
def test_escaped_text_stays_as_typed(content: str) -> None:
    escaped = re.sub(r"([^0-9A-Za-z\s])", r"\\\1", content)
    assert _text(render(escaped, TOWN)) == content


@given(st.text(alphabet="ab1 \n\t漢é.,;(%", max_size=300).filter(lambda text: not re.search(r"(?m)^ *\d+\. ", text)))
def test_plain_text_loses_nothing(content: str) -> None:
    html = render(content, TOWN)
    assert unescape(html.replace("<br>", "\n")) == content


@pytest.mark.parametrize(
    "content",
    [
        *(mark * 4000 for mark in "*_[(|`>\\:"),
        *(marks * 500 for marks in ("*_", "|| _**", "> - ", "- ", "**\n- a\n", "[[a](", "http://)")),
        "".join(" " * depth + "- a\n" for depth in range(86)),
        "🇩" * 60 + "x",
        "```a" + "\n" * 3990,
        "```cpp\nx" + "\n" * 1900 + "x```",
        "```c#\nx" + "a\n" * 950 + "```",
    ],
)
def test_no_message_is_slow_to_render(content: str) -> None:
    render("```c#\na\n```\n```cpp\na\n```", TOWN)  # loads the lexers

    def cost() -> float:
        before = thread_time()
        render(content, TOWN)
        return thread_time() - before

    assert min(cost() for _ in range(3)) < 4 * callbacks.limit(callbacks.loop)
