"""Replies such as models write, of thirty kinds in ten languages, and Markdown that people wrote about their packages.

The replies are made for the tests, from sentences of our own. The descriptions are this project's pages and those of
the packages that it is locked to, as they are installed.
"""

from __future__ import annotations

import re
from email import message_from_string
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

_LANGUAGES: Final = {
    "English": ("Here is how it works", "You can do it in three steps", "Note that this costs money", "price", "total"),
    "Deutsch": ("So funktioniert es", "Das geht in drei Schritten", "Beachte, dass es Geld kostet", "Preis", "Summe"),
    "Français": (
        "Voici comment ça marche",
        "C'est possible en trois étapes",
        "Attention, c'est payant",
        "prix",
        "total",
    ),
    "Español": ("Así es como funciona", "Se hace en tres pasos", "Ten en cuenta que cuesta dinero", "precio", "suma"),
    "Русский": ("Вот как это работает", "Это делается в три шага", "Учтите, что это платно", "цена", "итого"),
    "日本語": (
        "仕組みは次のとおりです。",
        "三つの手順でできます。",
        "有料であることに注意してください。",
        "価格",
        "合計",
    ),
    "中文": ("它是这样工作的。", "分三步就能完成。", "请注意这是收费的。", "价格", "总计"),
    "العربية": ("إليك كيف يعمل", "يمكنك ذلك في ثلاث خطوات", "انتبه فهذا ليس مجانيا", "السعر", "المجموع"),
    "हिन्दी": ("यह ऐसे काम करता है", "इसे तीन चरणों में करें", "ध्यान दें कि इसमें पैसे लगते हैं", "कीमत", "कुल"),
    "Ελληνικά": ("Να πώς λειτουργεί", "Γίνεται σε τρία βήματα", "Προσοχή, κοστίζει χρήματα", "τιμή", "σύνολο"),
}
_KINDS: Final = (
    "{0}:\n\n```python\ndef f(*args, **kwargs):\n    return __name__\n```\n\n{1}.",
    "{0}: ```bash\nexport PATH=$HOME/bin:$PATH\n```\n\n{1}.\n\n{2}.",
    "## {0}\n\n1. **{1}**\n2. *{2}*\n3. `pip install x`\n\n### {3} ###\n\n{1}.",
    "- {0}\n  - {1}\n    - {2}\n  - `{3}`\n- {4}",
    "1. {0}\n   - **{3}**: $5\n   - **{4}**: $10.50\n2. {1}\n\n{2}.",
    "- {0}\n\t- {1}\n\t\t- {2}",
    "| {3} | {4} |\n|---|---|\n| $5 | 2*3 |\n| `a_b` | **{3}** |\n\n{2}.",
    "{0}.\n\n| {3} | {4} | x |\n|:--|--:|:-:|\n| {0} | {1} | {2} |\n| a | b | c |\n\n{1}.",
    "> {0}\n> {1}\n\n{2}.",
    "> **{0}**\n>\n> - {1}\n> - {2}\n\n{3}",
    "{0}: 2*3*4 = 24, 2 * 3 = 6, x**2 + y**2.\n\n{1}: a || b.",
    "{0}: $x^2$, $E = mc^2$, \\(\\alpha + 1\\).\n\n{1}.\n\n$$\\sum_{{i=1}}^n i$$\n\n{2}.",
    "{0}: C:\\Users\\me\\file.txt, /usr/local/bin, ~/a_b/c_d.\n\n{1} `__init__.py`.",
    "{0} __init__.py, __main__, snake_case, *args, **kwargs.\n\n{1}.",
    "{3}: $5, $10 (US$3), €4, £2 = $15.\n\n{4}: 20 $.\n\n{2}.",
    "[{0}](https://x.y/a_b) https://x.y/c_d_ (http://x.y/e).\n\n[{3}](#part), [me@x.y](mailto:me@x.y).",
    "{0} \\[1\\] {1} \\[2\\].\n\n\\[1\\] {2}",
    "{0}:\n\n>>> 1 + 1\n2\n\n{1}.",
    "{0} &lt;div&gt; &amp; &quot;{3}&quot;, 5 &times; 3.\n\n{1}.",
    "{0}: List<b>, Map<K, V>, <br> {1}.",
    "````markdown\n# {0}\n\n```bash\nmake\n```\n````\n\n{1}.",
    "~~~\n{0} ``` {1}\n~~~\n\n**{2}**",
    "***{0}*** **{1} *{2}* {3}** ~~{4}~~ ||{3}||",
    "#### {0}\n\n{1}.\n\n---\n\n##### {2}\n\n{3}: `a || b`, ``x ` y``.",
    "{0}\n===\n\n{1}.\n{2}.\n\n* {3}\n* {4}",
    "- [ ] {0}\n- [x] {1}\n\n1) {2}\n2) {3}",
    "| {3} | {4} |\r\n|---|---|\r\n| 1 | 2 |\r\n\r\n#### {0}\r\n{1}.\r\n",
    "**{0}:** {1}. *{2}*.\n\n- **{3}:** {0}.\n- **{4}:** {1}.\n\n{2}. ¯\\_(ツ)_/¯",
    "{0}:\n\n```{{r}}\nx <- 1\n```\n\n```js {{1,3}}\nlet a = `$" + "{{b}}`;\n```\n\n{1} $" + "{{HOME}}.",
    "{0}:\n\n    x = *a\n    y = `b`\n\n{1}.\n\n\\begin{{align}}\na &= b \\\\\nc &= d\n\\end{{align}}\n\n{2}.",
    "{0}. {1}. {2}.\n\n" + "**{1}**, *{2}*, `{3}`, {4}. {0}. " * 12 + "\n\n- {2}\n" + "- {1}: **{3}**\n" * 20,
)
DOCUMENTS: Final = [kind.format(*sentences) for kind in _KINDS for sentences in _LANGUAGES.values()]


def _descriptions() -> dict[str, str]:
    """The project's pages, and the packages' descriptions that are Markdown.

    HTML is left out of them, since the bot shows what it means, while CommonMark passes it on.
    """
    found = {str(page): page.read_text() for page in sorted([*Path().glob("*.md"), *Path("docs").glob("*.md")])}
    for name in re.findall(r"^([\w.-]+)==", Path("requirements.lock").read_text(), re.MULTILINE):
        try:
            about = message_from_string(distribution(name).read_text("METADATA") or "")
        except PackageNotFoundError:
            continue  # a package for another system
        if about.get("Description-Content-Type", "").startswith("text/markdown"):
            found[name] = str(about.get_payload())
    html = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL)
    return {name: html.sub("", text) for name, text in found.items()}


DESCRIPTIONS: Final = _descriptions()
