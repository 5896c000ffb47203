"""Windows as columns of Python values, folded into coarser windows where a grain is not there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

#: Columns by name, all of one length.
Frame = dict[str, list[Any]]

KEYS = ("window_start", "window_label", "readings", "expected", "missing", "first_reading", "last_reading")


def length(frame: Frame) -> int:
    """Number of windows."""
    return len(frame["window_label"])


def of_rows(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, Frame]:
    """A frame for each sensor, in order of time; the first column is the sensor."""
    parted: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        parted.setdefault(row[0], []).append(row)
    at = names.index("window_start")
    for held in parted.values():
        held.sort(key=lambda row: row[at])
    return {
        sensor: {name: list(column) for name, column in zip(names[1:], list(zip(*held, strict=True))[1:], strict=True)}
        for sensor, held in parted.items()
    }


def _known(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if value is not None]


def _sum(values: list[Any]) -> Any:
    known = _known(values)
    if not known:
        return None
    return sum(known) if all(isinstance(v, int) for v in known) else math.fsum(known)


def _all(values: list[Any]) -> Any:
    return None if None in values else sum(values)


def _weighted(values: list[Any], weights: list[Any]) -> float | None:
    pairs = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None and w]
    return math.fsum(v * w for v, w in pairs) / sum(w for _, w in pairs) if pairs else None


def _merged(name: str, values: list[Any], weights: list[Any], beside: bool) -> Any:
    if name in ("expected", "missing"):
        return _all(values)
    if name == "readings" or name.endswith(("_sum", "_energy_wh", "_count")):
        return _sum(values)
    if name.endswith("_mean"):
        return _sum(values) if beside else _weighted(values, weights)
    if name == "last_reading" or (name.endswith("_max") and not beside):
        return max(_known(values), default=None)
    if name in ("first_reading", "window_start") or (name.endswith("_min") and not beside):
        return min(_known(values), default=None)
    return None


def fold(frame: Frame, key: Callable[[str], str], *, beside: bool = False) -> Frame:
    """Windows with the same ``key`` of their labels made one. ``beside``: they are of several sensors at the same
    time, so that powers add up, and least and greatest values are not known."""
    groups: dict[str, list[int]] = {}
    for place, label in enumerate(frame["window_label"]):
        groups.setdefault(key(label), []).append(place)
    out: Frame = {name: [] for name in frame}
    for label, places in groups.items():
        weights = [frame["readings"][i] for i in places]
        for name, column in frame.items():
            many = len(places) > 1 or beside
            one = _merged(name, [column[i] for i in places], weights, beside) if many else column[places[0]]
            out[name].append(label if name == "window_label" else one)
    return out


def added(frames: Sequence[Frame]) -> Frame:
    """Several sensors as one: windows of the same label added."""
    every: Frame = {name: [v for frame in frames for v in frame[name]] for name in frames[0]}
    order = sorted(range(length(every)), key=lambda i: every["window_start"][i])
    return fold({name: [column[i] for i in order] for name, column in every.items()}, lambda label: label, beside=True)


def hour_of(label: str) -> str:
    """The label of the hour a finer window lies in."""
    return f"{label[:13]}:00{label[16:]}"


def quarter_of(label: str) -> str:
    """The label of a month's quarter."""
    return f"{label[:4]}-Q{(int(label[5:7]) + 2) // 3}"


def grains(held: dict[str, Frame]) -> dict[str, Frame]:
    """Hours, days, months and quarters: those that are there, the others folded from the next finer ones."""
    finer = [g for g in ("30min", "15min", "5min", "1min") if g in held]
    if "1h" not in held and finer:
        held["1h"] = fold(held[finer[0]], hour_of)
    for grain, from_, key in (("1d", "1h", _day), ("1mo", "1d", _month), ("1q", "1mo", quarter_of)):
        if grain not in held and from_ in held:
            held[grain] = fold(held[from_], key)
    return {grain: held[grain] for grain in ("1h", "1d", "1mo", "1q") if grain in held}


def _day(label: str) -> str:
    return label[:10]


def _month(label: str) -> str:
    return label[:7]
