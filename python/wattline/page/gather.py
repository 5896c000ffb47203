"""From a file, windows at hand, a table, a pipeline or a store to the facts of a page."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._native import Schema, Table
from ..errors import UsageError
from ..ledger import Ledger
from ..options import Data, is_arrow
from ..pipeline import Pipeline
from ..reading import sniff
from ..window import Windows, windows
from . import frames, measures, store
from .facts import Facts, Rejects, Sensor, series_of
from .held import FINER, MOST, NEEDED, WANTED, Held, too_many

GRAINS = ["1h", "1d", "1mo", "1q"]
_LONGEST = {"1h": 3600, "1d": 86_400, "1mo": 2_678_400, "1q": 8_000_000}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def gather(data: Data, wanted: Mapping[str, Any], options: Mapping[str, Any]) -> Facts:
    """The facts of ``data``; ``wanted``: title, measure, submeters; ``options``: as ``windows`` takes them."""
    if isinstance(data, Windows):
        return of_windows(data, wanted, None, "windows at hand")
    if isinstance(data, Pipeline):
        return _of_store(store.of_pipeline(data), wanted, options)
    if isinstance(data, (str, os.PathLike)) and store.is_store(data):
        return _of_store(store.read(data), wanted, options)
    if is_arrow(data) and _are_windows(data):
        return _of_table(Table(data), wanted, options)
    return of_data(data, wanted, options)


def of_data(data: Data, wanted: Mapping[str, Any], options: Mapping[str, Any]) -> Facts:
    """The windows a page needs, from one pass over files or Arrow data."""
    told = {"on_reject": "collect", **options}
    schema = schema_of(data, told.get("schema"))
    made = windows(data, _grains(schema, told.get("step")), **told)
    return of_windows(made, wanted, schema, made.report.summary()["source"], told.get("tz"))


def of_windows(
    made: Windows, wanted: Mapping[str, Any], schema: Schema | None, source: str, tz: str | None = None
) -> Facts:
    """The facts of windows at hand."""
    held, notes = {}, []
    for grain, table in made.items():
        if len(table) > MOST and grain != [*made.keys()][-1]:
            notes.append(too_many(grain, len(table)))
        else:
            held[grain] = table
    columns = next(iter(made.values())).column_names
    books = Rejects(made.ledger["rejected"], True, made.report.rejects.rows())
    rows = {grain: (t.column_names, t.rows()) for grain, t in _slim(held, columns).items()}
    zone = tz or (schema.tz if schema else None)
    notes += list(made.report.summary()["notes"])
    if schema is not None and zone is None:
        notes.append("the times carry no zone and are taken as they stand, typed UTC")
    return build(rows, wanted, schema, columns, (source, zone or "UTC", made.ledger, books, notes))


def _are_windows(data: Any) -> bool:
    """Whether it is a windows table, for instance one that another library read back from a store."""
    names = getattr(data, "column_names", None)
    return set(NEEDED) <= {*(names if names is not None else getattr(data, "columns", ()))}


def _of_table(table: Table, wanted: Mapping[str, Any], options: Mapping[str, Any]) -> Facts:
    names = ["sensor_id", *(n for n in table.column_names if n != "sensor_id")]
    at, rows = names.index("grain"), table.select(*names).rows()
    parted: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        parted.setdefault(row[at], []).append(row)
    held = {g: (names, parted[g]) for g in (*WANTED, *FINER) if g in parted}
    if not held:
        raise UsageError(f"the windows are of {', '.join(parted) or 'no grain'}; a page wants {', '.join(WANTED)}")
    zone = options.get("tz") or "UTC"
    schema = schema_of(None, options.get("schema"))
    return build(held, wanted, schema, names, ("windows at hand", zone, None, Rejects(0, False), []))


def _of_store(held: Held, wanted: Mapping[str, Any], options: Mapping[str, Any]) -> Facts:
    schema = schema_of(None, options.get("schema") or held.schema)
    books = held.ledger
    rejects = Rejects(books["rejected"] if books else 0, books is not None, held.rejects)
    columns = next(iter(held.rows.values()))[0]
    return build(held.rows, wanted, schema, columns, (held.source, held.tz, books, rejects, held.notes))


def build(
    rows: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]],
    wanted: Mapping[str, Any],
    schema: Schema | None,
    columns: Sequence[str],
    about: tuple[str, str, Ledger | None, Rejects, list[str]],
) -> Facts:
    """Puts the facts together from rows by grain."""
    source, tz, ledger, rejects, notes = about
    all_measures = measures.found(columns, schema, ("sensor_id", "grain", *frames.KEYS))
    main = measures.main_of(all_measures, wanted.get("measure"))
    if main is None and wanted.get("measure"):
        there = ", ".join(m.name for m in all_measures)
        raise UsageError(f"there is no measure {wanted['measure']!r}; there are: {there}")
    subs = _subs(all_measures, main, wanted.get("submeters"))
    others = [m for m in all_measures if m is not main and m not in subs]
    sensors = _sensors({grain: frames.of_rows(*part) for grain, part in rows.items()}, main)
    title = wanted.get("title") or Path(source.split(" ")[0]).name or source
    return Facts(title, source, tz, sensors, main, subs, others, ledger, rejects, notes)


def _sensors(parted: Mapping[str, Mapping[str, frames.Frame]], main: measures.Measure | None) -> list[Sensor]:
    names = sorted({name for part in parted.values() for name in part}, key=lambda n: (len(n), n))
    folded = {name: frames.grains({g: p[name] for g, p in parted.items() if name in p}) for name in names}
    made = [_sensor(name, held, main) for name, held in folded.items()]
    if len(made) > 1:
        common = [g for g in ("1h", "1d", "1mo", "1q") if any(g in held for held in folded.values())]
        sums = {g: frames.added([held[g] for held in folded.values() if g in held]) for g in common}
        made.insert(0, _sensor(f"All {len(made)} sensors", sums, main, len(made)))
    return made


def _sensor(name: str, held: Mapping[str, frames.Frame], main: measures.Measure | None, summed: int = 0) -> Sensor:
    series = {grain: series_of(grain, frame, main) for grain, frame in held.items()}
    ends = held.get("1q") or next(iter(held.values()))
    known = [v for v in ends.get("first_reading", []) if v is not None]
    last = [v for v in ends.get("last_reading", []) if v is not None]
    return Sensor(name, series, min(known, default=None), max(last, default=None), summed)


def _subs(
    every: Sequence[measures.Measure], main: measures.Measure | None, wanted: Sequence[str] | None
) -> list[measures.Measure]:
    if wanted is None:
        return [m for m in every if m is not main and measures.is_sub(m)]
    unknown = [name for name in wanted if all(m.name != name or not m.has_energy for m in every)]
    if unknown:
        raise UsageError(f"no energy is known of the measure {unknown[0]!r}, so it is no sub-meter")
    return [m for m in every if m.name in wanted and m is not main]


def _slim(held: Mapping[str, Table], columns: Sequence[str]) -> dict[str, Table]:
    """Hours only with what is drawn of them; the others whole."""
    wide = [c for c in columns if c not in ("grain", "window_end", "duplicates", "estimated", "revision", "final")]
    fine = [c for c in wide if not c.endswith(("_min", "_max", "_first", "_last", "_stddev", "_reading"))]
    return {g: t.select(*(fine if g.endswith(("h", "min")) and "1d" in held else wide)) for g, t in held.items()}


def schema_of(data: Data, schema: Any) -> Schema | None:
    """The declaration, for the units."""
    if isinstance(schema, Schema):
        return schema
    if isinstance(schema, Mapping):
        return Schema(**schema)
    if schema is not None:
        text = os.fspath(schema)
        return Schema.from_toml(text) if text.endswith(".toml") else Schema.preset(text)
    if data is None or is_arrow(data):
        return getattr(data, "schema", None) if isinstance(data, Table) else None
    first = data if isinstance(data, (str, os.PathLike)) else data[0]
    return None if "://" in os.fspath(first) or os.fspath(first) == "-" else sniff(data)


def _grains(schema: Schema | None, step: str | None) -> list[str]:
    """Hours and coarser, from the step on."""
    text = step or (json.loads(schema._json()).get("step") if schema else None)
    match = re.fullmatch(r"(\d+)\s*([a-z]+)", text) if isinstance(text, str) else None
    seconds = int(match[1]) * _SECONDS.get(match[2], 0) if match else 0
    return [grain for grain in GRAINS if seconds <= _LONGEST[grain]]
