"""Figures as a test reads them: by name and labels."""

from __future__ import annotations

from bot.core.figures import Counter, Figures, Gauge


def counted(figures: Figures) -> dict[str, float]:
    """All figures: counters that are not 0 and gauges by their value, histograms by the number of observations."""
    found = dict[str, float]()
    for family in figures:
        if isinstance(family, Gauge):
            found[family.name] = family.read()
            continue
        for values, figure in family.series.items():
            name = " ".join((family.name, *values))
            found[name] = figure.value if isinstance(figure, Counter) else sum(figure.counts)
    return {name: value for name, value in found.items() if value}
