"""Reading back what a pipeline has stored: the windows of SQLite or of a folder of Parquet files, and its ledger."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..endpoint import Sqlite
from ..errors import NotFound, UsageError
from ..ledger import Ledger
from ..pipeline import Pipeline
from .held import LEFT, Held, Rows, chosen, whole

_TIMES = ("window_start", "first_reading", "last_reading")


def is_store(data: str | os.PathLike[str]) -> bool:
    """Whether it names a store, not a file of readings."""
    text = os.fspath(data)
    if text.startswith(("sqlite:", "parquet:", "postgresql:", "cassandra:", "s3:", "hdfs:")):
        return True
    path = Path(text)
    if path.is_dir():
        return True
    return path.is_file() and path.open("rb").read(15) == b"SQLite format 3"


def read(data: str | os.PathLike[str]) -> Held:
    """The windows of the store that ``data`` names. Raises ``NotFound``, ``UsageError``."""
    text = os.fspath(data)
    scheme, _, rest = text.partition("://")
    if rest and scheme not in ("sqlite", "parquet"):
        raise UsageError(
            f"a page is made from SQLite, a folder of Parquet files or a file of readings, not from {scheme}; "
            "give the pipeline a Parquet sink beside, or name the file"
        )
    path = Path(rest or text)
    if not path.exists():
        raise NotFound(f"{path}: no such store")
    return _from(path)


def _from(path: Path, pipeline: str | None = None, table: str | None = None) -> Held:
    if not path.is_dir():
        return _of_sqlite(path, pipeline, table)
    from .parquet import of_folder

    return of_folder(path / table if table else path)


def of_pipeline(pipeline: Pipeline) -> Held:
    """The windows of a pipeline's home, or of the first of its sinks that can be read."""
    for sink in json.loads(pipeline._spec)["sinks"]:
        at = sink["endpoint"]
        if sink["what"] == "windows" and at["type"] in ("sqlite", "parquet"):
            held = _from(Path(at["path"]), pipeline.name, sink.get("table"))
            books = pipeline.state().ledger
            return Held(held.source, held.tz, held.rows, books, held.schema, held.rejects, held.notes)
    raise UsageError("none of the pipeline's sinks is SQLite or Parquet, so its windows cannot be read back")


def found(tables: Sequence[Sequence[str]], pipeline: str | None, table: str | None) -> Sequence[str] | None:
    """The table of windows that is meant, of rows (name, what, pipeline, ...); without a pipeline the first."""
    meant = [t for t in tables if t[1] == "windows" and pipeline in (None, t[2])]
    # SQLite knows no upper and lower case in names.
    named = [t for t in meant if t[0].lower() == (table or "windows").lower()]
    return next(iter(named if pipeline else meant), None)


def _of_sqlite(path: Path, pipeline: str | None = None, table: str | None = None) -> Held:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
        try:
            tables = store.execute("select name, what, pipeline, tz from wattline_table").fetchall()
        except sqlite3.Error as error:
            raise UsageError(f"{path}: no store of wattline ({error})") from None
        named = found(tables, pipeline, table)
        if named is None:
            raise NotFound(f"{path}: holds no table of windows" + (f" of pipeline {pipeline!r}" if pipeline else ""))
        asked = "select head from wattline_head where pipeline = ?"
        heads = [json.loads(head) for (head,) in store.execute(asked, named[2:3]) if head]
        rejects = next((t[0] for t in tables if t[1] == "rejects" and t[2] == named[2]), None)
        notes = _several(tables, named[0]) if pipeline is None else []
        return Held(
            f"{path} (pipeline {named[2]})",
            named[3],
            _windows(store, named[0], notes),
            _ledger(path, named[2], heads),
            json.loads(heads[0]["spec_json"])["schema"] if heads else None,
            _rejects(store, rejects) if rejects else (),
            notes,
        )


def _ledger(path: Path, pipeline: str, heads: Sequence[Mapping[str, Any]]) -> Ledger | None:
    """The books of one partition as the core reads them; those of several added."""
    if len(heads) == 1 and heads[0]["partition"] == 0:
        return Pipeline(pipeline, source="-", grains="1h", sinks=Sqlite(path)).state().ledger
    return Ledger(functools.reduce(_added, (head["totals"] for head in heads))) if heads else None


def _added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(one)
    for key, value in other.items():
        if isinstance(value, Mapping):
            out[key] = _added(one.get(key) or {}, value)
        elif isinstance(value, int):
            out[key] = (one.get(key) or 0) + value
    return out


def _several(tables: Sequence[Sequence[str]], shown: str) -> list[str]:
    others = [t[0] for t in tables if t[1] == "windows" and t[0] != shown]
    return [f"the store holds other tables of windows, not shown here: {', '.join(others)}"] if others else []


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _windows(store: sqlite3.Connection, table: str, notes: list[str]) -> dict[str, Rows]:
    columns = [row[1] for row in store.execute(f"pragma table_info({_quoted(table)})")]
    whole(columns, table)
    there = dict(store.execute(f"select grain, count(*) from {_quoted(table)} group by grain").fetchall())
    taken = ["sensor_id", *(c for c in columns if c not in (*LEFT, "sensor_id"))]
    select = f"select {', '.join(map(_quoted, taken))} from {_quoted(table)} where grain = ?"
    places = [taken.index(name) for name in _TIMES if name in taken]
    return {g: (taken, [_timed(row, places) for row in store.execute(select, (g,))]) for g in chosen(there, notes)}


def _timed(row: Sequence[Any], places: Sequence[int]) -> Sequence[Any]:
    out = list(row)
    for place in places:
        if out[place] is not None:
            out[place] = datetime.fromisoformat(str(out[place])).replace(tzinfo=UTC)
    return out


def _rejects(store: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    names = ("file", "line", "byte", "row", "column", "raw", "reason")
    there = [row[1] for row in store.execute(f"pragma table_info({_quoted(table)})")]
    listed = ", ".join(_quoted(name) if name in there else "null" for name in names)
    return store.execute(f"select {listed} from {_quoted(table)} limit 1000").fetchall()
