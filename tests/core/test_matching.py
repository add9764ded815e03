"""Words that are found in texts of any script, and where."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.matching import Query
from tests.facts import FACTS


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        ("cafe", "The CAFÉ is open.", ["CAFÉ"]),
        ("CAFÉ", "cafe\u0301s", ["cafe\u0301"]),
        ("strasse", "Die Straße", ["Straße"]),
        ("ﬁsh", "fish and FISH", ["fish", "FISH"]),
        ("fi", "ﬁsh", ["ﬁ"]),
        ("STRASSE", "STRAẞE", ["STRAẞE"]),
        ("istanbul", "İSTANBUL", ["İSTANBUL"]),
        ("ısparta", "ISPARTA", ["ISPARTA"]),
        ("DIYARBAKIR", "diyarbakır", ["diyarbakır"]),
        ("οδοσ", "ΟΔΟΣ, οδός", ["ΟΔΟΣ", "οδός"]),
        ("ｂｏａｔ", "a boat", ["boat"]),
        ("boat", "ａ　ＢＯＡＴ", ["ＢＯＡＴ"]),
        ("ガラス", "ｶﾞﾗｽの靴", ["ｶﾞﾗｽ"]),
        ("シンデレラ", "灰かぶりシンデレラの靴", ["シンデレラ"]),
        ("한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8어", ["\u1112\u1161\u11ab\u1100\u116e\u11a8"]),
        ("שלום", "שָׁלוֹם לך", ["שָׁלוֹם"]),
        ("كتاب", "كِتَـاب", ["كِتَـاب"]),
        ("احمد", "اسمي أحمد.", ["أحمد"]),
        ("名字", "我的名字是小明", ["名字"]),
        ("ปลา", "ชอบปลาทู", ["ปลา"]),
        ("e\u200bvil", "ev\u200dil", ["ev\u200dil"]),
        ("❤", "love ❤\ufe0f it", ["❤\ufe0f"]),
        ("❤\ufe0f", "love ❤ it", ["❤"]),
        ("🚀", "👩\u200d🚀 in a 🚀", ["👩\u200d🚀", "🚀"]),
        ("👍", "👍🏽👍", ["👍🏽👍"]),
        ("red boat", "A boat, a red one.", ["boat", "red"]),
        ("aba", "ababab", ["aba"]),
        ("ab abc", "xabcx", ["abc"]),
        ("1/2", "½ spoon", []),
        (".*", "a.*b", [".*"]),
    ],
)
def test_words_are_found_however_they_are_written(query: str, text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in Query(query).spans(text)] == found
    assert Query(query).matches(text) == bool(found)


@pytest.mark.parametrize(
    ("query", "text"),
    [("は", "ば"), ("하", "한국"), ("มา", "มี"), ("कि", "की"), ("red boat", "a red ship")],
)
def test_other_characters_are_not_found(query: str, text: str) -> None:
    assert not Query(query).matches(text)


def test_words_may_be_spread_over_question_and_answer() -> None:
    assert Query("boat marigold").matches("What is the boat called?", "Marigold.")


@pytest.mark.parametrize("nothing", ["", "  \u3000 ", "\u0301", "\u200b"])
def test_query_may_be_empty(nothing: str) -> None:
    assert Query(nothing).is_empty


@given(st.text(), st.text(min_size=1))
def test_whatever_matches_can_be_marked(text: str, query: str) -> None:
    asked = Query(query)
    spans = asked.spans(text)
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(before[1] < after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_each_fact_is_found_by_its_word_in_every_form(form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
    for fact, word in FACTS:
        written = unicodedata.normalize(form, fact)
        assert Query(word).matches(written), fact
        assert Query(word).spans(written), fact
        assert sum(Query(word).matches(other) for other, _ in FACTS) == 1, f"{word} is shared"
