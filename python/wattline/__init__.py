"""wattline: interval readings from files and streams into calendar windows in a store.

Nothing lost, nothing counted twice, and books that show it.

>>> import wattline as wl
>>> t = wl.read_csv("household.txt.gz", schema="household")
>>> w = wl.windows(t, ["1h", "1d", "1mo"])
>>> wl.Pipeline("home", source="household.txt.gz", schema="household", grains=["1h"], sinks="home.db").run()
"""

from ._native import Reader, Schema, Table, __version__
from .errors import (
    AmbiguousDates,
    AmbiguousZone,
    DataLost,
    EndpointError,
    Fenced,
    Interrupted,
    LedgerError,
    NotFound,
    RejectLimit,
    SchemaError,
    SpecChanged,
    TimedOut,
    UsageError,
    WattlineError,
)
from .pipeline import Pipeline
from .reading import read_csv, replay, scan_csv, sniff
from .report import Finding, Findings, Ledger, Report, State
from .sink import Parquet, Sink, Sqlite
from .source import simulate
from .window import Windows, windows

__all__ = [
    "AmbiguousDates",
    "AmbiguousZone",
    "DataLost",
    "EndpointError",
    "Fenced",
    "Finding",
    "Findings",
    "Interrupted",
    "Ledger",
    "LedgerError",
    "NotFound",
    "Parquet",
    "Pipeline",
    "Reader",
    "RejectLimit",
    "Report",
    "Schema",
    "SchemaError",
    "Sink",
    "SpecChanged",
    "Sqlite",
    "State",
    "Table",
    "TimedOut",
    "UsageError",
    "WattlineError",
    "Windows",
    "__version__",
    "read_csv",
    "replay",
    "scan_csv",
    "simulate",
    "sniff",
    "windows",
]
