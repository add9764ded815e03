"""A reply loses no visible character and gains none, and means the same: two independent parsers say so."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.markdown.corpus import DESCRIPTIONS
from tests.markdown.corpus import DOCUMENTS as CORPUS
from tests.markdown.documents import document
from tests.markdown.growing import mistakes, whole
from tests.markdown.source import difference

LIMITS = (
    300,
    320,
    350,
    400,
    450,
    500,
    600,
    700,
    800,
    900,
    1000,
    1200,
    1400,
    1600,
    1800,
    2000,
    2500,
    3000,
    4000,
    100_000,
)


def _ends(text: str, drawn: random.Random) -> list[int]:
    return sorted(drawn.randrange(len(text) + 1) for _ in range(8))


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.sampled_from(LIMITS), st.integers(0, 2**16))
def test_any_document_is_shown_as_it_is_meant(drawn: random.Random, limit: int, seed: int) -> None:
    text = document(drawn)
    assert difference(text, whole(text, 100_000)) is None
    assert difference(text, whole(text, limit)) is None
    assert mistakes(text, limit, _ends(text, random.Random(seed))) is None


@pytest.mark.parametrize("part", range(10))
def test_replies_of_every_kind_are_shown_as_they_are_meant(part: int) -> None:
    drawn = random.Random(part)
    for text in CORPUS[part::10]:
        assert difference(text, whole(text, 100_000)) is None, text
        assert mistakes(text, drawn.choice(LIMITS), _ends(text, drawn)) is None, text


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_what_people_wrote_about_their_packages_is_shown_as_it_is_meant(name: str) -> None:
    text = DESCRIPTIONS[name]
    ends = _ends(text, random.Random(name))
    assert difference(text, whole(text, 100_000)) is None
    assert difference(text, whole(text, 2000)) is None
    assert mistakes(text, 2000, ends, taken_back=False) is None


def test_there_are_enough_of_them() -> None:
    assert len(set(CORPUS)) >= 300
    assert len(DESCRIPTIONS) >= 15
