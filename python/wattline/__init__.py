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
    "RejectLimit",
    "SchemaError",
    "SpecChanged",
    "Table",
    "TimedOut",
    "UsageError",
    "WattlineError",
    "__version__",
]
