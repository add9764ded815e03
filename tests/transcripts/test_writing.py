"""Transcripts as text: what programs read, and what people read."""

from __future__ import annotations

import json
from pathlib import PurePath

import pytest
from markdown_it import MarkdownIt

from bot.core.records import Exchange
from bot.core.turns import Conversation
from bot.transcripts.writing import Format, format_of, writer_of
from tests.places import TERMINAL

NAMED = Conversation("terminal", "a\n# b")


def written(format_: Format, *pages: list[Exchange], persona: str | None = None, of: Conversation = TERMINAL) -> str:
    writer = writer_of(format_)
    return writer.start(of, persona) + "".join(map(writer.page, pages)) + writer.end()


@pytest.mark.parametrize("persona", [None, "Be brief."])
def test_json_is_what_an_indented_dump_writes(persona: str | None) -> None:
    exchanges = [Exchange("a\n", 'Größe "😀"\0', finished=False), Exchange("c", "\u2028")]
    messages = [] if persona is None else [{"role": "system", "content": persona}]
    for each in exchanges:
        messages += {"role": "user", "content": each.prompt}, {"role": "assistant", "content": each.reply}
    dump = json.dumps(messages, ensure_ascii=False, indent=2) + "\n"
    assert written(Format.JSON, exchanges, persona=persona) == dump
    assert written(Format.JSON, exchanges[:1], [], exchanges[1:], persona=persona) == dump


def test_json_without_a_message() -> None:
    assert written(Format.JSON) == "[]\n"


def test_json_has_an_unanswered_question_only_at_the_end() -> None:
    writer = writer_of(Format.JSON)
    pages = [[Exchange("a", ""), Exchange("b", "B")], [Exchange("c", "")], [Exchange("d", "")]]
    text = writer.start(TERMINAL, None) + "".join(map(writer.page, pages)) + writer.end()
    assert [message["content"] for message in json.loads(text)] == ["b", "B", "d"]
    assert writer.left_out == 2


def test_markdown_shows_who_said_what() -> None:
    exchanges = [
        Exchange("Why?\n\n# really", "**Because.**"),
        Exchange("And?", "So", finished=False),
        Exchange("c", ""),
    ]
    assert written(Format.MARKDOWN, exchanges, persona="Be brief.", of=NAMED) == (
        "# terminal:a # b\n\n**Persona**\n\n> Be brief.\n"
        "\n---\n\n> Why?\n>\n> # really\n\n**Because.**\n"
        "\n---\n\n> And?\n\nSo\n\n*The answer ends here. It is unfinished.*\n"
        "\n---\n\n> c\n\n*No answer.*\n"
    )


@pytest.mark.parametrize(
    "reply",
    [
        "```py\nx = 1",
        "~~~\n```\n",
        "````\n```\n~~~",
        "```\na\n``` b",
        "> ```\nx",
        "- ```\n  x",
        "`` ` ``",
        "```a`b",
        "   ```",
    ],
)
def test_code_that_is_cut_ends_with_its_answer(reply: str) -> None:
    text = written(Format.MARKDOWN, [Exchange("a", reply, finished=False), Exchange("b", "B")])
    shown = MarkdownIt("commonmark").render(text)
    assert shown.endswith("<hr />\n<blockquote>\n<p>b</p>\n</blockquote>\n<p>B</p>\n"), shown


@pytest.mark.parametrize(
    ("name", "format_"), [("a.md", "markdown"), ("a.MARKDOWN", "markdown"), ("a.json", "json"), ("a", "json")]
)
def test_format_by_name(name: str, format_: str) -> None:
    assert format_of(PurePath(name)) == format_
    assert format_of(None) is Format.JSON
