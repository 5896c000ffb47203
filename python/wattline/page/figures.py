"""Headline figures of a sensor, worked out of its windows: energy, completeness, gaps, peak, base load."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from .facts import Sensor, Series

#: Base load: the level that is reached or exceeded in this share of all hours.
BASE_SHARE = 0.95
_LENGTH = {"1h": 1.0, "1d": 24.0}


class Gap(NamedTuple):
    """Windows one after the other in which readings are missing: sensor, first and last label, how many readings."""

    sensor: str
    first: str
    last: str
    windows: int
    missing: int
    hours: float


@dataclass(frozen=True)
class Figures:
    """What stands at the top of a page. Levels in W or the unit of the gauge, energy in Wh."""

    energy: float | None
    hours: float
    mean: float | None
    readings: int
    expected: int | None
    missing: int | None
    peak: tuple[str, float] | None
    base: float | None
    gaps: Sequence[Gap]

    @property
    def complete(self) -> float | None:
        """The share of expected readings that are there."""
        if not self.expected or self.missing is None:
            return None
        return 1 - self.missing / self.expected

    @property
    def base_share(self) -> float | None:
        """The share of all energy that the base load is."""
        if not self.energy or self.base is None or self.mean is None or self.mean <= 0:
            return None
        return min(self.base / self.mean, 1.0)


def known(values: Iterable[float | None]) -> list[float]:
    """Those that are there."""
    return [value for value in values if value is not None]


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value that ``share`` of all do not exceed, between neighbours; ``None`` of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def total(values: Iterable[float | None]) -> float | None:
    """The sum of what is there; ``None`` of nothing."""
    there = known(values)
    return math.fsum(there) if there else None


def figures(sensor: Sensor, parts: Sequence[Figures] = ()) -> Figures:
    """The figures of a sensor; of a sum of sensors completeness and gaps come from its ``parts``."""
    finest, coarsest = sensor.finest, list(sensor.series.values())[-1] if sensor.series else None
    if finest is None or coarsest is None:
        return Figures(None, 0.0, None, 0, None, None, None, None, ())
    expected, missing = _whole(parts) if parts else _counted(finest, sensor.first, sensor.last)
    levels = known(finest.level)
    peak = max(zip(finest.labels, finest.level, strict=True), key=lambda p: -math.inf if p[1] is None else p[1])
    return Figures(
        energy=total(coarsest.wh),
        hours=_hours(sensor, finest),
        mean=_mean(finest),
        readings=sum(coarsest.readings),
        expected=expected,
        missing=missing,
        peak=(peak[0], peak[1]) if peak[1] is not None else None,
        base=quantile(levels, 1 - BASE_SHARE),
        gaps=sorted((g for p in parts for g in p.gaps), key=_size) if parts else gaps(sensor, finest),
    )


def _size(gap: Gap) -> tuple[int, str]:
    return -gap.missing, gap.first + gap.sensor


def _whole(parts: Sequence[Figures]) -> tuple[int | None, int | None]:
    expected, missing = [p.expected for p in parts], [p.missing for p in parts]
    if None in expected or None in missing:
        return None, None
    return sum(e or 0 for e in expected), sum(m or 0 for m in missing)


def _mean(series: Series) -> float | None:
    rows = [(v, n) for v, n in zip(series.level, series.readings, strict=True) if v is not None and n]
    return math.fsum(v * n for v, n in rows) / sum(n for _, n in rows) if rows else None


def step_hours(series: Series) -> float | None:
    """The length of a reading's interval, as the expected counts tell it."""
    counts = Counter(e for e in series.expected if e)
    length = _LENGTH.get(series.grain)
    return length / counts.most_common(1)[0][0] if counts and length else None


def _hours(sensor: Sensor, finest: Series) -> float:
    if sensor.first is None or sensor.last is None:
        return 0.0
    return (sensor.last - sensor.first) / timedelta(hours=1) + (step_hours(finest) or 0.0)


def _outside(series: Series, first: datetime | None, last: datetime | None) -> tuple[int, int]:
    """Slots of the first window before the first reading, and of the last one after the last."""
    step, starts = step_hours(series), series.frame["window_start"]
    if step is None or first is None or last is None:
        return 0, 0
    end = starts[-1] + timedelta(hours=_LENGTH[series.grain])
    before = int((first - starts[0]) / timedelta(hours=step) + 1e-9)
    after = int((end - last) / timedelta(hours=step) + 1e-9) - 1
    return max(before, 0), max(after, 0)


def _counted(series: Series, first: datetime | None, last: datetime | None) -> tuple[int | None, int | None]:
    """Expected and missing readings between the first reading and the last."""
    if None in series.expected or None in series.missing:
        return None, None
    outside = sum(_outside(series, first, last))
    return sum(e or 0 for e in series.expected) - outside, max(sum(m or 0 for m in series.missing) - outside, 0)


def gaps(sensor: Sensor, series: Series) -> list[Gap]:
    """Runs of windows with missing readings, the worst first."""
    step = step_hours(series)
    if step is None:
        return []
    before, after = _outside(series, sensor.first, sensor.last)
    missing = [m or 0 for m in series.missing]
    missing[0] = max(missing[0] - before, 0)
    missing[-1] = max(missing[-1] - after, 0)
    found: list[Gap] = []
    run: list[int] = []
    for place, count in enumerate([*missing, 0]):
        if count:
            run.append(place)
        elif run:
            lost = sum(missing[i] for i in run)
            found.append(Gap(sensor.name, series.labels[run[0]], series.labels[run[-1]], len(run), lost, lost * step))
            run = []
    return sorted(found, key=_size)


def when(label: str) -> float | None:
    """The local time of a label of an hour or a day, in days; ``None`` where it is not such a label."""
    try:
        day = date.fromisoformat(label[:10]).toordinal()
        clock = label[11:16] if label[10:11] == "T" else ""
        return day + (int(clock[:2]) + int(clock[3:5] or 0) / 60) / 24 if clock else float(day)
    except ValueError:
        return None


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)
