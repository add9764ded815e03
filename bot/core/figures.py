"""Figures of how a process does: counters, gauges and histograms, kept in memory for whoever reads them.

A figure names no person, server, channel or text. Its labels are words of the code, and the names of models and their
servers as the operator configured them. Reading, and the formats in which figures are shown, are not decided here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

MOST_SERIES = 500
"""Combinations of labels that one family counts by themselves. The ones after that are counted as `OTHER`."""
OTHER = "other"
MOMENTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Bounds, in seconds, for what takes milliseconds if all is well."""
WAITS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
"""Bounds, in seconds, for what people wait for."""


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1) -> None:
        self.value += amount


class Histogram:
    """How many observations were up to each of the `bounds`, and their sum. `counts` has one more for all above."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


_Figure = TypeVar("_Figure", Counter, Histogram)


@dataclass(frozen=True, slots=True)
class Family(Generic[_Figure]):
    """The figures of one name: one for each combination of the labels' values."""

    name: str
    help_text: str
    labels: tuple[str, ...]
    new: Callable[[], _Figure]
    series: dict[tuple[str, ...], _Figure] = field(default_factory=dict)

    def of(self, *values: str) -> _Figure:
        """The figure with these values of the labels, in their order."""
        found = self.series.get(values)
        if found is not None:
            return found
        if len(self.series) >= MOST_SERIES:
            values = (OTHER,) * len(self.labels)
        return self.series.setdefault(values, self.new())


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that is read when somebody asks for it."""

    name: str
    help_text: str
    read: Callable[[], float]


AnyFamily = Family[Counter] | Family[Histogram] | Gauge


class Figures:
    """All figures of one process, in the order in which they were declared.

    Names are those of Prometheus, in base units, without a prefix and without the `_total` of counters. A name that is
    declared again stands for the same figure, so that a part that starts anew goes on counting; a gauge is then read
    from the newest part.
    """

    def __init__(self) -> None:
        self._counters: dict[str, Family[Counter]] = {}
        self._histograms: dict[str, Family[Histogram]] = {}
        self._gauges: dict[str, Gauge] = {}

    def counters(self, name: str, help_text: str, *labels: str) -> Family[Counter]:
        return self._counters.setdefault(name, Family(name, help_text, labels, Counter))

    def counter(self, name: str, help_text: str) -> Counter:
        return self.counters(name, help_text).of()

    def histogram(self, name: str, help_text: str, bounds: Sequence[float]) -> Histogram:
        return self._histograms.setdefault(name, Family(name, help_text, (), lambda: Histogram(bounds))).of()

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        self._gauges[name] = Gauge(name, help_text, read)

    def __iter__(self) -> Iterator[AnyFamily]:
        yield from self._counters.values()
        yield from self._histograms.values()
        yield from self._gauges.values()
