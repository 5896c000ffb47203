"""Numbers, units and dates as people read them."""

from __future__ import annotations

from datetime import date

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def scaled(value: float, unit: str) -> tuple[float, str]:
    """What to divide by, and the unit then, so that ``value`` reads well: W and Wh become kW, MWh; others stay."""
    if unit not in ("W", "Wh"):
        return 1.0, unit
    for factor, prefix in _STEPS:
        if abs(value) >= factor:
            return factor, prefix + unit
    return 1.0, unit


def number(value: float | None, digits: int | None = None) -> str:
    """A number with thousands marks, by default with three figures or so."""
    if value is None:
        return "–"
    if digits is None:
        size = abs(value)
        digits = 0 if size >= 100 or value == 0 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    return f"{value:,.{digits}f}"


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit, scaled: ``33.2 MWh``."""
    if value is None:
        return "–"
    factor, named = scaled(value, unit)
    return f"{number(value / factor)} {named}".rstrip()


def percent(share: float | None) -> str:
    """A share of one; never ``100 %`` where something is missing."""
    if share is None:
        return "–"
    text = f"{100 * share:.2f}"
    if text == "100.00" and share < 1:
        text = "99.99"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"


def day(label: str) -> str:
    """``2007-01-31`` and what begins with it as ``31 Jan 2007``; any other label as it is."""
    try:
        found = date.fromisoformat(label[:10])
    except ValueError:
        return label
    return f"{found.day} {_MONTHS[found.month - 1]} {found.year}"


def month(label: str) -> str:
    """``2007-01`` as ``Jan 2007``; any other label as it is."""
    year, _, of_year = label[:7].partition("-")
    known = of_year.isdigit() and 1 <= int(of_year) <= 12
    return f"{_MONTHS[int(of_year) - 1]} {year}" if known else label


def month_name(of_year: int) -> str:
    """``Jan`` for 1."""
    return _MONTHS[of_year - 1]


def hour(label: str) -> str:
    """The label of an hour: ``31 Jan 2007 13:00``."""
    return f"{day(label)} {label[11:16]}".strip()


def span(hours: float) -> str:
    """A length of time: ``5.1 days``, ``7 hours``, ``2 min``."""
    if hours < 1:
        minutes = 60 * hours
        return f"{number(minutes, 0 if minutes >= 10 or minutes == int(minutes) else 1)} min"
    if hours >= 24 * 730:
        return f"{hours / 8766:.1f} years"
    if hours >= 48:
        return f"{number(hours / 24, 1 if hours < 2400 else 0)} days"
    return "1 hour" if abs(hours - 1) < 1e-9 else f"{number(hours, 0 if hours == int(hours) else 1)} hours"


def several(count: int, one: str) -> str:
    """``1 reading``, ``2 readings``."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"
