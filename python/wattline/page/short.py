"""The load in a few sentences, for whoever reads no further."""

from __future__ import annotations

from collections.abc import Sequence

from . import words
from .charts import profiles
from .facts import Facts, Sensor, Series
from .figures import Figures, known
from .html import Html, tag

#: A month counts as whole from this share of its readings on.
WHOLE = 0.98


def in_short(facts: Facts, sensor: Sensor, found: Figures) -> Html | None:
    """What stands out: months, weekends, base load, gaps, rejects."""
    said = [*_months(sensor), *_weekend(sensor), *_base(facts, found), *_gaps(found), *_books(facts)]
    return tag("ul", *(tag("li", text) for text in said), class_="short") if said else None


def _months(sensor: Sensor) -> list[str]:
    months = sensor.get("1mo")
    rows = _whole(months) if months is not None else []
    if len(rows) < 3:
        return []
    (low, lowest), (high, highest) = min(rows, key=lambda r: r[1]), max(rows, key=lambda r: r[1])
    most = f"{words.month(high)} ({words.quantity(highest, 'Wh')}) used most"
    least = f"{words.month(low)} ({words.quantity(lowest, 'Wh')}) least"
    return [f"Of the months with at least {words.percent(WHOLE)} of their readings, {most}, {least}."]


def _whole(months: Series) -> list[tuple[str, float]]:
    rows = zip(months.labels, months.wh, months.expected, months.missing, strict=True)
    return [(m, wh) for m, wh, due, lost in rows if wh is not None and due and (lost or 0) <= (1 - WHOLE) * due]


def _weekend(sensor: Sensor) -> list[str]:
    hours = sensor.get("1h")
    if hours is None or len(hours) < 24 * 14:
        return []
    working, weekend = (_mean(known(values)) for values in profiles(hours).values())
    if working is None or weekend is None or working <= 0:
        return []
    more = weekend / working - 1
    if abs(more) < 0.02:
        return ["Weekends are like working days."]
    much = f"{words.percent(round(abs(more), 3))} {'higher' if more > 0 else 'lower'}"
    return [f"At weekends the load is {much} than on working days."]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _base(facts: Facts, found: Figures) -> list[str]:
    if facts.unit != "W" or found.base is None or not found.base_share:
        return []
    share = words.percent(round(found.base_share, 3))
    return [f"What always runs takes {words.quantity(found.base, 'W')}, {share} of the energy."]


def _gaps(found: Figures) -> list[str]:
    if found.complete is None:
        return []
    if not found.missing:
        return ["No reading is missing between the first and the last."]
    worst = found.gaps[0]
    share = words.percent(round(worst.missing / found.missing, 3))
    lost = (
        f"{words.percent(1 - found.complete)} of the readings are missing, in {words.several(len(found.gaps), 'gap')}"
    )
    return [f"{lost}; the worst, {words.span(worst.hours)} from {words.hour(worst.first)}, holds {share} of them."]


def _books(facts: Facts) -> list[str]:
    if facts.ledger is None:
        return []
    twice = max((grain["duplicate"] for grain in facts.ledger["grains"].values()), default=0)
    conflicts, rejected = facts.ledger["conflicts"], facts.rejects.total
    parts = [f"{words.several(rejected, 'record')} could not be read" if rejected else "Every record could be read"]
    parts += [f"{words.several(twice, 'reading')} came twice and count once"] if twice else []
    parts += [f"{words.several(conflicts, 'conflict')} (same time, other values)"] if conflicts else []
    return ["; ".join(parts) + "."]
