"""Charts as SVG, drawn without a library: bars of rates and lines of growth, on logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 900, 380, 70, 90, 40
COLOURS = ("#1b6ca8", "#5aa9e6", "#f2a541", "#9aa5b1", "#3d405b")


def bars(title: str, groups: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """Return a chart of grouped bars; a value of 0 has none. Values are operations per second."""
    values = [value for row in series.values() for value in row if value > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    parts = [*_frame(title, low, high, "operations per second"), *_legend(list(series))]
    step = (WIDTH - LEFT - 10) / len(groups)
    width = 0.8 * step / len(series)
    for place, group in enumerate(groups):
        start = LEFT + place * step + 0.1 * step
        for number, (name, row) in enumerate(series.items()):
            if row[place] > 0:
                top = _height(row[place], low, high)
                told = f"<title>{escape(name)}, {escape(group)}: {row[place]:,.0f}</title>"
                parts.append(
                    f'<rect x="{start + number * width:.1f}" y="{top:.1f}" width="{width:.1f}" '
                    f'height="{HEIGHT - BOTTOM - top:.1f}" fill="{COLOURS[number]}">{told}</rect>'
                )
        parts.append(_tick(start + 0.4 * step, group))
    return _svg(parts)


def lines(number_of: str, places: Sequence[float], series: Mapping[str, Sequence[float]]) -> str:
    """Return a chart of lines over the number of something. Values are milliseconds."""
    values = [max(value, 0.001) for row in series.values() for value in row]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    parts = [*_frame(f"how cost grows with the {number_of}", low, high, "milliseconds"), *_legend(list(series))]
    span = math.log10(places[-1]) - math.log10(places[0])
    across = [LEFT + 20 + (WIDTH - LEFT - 60) * (math.log10(place) - math.log10(places[0])) / span for place in places]
    for number, (name, row) in enumerate(series.items()):
        heights = [_height(max(value, 0.001), low, high) for value in row]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, heights, strict=True))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="2">'
            f"<title>{escape(name)}</title></polyline>"
        )
    parts += [_tick(x, f"{place:,.0f}") for x, place in zip(across, places, strict=True)]
    return _svg(parts)


def _height(value: float, low: int, high: int) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (math.log10(value) - low) / max(high - low, 1)


def _frame(title: str, low: int, high: int, unit: str) -> list[str]:
    parts = [f'<text x="{LEFT}" y="18" font-size="14" font-weight="bold">{escape(title)}</text>']
    for power in range(low, high + 1):
        y = _height(10**power, low, high)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d9dee3"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(power)}</text>')
    parts.append(
        f'<text x="12" y="{HEIGHT / 2}" transform="rotate(-90 12 {HEIGHT / 2})" text-anchor="middle">{unit}</text>'
    )
    return parts


def _number(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"


def _legend(names: Sequence[str]) -> list[str]:
    parts, x = [], LEFT
    for number, name in enumerate(names):
        parts.append(
            f'<rect x="{x}" y="{HEIGHT - 20}" width="10" height="10" fill="{COLOURS[number % len(COLOURS)]}"/>'
        )
        parts.append(f'<text x="{x + 14}" y="{HEIGHT - 11}">{escape(name)}</text>')
        x += 30 + 7 * len(name)
    return parts


def _tick(x: float, text: str) -> str:
    words = text.split(" ")
    rows = [" ".join(words[:2]), " ".join(words[2:])]
    return "".join(
        f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16 + 13 * row}" text-anchor="middle">{escape(words)}</text>'
        for row, words in enumerate(rows)
        if words
    )


def _svg(parts: Sequence[str]) -> str:
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    return "\n".join((head, f'<rect {size} fill="white"/>', *parts, "</svg>\n"))
