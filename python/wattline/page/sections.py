"""The sections of a page about one sensor: each a heading, a picture, the exact numbers beside it."""

from __future__ import annotations

from collections.abc import Sequence

from . import calendars, charts, words
from .facts import Facts, Sensor
from .figures import Figures, known, quantile
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
    rows = [[f"{h:02}:00", *(words.number(over(v[h], factor), 3) for v in both)] for h in range(24)]
    numbers = exact(f"Mean by hour of the day, {named}".rstrip(", "), ["hour", *made], rows)
    parts.append(section("Day and hour", calendars.heat_map(hours, unit), wide=True))
    parts.append(section("The mean day", charts.profile(made, unit), numbers))
    return parts


def over(value: float | None, factor: float) -> float | None:
    """A value divided, where it is there."""
    return None if value is None else value / factor


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
    rows = [[words.percent(s), words.number(over(quantile(levels, 1 - s), factor), 3)] for s in shares]
    numbers = exact("Level reached or exceeded", ["share of hours", named or "level"], rows)
    return section("How long which level lasts", picture, _base_says(found, unit), numbers)


def _base_says(found: Figures, unit: str) -> Html | None:
    if found.base is None or unit != "W" or found.base <= 0:
        return None
    year = words.quantity(found.base * HOURS_OF_A_YEAR, "Wh")
    share = f", {words.percent(round(found.base_share, 3))} of all energy" if found.base_share else ""
    return tag("p", f"Base load {words.quantity(found.base, unit)}: {year} in a year{share}. It runs day and night.")


def completeness(sensor: Sensor, found: Figures) -> Html | None:
    """The calendar, the worst gaps, the worst days."""
    daily = sensor.get("1d")
    if daily is None or found.complete is None:
        return None
    rows: list[Sequence[object]] = [
        [
            *([g.sensor] if sensor.summed else []),
            words.hour(g.first),
            words.hour(g.last),
            f"{g.missing:,}",
            words.span(g.hours),
        ]
        for g in found.gaps[:10]
    ]
    header = ["first window", "last window", "readings missing", "their time"]
    header = ["sensor", *header] if sensor.summed else header
    worst = exact(
        f"Worst gaps, {min(10, len(rows))} of {len(found.gaps):,}", header, rows, left=len(header) - 2, most=10
    )
    bad = [[words.day(d), words.percent(s), f"{lost:,}"] for d, s, lost in calendars.worst_days(daily)]
    days = exact("Worst days", ["day", "complete", "readings missing"], bad, most=10)
    none = None if found.gaps else tag("p", "No reading is missing between the first and the last.")
    beside = tag("div", worst, days, class_="beside-each") if rows else none
    return section("Completeness", calendars.calendar(daily), beside, wide=True)
