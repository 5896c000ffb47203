"""The windows in a folder of Parquet files, by pyarrow, and their ledger where the folder is the home."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..endpoint import Parquet
from ..errors import NotFound, UsageError
from ..ledger import Ledger
from ..pipeline import Pipeline
from .held import LEFT, Held, Rows, chosen, whole


def of_folder(path: Path) -> Held:
    """What a folder holds. Raises ``NotFound``, and ``UsageError`` where pyarrow is not installed."""
    told, below = _told(path), []
    if not told:
        below = [p for p in _tables(path) if _told(p).get("what") == "windows"]
        path, told = (below[0], _told(below[0])) if below else (path, told)
    books, notes = _books(path, told.get("pipeline"))
    others = ", ".join(str(p) for p in below[1:])
    notes += [f"the folder holds other tables of windows, not shown here: {others}"] if others else []
    made = f" (pipeline {told['pipeline']})" if told else ""
    return Held(f"{path}{made}", told.get("tz", "UTC"), _windows(path, notes), books, notes=notes)


def _told(path: Path) -> dict[str, Any]:
    """What stands beside a table about it."""
    about = Path(f"{path}.wattline") / "table.json"
    return dict(json.loads(about.read_text("utf-8"))) if about.is_file() else {}


def _tables(path: Path) -> list[Path]:
    """Tables inside a folder, which are not of its own table."""
    return [p.with_suffix("") for p in sorted(path.rglob("*.wattline")) if (p / "table.json").is_file()]


def _books(path: Path, pipeline: str | None) -> tuple[Ledger | None, list[str]]:
    if pipeline is not None:
        try:
            return Pipeline(pipeline, source="-", grains="1h", sinks=Parquet(path)).state().ledger, []
        except NotFound:
            pass
    return None, ["the ledger is kept in the pipeline's home, which is another store than this folder"]


def _library() -> Any:
    try:
        return importlib.import_module("pyarrow.dataset")
    except ImportError:
        message = "Parquet files are read by pyarrow, which is not installed: pip install 'wattline[arrow]'"
        raise UsageError(message) from None


def _windows(path: Path, notes: list[str]) -> dict[str, Rows]:
    """Rows by grain; of a window that is there in several revisions the newest."""
    dataset, files = _library(), _files(path)
    if not files:
        raise NotFound(f"{path}: holds no Parquet files")
    table = dataset.dataset(files, format="parquet", partitioning=None)
    whole([*table.schema.names, "grain"], path)
    if "grain" in table.schema.names:
        counted = table.to_table(columns=["grain"])["grain"].value_counts().to_pylist()
        there = {str(one["values"]): int(one["counts"]) for one in counted}
        parts = {g: table.to_table(filter=dataset.field("grain") == g) for g in chosen(there, notes)}
    else:
        by_grain = {g: dataset.dataset(_files(path, g), format="parquet", partitioning=None) for g in _grains(path)}
        there = {g: part.count_rows() for g, part in by_grain.items()}
        parts = {g: by_grain[g].to_table() for g in chosen(there, notes)}
    return {grain: _newest(held) for grain, held in parts.items()}


def _files(path: Path, grain: str | None = None) -> list[str]:
    others = {folder for table in _tables(path) for folder in (table, Path(f"{table}.wattline"))}
    own = [f for f in sorted(path.rglob("*.parquet")) if others.isdisjoint(f.parents)]
    return [str(f) for f in own if grain is None or f"grain={grain}" in f.parts]


def _grains(path: Path) -> set[str]:
    """Those that folders are named for."""
    parts = {part for file in _files(path) for part in Path(file).parts}
    return {part.removeprefix("grain=") for part in parts if part.startswith("grain=")}


def _newest(held: Any) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    names = ["sensor_id", *(n for n in held.column_names if n not in (*LEFT, "sensor_id"))]
    columns = [held[name].to_pylist() for name in names]
    newest: dict[tuple[Any, Any], tuple[int, Sequence[Any]]] = {}
    revisions = held["revision"].to_pylist() if "revision" in held.column_names else [0] * held.num_rows
    at = names.index("window_start")
    for revision, row in zip(revisions, zip(*columns, strict=True), strict=True):
        key = (row[0], row[at])
        if key not in newest or newest[key][0] <= revision:
            newest[key] = (revision, row)
    return names, [row for _, row in newest.values()]
