"""The charts by altair."""

from __future__ import annotations

from typing import Any

import altair as alt

from .rows import WEEKDAYS, Drawn, names

WIDE = 640


def _chart(drawn: Drawn, title: str, height: int = 240) -> Any:
    return alt.Chart(alt.InlineData(values=drawn.rows), title=title).properties(width=WIDE, height=height)


def _several(drawn: Drawn) -> bool:
    return len(names(drawn.rows)) > 1


def _colour(drawn: Drawn) -> Any:
    return alt.Color("sensor:N", title="sensor") if _several(drawn) else alt.value("#2563c9")


def _named(what: str, unit: str) -> str:
    return f"{what}, {unit}" if unit else what


def load_curve(drawn: Drawn) -> Any:
    """Lines over time."""
    value = alt.Y("value:Q", title=_named("level", drawn.unit))
    told = [alt.Tooltip("time:T", format="%Y-%m-%d %H:%M"), "sensor:N", alt.Tooltip("value:Q", format=",.3f")]
    lines = _chart(drawn, "Load curve").mark_line(strokeWidth=1.4)
    return lines.encode(x=alt.X("time:T", title=None), y=value, color=_colour(drawn), tooltip=told)


def _panels(drawn: Drawn, chart: Any) -> Any:
    return chart.facet(row=alt.Row("sensor:N", title=None)) if _several(drawn) else chart


def heat_map(drawn: Drawn) -> Any:
    """Days across, hours down."""
    colour = alt.Color("value:Q", title=drawn.unit or "level", scale=alt.Scale(scheme="viridis"))
    day = alt.X("day:O", title=None, axis=_dates(drawn, "day"))
    told = ["day:N", "hour:O", alt.Tooltip("value:Q", format=",.3f")]
    chart = _chart(drawn, drawn.title, 200).mark_rect()
    hour = alt.Y("hour:O", title="hour", axis=alt.Axis(values=[0, 6, 12, 18]))
    return _panels(drawn, chart.encode(x=day, y=hour, color=colour, tooltip=told))


def _dates(drawn: Drawn, key: str) -> Any:
    """About eight dates of an axis."""
    days = sorted({row[key] for row in drawn.rows})
    return alt.Axis(values=days[:: -(-len(days) // 8)], labelAngle=0)


def energy(drawn: Drawn) -> Any:
    """Bars, sensors one on the other."""
    across = alt.X("period:O", title=None, axis=alt.Axis(labelAngle=-45, labelOverlap=True))
    told = ["period:N", "sensor:N", alt.Tooltip("value:Q", format=",.3f")]
    value = alt.Y("sum(value):Q", title=_named("energy", drawn.unit))
    return _chart(drawn, "Energy").mark_bar().encode(x=across, y=value, color=_colour(drawn), tooltip=told)


def duration(drawn: Drawn) -> Any:
    """The falling curve."""
    across = alt.X("share:Q", title="share of hours, %", scale=alt.Scale(domain=[0, 100]))
    value = alt.Y("value:Q", title=_named("level reached or exceeded", drawn.unit))
    told = [alt.Tooltip("share:Q", format=".1f"), "sensor:N", alt.Tooltip("value:Q", format=",.3f")]
    chart = _chart(drawn, "Load duration curve").mark_line()
    return chart.encode(x=across, y=value, color=_colour(drawn), tooltip=told)


def completeness(drawn: Drawn) -> Any:
    """A cell a day: weeks across, weekdays down."""
    scale = alt.Scale(domain=[0, 90, 99, 100], range=["#d64545", "#f0b429", "#9ccc65", "#2f9e6b"])
    colour = alt.Color("value:Q", title="complete, %", scale=scale)
    week = alt.X("week:O", title=None, axis=_dates(drawn, "week"))
    named = "['" + "', '".join(WEEKDAYS) + "'][datum.value]"
    down = alt.Y("weekday:O", title=None, axis=alt.Axis(labelExpr=named))
    told = ["day:N", alt.Tooltip("value:Q", format=".2f")]
    chart = _chart(drawn, "Completeness of each day", 120).mark_rect()
    return _panels(drawn, chart.encode(x=week, y=down, color=colour, tooltip=told))


def submeters(drawn: Drawn) -> Any:
    """Bars by month, parts one on the other."""
    order = names(drawn.rows, "part")
    across = alt.X("period:O", title=None, axis=alt.Axis(labelAngle=-45, labelOverlap=True))
    told = ["period:N", "part:N", alt.Tooltip("value:Q", format=",.3f")]
    value = alt.Y("sum(value):Q", title=_named("energy", drawn.unit))
    colour = alt.Color("part:N", title=None, sort=order)
    bars = _chart(drawn, "Sub-meters").mark_bar()
    return bars.encode(x=across, y=value, color=colour, order=alt.Order("order:Q"), tooltip=told)
