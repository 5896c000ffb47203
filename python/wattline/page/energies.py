"""The sections about energy: by month and quarter, base load by month, sub-meters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from . import charts, words
from .facts import Facts, Sensor, Series, energies
from .figures import known, quantile, total
from .html import Html
from .sections import exact, over, section


def energy(sensor: Sensor) -> list[Html | None]:
    """Energy by month and by quarter."""
    months, quarters = sensor.get("1mo"), sensor.get("1q")
    parts = []
    for name, series in (("month", months), ("quarter", quarters)):
        if series is not None and known(series.wh):
            drawn = charts.bars(f"Energy by {name}", _bars(series), "Wh")
            numbers = exact(f"Energy by {name}", [name, "kWh", "readings", "missing", "complete"], _rows(series))
            parts.append(section(f"Energy by {name}", drawn, numbers))
    return parts


def _bars(series: Series) -> list[tuple[str, str, Sequence[float | None]]]:
    rows = zip(series.labels, series.wh, strict=True)
    return [(_named(label), _short(label), [value]) for label, value in rows]


def _named(label: str) -> str:
    return words.month(label) if "Q" not in label else f"{label[:4]} {label[5:]}"


def _short(label: str) -> str:
    if "Q" in label:
        return f"{label[5:]} {label[2:4]}"
    return f"{words.month(label)[:3]} {label[2:4]}"


def _rows(series: Series) -> list[list[object]]:
    rows = zip(series.labels, series.wh, series.readings, series.expected, series.missing, strict=True)
    return [[_named(label), *_counts(wh, readings, due, missing)] for label, wh, readings, due, missing in rows]


def _counts(wh: float | None, readings: int, due: int | None, missing: int | None) -> list[object]:
    share = 1 - missing / due if due and missing is not None else None
    lost = None if missing is None else f"{missing:,}"
    return [words.number(over(wh, 1000), 3), f"{readings:,}", lost, words.percent(share)]


def base_months(facts: Facts, sensor: Sensor) -> Html | None:
    """Base load by month: whether what always runs grows."""
    hours = sensor.get("1h")
    if hours is None or facts.unit != "W":
        return None
    held: dict[str, list[float]] = {}
    for label, value in zip(hours.labels, hours.level, strict=True):
        if value is not None:
            held.setdefault(label[:7], []).append(value)
    rows = [(m, quantile(v, 0.05)) for m, v in held.items() if len(v) >= 240]
    if len(rows) < 2:
        return None
    drawn = charts.bars("Base load by month", [(words.month(m), _short(m), [v]) for m, v in rows], "W")
    numbers = exact("Base load by month", ["month", "W"], [[words.month(m), words.number(v, 1)] for m, v in rows])
    return section("Base load by month", drawn, numbers)


def parts_by_month(facts: Facts, sensor: Sensor) -> list[tuple[str, list[float | None]]]:
    """The energy of each sub-meter by month, and what none of them saw; nothing where there is none."""
    months = sensor.get("1mo")
    if not facts.subs or months is None:
        return []
    columns = [energies(months.frame, measure) for measure in facts.subs]
    named = [(measure.name.replace("_", " "), column) for measure, column in zip(facts.subs, columns, strict=True)]
    if facts.main is not None and facts.main.has_energy:
        named.append(("not metered apart", [_rest(wh, parts) for wh, *parts in zip(months.wh, *columns, strict=True)]))
    return named


def submeters(facts: Facts, sensor: Sensor) -> Html | None:
    """The parts of the energy by month, and what no sub-meter saw."""
    months, parts = sensor.get("1mo"), parts_by_month(facts, sensor)
    if not parts or months is None:
        return None
    names, columns = [name for name, _ in parts], [column for _, column in parts]
    rows = [(_named(label), _short(label), held) for label, *held in zip(months.labels, *columns, strict=True)]
    sums = [total(column) for column in columns]
    whole = math.fsum(known(sums))
    listed = [
        [name, words.number(over(s, 1000), 3), words.percent(round((s or 0) / whole, 4) if whole else None)]
        for name, s in zip(names, sums, strict=True)
    ]
    drawn = charts.bars("Energy of sub-meters by month", rows, "Wh", names)
    return section("Sub-meters", drawn, exact("Energy by sub-meter", ["sub-meter", "kWh", "share"], listed))


def _rest(whole: float | None, parts: Sequence[float | None]) -> float | None:
    if whole is None:
        return None
    return max(whole - math.fsum(known(parts)), 0.0)
