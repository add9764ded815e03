"""The figures of a process: bounded, and counted on when a part starts anew."""

from __future__ import annotations

from bot.core.figures import MOST_SERIES, OTHER, Figures, Gauge


def test_observations_are_counted_up_to_each_bound() -> None:
    times = Figures().histogram("seconds", "Times.", (0.5, 1.0))
    for value in (0.1, 0.5, 0.6, 1.0, 7.0):
        times.observe(value)
    assert times.counts == [2, 2, 1]
    assert round(times.sum, 6) == 9.2


def test_number_of_series_is_bounded() -> None:
    family = Figures().counters("requests", "Requests.", "model", "outcome")
    for number in range(MOST_SERIES + 50):
        family.of(f"model {number}", "answered").add()
    family.of("model 3", "answered").add()
    assert len(family.series) == MOST_SERIES + 1
    assert family.of(OTHER, OTHER).value == 50
    assert family.of("model 3", "answered").value == 2


def test_a_part_that_starts_anew_counts_on_and_its_gauges_are_read() -> None:
    figures = Figures()
    for size in (3, 4):
        figures.counter("starts", "Starts.").add()
        figures.histogram("seconds", "Times.", (1.0,)).observe(2)
        figures.gauge("size", "The size.", lambda size=size: size)  # type: ignore[misc]
    assert figures.counter("starts", "Starts.").value == 2
    assert figures.histogram("seconds", "Times.", (1.0,)).counts == [0, 2]
    assert [family.name for family in figures] == ["starts", "seconds", "size"]
    [*_, gauge] = figures
    assert isinstance(gauge, Gauge)
    assert gauge.read() == 4
