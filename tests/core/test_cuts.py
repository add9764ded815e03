"""A server that silently drops part of a context is recognised by its count of tokens."""

from __future__ import annotations

import pytest

from bot.core.cuts import CutDetector
from bot.core.model_events import Message


@pytest.mark.parametrize(
    ("texts", "counts", "is_cut"),
    [
        # Japanese has no words, so only the growth of one conversation shows it.
        (["日本語の文章です。" * 400, "日本語の文章です。" * 600], [4000, 4000], True),
        (["日本語の文章です。" * 400, "日本語の文章です。" * 600], [4000, 4100], True),
        (["日本語の文章です。" * 400, "日本語の文章です。" * 600], [4000, 6000], False),
        (["日本語の文章です。" * 400, "日本語の文章です。" * 430], [4000, 4000], False),
        (["Hi", "How are you today?" * 4], [500, 510], False),
        (["a word " * 3000], [4096], True),
        (["a word " * 3000], [6100], False),
        (["    " * 10_000 + "end"], [1000], False),
        (["-" * 20_000], [300], False),
        (["a word " * 3000], [60], False),
    ],
)
def test_cut_is_beyond_doubt(texts: list[str], counts: list[int], is_cut: bool) -> None:
    detector = CutDetector()
    found = [detector.is_cut("here", [Message("user", text)], count) for text, count in zip(texts, counts, strict=True)]
    assert found == [False] * (len(texts) - 1) + [is_cut]
