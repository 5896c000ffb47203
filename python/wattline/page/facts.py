"""What a page shows, before it is a page: sensors with their windows, books, rejects, notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..ledger import Ledger
from .frames import Frame, length
from .measures import Measure

#: Hours of the grains where an expected count says what the step is.
_HOURS = {"1h": 1.0, "1d": 24.0}


@dataclass(frozen=True)
class Series:
    """The windows of one grain: for each its label, its level (W, or the unit of a gauge), its energy in Wh."""

    grain: str
    labels: list[str]
    level: list[float | None]
    wh: list[float | None]
    readings: list[int]
    expected: list[int | None]
    missing: list[int | None]
    frame: Frame

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Sensor:
    """One sensor, or the sum of all."""

    name: str
    series: dict[str, Series]
    first: datetime | None
    last: datetime | None
    #: Whether it is the sum of several, so that least and greatest readings are not known.
    summed: int = 0

    def get(self, grain: str) -> Series | None:
        """The windows of a grain, if there are any."""
        found = self.series.get(grain)
        return found if found is not None and len(found) else None

    @property
    def finest(self) -> Series | None:
        """Hours, or what there is."""
        return next((s for s in self.series.values() if len(s)), None)


@dataclass(frozen=True)
class Rejects:
    """Records that could not be read: how many, and the first of them (file, line, column, raw, reason)."""

    total: int = 0
    known: bool = True
    rows: Sequence[tuple[Any, ...]] = ()


@dataclass(frozen=True)
class Facts:
    """Everything a page is made from."""

    title: str
    source: str
    tz: str
    sensors: list[Sensor]
    main: Measure | None
    subs: list[Measure]
    others: list[Measure]
    ledger: Ledger | None
    rejects: Rejects
    notes: list[str] = field(default_factory=list)

    @property
    def unit(self) -> str:
        """Of the level: W, or the unit of the gauge."""
        if self.main is None:
            return ""
        return "W" if self.main.has_energy or (self.main.kind == "power" and self.main.factor) else self.main.unit


def series_of(grain: str, frame: Frame, main: Measure | None) -> Series:
    """A frame as the page looks at it."""
    count = length(frame)
    nothing: list[float | None] = [None] * count
    wh = energies(frame, main) if main else nothing
    return Series(
        grain,
        frame["window_label"],
        _levels(grain, frame, main, wh) if main else nothing,
        wh,
        frame["readings"],
        frame["expected"],
        frame["missing"],
        frame,
    )


def energies(frame: Frame, measure: Measure) -> list[float | None]:
    """Energy in Wh of each window, where it is known."""
    if "energy_wh" in measure.aggregates:
        return frame[f"{measure.name}_energy_wh"]
    column = measure.column("sum")
    if column is None or not measure.has_energy:
        return [None] * length(frame)
    factor = measure.factor or 1.0
    return [None if value is None else value * factor for value in frame[column]]


def _levels(grain: str, frame: Frame, main: Measure, wh: list[float | None]) -> list[float | None]:
    """The mean level: of a power in W, by the energy and the time covered where the unit is not told."""
    column = main.column("mean")
    if column is not None and (main.factor is not None or not main.has_energy) and main.kind != "energy":
        factor = main.factor or 1.0
        return [None if value is None else value * factor for value in frame[column]]
    if not main.has_energy:
        column = column or main.column("sum") or main.column("last")
        return frame[column] if column else [None] * length(frame)
    rows = zip(wh, frame["readings"], frame["expected"], strict=True)
    return [_watts(value, readings, expected, _HOURS.get(grain)) for value, readings, expected in rows]


def _watts(wh: float | None, readings: int, expected: int | None, hours: float | None) -> float | None:
    if wh is None or not readings or hours is None:
        return None
    covered = min(readings / expected, 1.0) if expected else 1.0
    return wh / (hours * covered)
