"""The other measures (voltage, current, ...) as small curves, and every measure in one table."""

from __future__ import annotations

from . import words
from .charts import rounded
from .facts import Facts, Sensor, Series
from .figures import known, total, when
from .frames import Frame
from .html import Html, table, tag
from .measures import Measure
from .sections import section
from .svg import Scale, band, chart, days, line, nice, plot

#: So many small curves at most.
MOST = 12


def other_measures(facts: Facts, sensor: Sensor) -> Html | None:
    """Small curves of the measures that the page is not about."""
    series = sensor.get("1d") or sensor.finest
    if series is None or sensor.summed:
        return None
    drawn = [_curve(series, measure) for measure in facts.others[:MOST]]
    there = [d for d in drawn if d is not None]
    listed = _table(facts, sensor)
    return section("All measures", tag("div", *there, class_="small") if there else None, listed, wide=True)


def _column(series: Series, measure: Measure, *aggregates: str) -> list[float | None] | None:
    names = (measure.column(aggregate) for aggregate in aggregates)
    name = next((n for n in names if n is not None and n in series.frame), None)
    return None if name is None else series.frame[name]


def _curve(series: Series, measure: Measure) -> Html | None:
    middle = _column(series, measure, "mean", "sum", "energy_wh", "last", "first", "max", "min")
    if middle is None or not known(middle):
        return None
    low, high = _column(series, measure, "min"), _column(series, measure, "max")
    places = [when(label) for label in series.labels]
    rows = [(at, i) for i, at in enumerate(places) if at is not None]
    if not rows:
        return None
    span = known(middle) + known(low or []) + known(high or [])
    x = Scale(rows[0][0], rows[-1][0] + 1)
    y, ticks = nice(min(span), max(span), 3)
    points = [(at + 0.5, rounded(middle[i], 1)) for at, i in rows]
    layers = [line(points, x, y, "c0")]
    if low is not None and high is not None:
        layers.insert(0, band([(at + 0.5, low[i], high[i]) for at, i in rows], x, y, "c0"))
    shown = {"x": [words.day(series.labels[i]) for _, i in rows], "y": [v for _, v in points], "u": measure.unit}
    title = measure.name.replace("_", " ")
    says = f"From {words.number(min(span))} to {words.number(max(span))} {measure.unit}".rstrip()
    found = [tick for tick in days(x) if not tick.minor]
    across = found[:: -(-len(found) // 5) or 1]
    drawn = plot(*layers, title=title, says=says, x=across, y=ticks, unit=measure.unit, size="low", points=shown)
    return chart(title, drawn)


def _table(facts: Facts, sensor: Sensor) -> Html | None:
    series = list(sensor.series.values())[-1] if sensor.series else None
    if series is None:
        return None
    every = [m for m in (facts.main, *facts.subs, *facts.others) if m is not None]
    rows = [_row(series.frame, measure, series.readings) for measure in every]
    return table(
        "Measures over the whole period",
        ["measure", "kind", "unit", "mean", "least", "greatest", "sum, kWh"],
        rows,
        left=3,
    )


def _row(frame: Frame, measure: Measure, readings: list[int]) -> list[object]:
    def column(aggregate: str) -> list[float | None]:
        name = measure.column(aggregate)
        return frame.get(name, []) if name else []

    pairs = [(v, n) for v, n in zip(column("mean"), readings, strict=False) if v is not None and n]
    mean = sum(v * n for v, n in pairs) / sum(n for _, n in pairs) if pairs else None
    wh = total(column("energy_wh"))
    if wh is None and measure.kind == "energy" and measure.factor is not None:
        amount = total(column("sum"))
        wh = None if amount is None else amount * measure.factor
    ends = (min(known(column("min")), default=None), max(known(column("max")), default=None))
    numbers = [words.number(v, 3) for v in (mean, *ends)]
    return [
        measure.name,
        measure.kind,
        measure.unit or "–",
        *numbers,
        words.number(None if wh is None else wh / 1000, 3),
    ]
