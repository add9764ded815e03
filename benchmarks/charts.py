"""Charts of what a benchmark measured, as SVG files that can be read on a light page and on a dark one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 760
_INK, _PALE, _GRID = "#1f2328", "#59636e", "#d1d9e0"
_CURVES = "#0969da", "#bc4c00"
_BAR_AND_MARK = "#54aeff", _INK
_SIZE = 13
"""The height of the letters in pixels."""


@dataclass(frozen=True)
class Bar:
    name: str
    value: float
    mark: float | None = None
    """A value to compare with, drawn as a line across the bar."""


def bars(title: str, unit: str, value: str, mark: str, rows: Sequence[Bar]) -> str:
    """A horizontal bar for each row. `value` and `mark` say what a bar's end and the line across it stand for."""
    left, top, step = 170, 78, 28
    bar, line = _BAR_AND_MARK
    right, bottom = WIDTH - 70, top + step * len(rows)
    ticks = _ticks(max(max(row.value, row.mark or 0.0) for row in rows))
    scale = (right - left) / ticks[-1]
    parts = list(_heading(title, [value, mark], _BAR_AND_MARK))
    parts += [_line(left + tick * scale, top - 6, left + tick * scale, bottom, _GRID) for tick in ticks]
    parts += [_text(left + tick * scale, bottom + 18, f"{tick:g}", "middle", _PALE) for tick in ticks]
    parts.append(_text(right, bottom + 38, unit, "end", _PALE))
    for number, row in enumerate(rows):
        y = top + step * number
        parts.append(_text(left - 10, y + 14, row.name, "end"))
        parts.append(f'<rect x="{left}" y="{y}" width="{row.value * scale:.1f}" height="18" fill="{bar}"/>')
        parts.append(_text(left + max(row.value, row.mark or 0.0) * scale + 8, y + 14, f"{row.value:.2f}"))
        if row.mark is not None:
            x = left + row.mark * scale
            parts.append(_line(x, y - 3, x, y + 21, line, 3))
    return _svg(title, bottom + 50, parts)


def curves(title: str, across: str, up: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Lines through points that begin at 0. `across` and `up` name the axes."""
    left, top, right, bottom = 60, 96, WIDTH - 20, 356
    xs, ys = (_ticks(max(point[axis] for points in lines.values() for point in points)) for axis in (0, 1))
    wide, high = (right - left) / xs[-1], (bottom - top) / ys[-1]
    parts = list(_heading(title, list(lines), _CURVES))
    for x in xs:
        parts.append(_line(left + x * wide, top, left + x * wide, bottom, _GRID))
        parts.append(_text(left + x * wide, bottom + 18, f"{x:g}", "middle", _PALE))
    for y in ys:
        parts.append(_line(left, bottom - y * high, right, bottom - y * high, _GRID))
        parts.append(_text(left - 8, bottom - y * high + 4, f"{y:g}", "end", _PALE))
    for points, colour in zip(lines.values(), _CURVES, strict=True):
        path = " ".join(f"{left + x * wide:.1f},{bottom - y * high:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    parts += [_text(right, bottom + 38, across, "end", _PALE), _text(left, top - 10, up, "start", _PALE)]
    return _svg(title, bottom + 50, parts)


def _ticks(highest: float) -> list[float]:
    """Round values from 0 to at least the highest, 4 to 10 of them beside 0."""
    magnitude = 10.0 ** math.floor(math.log10(highest))
    step = next(part * magnitude for part in (0.1, 0.2, 0.5, 1.0) if highest / (part * magnitude) <= 10)
    return [round(step * number, 9) for number in range(math.ceil(highest / step) + 1)]


def _heading(title: str, names: Sequence[str], colours: Sequence[str]) -> Iterator[str]:
    """The title, and under it what each colour stands for."""
    yield f'<text x="20" y="28" font-size="16" font-weight="600" fill="{_INK}">{escape(title)}</text>'
    x = 20.0
    for name, colour in zip(names, colours, strict=True):
        yield f'<rect x="{x:.0f}" y="41" width="12" height="12" fill="{colour}"/>'
        yield _text(x + 18, 52, name)
        x += 50 + len(name) * _SIZE * 0.55


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: int = 1) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = _INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    # GitHub shows the file as an image, which does not know the page's theme: it brings its own ground.
    ground = f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6" fill="#ffffff" stroke="{_GRID}"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
    font = f' font-family="system-ui, sans-serif" font-size="{_SIZE}">'
    return "\n".join([head + font, f"<title>{escape(title)}</title>", ground, *parts, "</svg>\n"])
