"""wattline: interval readings from files and streams into calendar windows in a store.

Nothing lost, nothing counted twice, and books that show it.
"""

from ._native import __version__
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
from .reading import Reader, read_csv, scan_csv, sniff
from .schema import Schema
from .table import Table

__all__ = [
    "AmbiguousDates",
    "AmbiguousZone",
    "DataLost",
    "EndpointError",
    "Fenced",
    "Interrupted",
    "LedgerError",
    "NotFound",
    "Reader",
    "RejectLimit",
    "Schema",
    "SchemaError",
    "SpecChanged",
    "Table",
    "TimedOut",
    "UsageError",
    "WattlineError",
    "__version__",
    "read_csv",
    "scan_csv",
    "sniff",
]
