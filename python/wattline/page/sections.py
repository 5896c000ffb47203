"""The sections of a page about one sensor: each a heading, a picture, the exact numbers beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from . import calendars, charts, words
from .facts import Facts, Sensor, Series, energies
from .figures import Figures, known, quantile, total
from .html import Html, details, table, tag

#: Tables of more rows than this open on a click.
OPEN_ROWS = 8
HOURS_OF_A_YEAR = 8766


def section(name: str, *inside: object, wide: bool = False) -> Html | None:
    """A heading and what is under it; nothing where there is nothing."""
    there = [part for part in inside if part is not None]
    return tag("section", tag("h3", name), *there, class_="wide" if wide else None) if there else None


def exact(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1, most: int = OPEN_ROWS
) -> Html | None:
    """A table of exact numbers, folded where it is long."""
    if not rows:
        return None
    made = table(caption, header, rows, left=left)
    return made if len(rows) <= most else details(f"{caption}: {len(rows):,} rows", made)


def head(facts: Facts, sensor: Sensor, found: Figures) -> Html:
    """The headline figures."""
    unit, cards = facts.unit, []
    if found.energy is not None:
        day = quantity_a_day(found)
        cards.append(("Energy", words.quantity(found.energy, "Wh"), f"{day} a day" if day else ""))
    elif found.mean is not None:
        cards.append(("Mean", words.quantity(found.mean, unit), f"of {facts.main.name}" if facts.main else ""))
    if sensor.first and sensor.last:
        dates = f"{words.day(sensor.first.isoformat())} to {words.day(sensor.last.isoformat())}"
        cards.append(("Period", words.span(found.hours), dates))
    cards.append(_complete(found))
    if found.gaps:
        worst = found.gaps[0]
        cards.append(("Worst gap", words.span(worst.hours), f"from {words.hour(worst.first)}"))
    if found.peak:
        cards.append(("Highest hour", words.quantity(found.peak[1], unit), words.hour(found.peak[0])))
    if found.base is not None and unit == "W":
        share = f"{words.percent(round(found.base_share, 3))} of the energy" if found.base_share else ""
        cards.append(("Base load", words.quantity(found.base, unit), share))
    return tag("dl", *(_card(*card) for card in cards), class_="cards")


def quantity_a_day(found: Figures) -> str:
    """Energy a day, over the time that readings cover."""
    covered = found.hours * (found.complete if found.complete is not None else 1.0)
    return words.quantity(found.energy / covered * 24, "Wh") if found.energy is not None and covered else ""


def _complete(found: Figures) -> tuple[str, str, str]:
    if found.complete is None:
        return "Readings", f"{found.readings:,}", "how many were due is not known: no step is declared"
    return "Complete", words.percent(found.complete), f"{found.missing:,} of {found.expected:,} readings missing"


def _card(name: str, value: str, beside: str) -> Html:
    return tag("div", tag("dt", name), tag("dd", value, class_="big"), tag("dd", beside, class_="beside"))


def load(facts: Facts, sensor: Sensor) -> list[Html | None]:
    """The curve over the whole time, the mean day, every hour of every day."""
    hours, unit = sensor.get("1h"), facts.unit
    parts = [section("Load over time", charts.load_curve(sensor, unit), wide=True)]
    if hours is None:
        return parts
    made = charts.profiles(hours)
    factor, named = words.scaled(max(known(hours.level), default=0.0), unit)
    both = list(made.values())
    rows = [[f"{h:02}:00", *(words.number(_over(v[h], factor), 3) for v in both)] for h in range(24)]
    numbers = exact(f"Mean by hour of the day, {named}".rstrip(", "), ["hour", *made], rows)
    parts.append(section("Day and hour", calendars.heat_map(hours, unit), wide=True))
    parts.append(section("The mean day", charts.profile(made, unit), numbers))
    return parts


def _over(value: float | None, factor: float) -> float | None:
    return None if value is None else value / factor


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
    return [words.number(_over(wh, 1000), 3), f"{readings:,}", lost, words.percent(share)]


def base(facts: Facts, sensor: Sensor, found: Figures) -> Html | None:
    """The load duration curve, and what the base load costs in energy."""
    series, unit = sensor.get("1h") or sensor.finest, facts.unit
    if series is None:
        return None
    levels = known(series.level)
    picture = charts.duration(levels, unit, found.base)
    if picture is None:
        return None
    factor, named = words.scaled(max(map(abs, levels)), unit)
    shares = (0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99)
    rows = [[words.percent(s), words.number(_over(quantile(levels, 1 - s), factor), 3)] for s in shares]
    numbers = exact("Level reached or exceeded", ["share of hours", named or "level"], rows)
    return section("How long which level lasts", picture, _base_says(found, unit), numbers)


def _base_says(found: Figures, unit: str) -> Html | None:
    if found.base is None or unit != "W" or found.base <= 0:
        return None
    year = words.quantity(found.base * HOURS_OF_A_YEAR, "Wh")
    share = f", {words.percent(round(found.base_share, 3))} of all energy" if found.base_share else ""
    return tag("p", f"Base load {words.quantity(found.base, unit)}: {year} in a year{share}. It runs day and night.")


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


def submeters(facts: Facts, sensor: Sensor) -> Html | None:
    """The parts of the energy by month, and what no sub-meter saw."""
    months = sensor.get("1mo")
    if not facts.subs or months is None or facts.main is None:
        return None
    columns = [energies(months.frame, measure) for measure in facts.subs]
    rests = [_rest(wh, parts) for wh, *parts in zip(months.wh, *columns, strict=True)]
    names = [_readable(m.name) for m in facts.subs]
    if facts.main.has_energy:
        columns, names = [*columns, rests], [*names, "not metered apart"]
    rows = [(_named(label), _short(label), parts) for label, *parts in zip(months.labels, *columns, strict=True)]
    sums = [total(column) for column in columns]
    whole = math.fsum(s for s in sums if s is not None)
    listed = [
        [name, words.number(_over(s, 1000), 3), words.percent(round((s or 0) / whole, 4) if whole else None)]
        for name, s in zip(names, sums, strict=True)
    ]
    drawn = charts.bars("Energy of sub-meters by month", rows, "Wh", names)
    return section("Sub-meters", drawn, exact("Energy by sub-meter", ["sub-meter", "kWh", "share"], listed))


def _rest(whole: float | None, parts: Sequence[float | None]) -> float | None:
    if whole is None:
        return None
    return max(whole - math.fsum(known(parts)), 0.0)


def _readable(name: str) -> str:
    return name.replace("_", " ")


def completeness(sensor: Sensor, found: Figures) -> Html | None:
    """The calendar, the worst gaps, the worst days."""
    daily = sensor.get("1d")
    if daily is None or found.complete is None:
        return None
    rows: list[Sequence[object]] = [
        [words.hour(g.first), words.hour(g.last), f"{g.missing:,}", words.span(g.hours)] for g in found.gaps[:10]
    ]
    header = ["first window", "last window", "readings missing", "their time"]
    worst = exact(f"Worst gaps, {min(10, len(rows))} of {len(found.gaps):,}", header, rows, left=2, most=10)
    bad = [[words.day(d), words.percent(s), f"{lost:,}"] for d, s, lost in calendars.worst_days(daily)]
    days = exact("Worst days", ["day", "complete", "readings missing"], bad, most=10)
    none = None if found.gaps else tag("p", "No reading is missing between the first and the last.")
    beside = tag("div", worst, days, class_="beside-each") if rows else none
    return section("Completeness", calendars.calendar(daily), beside, wide=True)
