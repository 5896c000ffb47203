"""Pictures of days: the heat map (day by hour) and the calendar of completeness."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise

from . import png, words
from .facts import Series
from .figures import known, quantile, when
from .html import Html, tag
from .svg import HIGH, WIDE, Scale, Tick, chart, days, plot

#: Least share of readings that are there, class and what the legend says.
CLASSES = (
    (1.0, "full", "complete"),
    (0.99, "most", "99 % and more"),
    (0.9, "some", "90 % and more"),
    (0.0, "few", "less"),
)


def _strips(first: int, last: int) -> list[tuple[str, int, int]]:
    """One strip where the days fit into a year, else one for each calendar year, or for each twelve months from the
    first on where those are fewer: name, first day, day after."""
    if last - first < 400:
        return [("", first, last + 1)]
    begin, end = date.fromordinal(first), date.fromordinal(last)
    months = (end.year - begin.year) * 12 + end.month - begin.month + 1
    if -(-months // 12) < end.year - begin.year + 1:
        starts = [_month(begin.year, begin.month - 1 + 12 * i) for i in range(-(-months // 12) + 1)]
    else:
        starts = [date(y, 1, 1) for y in range(begin.year, end.year + 2)]
    return [(_name(a, b), a.toordinal(), b.toordinal()) for a, b in pairwise(starts)]


def _month(year: int, place: int) -> date:
    return date(year + place // 12, place % 12 + 1, 1)


def _name(first: date, end: date) -> str:
    if first.month == 1:
        return str(first.year)
    return f"{words.month(first.isoformat())} to {words.month(date.fromordinal(end.toordinal() - 1).isoformat())}"


def heat_map(hours: Series, unit: str) -> Html | None:
    """Days across, hours of the day down, the level as a colour."""
    cells: dict[tuple[int, int], list[float]] = {}
    for label, value in zip(hours.labels, hours.level, strict=True):
        at = when(label)
        if at is not None and value is not None:
            cells.setdefault((int(at), int(label[11:13])), []).append(value)
    values = [sum(held) / len(held) for held in cells.values()]
    low, high = quantile(values, 0.01), quantile(values, 0.99)
    if low is None or high is None:
        return None
    span = (high - low) or 1.0
    shares = {cell: min(max((v - low) / span, 0.0), 1.0) for cell, v in zip(cells, values, strict=True)}
    first, last = min(day for day, _ in cells), max(day for day, _ in cells)
    factor, named = words.scaled(high, unit)
    strips = [_strip(shares, *strip, named) for strip in _strips(first, last)]
    bounds = [tag("span", f"{words.number(v / factor)} {named}") for v in (low, high)]
    legend = tag("div", bounds[0], tag("i", class_="ramp"), bounds[1], class_="scale")
    note = "Colours end at the lowest and highest hundredth of all hours; nothing is drawn where no reading is."
    return chart("Every hour of every day", *strips, legend, note=note)


def _strip(shares: dict[tuple[int, int], float], name: str, first: int, end: int, unit: str) -> Html:
    rows = [[shares.get((day, hour)) for day in range(first, end)] for hour in range(24)]
    image = {"href": png.address(rows), "width": WIDE, "height": HIGH, "preserveAspectRatio": "none"}
    across = days(Scale(first, end))
    down = [Tick(1 - h / 24, f"{h:02}") for h in (0, 6, 12, 18)]
    title = f"Heat map {name}".strip()
    says = f"{end - first} days by 24 hours; a brighter cell is a higher level in {unit}"
    strip = plot(tag("image", **image), title=title, says=says, x=across, y=down, size="strip", rules=False)
    return tag("div", tag("h4", name) if name else None, strip)


def calendar(daily: Series) -> Html | None:
    """A cell for each day: how much of it is there. Weeks across, Monday at the top."""
    shares: dict[int, float | None] = {}
    for label, expected, missing in zip(daily.labels, daily.expected, daily.missing, strict=True):
        at = when(label)
        if at is not None:
            shares[int(at)] = 1 - missing / expected if expected and missing is not None else None
    if not known(shares.values()):
        return None
    strips = [_weeks(shares, *strip) for strip in _strips(min(shares), max(shares))]
    legend = [(class_, text) for _, class_, text in CLASSES]
    return chart("Completeness of each day", *strips, legend=legend)


def class_of(share: float) -> str:
    """The class of a share."""
    return next(class_ for least, class_, _ in CLASSES if share >= least)


def _weeks(shares: dict[int, float | None], name: str, first: int, end: int) -> Html:
    monday = first - (first - 1) % 7
    weeks = -(-(end - monday) // 7)
    wide, high = WIDE / weeks, HIGH / 7
    paths: dict[str, list[str]] = {class_: [] for _, class_, _ in CLASSES}
    for day in range(first, end):
        share = shares.get(day)
        if share is not None:
            week, weekday = divmod(day - monday, 7)
            box = f"M{week * wide:.0f} {weekday * high:.0f}h{wide * 0.88:.0f}v{high * 0.86:.0f}h-{wide * 0.88:.0f}z"
            paths[class_of(share)].append(box)
    layers = [tag("path", d="".join(boxes), class_=class_) for class_, boxes in paths.items() if boxes]
    counted = [
        f"{len(boxes)} {text}" for (_, class_, text), boxes in zip(CLASSES, paths.values(), strict=True) if class_
    ]
    down = [Tick(1 - (row + 0.5) / 7, text) for row, text in ((0, "Mon"), (3, "Thu"), (6, "Sun"))]
    across = days(Scale(monday, monday + weeks * 7)) if weeks > 10 else _mondays(monday, weeks)
    title = f"Completeness {name}".strip()
    size = "weeks" if weeks > 8 else "weeks few-weeks"
    drawn = plot(*layers, title=title, says="Days: " + ", ".join(counted), x=across, y=down, size=size, rules=False)
    return tag("div", tag("h4", name) if name else None, drawn)


def _mondays(monday: int, weeks: int) -> list[Tick]:
    """A tick at each week, where there are few."""
    names = [words.day(date.fromordinal(monday + 7 * i).isoformat()).rsplit(" ", 1)[0] for i in range(weeks)]
    return [Tick(i / weeks, name, i % 2 == 1) for i, name in enumerate(names)]


def worst_days(daily: Series, count: int = 10) -> Sequence[tuple[str, float, int]]:
    """The days with the most missing readings: label, share that is there, missing."""
    rows = zip(daily.labels, daily.expected, daily.missing, strict=True)
    bad = [(label, 1 - missing / expected, missing) for label, expected, missing in rows if expected and missing]
    return sorted(bad, key=lambda row: -row[2])[:count]
