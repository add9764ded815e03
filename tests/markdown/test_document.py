"""What holds for every reply, however it is written and in whatever pieces it comes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.markdown import Document, Part
from bot.markdown.blocks import render
from bot.markdown.rendered import Carry, End
from tests.discord_reading import INVISIBLE, read
from tests.markdown.documents import document
from tests.markdown.source import difference

LIMITS = st.sampled_from([300, 300, 2000, 4000])
CHUNKS = st.lists(st.floats(0, 1), max_size=8)

FRAGMENTS = st.sampled_from(
    [
        *("**", "*", "_", "__", "~~", "||", "`", "``", "```", "```py\n", "\n```\n", "~~~", "~~~\n", "`" * 20),
        *("\n", "\n\n", "\r\n", "\t", " ", "    ", "> ", "\n> ", ">>> ", "\n- ", "\n1. ", "\n# ", "\n#### "),
        *("\n---\n", "\n===\n", "| a | b |\n|---|---|\n", "| x | y |\n", "|", "\n|", "-", "1", "####"),
        *("[", "](", ")", "![", "](http://a.b/c)", "http://x.y/z", "<", "<@123>", "<:e:1>", "<b>", "</b>", "<br>"),
        *("<sub>2</sub>", "$", "$$", "\\(", "\\)", "\\[", "\\]", "\\alpha", "x^2", "\\"),
        *("word", "hello world. ", "some words to fill a line with ", "a" * 50, "。", "漢字", "👨‍👩‍👧‍👦", "🇩🇪"),
        *("e\u0301", "\u0301", "\u0301" * 40),
    ]
)
GARBAGE = st.one_of(
    st.lists(FRAGMENTS, max_size=100).map("".join),
    st.text(alphabet="ab *_`~|\n>#-[]()<$\\1.", max_size=700),
    st.builds(
        lambda few, times: ("".join(few) * times)[:5000],
        st.lists(FRAGMENTS, min_size=1, max_size=6),
        st.integers(1, 120),
    ),
)

WORDS = st.lists(
    st.sampled_from(
        ["word", "a", "longer-word", "semi;", "End.", "Wirklich?", "漢字。", "snake_case", "👨‍👩‍👧‍👦", "5"]
    ),
    min_size=1,
    max_size=40,
)
SENTENCES = WORDS.map(" ".join)
MARKED = st.builds("{0}{1}{0}".format, st.sampled_from(["", "**", "*", "__", "~~", "||", "`"]), SENTENCES)
PARAGRAPHS = st.lists(MARKED, min_size=1, max_size=5).map(" ".join)
CODE = st.lists(
    st.sampled_from(["x = 1", "    return **kwargs", "", "| not | a table |", "# not a heading", "$x^2$"]),
    min_size=1,
    max_size=40,
)
BLOCKS = st.one_of(
    PARAGRAPHS,
    PARAGRAPHS.map("## {}".format),
    PARAGRAPHS.map("> {}".format),
    st.lists(PARAGRAPHS, min_size=1, max_size=5).map(
        lambda items: "\n".join(f"{at}. {item}" for at, item in enumerate(items, 1))
    ),
    st.lists(PARAGRAPHS, min_size=1, max_size=5).map(lambda items: "\n".join(f"- {item}" for item in items)),
    CODE.map(lambda lines: "\n".join(["```py", "start", *lines, "end", "```"])),
    CODE.map(lambda lines: "\n".join(["> ```", "> start", *(f"> {line}" for line in lines), "> ```"])),
)
REPLIES = st.lists(BLOCKS, min_size=1, max_size=12).map("\n\n".join)
"""Well-formed replies with nothing that Discord has another form for."""

PLAIN = st.text(
    alphabet=st.one_of(
        st.sampled_from("abc d\n,.。\u0301\u200d👩🏽"),
        st.characters(codec="utf-8", exclude_characters="`*_~|[]<>$\\#-+=!"),
    ),
    max_size=1500,
).filter(lambda text: "http" not in text)


def whole(text: str, limit: int, cuts: Sequence[int] = ()) -> list[Part]:
    document = Document(limit, cuts)
    document.update(text, final=True)
    return list(document.parts)


def in_chunks(text: str, limit: int, chunks: Sequence[float]) -> list[list[Part]]:
    """What is shown after each chunk, and in the end."""
    document, shown = Document(limit), []
    for end in sorted({int(chunk * len(text)) for chunk in chunks} | {len(text)}):
        document.update(text[:end])
        shown.append(list(document.parts))
    document.update(text, final=True)
    return [*shown, list(document.parts)]


def squeezed(text: str) -> str:
    return "".join(text.split())


@given(GARBAGE, LIMITS, CHUNKS)
def test_parts_fit_whenever_the_text_came(text: str, limit: int, chunks: list[float]) -> None:
    want = whole(text, limit)
    states = in_chunks(text, limit, chunks)
    assert states[-1] == want
    for chunk, state in zip(sorted({int(chunk * len(text)) for chunk in chunks} | {len(text)}), states, strict=False):
        afresh = Document(limit)
        afresh.update(text[:chunk])
        assert state == list(afresh.parts)
    for state in states:
        assert all(0 < len(part.content) <= limit and part.content.strip() for part in state)
        assert all(one.start < other.start for one, other in pairwise(state))


@given(GARBAGE, LIMITS, CHUNKS)
def test_shown_cut_never_moves(text: str, limit: int, chunks: list[float]) -> None:
    for before, after in pairwise(in_chunks(text, limit, chunks)):
        assert after[: max(0, len(before) - 1)] == before[:-1]
        if len(after) >= len(before) > 0:
            assert after[len(before) - 1].start == before[-1].start


@given(GARBAGE, LIMITS)
def test_recorded_cuts_reproduce_the_parts(text: str, limit: int) -> None:
    parts = whole(text, limit)
    assert whole(text, limit, [part.start for part in parts]) == parts


@given(REPLIES, LIMITS, st.lists(st.integers(0, 5000), max_size=4))
def test_recorded_cuts_are_kept_anywhere(text: str, limit: int, cuts: list[int]) -> None:
    parts = whole(text, limit, cuts)
    within = {cut for cut in cuts if 0 < cut < len(text) and not text[cut].isspace() and not text[:cut].isspace()}
    assert all(len(part.content) <= limit for part in parts)
    if "```" not in text:
        assert within <= {part.start for part in parts}


@given(PLAIN, LIMITS)
def test_plain_text_survives_unchanged(text: str, limit: int) -> None:
    shown = "".join(character for part in whole(text, limit) for character, _ in read(part.content))
    assert shown == "".join(character for character in squeezed(text) if character not in INVISIBLE)


@given(REPLIES, LIMITS)
def test_a_reply_comes_back_with_its_words_its_code_and_its_emphasis(text: str, limit: int) -> None:
    assert difference(text, [part.content for part in whole(text, limit)]) is None


@given(GARBAGE, st.lists(st.booleans(), min_size=40, max_size=40))
def test_other_forms_lose_no_word(text: str, named: list[bool]) -> None:
    pieces = re.split(r"(?<=[\s)>|*])", text)
    marked = "".join(
        piece + (f"KEEP{at}IT" if name else "") for at, (piece, name) in enumerate(zip(pieces, named, strict=False))
    )
    # A line without a space may be cut within a word, with marks on either side of the cut.
    shown = re.sub(r"\W", "", "".join(part.content for part in whole(marked, 2000)))
    # The language of a code block without a line is not shown, in CommonMark as little as here.
    languages = " ".join(re.findall(r"(?:~{3,}|`{3,})(.*)", marked))
    assert all(word in shown or word in languages for word in re.findall(r"KEEP\d+IT", marked))


@given(st.lists(SENTENCES, min_size=1, max_size=12).map("\n\n".join), st.integers(1, 40))
def test_shown_text_stays_while_more_comes(text: str, step: int) -> None:
    document, before = Document(300), ""
    count = 0
    for end in range(0, len(text), step):
        document.update(text[:end])
        content = document.parts[-1].content if document.parts else ""
        if len(document.parts) == count and len(before) < 150:
            assert content.startswith(before)
        before, count = content, len(document.parts)


@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_a_rendering_up_to_a_cut_is_the_same_wherever_it_begins(drawn: Random) -> None:
    text = document(drawn)
    window = render(text, Carry(), End.GROWING, 2000)
    for cut in range(1, len(text)):
        offset, before, items = window.settled(cut)
        full = render(text[:cut], Carry(), End.CUT, 2000)
        rest = render(text[offset:cut], Carry(items=items), End.CUT, 2000, before=before)
        assert (rest.content, rest.carry) == (full.content, full.carry)


def test_work_grows_linearly_with_the_text() -> None:
    """Counted in characters that are looked at, which a slow machine does not change."""

    class Counted(str):
        looked_at = 0

        def __getitem__(self, key: object) -> str:
            piece = super().__getitem__(key)  # type: ignore[index]
            Counted.looked_at += len(piece)
            return piece

    costs = []
    for length in (20_000, 80_000):
        text, document, Counted.looked_at = "word after word. " * (length // 17), Document(), 0
        for end in range(0, length, 400):
            document.update(Counted(text[:end]))
        costs.append(Counted.looked_at)
    assert costs[1] < 5 * costs[0]
