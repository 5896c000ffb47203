"""Reading back what a pipeline has stored, in any store: its windows, its rejects and its ledger."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._native import Stored
from ..endpoint import Parquet, Sqlite
from ..errors import NotFound, UsageError
from ..ledger import Ledger
from ..pipeline import Pipeline
from .held import LEFT, Held, Rows, chosen, whole

_SCHEMES = ("sqlite:", "parquet:", "postgresql:", "postgres:", "cassandra:", "scylla:", "s3:", "hdfs:", "kafka:")
_FOLDERS = "parquet"
_REJECT = ("file", "line", "byte", "row", "column", "raw", "reason")
_LISTED = 1000

#: Name, kind, pipeline and zone of a table.
Noted = Sequence[str]


def is_store(data: str | os.PathLike[str]) -> bool:
    """Whether it names a store, not a file of readings."""
    text = os.fspath(data)
    if text.startswith(_SCHEMES):
        return True
    path = Path(text)
    if path.is_dir():
        return True
    return path.is_file() and path.open("rb").read(15) == b"SQLite format 3"


def read(data: str | os.PathLike[str]) -> Held:
    """The windows of the store that ``data`` names. Raises ``NotFound``, ``UsageError``."""
    text = os.fspath(data)
    at: Any = text if "://" in text else Parquet(text) if Path(text).is_dir() else Sqlite(text)
    # The one definition of what a URL says is the sink's.
    try:
        spec = Pipeline("report", source="-", grains="1h", sinks=at)._spec
    except UsageError as error:
        raise UsageError(str(error).removeprefix("sinks: ")) from None
    return _Store(json.loads(spec)["sinks"][0]).held(None)


def of_pipeline(pipeline: Pipeline) -> Held:
    """The windows of a pipeline's home, or of the first of its sinks that can be read."""
    sinks = json.loads(pipeline._spec)["sinks"]
    kept = [sink for sink in sinks if sink["endpoint"]["type"] not in ("memory", "kafka")]
    windows = next((sink for sink in kept if sink["what"] == "windows"), None)
    if windows is None:
        raise UsageError("none of the pipeline's sinks is a store with its windows, so they cannot be read back")
    return _Store(windows).held(pipeline)


def found(tables: Sequence[Noted], pipeline: str | None, table: str | None) -> Noted | None:
    """The table of windows that is meant, of rows (name, what, pipeline, ...); without a name the first."""
    meant = [t for t in tables if t[1] == "windows" and pipeline in (None, t[2])]
    # SQLite knows no upper and lower case in names.
    named = meant if table is None else [t for t in meant if t[0].lower() == table.lower()]
    return next(iter(named), None)


class _Store:
    """A store, as a sink names it."""

    def __init__(self, sink: Mapping[str, Any]) -> None:
        self._sink, at = sink, sink["endpoint"]
        self._stored = Stored(json.dumps(sink))
        self._folder = at["type"] == _FOLDERS
        self._place = str(at.get("path") or "") or self._stored.place()

    def held(self, pipeline: Pipeline | None) -> Held:
        """What is held of a pipeline, or in the table that the sink names, or the first."""
        tables = self._stored.tables()
        usual = None if pipeline is None else "" if self._folder else "windows"
        table = self._sink.get("table") or usual
        named = found(tables, pipeline.name if pipeline else None, table)
        if named is None and not (self._folder and pipeline is None):
            whose = f" of pipeline {pipeline.name!r}" if pipeline else ""
            raise NotFound(f"{self._place}: holds no table of windows{f' {table!r}' if table else ''}{whose}")
        # A folder of Parquet files that somebody else wrote notes nothing.
        name, _, owner, tz = named or (table or "", "windows", "", "UTC")
        place = f"{self._place}/{name}" if self._folder and name else self._place
        notes = _several(tables, name) if pipeline is None else []
        rows = self._windows(name, place, notes)
        books, schema = self._state(name, owner, pipeline)
        source = f"{place} (pipeline {owner})" if owner else place
        return Held(source, tz, rows, books, schema, self._rejects(tables, owner), notes)

    def _windows(self, table: str, place: str, notes: list[str]) -> dict[str, Rows]:
        mapped = self._sink.get("columns")
        pairs = [*mapped.items()] if mapped else [(name, name) for name in self._stored.columns(table)]
        theirs = {ours: name for name, ours in pairs}
        whole([*theirs], f"table {table!r} of {place}" if table else place)
        there = self._stored.counts(table, theirs["grain"])
        names = ["sensor_id", *(n for n in theirs if _shown(n)), *({"revision"} & {*theirs})]
        columns = [(theirs[name], name) for name in names]
        return {
            grain: _newest(names, self._stored.rows(table, columns, (theirs["grain"], grain), None).rows())
            for grain in chosen(there, notes)
        }

    def _state(self, table: str, owner: str, pipeline: Pipeline | None) -> tuple[Ledger | None, Any]:
        """The books and the declaration, where they are: a pipeline knows its home, a table may be in it."""
        if pipeline is not None:
            return pipeline.state().ledger, json.loads(pipeline._spec).get("schema")
        held = self._stored.state(table, owner) if owner else None
        if held is None:
            return None, None
        totals = json.loads(held[0])["totals"]
        return Ledger(totals) if totals else None, json.loads(held[1])["schema"] if held[1] else None

    def _rejects(self, tables: Sequence[Noted], owner: str) -> list[tuple[Any, ...]]:
        table = next((t[0] for t in tables if t[1] == "rejects" and t[2] == owner), None)
        if table is None or self._folder:
            return []
        there = {*self._stored.columns(table)}
        columns = [(name, name) for name in _REJECT if name in there]
        rows = self._stored.rows(table, columns, None, _LISTED).rows()
        places = [[name for name, _ in columns].index(n) if n in there else None for n in _REJECT]
        return [tuple(None if at is None else row[at] for at in places) for row in rows]


def _shown(name: str) -> bool:
    """Whether a column of ours is read: those of windows that pages show. Others than ours have no known values."""
    ends = ("_energy_wh", "_stddev", "_count", "_first", "_mean", "_last", "_sum", "_min", "_max", "_reading")
    known = ("window_start", "window_label", "readings", "expected", "missing")
    return name not in (*LEFT, "sensor_id") and (name in known or name.endswith(ends))


def _newest(names: list[str], rows: list[tuple[Any, ...]]) -> Rows:
    """Of a window that is there in several revisions, the newest."""
    if names[-1] != "revision":
        return names, rows
    at = names.index("window_start")
    newest: dict[tuple[Any, Any], tuple[Any, ...]] = {}
    for row in rows:
        key = (row[0], row[at])
        if key not in newest or newest[key][-1] <= row[-1]:
            newest[key] = row
    return names[:-1], [row[:-1] for row in newest.values()]


def _several(tables: Sequence[Noted], shown: str) -> list[str]:
    others = [t[0] for t in tables if t[1] == "windows" and t[0] != shown]
    return [f"the store holds other tables of windows, not shown here: {', '.join(others)}"] if others else []
