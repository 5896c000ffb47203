"""Calendar windows of data at hand: ``windows``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import _native, display
from ._native import Schema, Table
from .options import Aggregates, Data, OnConflict, OnDuplicate, OnLate, listed, spec, split
from .progress import shown
from .reading import OnMissing, OnReject, OnRepeated, Path
from .report import Ledger, Report

__all__ = ["Windows", "windows"]


class Windows(Mapping[str, Table]):
    """A table for each grain: ``w["1d"]``.

    Also an Arrow stream of all grains, one after the other, with the same columns. ``late``: readings put aside, with
    the reason; ``ledger``: the books; ``report``: what the run did.
    """

    def __init__(self, tables: Mapping[str, Table], late: Table, report: Report) -> None:
        self._tables = dict(tables)
        self.late = late
        self.report = report

    @property
    def ledger(self) -> Ledger:
        """The counters."""
        return self.report.ledger

    def __getitem__(self, grain: str) -> Table:
        return self._tables[grain]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __arrow_c_schema__(self) -> object:
        return next(iter(self._tables.values())).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return _native.concat(list(self._tables.values())).__arrow_c_stream__(requested_schema)

    def _rows(self) -> list[list[str]]:
        return [[grain, f"{len(table):,}"] for grain, table in self._tables.items()]

    def __repr__(self) -> str:
        if len(self) == 1:
            ((grain, table),) = self.items()
            return f"Windows of {grain}\n{table!r}"
        late = f"\n{len(self.late):,} late readings in .late" if len(self.late) else ""
        return "Windows\n" + display.grid(["grain", "windows"], self._rows(), [False, True]) + late

    def _repr_html_(self) -> str:
        if len(self) == 1:
            return next(iter(self._tables.values()))._repr_html_()
        return display.html(["grain", "windows"], self._rows(), [False, True], "Windows")


def windows(
    data: Data,
    grains: str | Sequence[str],
    *,
    schema: Schema | Path | None = None,
    tz: str | None = None,
    aggregates: Aggregates | None = None,
    time: str | None = None,
    sensor: str | Sequence[str] | None = None,
    measures: Sequence[str] | None = None,
    step: str | None = None,
    lateness: str = "0s",
    on_late: OnLate = "side",
    correct_for: str | None = None,
    idle: str | None = None,
    ahead: str = "1d",
    on_duplicate: OnDuplicate = "once",
    on_conflict: OnConflict = "keep",
    dedupe_for: str = "1h",
    on_repeated: OnRepeated = "raise",
    on_missing: OnMissing = "raise",
    on_reject: OnReject = "raise",
    max_rejects: int | None = None,
    chunk_bytes: int | None = None,
    waiting_rows: int | None = None,
    spill_dir: Path | None = None,
    progress: bool | None = None,
) -> Windows:
    """Calendar windows of ``data``, all ``grains`` from one pass.

    ``data``: a path, a glob, a list of paths, a ``Table``, a ``Reader``, or anything with the Arrow PyCapsule
    interface. ``grains``: ``1min 5min 15min 30min 1h 2h 3h 6h 12h 24h 1d 1w 1mo 1q 1y``, anchored as ``1d@06:00``,
    ``1w@sun``, ``1q@apr``, ``1y@apr``. ``schema``: as in ``read_csv``; for Arrow data ``time``, ``sensor``,
    ``measures`` and ``step`` say what the columns are where their types do not. ``tz``: IANA zone of the windows.
    ``aggregates``: a list for all measures or a dictionary by measure, of ``count sum mean min max first last stddev
    energy``; by default those of each measure's kind (energy in Wh). Of files only the ``measures`` named are read,
    which is faster: a fault in another column rejects no row, and ``readings`` are rows in which one of them has a
    value.

    Each table has ``sensor_id, grain, window_start, window_end, window_label, readings, expected, missing, duplicates,
    estimated, first_reading, last_reading, revision, final`` and ``<measure>_<aggregate>``; times are microseconds in
    UTC. In files and tables nothing is late, whatever its order.

    Raises ``SchemaError``, ``AmbiguousDates``, ``AmbiguousZone``, ``RejectLimit``, ``UsageError``, ``NotFound``,
    ``LedgerError``, ``Interrupted``.
    """
    options: dict[str, Any] = dict(locals())
    source, handed = split(options.pop("data"))
    del options["progress"]
    options |= {"source": source, "grains": listed(grains), "sensor": None if sensor is None else listed(sensor)}
    control = _native.Control()
    with shown(progress, control) as tick:
        tables, late, report = _native.windows(spec(options), handed, control, tick)
    return Windows(dict(tables), late, report)
