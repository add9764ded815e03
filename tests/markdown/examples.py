"""Looks for replies that are shown otherwise than they are meant: `python -m tests.markdown.examples --examples 1000`.

Each example is a document of the grammar, cut at twenty limits and grown in ten ways, and drawn from the seed and its
number alone: `--start` goes on where an earlier run ended, and `--numbers` looks again at the examples that one has
found. Documents that go wrong are printed, in the end their numbers, too, and the command fails.
"""

# ruff: noqa: T201 (it is a command)

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from multiprocessing import Pool
from random import Random
from typing import NamedTuple
from unittest.mock import patch

from bot.markdown.blocks import render
from tests.markdown.documents import document
from tests.markdown.growing import mistakes, whole
from tests.markdown.source import difference_from, expected

LIMITS = 20
WAYS = 10
SMALLEST = 300
"""The smallest limit, in characters: a message of Discord's holds 2,000 or 4,000."""
BATCH = 250
"""Examples that a process looks at between two lines of progress."""
RENDERINGS = 1000
"""Renderings that are remembered: ways that cut a document at the same places need the same ones."""


class Found(NamedTuple):
    """What is wrong with an example, or nothing."""

    number: int
    text: str
    problem: str | None


def problem(text: str, drawn: Random) -> str | None:
    """What is wrong with how a document is shown, if anything is."""
    limits = [drawn.randrange(SMALLEST, max(SMALLEST + 1, len(text))) for _ in range(LIMITS)]
    wanted, shown = expected(text), dict[int, list[str]]()
    for limit in dict.fromkeys((100_000, *limits)):
        messages = whole(text, limit)
        if messages not in shown.values() and (wrong := difference_from(wanted, messages)):
            return f"limit {limit}: {wrong}"
        shown[limit] = messages
    for way, limit in enumerate(limits[:WAYS]):
        ends = sorted(drawn.randrange(len(text) + 1) for _ in range(drawn.randint(1, 12)))
        if wrong := mistakes(text, limit, ends, shown[limit], taken_back=way == 0):
            return f"limit {limit}, ends {ends}: {wrong}"
    return None


def example(seed: int, number: int) -> Found:
    """Draw and check an example."""
    drawn = Random(f"{seed} {number}")
    text = document(drawn)
    try:
        return Found(number, text, problem(text, drawn))
    except Exception as error:  # noqa: BLE001 (reported with the document that caused it)
        return Found(number, text, repr(error))


def _batch(task: tuple[int, Sequence[int]]) -> list[Found]:
    seed, numbers = task
    with patch("bot.markdown.document.render", lru_cache(RENDERINGS)(render)):
        return [example(seed, number) for number in numbers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=20261128)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0, help="the number of the first example")
    parser.add_argument("--numbers", type=int, nargs="+", help="the numbers of all examples, instead of a range")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    numbers = arguments.numbers or range(arguments.start, arguments.start + arguments.examples)
    tasks = [(arguments.seed, numbers[at : at + BATCH]) for at in range(0, len(numbers), BATCH)]
    began, count, size, wrong = time.monotonic(), 0, 0, list[int]()
    with Pool(arguments.processes) as pool:
        for batch in pool.imap(_batch, tasks):
            for found in batch:
                if found.problem:
                    print(f"\nexample {found.number}: {found.problem}\n{found.text!r}")
                    wrong.append(found.number)
                count, size = count + 1, size + len(found.text)
            print(
                f"{count:,} examples, up to number {batch[-1].number:,}: {len(wrong)} differences, "
                f"mean size {size / count:.0f}, {time.monotonic() - began:.0f} s",
                flush=True,
            )
    if wrong:
        sys.exit(f"different: {' '.join(map(str, wrong))}")


if __name__ == "__main__":
    main()
