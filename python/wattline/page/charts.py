"""The pictures of a load: its curve, its profile over the day, how long which level lasts, base load by month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import words
from .facts import Sensor, Series
from .figures import BASE_SHARE, known, quantile, when
from .html import Html, tag
from .svg import HIGH, WIDE, Scale, Tick, band, chart, days, line, nice, plot

#: A curve of more days than this shows days, not hours.
HOURLY_DAYS = 35
#: Points of a duration curve that are drawn.
DRAWN = 400


def rounded(value: float | None, factor: float) -> float | None:
    """A value as a pointer reads it off: enough figures, no more."""
    return None if value is None else float(f"{value / factor:.5g}")


def _placed(series: Series) -> list[tuple[float, str, float | None]]:
    rows = zip(map(when, series.labels), series.labels, series.level, strict=True)
    return [(at, label, value) for at, label, value in rows if at is not None]


def load_curve(sensor: Sensor, unit: str) -> Html | None:
    """The level over time: hours, or days with the range of their hours."""
    hours, daily = sensor.get("1h"), sensor.get("1d")
    fine = hours is not None and len(hours) <= HOURLY_DAYS * 24
    series = hours if fine else daily or sensor.finest
    rows = _placed(series) if series else []
    if series is None or not known(value for *_, value in rows):
        return None
    ranges = {} if fine or hours is None else day_ranges(hours)
    span = [v for pair in ranges.values() for v in pair] + known(value for *_, value in rows)
    factor, named = words.scaled(max(map(abs, span)), unit)
    length = 1 / 24 if fine else 1.0
    x = Scale(rows[0][0], rows[-1][0] + length)
    y, ticks = nice(min(0.0, *span) / factor, max(span) / factor)
    middle = [(at + length / 2, rounded(value, factor)) for at, _, value in rows]
    layers = [line(middle, x, y, "c0 thin" if len(rows) > 120 and not fine else "c0")]
    legend = [("c0", "hour" if fine else "mean of the day")]
    if ranges:
        both = [(at + 0.5, *ranges.get(label[:10], (None, None))) for at, label, _ in rows]
        scaled = [(at, rounded(low, factor), rounded(high, factor)) for at, low, high in both]
        layers.insert(0, band(scaled, x, y, "c0"))
        legend.append(("c0 pale", "lowest to highest hour"))
    if len(rows) > 120 and not fine:
        layers.append(line(_smooth(middle), x, y, "c1"))
        legend.append(("c1", "mean of 7 days"))
    shown = [words.hour(label) if fine else words.day(label) for _, label, _ in rows]
    points = {"x": shown, "y": [value for _, value in middle], "u": named}
    says = f"From {shown[0]} to {shown[-1]}, up to {words.number(max(span) / factor)} {named}"
    drawn = plot(*layers, title="Load curve", says=says, x=days(x), y=ticks, unit=named, size="tall", points=points)
    return chart("Load curve", drawn, legend=legend)


def day_ranges(hours: Series) -> dict[str, tuple[float, float]]:
    """The lowest and the highest hour of each day."""
    out: dict[str, tuple[float, float]] = {}
    for label, value in zip(hours.labels, hours.level, strict=True):
        if value is not None:
            low, high = out.get(label[:10], (value, value))
            out[label[:10]] = min(low, value), max(high, value)
    return out


def _smooth(points: Sequence[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    out: list[tuple[float, float | None]] = []
    for place, (at, value) in enumerate(points):
        near = known(v for _, v in points[max(place - 3, 0) : place + 4])
        out.append((at, sum(near) / len(near) if value is not None and len(near) >= 4 else None))
    return out


def profiles(hours: Series) -> dict[str, list[float | None]]:
    """The mean of each hour of the day: on working days, on Saturdays and Sundays."""
    held: dict[tuple[bool, int], list[float]] = {}
    for at, label, value in _placed(hours):
        if value is not None:
            held.setdefault((int(at) % 7 in (6, 0), int(label[11:13])), []).append(value)
    made = {"Monday to Friday": False, "Saturday, Sunday": True}

    def mean(values: Sequence[float]) -> float | None:
        return sum(values) / len(values) if values else None

    return {name: [mean(held.get((weekend, h), [])) for h in range(24)] for name, weekend in made.items()}


def profile(made: Mapping[str, list[float | None]], unit: str) -> Html | None:
    """The mean day."""
    span = [v for values in made.values() for v in known(values)]
    if not span:
        return None
    factor, named = words.scaled(max(map(abs, span)), unit)
    x, (y, ticks) = Scale(0, 24), nice(min(0.0, *span) / factor, max(span) / factor)
    layers, legend = [], []
    for place, (name, values) in enumerate(made.items()):
        layers.append(line([(h + 0.5, rounded(v, factor)) for h, v in enumerate(values)], x, y, f"c{place}"))
        legend.append((f"c{place}", name))
    across = [Tick(h / 24, f"{h:02}:00", h % 6 != 0) for h in range(0, 25, 3)]
    first = next(iter(made.values()))
    points = {"x": [f"{h:02}:00, Mon–Fri" for h in range(24)], "y": [rounded(v, factor) for v in first], "u": named}
    says = f"Mean level by hour of the day, up to {words.number(max(span) / factor)} {named}"
    drawn = plot(*layers, title="Mean day", says=says, x=across, y=ticks, unit=named, points=points)
    return chart("Mean day", drawn, legend=legend)


def duration(levels: Sequence[float], unit: str, base: float | None) -> Html | None:
    """How long a level is reached or exceeded, with the base load."""
    if not levels:
        return None
    ordered = sorted(levels, reverse=True)
    factor, named = words.scaled(max(abs(ordered[0]), abs(ordered[-1])), unit)
    count = min(DRAWN, len(ordered))
    places = [round(i * (len(ordered) - 1) / max(count - 1, 1)) for i in range(count)]
    x, (y, ticks) = Scale(0, 100), nice(min(0.0, ordered[-1]) / factor, ordered[0] / factor)
    shares = [100 * (i + 0.5) / len(ordered) for i in places]
    values = [rounded(ordered[i], factor) for i in places]
    floor = max(y.low, min(0.0, y.high))
    layers = [
        band([(s, floor, v) for s, v in zip(shares, values, strict=True)], x, y, "c0"),
        line(list(zip(shares, values, strict=True)), x, y, "c0"),
    ]
    if base is not None:
        layers.append(line([(0, base / factor), (100, base / factor)], x, y, "c1 dashed"))
    points = {"x": [f"{s:.1f} % of the time" for s in shares], "y": values, "u": named}
    across = [Tick(s / 100, f"{s} %", s % 50 != 0) for s in range(0, 101, 10)]
    says = f"Half of the time at least {words.quantity(quantile(levels, 0.5), unit)}"
    drawn = plot(*layers, title="Load duration curve", says=says, x=across, y=ticks, unit=named, points=points)
    legend = [("c0", "level reached or exceeded"), ("c1", f"base load: in {words.percent(BASE_SHARE)} of all hours")]
    return chart("Load duration curve", drawn, legend=legend)


def bars(
    title: str, rows: Sequence[tuple[str, str, Sequence[float | None]]], unit: str, parts: Sequence[str] = ()
) -> Html | None:
    """A bar for each row (label, short label, its parts one on the other)."""
    sums = [sum(known(values)) for *_, values in rows]
    if not rows or not any(sums):
        return None
    factor, named = words.scaled(max(map(abs, sums)), unit)
    x, (y, ticks) = Scale(0, len(rows)), nice(min(0.0, *sums) / factor, max(0.0, *sums) / factor)
    layers, across, half = [], [], min(0.38, 0.05 * len(rows) + 0.03)
    for place, (label, short, values) in enumerate(rows):
        low = 0.0
        for part, value in enumerate(values):
            if value:
                told = f"{label}{', ' + parts[part] if parts else ''}: {words.number(value / factor, 1)} {named}"
                top, bottom = sorted((y.y(low / factor), y.y((low + value) / factor)))
                left, right = x.x(place + 0.5 - half), x.x(place + 0.5 + half)
                box = {"x": left, "y": top, "width": right - left, "height": max(bottom - top, 1)}
                layers.append(tag("rect", tag("title", told), class_=f"c{part}", **box))
                low += value
        across.append(Tick((place + 0.5) / len(rows), short))
    firsts = [(tick.at, label) for tick, (label, *_) in zip(across, rows, strict=True) if label.startswith("Jan ")]
    januaries = [Tick(at, label.removeprefix("Jan ")) for at, label in firsts]
    points = {"x": [label for label, *_ in rows], "y": [rounded(s, factor) for s in sums], "u": named}
    says = f"{len(rows)} bars, the highest {words.number(max(sums) / factor)} {named}"
    legend = [(f"c{i}", name) for i, name in enumerate(parts)]
    drawn = plot(*layers, title=title, says=says, x=_thinned(across, januaries), y=ticks, unit=named, points=points)
    return chart(title, drawn, legend=legend)


def _thinned(ticks: Sequence[Tick], januaries: list[Tick]) -> list[Tick]:
    """As many labels of bars as fit: of many the years alone, where the labels are months."""
    if len(ticks) > 18 and len(januaries) > 1:
        return januaries
    every = -(-len(ticks) // 9)
    kept = [t for place, t in enumerate(ticks) if place % every == 0]
    return [Tick(t.at, t.text, place % 2 == 1 and len(kept) > 5) for place, t in enumerate(kept)]


__all__ = ["HIGH", "WIDE", "bars", "duration", "load_curve", "profile", "profiles", "rounded"]
