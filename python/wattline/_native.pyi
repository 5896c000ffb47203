"""The native half: what ``wattline`` wraps. Users find everything in ``wattline``."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, final

from .report import Report

__version__: str

@final
class Table:
    """Rows in memory, shared with any Arrow library without a copy.

    ``Table(data)`` takes anything with the Arrow PyCapsule interface; it gives its own again and again, to pyarrow,
    polars, pandas, duckdb and others. ``len`` is the number of rows; ``schema`` the declaration the rows were read by;
    ``rejects`` the records that could not be read (file, line, byte, row, column, raw, reason).
    """

    def __new__(cls, data: Any, /) -> Table: ...
    def __len__(self) -> int: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    @property
    def column_names(self) -> list[str]: ...
    @property
    def columns(self) -> list[str]:
        """The same as ``column_names``."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def head(self, n: int = 5) -> Table:
        """The first ``n`` rows."""

    def __getitem__(self, name: str, /) -> list[Any]:
        """The values of a column, as ``rows`` has them; ``select`` gives the column as a table."""

    @property
    def schema(self) -> Schema | None: ...
    @property
    def rejects(self) -> Table | None: ...
    def select(self, *names: str) -> Table:
        """The same rows, only these columns, in this order."""

    def rows(self) -> list[tuple[Any, ...]]:
        """All rows, one tuple each: numbers, texts, ``datetime`` in UTC, ``date``, ``time``, ``None``."""

    def to_arrow(self) -> Any:
        """The rows as a ``pyarrow.Table``, without a copy."""

    def to_pandas(self) -> Any:
        """The rows as a ``pandas.DataFrame``."""

    def to_polars(self) -> Any:
        """The rows as a ``polars.DataFrame``."""

    def write(self, path: str | os.PathLike[str], /, *, format: str | None = None) -> None:
        """Writes the rows to a file (``-``: standard output) as ``csv``, ``json``, ``parquet`` or ``arrow``.

        Without ``format`` the ending says which. The file appears whole or not at all.
        """

    def _holes(self, columns: tuple[str, Sequence[str], Sequence[str]], step: str) -> list[tuple[int, int]]: ...
    def _repr_html_(self) -> str: ...
    @staticmethod
    def _from_bytes(bytes: bytes, rejects: Table | None) -> Table: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Schema:
    """What the columns of a dataset are: types, roles, kinds, units, zone, stamp, step. Frozen and picklable.

    ``Schema(columns=[{"name": "power", "type": "float", "measure": "power", "unit": "kW"}, ...], tz=..., step=...)``
    declares one; ``wl.sniff`` proposes one; ``Schema.preset("household")`` names one. Unknown keys are refused.

    Each column has ``name`` (and ``names`` it may have in a header), ``type`` (``integer``, ``float``, ``boolean``,
    ``text``, ``date``, ``time``, ``timestamp``, ``epoch_seconds``, ``epoch_millis``), ``role`` (``sensor``, ``time``,
    ``measure``, ``quality``, ``attribute``, ``ignore``), ``measure`` (``power``, ``energy``, ``register``, ``gauge``),
    ``unit``, ``digits``, ``min``, ``max``. Beside them: ``sensor_id`` where no column says it, ``time``
    (``{"columns": [...], "order": "dmy"}``), ``tz``, ``stamp``, ``step`` (a duration, ``{"column": ...}`` in seconds,
    ``{"by_sensor": {...}}``), ``nulls``.

    An ``attribute`` is no part of windows: it travels with the readings to the sinks that take them. Two readings are
    equal, or in conflict, by their measures alone; of equal ones the first stays, with its attributes.

    ``quality``: ``{"column": "q", "values": {"A": "ok", "E": "estimated", "F": "bad"}}``; ``bad`` rows count in no
    window, ``estimated`` ones are counted beside, other texts are rejects.

    ``dialect``: ``delimiter``, ``quote``, ``header``, ``header_lines`` (names over several lines are joined by a
    space), ``preamble`` (lines before the header), ``comment`` (a sign lines begin with), ``footer`` (beginnings of
    lines that are no records: ``["Total"]``), ``decimal``, ``thousands``, ``encoding``.

    ``melt``: several values of one measure in a record become rows. ``{"into": "sensor", "value": {"name": "energy",
    "type": "float", "measure": "energy", "unit": "kWh"}}``: each column is a sensor, named by the header. ``"into":
    "time"``: a line a day, each column a ``step`` of it from the day's first instant in ``tz`` (23 or 25 hours where
    the clock changes; columns behind the day's end are empty). ``columns``: those to take; by default all not declared.
    """

    def __new__(cls, **declaration: Any) -> Schema: ...
    @staticmethod
    def preset(name: str) -> Schema:
        """The preset of that name."""

    @staticmethod
    def from_toml(source: str) -> Schema:
        """Reads a ``.toml`` file, or its text."""

    def to_toml(self) -> str:
        """The declaration as TOML."""

    def replace(self, **changes: Any) -> Schema:
        """The same with other values: ``replace(tz="Europe/Berlin", columns={"power": {"unit": "W"}})``.

        ``dialect``, ``time``, ``quality`` and ``columns`` given as dictionaries change only what they name.
        """

    @property
    def columns(self) -> dict[str, dict[str, Any]]: ...
    @property
    def name(self) -> str: ...
    @property
    def tz(self) -> str | None: ...
    def _json(self) -> str: ...
    def _found(self) -> tuple[list[tuple[str, str, str]], list[str]]: ...
    @staticmethod
    def _from_json(text: str) -> Schema: ...
    def _repr_html_(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Reader:
    """Rows that come once, in bounded memory: iterate (each item is a ``Table``), or hand it over as an Arrow stream.

    A second use raises ``UsageError``.
    """

    def __iter__(self) -> Iterator[Table]: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    @property
    def column_names(self) -> list[str]: ...
    @property
    def schema(self) -> Schema | None: ...
    def take_rejects(self) -> Table:
        """Records that could not be read, as far as the reading has come; each is given once."""

@final
class Control:
    """The wire to a run under way."""

    def __new__(cls) -> Control: ...
    def stop(self) -> None: ...
    def progress(self) -> tuple[int, int, int, int, int]: ...

@final
class Follow:
    """The reports of a run under way."""

    def __new__(cls, spec: str, data: Any, until: str | None, control: Control) -> Follow: ...
    def __iter__(self) -> Follow: ...
    def __next__(self) -> Report: ...
    def close(self) -> None: ...

def sniff(paths: Sequence[str], delimiter: str | None, header: bool | None, order: str | None) -> Schema: ...
def read_csv(
    paths: Sequence[str],
    schema: Any,
    columns: Sequence[str] | None,
    told: tuple[str, int | None, int | None, str, str, int | None],
) -> Table: ...
def scan_csv(
    paths: Sequence[str],
    schema: Any,
    columns: Sequence[str] | None,
    told: tuple[str, int | None, int | None, str, str, int | None],
) -> Reader: ...
def replay(mended: str, paths: Sequence[str], schema: Any, local: tuple[str, str]) -> Table: ...
def simulate(url: str) -> Table: ...
def write_uci(path: str, rows: int | None, seed: int) -> None: ...
def run(spec: str, data: Any, until: str | None, control: Control, tick: Callable[[], None] | None) -> Report: ...
def windows(
    spec: str, data: Any, control: Control, tick: Callable[[], None] | None
) -> tuple[list[tuple[str, Table]], Table, Report]: ...
def check(spec: str, data: Any) -> list[tuple[str, str, str]]: ...
def state(spec: str) -> tuple[str, list[Table]]: ...
def open_windows(spec: str) -> Table: ...
def partitions(spec: str) -> Table: ...
def sensors(spec: str) -> Table: ...
def repair(spec: str, what: str) -> list[str]: ...
def export_state(spec: str, path: str | os.PathLike[str]) -> None: ...
def checked_spec(json: str) -> str: ...
def spec_from_toml(text: str, given: Sequence[str], /) -> str: ...
def spec_to_toml(json: str) -> str: ...
def masked(url: str) -> str: ...
def redacted(text: str) -> str: ...
def read_text(path: str) -> str: ...
def produce(url: str, options: str, data: Any, control: Control, tick: Callable[[], None] | None) -> Report: ...
def read_kafka(url: str, options: str, schema: Any, control: Control) -> Table: ...
def scan_kafka(url: str, options: str, schema: Any) -> Reader: ...
def kafka_shown(url: str) -> str: ...
def dead_letters(url: str) -> Table: ...
def replay_letters(url: str, mended: dict[tuple[int, int], str]) -> tuple[int, int, int]: ...
def concat(tables: Sequence[Table]) -> Table: ...
