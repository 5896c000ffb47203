"""Plots: an SVG that stretches with the page, its axes as HTML text, so that it reads well at any width."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from .html import Html, joined, tag
from .words import month_name, number

#: The inside of every plot, in units of its own.
WIDE, HIGH = 4000, 1000


class Tick(NamedTuple):
    """Where on an axis (a share of one), what it says, and whether a narrow page leaves it out."""

    at: float
    text: str
    minor: bool = False


class Scale(NamedTuple):
    """From values to shares of one."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """The share of one."""
        return (value - self.low) / ((self.high - self.low) or 1.0)

    def x(self, value: float) -> int:
        """Across the plot."""
        return round(self.at(value) * WIDE)

    def y(self, value: float) -> int:
        """Up the plot, which counts downwards."""
        return round((1 - min(max(self.at(value), -0.05), 1.05)) * HIGH)


def nice(low: float, high: float, count: int = 5) -> tuple[Scale, list[Tick]]:
    """A scale with round ends, and its ticks."""
    span = (high - low) or abs(high) or 1.0
    rough = span / count
    size = 10 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    scale = Scale(first * step, max(last, first + 1) * step)
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) + (1 if step / size == 2.5 else 0)
    ticks = [i * step for i in range(first, max(last, first + 1) + 1)]
    return scale, [Tick(scale.at(v), number(v, digits)) for v in ticks]


def days(scale: Scale) -> list[Tick]:
    """Ticks of a time axis counted in days."""
    span = scale.high - scale.low
    if span <= 3:
        hours = range(math.ceil(scale.low * 4 - 1e-6), math.floor(scale.high * 4 + 1e-6) + 1)
        return [Tick(scale.at(h / 4), _clock(h), h % 4 != 0) for h in hours]
    if span <= 75:
        step = 1 if span <= 14 else 7
        first = math.ceil(scale.low)
        listed = [d for d in range(first, math.floor(scale.high) + 1) if (d - first) % step == 0]
        return [Tick(scale.at(d), _short(d), i % 2 == 1) for i, d in enumerate(listed)]
    return _months(scale, span)


def _clock(quarter: int) -> str:
    day, part = divmod(quarter, 4)
    return _short(day) if part == 0 else f"{part * 6:02}:00"


def _short(ordinal: int) -> str:
    found = date.fromordinal(ordinal)
    return f"{found.day} {month_name(found.month)}"


def _months(scale: Scale, span: float) -> list[Tick]:
    every = 1 if span <= 430 else 3 if span <= 1500 else 12
    first, last = date.fromordinal(int(scale.low)), date.fromordinal(int(scale.high))
    ticks = []
    for number_ in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        year, place = divmod(number_, 12)
        at = scale.at(date(year, place + 1, 1).toordinal())
        if place % every == 0 and 0 <= at < 0.995:
            ticks.append(Tick(at, str(year) if place == 0 else month_name(place + 1), place % (every * 2) != 0))
    return ticks


def line(points: Sequence[tuple[float, float | None]], x: Scale, y: Scale, class_: str) -> Html:
    """A line, broken where a value is missing; a value alone becomes a short stroke."""
    out: list[str] = []
    pen = False
    for place, (at, value) in enumerate(points):
        if value is None:
            pen = False
            continue
        out.append(f"{'L' if pen else 'M'}{x.x(at)} {y.y(value)}")
        if not pen and (place + 1 == len(points) or points[place + 1][1] is None):
            out.append("h9")
        pen = True
    return tag("path", d="".join(out), class_=f"line {class_}")


def band(points: Sequence[tuple[float, float | None, float | None]], x: Scale, y: Scale, class_: str) -> Html:
    """An area between two values, broken where they are missing."""
    runs: list[list[tuple[float, float, float]]] = [[]]
    for at, low, high in points:
        if low is None or high is None:
            runs.append([])
        else:
            runs[-1].append((at, low, high))
    parts = []
    for run in (r for r in runs if r):
        up = "L".join(f"{x.x(at)} {y.y(high)}" for at, _, high in run)
        back = "L".join(f"{x.x(at)} {y.y(low)}" for at, low, _ in reversed(run))
        parts.append(f"M{up}L{back}Z")
    return tag("path", d="".join(parts), class_=f"area {class_}")


def plot(
    *layers: Html,
    title: str,
    says: str,
    x: Sequence[Tick],
    y: Sequence[Tick],
    unit: str = "",
    size: str = "",
    points: object = None,
    rules: bool = True,
) -> Html:
    """The layers with their axes. ``says``: the picture in words; ``points``: what a pointer reads off."""
    picture = tag(
        "svg",
        tag("title", title),
        tag("desc", says),
        *layers,
        viewBox=f"0 0 {WIDE} {HIGH}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{title}. {says}",
    )
    rows = joined(tag("i", tag("b", t.text), style=f"bottom:{100 * t.at:.2f}%") for t in y)
    columns = joined(
        tag("i", tag("b", t.text), style=f"left:{100 * t.at:.2f}%", class_="minor" if t.minor else None)
        for t in x
        if -0.001 <= t.at <= 1.001
    )
    axis = tag("div", rows, class_="ys" + (" rules" if rules else ""), aria_hidden="true")
    below = tag("div", columns, class_="xs", aria_hidden="true")
    held = json.dumps(points, separators=(",", ":")) if points is not None else None
    named = tag("span", unit, class_="unit", aria_hidden="true") if unit else None
    return tag("div", named, axis, picture, below, class_=f"plot {size}".strip(), data_points=held)


def chart(title: str, *inside: object, note: str = "", legend: Sequence[tuple[str, str]] = ()) -> Html:
    """A picture with its caption, legend and a note."""
    marks = tag("ul", *(tag("li", tag("i", class_=class_), name) for class_, name in legend), class_="legend")
    said = tag("p", note, class_="note") if note else None
    return tag("figure", tag("figcaption", title), marks if legend else None, *inside, said)
