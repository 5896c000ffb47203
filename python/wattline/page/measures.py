"""What the measures of a windows table are: kind, unit, which columns hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .._native import Schema

_SUFFIXES = ("energy_wh", "stddev", "count", "first", "mean", "last", "sum", "min", "max")
_FACTORS = {"mW": 1e-3, "W": 1.0, "kW": 1e3, "MW": 1e6, "GW": 1e9}


class Measure(NamedTuple):
    """A measure as its columns show it; ``factor`` turns its values into W or Wh, ``None`` where that is unknown."""

    name: str
    kind: str
    unit: str
    factor: float | None
    aggregates: tuple[str, ...]

    def column(self, aggregate: str) -> str | None:
        """The name of the column that holds an aggregate, if it is there."""
        return f"{self.name}_{aggregate}" if aggregate in self.aggregates else None

    @property
    def has_energy(self) -> bool:
        """Whether windows know its energy in Wh."""
        return "energy_wh" in self.aggregates or (self.kind == "energy" and self.factor is not None)


def declared(schema: Schema | None) -> dict[str, dict[str, Any]]:
    """Kind and unit by measure, as a schema says; the preset's where there is none."""
    household = Schema.preset("household").columns
    return {
        name: facts for name, facts in {**household, **(schema.columns if schema else {})}.items() if "measure" in facts
    }


def found(columns: Sequence[str], schema: Schema | None, keys: Iterable[str]) -> list[Measure]:
    """The measures of a table with these columns, in their order; ``keys`` are columns that are none."""
    by_name: dict[str, list[str]] = {}
    for column in columns:
        suffix = next((s for s in _SUFFIXES if column.endswith("_" + s)), None)
        if suffix and column not in keys:
            by_name.setdefault(column[: -len(suffix) - 1], []).append(suffix)
    told = declared(schema)
    # A store may give its columns in an order of its own.
    order = {name: place for place, name in enumerate(schema.columns)} if schema else {}
    names = sorted(by_name, key=lambda name: order.get(name, len(order)))
    return [_measure(name, tuple(by_name[name]), told.get(name, {})) for name in names]


def _measure(name: str, held: tuple[str, ...], told: Mapping[str, Any]) -> Measure:
    shown = (
        "power" if "energy_wh" in held and "mean" in held else "energy" if {"sum", "energy_wh"} & {*held} else "gauge"
    )
    kind = str(told.get("measure") or shown)
    unit = str(told.get("unit") or "")
    base = unit.removesuffix("h") if kind == "energy" else unit
    factor = _FACTORS.get(base) if kind in ("power", "energy") else None
    return Measure(name, kind, unit, factor, held)


def main_of(measures: Sequence[Measure], wanted: str | None) -> Measure | None:
    """The measure the page is about: the one named, else the first power, else the first energy, else the first."""
    if wanted is not None:
        return next((m for m in measures if m.name == wanted), None)
    whole = [m for m in measures if not is_sub(m)] or list(measures)
    ranked = sorted(whole, key=lambda m: (not m.has_energy, {"power": 0, "energy": 1}.get(m.kind, 2)))
    return ranked[0] if ranked else None


def is_sub(measure: Measure) -> bool:
    """Whether its name says that it is a part of the main measure."""
    return measure.name.lower().startswith(("sub_", "submeter", "sub-")) and measure.has_energy
