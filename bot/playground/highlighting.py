"""Syntax highlighting of code as HTML for the page's style sheet, with a limit on processor time."""

from __future__ import annotations

import re
from functools import cache
from io import StringIO
from time import thread_time
from typing import Final

from markdown_it.common.utils import escapeHtml
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Text

SECONDS: Final = 0.02
"""Processor time in seconds for all code of one message.

Code beyond the limit stays plain. A message full of Python takes a tenth of it.
"""

_LANGUAGES: Final = {
    "asm", "awk", "bash", "bat", "batch", "c", "c#", "c++", "clj", "clojure", "cmake", "console", "cpp", "cs",
    "csharp", "css", "dart", "diff", "docker", "dockerfile", "elixir", "elm", "erl", "erlang", "ex", "f#", "fish",
    "fortran", "fsharp", "glsl", "go", "golang", "graphql", "groovy", "haskell", "hcl", "hs", "html", "http", "ini",
    "java", "javascript", "jinja", "jl", "js", "json", "json5", "jsx", "julia", "kotlin", "latex", "less", "lisp",
    "lua", "make", "makefile", "markdown", "md", "mysql", "nasm", "nginx", "nix", "objc", "objective-c", "perl",
    "php", "pl", "postgresql", "powershell", "prolog", "properties", "proto", "protobuf", "ps1", "py", "py3",
    "pycon", "pytb", "python", "python3", "r", "rb", "rs", "ruby", "rust", "sass", "scala", "scheme", "scss", "sh",
    "shell", "sql", "swift", "terraform", "tex", "tf", "toml", "ts", "tsx", "typescript", "vbnet", "verilog",
    "vhdl", "vim", "vue", "xml", "yaml", "yml", "zig", "zsh",
}  # fmt: skip
"""Languages that are highlighted.

Their Pygments lexers never spend long on a single token, unlike some other lexers.
"""
_OTHER_NAMES: Final = {"cc": "cpp", "h": "c", "jsonc": "json", "kt": "kotlin", "patch": "diff", "svelte": "vue"}
_SLOW: Final = re.compile(r".{2001}|\s{100}", re.DOTALL)
"""Code that stays plain.

It is longer than a message of a bot, or has a long run of blanks, which takes some lexers quadratic time.
"""
_LEXING_A_TOKEN: Final = 0.002
"""The longest processor time in seconds that one token is charged.

A longer token means that the lexer has loaded another lexer for a nested language.
"""
_FORMATTER: Final = HtmlFormatter[str](nowrap=True)
_NEWLINE: Final = "\n"


def highlighted(code: str, language: str, left: float) -> tuple[str, float]:
    """Return the HTML of code and the seconds of processor time that remain of `left`."""
    language = _OTHER_NAMES.get(language, language)
    if language not in _LANGUAGES or _SLOW.search(code):
        return f'<code class="hl">{escapeHtml(code)}</code>', left
    lexed, before = [], thread_time()
    for start, kind, text in _lexer(language).get_tokens_unprocessed(code):
        lexed.append((kind, text))
        now = thread_time()
        left -= min(now - before, _LEXING_A_TOKEN)
        before = now
        if left < 0:
            lexed.append((Text, code[start + len(text) :]))
            break
    if "".join(text for _, text in lexed) != code:  # some lexers of sessions leave out a line
        return f'<code class="hl">{escapeHtml(code)}</code>', left
    html = StringIO()
    _FORMATTER.format(lexed, html)
    return f'<code class="hl lang-{language}">{html.getvalue().removesuffix(_NEWLINE)}</code>', left


@cache
def _lexer(language: str) -> Lexer:
    return get_lexer_by_name(language)
