"""The simulator: ``simulate``."""

from __future__ import annotations

import os
from datetime import date, datetime
from urllib.parse import urlencode

from . import _native
from ._native import Table
from .reading import Path

__all__ = ["simulate"]

Instant = str | date | datetime


def simulate(
    *,
    sensors: int = 1,
    start: Instant,
    end: Instant,
    step: str = "1min",
    seed: int = 1,
    tz: str = "UTC",
    gaps: float = 0.0,
    late: float = 0.0,
    late_by: str = "10min",
    duplicates: float = 0.0,
    conflicts: float = 0.0,
) -> Table:
    """Readings of simulated houses: base load, cooking and laundry peaks, seasons, nights.

    One reading every ``step`` from ``start`` to before ``end`` (ISO 8601, local in ``tz`` where they have no zone) for
    each of ``sensors`` houses (``house-1`` and so on), with the measures of the household preset (kW, V, A, Wh). The
    same ``seed`` gives the same readings everywhere. ``gaps``, ``late``, ``duplicates``, ``conflicts``: shares of
    readings that are missing, come up to ``late_by`` later, twice, or twice with other values.

    The same as a live stream is the source ``sim://?sensors=3&rate=60x`` of a pipeline.
    """
    told = {
        "tz": tz,
        "sensors": sensors,
        "start": _text(start),
        "end": _text(end),
        "step": step,
        "seed": seed,
        "gaps": gaps,
        "late": late,
        "late_by": late_by,
        "duplicates": duplicates,
        "conflicts": conflicts,
    }
    return _native.simulate("sim://?" + urlencode(told, safe=":/+"))


def _text(instant: Instant) -> str:
    return instant if isinstance(instant, str) else instant.isoformat()


def write_uci(path: Path, *, rows: int | None = None, seed: int = 1) -> None:
    """Writes 47 months of one simulated household as a file in the layout of the UCI repository."""
    _native.write_uci(os.fspath(path), rows, seed)
