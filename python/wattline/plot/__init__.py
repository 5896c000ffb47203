"""The pictures of a report page as charts for notebooks: altair's, or matplotlib's where only that is installed.

>>> w = wl.windows("household.txt.gz", ["1h", "1d", "1mo", "1q"], schema="household")
>>> wl.plot.load_curve(w)

Each takes what ``wl.report_page`` takes: windows at hand, a windows table of any Arrow library, a file, a store, a
pipeline that has run. ``measure``: where it is not the first power or energy; ``sensor``: only that one; ``library``:
``"altair"`` or ``"matplotlib"``. Times are local in the zone of the windows. Comes with the extra ``plot``.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any, Literal

from ..errors import UsageError
from . import rows

__all__ = ["completeness", "duration", "energy", "heat_map", "load_curve", "submeters"]

Library = Literal["altair", "matplotlib"]


def _with(library: Library | None) -> Any:
    for name in (library,) if library else ("altair", "matplotlib"):
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(f".with_{name}", __name__)
    named = library or "neither altair nor matplotlib"
    command = f"pip install {library or 'altair'}"
    raise UsageError(f"{named} is {'not ' if library else ''}installed; install it, for example with: {command}")


def load_curve(
    data: Any, *, measure: str | None = None, sensor: str | None = None, library: Library | None = None, **options: Any
) -> Any:
    """The level over time, a line a sensor: hours of up to five weeks, else days. Of power in W or kW."""
    drawn = _with(library)
    return drawn.load_curve(rows.curve(rows.held(data, measure, sensor, options)))


def heat_map(
    data: Any, *, measure: str | None = None, sensor: str | None = None, library: Library | None = None, **options: Any
) -> Any:
    """Every hour of every day: days across, hours down, the level as a colour; a panel a sensor. Needs hours."""
    drawn = _with(library)
    return drawn.heat_map(rows.hours(rows.held(data, measure, sensor, options)))


def energy(
    data: Any,
    *,
    by: Literal["day", "month", "quarter"] = "month",
    measure: str | None = None,
    sensor: str | None = None,
    library: Library | None = None,
    **options: Any,
) -> Any:
    """Energy by ``day``, ``month`` or ``quarter`` as bars, sensors one on the other."""
    drawn = _with(library)
    return drawn.energy(rows.energy(rows.held(data, measure, sensor, options), by))


def duration(
    data: Any, *, measure: str | None = None, sensor: str | None = None, library: Library | None = None, **options: Any
) -> Any:
    """The load duration curve: the share of all hours in which a level is reached or exceeded."""
    drawn = _with(library)
    return drawn.duration(rows.duration(rows.held(data, measure, sensor, options)))


def completeness(
    data: Any, *, measure: str | None = None, sensor: str | None = None, library: Library | None = None, **options: Any
) -> Any:
    """A cell for each day: which share of its readings is there; a panel a sensor."""
    drawn = _with(library)
    return drawn.completeness(rows.completeness(rows.held(data, measure, sensor, options)))


def submeters(
    data: Any,
    *,
    parts: Sequence[str] | None = None,
    measure: str | None = None,
    sensor: str | None = None,
    library: Library | None = None,
    **options: Any,
) -> Any:
    """Energy of the sub-meters by month, and what none of them saw. ``parts``: by default those named ``sub...``."""
    drawn = _with(library)
    return drawn.submeters(rows.submeters(rows.held(data, measure, sensor, options, parts)))
