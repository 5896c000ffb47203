"""Calendar windows of data at hand: ``windows``."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Unpack

from . import _native, display
from ._native import Table
from .errors import Interrupted, NoSuchGrain
from .ledger import Ledger
from .options import Data, WindowOptions, known, spec, split
from .progress import shown
from .report import Report

__all__ = ["Windows", "windows"]


class Windows:
    """A table for each grain: ``w["1d"]``; also ``len``, ``in``, ``keys``, ``values``, ``items``, ``get``, ``dict(w)``.

    Also an Arrow stream of all grains, one after the other, with the same columns: ``pl.DataFrame(w)``,
    ``pa.table(w)``. (Not a subclass of ``Mapping``, which polars would take for columns.) ``late``: readings put aside,
    with the reason; ``ledger``: the books; ``report``: what the run did.
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
        if grain not in self._tables:
            raise NoSuchGrain(f"there are no windows of {grain!r}; there are {', '.join(self._tables)}")
        return self._tables[grain]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __contains__(self, grain: object) -> bool:
        return grain in self._tables

    def keys(self) -> KeysView[str]:
        """The grains, finest first."""
        return self._tables.keys()

    def values(self) -> ValuesView[Table]:
        """The tables."""
        return self._tables.values()

    def items(self) -> ItemsView[str, Table]:
        """Grains and tables."""
        return self._tables.items()

    def get(self, grain: str, default: Table | None = None) -> Table | None:
        """The table of a grain, or ``default``."""
        return self._tables.get(grain, default)

    def to_arrow(self) -> Any:
        """All grains, one after the other, as a ``pyarrow.Table``; of one grain: ``w["1d"].to_arrow()``."""
        return _native.concat(list(self._tables.values())).to_arrow()

    def to_pandas(self) -> Any:
        """All grains, one after the other, as a ``pandas.DataFrame``."""
        return _native.concat(list(self._tables.values())).to_pandas()

    def to_polars(self) -> Any:
        """All grains, one after the other, as a ``polars.DataFrame``."""
        return _native.concat(list(self._tables.values())).to_polars()

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
    data: Data, grains: str | Sequence[str], *, progress: bool | None = None, **options: Unpack[WindowOptions]
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
    UTC. In files and tables nothing is late, whatever its order. A sum beyond the greatest float (1.8e308) is infinite;
    its mean is not.

    Raises ``SchemaError``, ``AmbiguousDates``, ``AmbiguousZone``, ``RejectLimit``, ``UsageError``, ``NotFound``,
    ``LedgerError``, ``Interrupted``.
    """
    known(options, WindowOptions, "windows")
    source, handed = split(data)
    told = spec({"source": source, "grains": grains, **options})
    control = _native.Control()
    with shown(progress, control) as tick:
        try:
            tables, late, report = _native.windows(told, handed, control, tick)
        except Interrupted as error:
            said = "interrupted before the end: nothing was kept or written; run again, it begins at the start"
            raise Interrupted(said, report=error.report) from None
    return Windows(dict(tables), late, report)
