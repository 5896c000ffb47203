"""The newest windows of a run under way, and their picture in a notebook cell."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from .. import display
from ..ledger import length
from ..pipeline import Pipeline
from ..report import Report
from .html import Html, tag
from .measures import Measure, main_of
from .measures import found as measures_found
from .store import found
from .svg import nice
from .words import number

COLOURS = ("#2563c9", "#e0791b", "#1f9d78", "#9b51c9", "#c23b61", "#8a7a1f", "#4c93b8", "#8b95a3")
WIDE, HIGH, LEFT, BELOW = 720, 220, 48, 22
#: Windows of each sensor in the table.
LISTED = 3

_ROW = ("sensor_id", "grain", "window_start", "window_label")
# From one sensor to the next by the key, so that the table is not read through at each look.
_SENSORS = """
    with recursive next(one) as (
        select min(sensor_id) from {table}
        union all select (select min(sensor_id) from {table} where sensor_id > one) from next where one is not null
    ) select one from next where one is not null limit 100
"""
_NEWEST = """
    select window_start, window_label, {level} from {table}
    where sensor_id = ? and grain = ? order by window_start desc limit ?
"""

Value = tuple[str, float | None]


class Newest:
    """The newest windows of the finest grain: level by sensor and start, as the home tells them."""

    def __init__(self, pipeline: Pipeline, last: int) -> None:
        self._pipeline, self._last = pipeline, last
        self._file, self._table = _database(pipeline)
        self.measure: Measure | None = None
        self.grain = min(json.loads(pipeline._spec)["grains"], key=length)
        self.sensors: dict[str, dict[Any, Value]] = {}

    def look(self) -> None:
        """Looks again: windows that are open, and those that were closed since."""
        table = self._pipeline.state().open_windows
        names = table.column_names
        self.measure = self.measure or main_of(measures_found(names, None, ("sensor_id", "grain")), None)
        column = _level(self.measure)
        if column is None:
            return
        for sensor, grain, start, label, value in table.select(*_ROW, column).rows():
            if grain == self.grain:
                self.sensors.setdefault(sensor, {})[start.replace(tzinfo=None).isoformat(" ")] = (label, value)
        if self._file is not None and self._file.exists():
            self._closed(self._file, column)
        for held in self.sensors.values():
            for start in sorted(held)[: -self._last]:
                del held[start]

    def _closed(self, path: Path, column: str) -> None:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
            tables = store.execute("select name, what, pipeline from wattline_table").fetchall()
            named = found(tables, self._pipeline.name, self._table or "windows")
            if named is None:
                return
            table, level = (f'"{name.replace(chr(34), chr(34) * 2)}"' for name in (named[0], column))
            for (sensor,) in store.execute(_SENSORS.format(table=table)):
                held = self.sensors.setdefault(sensor, {})
                select = _NEWEST.format(table=table, level=level)
                for start, label, value in store.execute(select, (sensor, self.grain, self._last)):
                    held[start] = (label, value)


def _database(pipeline: Pipeline) -> tuple[Path | None, str | None]:
    home = json.loads(pipeline._spec)["sinks"][0]
    at = home["endpoint"]
    plain = at["type"] == "sqlite" and home["what"] == "windows" and not home.get("columns")
    return (Path(at["path"]) if plain else None), home.get("table")


def _level(measure: Measure | None) -> str | None:
    if measure is None:
        return None
    wanted = ("mean", "energy_wh", "sum", "last", "first", "max", "min")
    return next((c for c in map(measure.column, wanted) if c is not None), None)


def picture(newest: Newest, report: Report | None, outcome: str, seconds: float, error: BaseException | None) -> str:
    """Counters, chart and table as HTML."""
    parts = [tag("p", _counters(newest, report, outcome, seconds), style="margin:4px 0")]
    if error is not None:
        parts.append(tag("p", f"{type(error).__name__}: {error}", style="color:#c0392b"))
    if newest.sensors and newest.measure is not None:
        parts += [_chart(newest), _table(newest)]
    return str(tag("div", *parts))


def _counters(newest: Newest, report: Report | None, outcome: str, seconds: float) -> Html:
    books: Mapping[str, Any] = report.ledger if report else {"readings": 0, "rejected": 0, "grains": {}}
    grain = books["grains"].get(newest.grain)
    facts = [f"{books['readings']:,} readings in {display.duration(seconds)}", f"{books['rejected']:,} rejects"]
    facts += [f"{grain['windows']:,} windows of {newest.grain}", f"{grain['late']:,} late"] if grain else []
    return tag("span", tag("b", outcome), " · ", " · ".join(facts))


def _chart(newest: Newest) -> Html:
    drawn = list(newest.sensors.items())[: len(COLOURS)]
    starts = sorted({start for _, held in drawn for start in held})
    values = [v for _, held in drawn for _, v in held.values() if v is not None]
    y, ticks = nice(min(0.0, *values) if values else 0.0, max([*values, 0.0]) or 1.0, 4)
    place = {start: LEFT + (WIDE - LEFT - 8) * i / max(len(starts) - 1, 1) for i, start in enumerate(starts)}

    def up(share: float) -> float:
        return 8 + (HIGH - BELOW - 8) * (1 - share)

    parts = []
    for tick in ticks:
        at = f"{up(tick.at):.1f}"
        parts.append(tag("path", d=f"M{LEFT} {at}H{WIDE - 8}", stroke="#8884"))
        parts.append(tag("text", tick.text, x=LEFT - 6, y=at, text_anchor="end", dominant_baseline="middle"))
    for number_, (_, held) in enumerate(drawn):
        points = [(place[s], up(y.at(v))) for s, (_, v) in sorted(held.items()) if v is not None]
        line = " ".join(f"{x:.1f},{at:.1f}" for x, at in points)
        colour = COLOURS[number_]
        parts.append(tag("polyline", points=line, fill="none", stroke=colour, stroke_width=2))
    labels = [next(held[s][0] for _, held in drawn if s in held) for s in (starts[0], starts[-1])]
    parts.append(tag("text", labels[0], x=LEFT, y=HIGH - 5))
    parts.append(tag("text", labels[1], x=WIDE - 8, y=HIGH - 5, text_anchor="end"))
    style = "width:100%;max-width:720px;font:11px sans-serif;fill:currentColor"
    title = _title(newest)
    return tag(
        "div", title, tag("svg", *parts, viewBox=f"0 0 {WIDE} {HIGH}", role="img", aria_label=title, style=style)
    )


def _title(newest: Newest) -> str:
    column, unit = _level(newest.measure), newest.measure.unit if newest.measure else ""
    return f"{column} of {newest.grain}" + (f", {unit}" if unit and not str(column).endswith("_wh") else "")


def _table(newest: Newest) -> Html:
    rows: list[Html] = []
    for place, (sensor, held) in enumerate(list(newest.sensors.items())[: len(COLOURS)]):
        newest_first = [held[s] for s in sorted(held, reverse=True)[:LISTED]]
        mark = tag("span", "■ ", style=f"color:{COLOURS[place]}")
        cells = (tag("td", f"{label}: {number(value, 3)}", style="text-align:right") for label, value in newest_first)
        rows.append(tag("tr", tag("th", mark, sensor, scope="row", style="text-align:left"), *cells))
    more = len(newest.sensors) - len(COLOURS)
    note = tag("p", f"and {more} more sensors") if more > 0 else None
    return tag(
        "div", tag("table", tag("caption", "newest windows", style="text-align:left"), tag("tbody", *rows)), note
    )
