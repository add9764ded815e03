"""The page shows a message as Discord's clients do: compared with the tests' own reading of Discord's rules."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.playground.rendering import LONGEST, render
from tests.discord_reading import INVISIBLE, TOKEN, Shown, read
from tests.markdown.corpus import DESCRIPTIONS, DOCUMENTS
from tests.markdown.documents import document
from tests.markdown.growing import whole
from tests.markdown.test_cases import AS_WRITTEN, ESCAPED, KINDS
from tests.markdown.test_cost import PATTERNS, calls

STYLES = {
    "em": "italic",
    "strong": "bold",
    "u": "underline",
    "s": "strike",
    "h1": "heading",
    "h2": "heading",
    "h3": "heading",
}


class Nobody:
    """Knows no names."""

    def user(self, _: int, /) -> None:
        return None

    role = channel = user


class Page(HTMLParser):
    """Every visible character of a message's HTML, with the styles it is shown in."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: Shown = []
        self._open: list[str] = []
        self._numbers: list[int | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("br", "img"):
            return
        self._open.append("spoiler" if dict(attrs).get("class") == "spoiler" else STYLES.get(tag, tag))
        if tag in ("ul", "ol"):
            self._numbers.append(int(dict(attrs).get("start") or 1) if tag == "ol" else None)
        elif tag == "li" and (number := self._numbers[-1]) is not None:
            self.handle_data(f"{number}.")
            self._numbers[-1] = number + 1

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()
        if tag in ("ul", "ol"):
            self._numbers.pop()

    def handle_data(self, data: str) -> None:
        styles = (
            frozenset({"code"}) if "code" in self._open else frozenset({*self._open} & {*STYLES.values(), "spoiler"})
        )
        self.shown += [
            (character, styles) for character in data if not character.isspace() and character not in INVISIBLE
        ]


def on_page(message: str) -> Shown:
    page = Page()
    page.feed(render(message, Nobody()))
    return page.shown


def messages(text: str, *limits: int) -> Iterator[str]:
    """The messages of a reply, without mentions, which the page shows by name."""
    for limit in limits:
        yield from (TOKEN.sub("§", message) for message in whole(text, limit))


def check(message: str) -> None:
    # Discord's clients leave out the hashes that close a heading; the bot's messages have none.
    assert on_page(message) == read(message), message


@pytest.mark.parametrize("kind", KINDS)
def test_replies_that_came_out_wrong_are_shown_alike(kind: str) -> None:
    for written, _ in KINDS[kind]:
        for message in messages(written, 2000):
            check(message)


def test_text_that_no_mark_is_read_from_is_shown_alike() -> None:
    for written in (*AS_WRITTEN, *(text for text, _ in ESCAPED)):
        for message in messages(written, 2000):
            check(message)


@pytest.mark.parametrize("part", range(10))
def test_replies_of_every_kind_are_shown_alike(part: int) -> None:
    for text in DOCUMENTS[part::10]:
        for message in messages(text, 300, 2000):
            check(message)


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_descriptions_are_shown_alike(name: str) -> None:
    for message in messages(DESCRIPTIONS[name], 2000):
        check(message)


@given(st.randoms(use_true_random=False))
def test_any_document_is_shown_alike(drawn: Random) -> None:
    for message in messages(document(drawn), 300, 4000):
        check(message)


def test_a_list_that_goes_on_from_the_message_before_ends_where_the_outer_one_goes_on() -> None:
    check("  - inner\n3. outer\n4. last")


@settings(max_examples=15)
@given(PATTERNS)
def test_reading_costs_in_proportion_to_length(pattern: str) -> None:
    message = (pattern * LONGEST)[:LONGEST]
    render(message, Nobody())  # what is loaded once is not part of it
    short, long = (calls(lambda size=size: render(message[:size], Nobody())) for size in (LONGEST // 4, LONGEST))  # type: ignore[misc]
    assert long < 100 * LONGEST
    assert long < max(6 * short, 10 * LONGEST)
