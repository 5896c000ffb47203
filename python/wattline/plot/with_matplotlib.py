"""The charts by matplotlib; no window is opened and no state of pyplot is touched."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from matplotlib.figure import Figure

from .rows import WEEKDAYS, Drawn, names


def _axes(title: str, unit: str, count: int = 1, high: float = 3.6) -> tuple[Figure, Any]:
    figure = Figure(figsize=(9, high), layout="constrained")
    axes = figure.subplots(count, 1, squeeze=False, sharex=True)[:, 0]
    figure.suptitle(title, fontsize=11)
    if unit:
        axes[0].set_ylabel(unit)
    return figure, axes


def _of(drawn: Drawn, name: str, key: str = "sensor") -> list[dict[str, Any]]:
    return [row for row in drawn.rows if row[key] == name]


def _lines(title: str, drawn: Drawn, across: str) -> tuple[Figure, Any]:
    figure, (axes,) = _axes(title, drawn.unit)
    for name in names(drawn.rows):
        rows = _of(drawn, name)
        x = [datetime.fromisoformat(r["time"]) if across == "time" else r[across] for r in rows]
        axes.plot(x, [float("nan") if r["value"] is None else r["value"] for r in rows], linewidth=1.2, label=name)
    if len(names(drawn.rows)) > 1:
        axes.legend()
    axes.grid(alpha=0.3)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    return figure, axes


def load_curve(drawn: Drawn) -> Figure:
    """Lines over time."""
    return _lines("Load curve", drawn, "time")[0]


def duration(drawn: Drawn) -> Figure:
    """The falling curve."""
    figure, axes = _lines("Load duration curve", drawn, "share")
    axes.set_xlabel("share of hours, %")
    return figure


def _stacked(title: str, drawn: Drawn, key: str) -> Figure:
    figure, (axes,) = _axes(title, drawn.unit)
    periods = sorted(names(drawn.rows, "period"))
    low = dict.fromkeys(periods, 0.0)
    for name in names(drawn.rows, key):
        values = {row["period"]: row["value"] or 0.0 for row in _of(drawn, name, key)}
        heights = [values.get(period, 0.0) for period in periods]
        axes.bar(periods, heights, bottom=[low[p] for p in periods], label=name)
        low = {period: low[period] + height for period, height in zip(periods, heights, strict=True)}
    if len(names(drawn.rows, key)) > 1:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    shown = periods[:: -(-len(periods) // 12)]
    axes.set_xticks(shown, shown, rotation=45, ha="right", fontsize=8)
    axes.set_axisbelow(True)
    axes.grid(axis="y", alpha=0.3)
    return figure


def energy(drawn: Drawn) -> Figure:
    """Bars, sensors one on the other."""
    return _stacked("Energy", drawn, "sensor")


def submeters(drawn: Drawn) -> Figure:
    """Bars by month, parts one on the other."""
    return _stacked("Sub-meters", drawn, "part")


def _cells(title: str, drawn: Drawn, columns: tuple[str, str], scheme: str, bounds: tuple[float, float]) -> Figure:
    """A panel a sensor: the values of one column across, of another down."""
    across, down = columns
    sensors, places = names(drawn.rows), sorted(names(drawn.rows, across))
    at = {place: i for i, place in enumerate(places)}
    high = 1 + max(row[down] for row in drawn.rows)
    figure, axes = _axes(title, "", len(sensors), 1.2 + 1.8 * len(sensors))
    for one, name in zip(axes, sensors, strict=True):
        grid = [[float("nan")] * len(places) for _ in range(high)]
        for row in _of(drawn, name):
            grid[row[down]][at[row[across]]] = row["value"]
        image = one.imshow(grid, aspect="auto", cmap=scheme, interpolation="nearest", vmin=bounds[0], vmax=bounds[1])
        figure.colorbar(image, ax=one, label=drawn.unit)
        one.set_ylabel(name, fontsize=8)
    every = -(-len(places) // 8)
    axes[-1].set_xticks(list(range(0, len(places), every)), places[::every], fontsize=8)
    return figure


def heat_map(drawn: Drawn) -> Figure:
    """Days across, hours down."""
    values = [row["value"] for row in drawn.rows]
    figure = _cells(drawn.title, drawn, ("day", "hour"), "viridis", (min(values), max(values)))
    for one in figure.axes[: len(names(drawn.rows))]:
        one.set_yticks([0, 6, 12, 18])
    return figure


def completeness(drawn: Drawn) -> Figure:
    """A cell a day: weeks across, weekdays down."""
    values = [row["value"] for row in drawn.rows]
    figure = _cells("Completeness of each day", drawn, ("week", "weekday"), "RdYlGn", (min(90, *values), 100))
    for one in figure.axes[: len(names(drawn.rows))]:
        one.set_yticks(range(7), WEEKDAYS, fontsize=7)
    return figure
