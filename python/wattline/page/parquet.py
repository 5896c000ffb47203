"""The windows in a folder of Parquet files, by pyarrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import NotFound


def windows_of(
    dataset: Any,
    path: Path,
    whole: Callable[[Sequence[str], object], None],
    chosen: Callable[[set[str]], list[str]],
) -> dict[str, tuple[Sequence[str], Sequence[Sequence[Any]]]]:
    """Rows by grain; of a window that is there in several revisions the newest."""
    files = [str(f) for f in sorted(path.rglob("*.parquet"))]
    if not files:
        raise NotFound(f"{path}: holds no Parquet files")
    table = dataset.dataset(files, format="parquet", partitioning=None)
    names = table.schema.names
    whole([*names, "grain"], path)
    return {grain: _grain(dataset, table, path, grain) for grain in chosen(_grains(table, path))}


def _grains(table: Any, path: Path) -> set[str]:
    if "grain" in table.schema.names:
        return set(table.to_table(columns=["grain"])["grain"].unique().to_pylist())
    return {
        part.removeprefix("grain=") for f in path.rglob("*.parquet") for part in f.parts if part.startswith("grain=")
    }


def _grain(dataset: Any, table: Any, path: Path, grain: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    if "grain" in table.schema.names:
        held = table.to_table(filter=dataset.field("grain") == grain)
    else:
        files = [str(f) for f in sorted(path.rglob("*.parquet")) if f"grain={grain}" in f.parts]
        held = dataset.dataset(files, format="parquet", partitioning=None).to_table()
    left = ("window_end", "duplicates", "estimated", "final", "grain", "revision")
    names = ["sensor_id", *(n for n in held.column_names if n not in (*left, "sensor_id"))]
    columns = [held[name].to_pylist() for name in names]
    newest: dict[tuple[Any, Any], tuple[int, Sequence[Any]]] = {}
    revisions = held["revision"].to_pylist() if "revision" in held.column_names else [0] * held.num_rows
    at = names.index("window_start")
    for revision, row in zip(revisions, zip(*columns, strict=True), strict=True):
        key = (row[0], row[at])
        if key not in newest or newest[key][0] <= revision:
            newest[key] = (revision, row)
    return names, [row for _, row in newest.values()]
