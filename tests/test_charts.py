"""The charts that benchmarks draw, and that those of the documentation show what its table says."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.charts import Bar, bars, curves
from benchmarks.streaming import SCENARIOS, steps
from tests.test_docs import ROOT

SVG = "{http://www.w3.org/2000/svg}"
BENCHMARKS = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
CHARTS = sorted((ROOT / "docs").glob("*.svg"))


def texts(chart: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(chart).iter(f"{SVG}text")]  # noqa: S314 -- our own


def test_bars_are_as_long_as_their_values() -> None:
    chart = bars("How long", "s", "value", "least", [Bar("a < b", 0.2, 0.1), Bar("c", 0.4), Bar("d", 0.05, 0.41)])
    drawn = [each for each in ElementTree.fromstring(chart).iter(f"{SVG}rect") if each.get("height") == "18"]  # noqa: S314
    lengths = [float(each.get("width", "")) for each in drawn]
    assert lengths == pytest.approx([lengths[1] / 2, lengths[1], lengths[1] / 8], abs=0.1)
    assert {"How long", "s", "value", "least", "a < b", "0.20", "0.40", "0.05"} <= set(texts(chart))


def test_curves_lead_through_their_points() -> None:
    points = steps([1.0, 1.0, 3.0])
    assert points == [(0.0, 0.0), (1.0, 0.0), (1.0, 2), (3.0, 2), (3.0, 3)]
    chart = curves("Words", "seconds", "words", {"written": [(0.0, 1.0), (3.0, 3.0)], "shown": points})
    lines = [each.get("points", "").split() for each in ElementTree.fromstring(chart).iter(f"{SVG}polyline")]  # noqa: S314
    assert [len(line) for line in lines] == [2, 5]
    assert lines[0][-1] == lines[1][-1]
    assert {"written", "shown", "seconds", "words"} <= set(texts(chart))


@pytest.mark.parametrize("path", CHARTS, ids=lambda path: path.name)
def test_charts_of_the_documentation_are_small_and_shown(path: Path) -> None:
    assert path.stat().st_size < 32 * 1024
    assert f"]({path.name})" in BENCHMARKS


def test_staleness_chart_shows_what_the_table_says() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([\d.]+) \([\d.]+\) \| ([\d.]*) \|", BENCHMARKS, re.MULTILINE)
    assert [name for name, *_ in rows] == [scenario.name for scenario in SCENARIOS]
    shown = texts((ROOT / "docs/streaming-staleness.svg").read_text(encoding="utf-8"))
    for name, staleness, _ in rows:
        assert shown[shown.index(name) + 1] == staleness, name
