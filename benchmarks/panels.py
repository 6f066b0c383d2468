"""Small plots side by side, as SVG and without a library: steps that fall with time, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

Curve = Sequence[tuple[float, float]]  # (time, value), each value until the next time

COLOURS = ("#888888", "#000000", "#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#8c564b", "#6a51a3")
WIDTH, HEIGHT, GAP, LEGEND = 300, 200, 46, 34  # of a panel, between panels, and of the legend, in pixels
MARKS = (1.0, 2.0, 5.0)


def plot(rows: Sequence[Mapping[str, Mapping[str, Curve]]], across: str, up: str) -> str:
    """Return an SVG with rows of panels: by title, and in each by name, a curve.

    A name has the same colour everywhere. `across` and `up` say what the axes are.
    """
    names = list(dict.fromkeys(name for row in rows for curves in row.values() for name in curves))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    wide = GAP + max(map(len, rows)) * (WIDTH + GAP)
    high = LEGEND + 20 + len(rows) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="11">',
        f'<rect width="{wide}" height="{high}" fill="white"/>',
        *_legend(colours, wide),
        f'<text x="{wide / 2:.0f}" y="{high - 6}" text-anchor="middle">{escape(across)}</text>',
        f'<text transform="translate(12 {high / 2:.0f}) rotate(-90)" text-anchor="middle">{escape(up)}</text>',
    ]
    for row, panels in enumerate(rows):
        for column, (title, curves) in enumerate(panels.items()):
            at = GAP + column * (WIDTH + GAP), LEGEND + 20 + row * (HEIGHT + GAP)
            parts += [f'<g transform="translate({at[0]} {at[1]})">', *_panel(title, curves, colours), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _legend(colours: Mapping[str, str], wide: float) -> list[str]:
    step = (wide - GAP) / math.ceil(len(colours) / 2)
    parts = []
    for number, (name, colour) in enumerate(colours.items()):
        x, y = GAP + number // 2 * step, 14 + number % 2 * 16
        parts.append(f'<path d="M{x:.0f} {y - 4}h18" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x + 23:.0f}" y="{y}">{escape(name)}</text>')
    return parts


def _panel(title: str, curves: Mapping[str, Curve], colours: Mapping[str, str]) -> list[str]:
    points = [point for curve in curves.values() for point in curve]
    (left, right), (low, high) = _ends([time for time, _ in points]), _ends([value for _, value in points])

    def x(time: float) -> float:
        return WIDTH * math.log(time / left) / math.log(right / left)

    def y(value: float) -> float:
        return HEIGHT * math.log(high / max(value, low)) / math.log(high / low)

    parts = [f'<text x="0" y="-6" font-weight="bold">{escape(title)}</text>']
    parts.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>')
    for time in _marks(left, right):
        parts.append(f'<path d="M{x(time):.1f} {HEIGHT}v4" stroke="#999"/>')
        parts.append(f'<text x="{x(time):.1f}" y="{HEIGHT + 15}" text-anchor="middle">{time:g}</text>')
    for value in _marks(low, high):
        parts.append(f'<path d="M0 {y(value):.1f}h{WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="-4" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for name, curve in curves.items():
        path = f"M{x(curve[0][0]):.1f} {y(curve[0][1]):.1f}"
        path += "".join(f"H{x(time):.1f}V{y(value):.1f}" for time, value in curve[1:])
        parts.append(f'<path d="{path}" fill="none" stroke="{colours[name]}" stroke-width="1.6"/>')
    return parts


def _ends(values: Sequence[float]) -> tuple[float, float]:
    positive = [value for value in values if value > 0]
    low = min(positive)
    return low, max(*positive, 1.1 * low)


def _marks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [mark * 10.0**power for power in powers for mark in MARKS if low <= mark * 10.0**power <= high]
