"""What the charts are drawn from: plain rows, the same for every library."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from ..errors import UsageError
from ..page import words
from ..page.charts import HOURLY_DAYS
from ..page.energies import parts_by_month
from ..page.facts import Facts, Sensor, Series
from ..page.figures import known
from ..page.gather import gather

_GRAINS = {"day": "1d", "month": "1mo", "quarter": "1q"}
#: Points of a duration curve that are drawn.
DRAWN = 400
#: A heat map of more days than this shows weeks.
DAYS = 400
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Held(NamedTuple):
    """The facts, and the sensors that are drawn."""

    facts: Facts
    sensors: list[Sensor]


class Drawn(NamedTuple):
    """Rows of a chart, the unit of their ``value``, and a title that depends on them."""

    rows: list[dict[str, Any]]
    unit: str
    title: str = ""


def held(
    data: Any,
    measure: str | None,
    sensor: str | None,
    options: Mapping[str, Any],
    parts: Sequence[str] | None = None,
) -> Held:
    """What ``data`` holds, for one sensor or all."""
    facts = gather(data, {"measure": measure, "submeters": parts}, options)
    single = [s for s in facts.sensors if not s.summed]
    chosen = [s for s in single if sensor in (None, s.name)]
    if sensor is not None and not chosen:
        raise UsageError(f"there is no sensor {sensor!r}; there are: {', '.join(s.name for s in single)}")
    return Held(facts, chosen)


def _needed(found: Held, grain: str, what: str) -> list[tuple[Sensor, Series]]:
    there = [(s, series) for s in found.sensors if (series := s.get(grain)) is not None]
    if not there:
        raise UsageError(f"{what} needs windows of {grain}, and there are none")
    return there


def _scaled(rows: list[dict[str, Any]], unit: str) -> Drawn:
    top = max((abs(row["value"]) for row in rows if row["value"] is not None), default=0.0)
    factor, named = words.scaled(top, unit)
    for row in rows:
        row["value"] = None if row["value"] is None else row["value"] / factor
    return Drawn(rows, named)


def local(label: str) -> str:
    """A label as a local time that no library moves: ``2007-01-31T13:00``."""
    clock = label[11:16] if label[10:11] == "T" else "00:00"
    day = f"{label[:4]}-{3 * int(label[6]) - 2:02}-01" if "Q" in label else (label[:10] + "-01")[:10]
    return f"{day}T{clock}"


def curve(found: Held) -> Drawn:
    """Time, sensor, level."""
    out: list[dict[str, Any]] = []
    fine = [s.get("1h") for s in found.sensors]
    short = all(hours is not None and len(hours) <= HOURLY_DAYS * 24 for hours in fine)
    for sensor in found.sensors:
        series = sensor.get("1h") if short else sensor.get("1d") or sensor.finest
        if series is not None:
            pairs = zip(series.labels, series.level, strict=True)
            out += [{"time": local(label), "sensor": sensor.name, "value": value} for label, value in pairs]
    return _scaled(out, found.facts.unit)


def hours(found: Held) -> Drawn:
    """Day, hour, sensor, level; of more than ``DAYS`` the mean of each week, under its Monday."""
    needed = _needed(found, "1h", "a heat map")
    weekly = max(len(series) for _, series in needed) > DAYS * 24
    cells: dict[tuple[str, str, int], list[float]] = {}
    for sensor, series in needed:
        for label, value in zip(series.labels, series.level, strict=True):
            if value is not None:
                day = week_of(label) if weekly else label[:10]
                cells.setdefault((sensor.name, day, int(label[11:13])), []).append(value)
    out: list[dict[str, Any]] = [
        {"day": day, "hour": hour, "sensor": sensor, "value": math.fsum(held) / len(held)}
        for (sensor, day, hour), held in cells.items()
    ]
    title = "Every hour, mean of each week" if weekly else "Every hour of every day"
    return _scaled(out, found.facts.unit)._replace(title=title)


def week_of(label: str) -> str:
    """The Monday of a day."""
    day = date.fromisoformat(label[:10])
    return (day - timedelta(days=day.weekday())).isoformat()


def energy(found: Held, by: str) -> Drawn:
    """Period, sensor, energy."""
    if by not in _GRAINS:
        raise UsageError(f"by={by!r} is none of {', '.join(_GRAINS)}")
    out = []
    for sensor, series in _needed(found, _GRAINS[by], f"energy by {by}"):
        for label, value in zip(series.labels, series.wh, strict=True):
            out.append({"period": label, "time": local(label), "sensor": sensor.name, "value": value})
    return _scaled(_some(out, "energy"), "Wh")


def _some(rows: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    if not known(row["value"] for row in rows):
        raise UsageError(f"no {what} is known: the measure's kind, unit or step is not declared")
    return rows


def duration(found: Held) -> Drawn:
    """Share of hours, sensor, level."""
    out = []
    for sensor, series in _needed(found, "1h", "a duration curve"):
        ordered = sorted(known(series.level), reverse=True)
        count = min(DRAWN, len(ordered))
        for i in (round(i * (len(ordered) - 1) / max(count - 1, 1)) for i in range(count)):
            out.append({"share": 100 * (i + 0.5) / len(ordered), "sensor": sensor.name, "value": ordered[i]})
    return _scaled(out, found.facts.unit)


def completeness(found: Held) -> Drawn:
    """Day, sensor, share of the readings that is there."""
    out: list[dict[str, Any]] = []
    for sensor, series in _needed(found, "1d", "completeness"):
        rows = zip(series.labels, series.expected, series.missing, strict=True)
        out += [
            {"day": label[:10], "week": week_of(label), "weekday": date.fromisoformat(label[:10]).weekday()}
            | {"sensor": sensor.name, "value": 100 * (1 - (lost or 0) / due)}
            for label, due, lost in rows
            if due
        ]
    if not out:
        raise UsageError("completeness is not known: no step is declared")
    return Drawn(out, "%")


def submeters(found: Held) -> Drawn:
    """Month, part, energy; sensors added."""
    sums: dict[tuple[str, str], float] = {}
    for sensor, series in _needed(found, "1mo", "sub-meters"):
        for part, column in parts_by_month(found.facts, sensor):
            for label, value in zip(series.labels, column, strict=True):
                if value is not None:
                    sums[label, part] = sums.get((label, part), 0.0) + value
    if not sums:
        raise UsageError("there is no sub-meter; name some with parts=[...]")
    order = list(dict.fromkeys(part for _, part in sums))
    rows: list[dict[str, Any]] = [
        {"period": month, "time": local(month), "part": part, "order": order.index(part), "value": value}
        for (month, part), value in sums.items()
    ]
    return _scaled(rows, "Wh")


def names(rows: Iterable[Mapping[str, Any]], key: str = "sensor") -> list[str]:
    """The values of a column, each once, in order."""
    return list(dict.fromkeys(str(row[key]) for row in rows))
