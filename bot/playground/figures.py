"""The bot's figures as the page draws them: the same that `bot.operator.metrics` serves to Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from bot.core.figures import AnyFamily, Counter, Figures, Gauge, Histogram
from bot.standin.entities import Json


def shown(figures: Figures) -> list[Json]:
    """Each figure with its series. One with labels that has counted nothing yet is left out."""
    return [_family(family) for family in figures]


def _family(family: AnyFamily) -> Json:
    about = {"name": family.name, "help": family.help_text}
    if isinstance(family, Gauge):
        return {**about, "series": [{"labels": [], "value": family.read()}]}
    all_series: Mapping[tuple[str, ...], Counter | Histogram] = {**family.series}
    series: list[Json] = []
    for values, figure in all_series.items():
        if isinstance(figure, Counter):
            if figure.value:
                series.append({"labels": list(values), "value": figure.value})
        else:
            series.append({"labels": list(values), "sum": figure.sum, "count": sum(figure.counts)})
    return {**about, "series": series}
