"""wattline: interval readings from files and streams into calendar windows in a store.

Nothing lost, nothing counted twice, and books that show it.

>>> import wattline as wl
>>> t = wl.read_csv("household.txt.gz", schema="household")
>>> w = wl.windows(t, ["1h", "1d", "1mo"])
>>> wl.Pipeline("home", source="household.txt.gz", schema="household", grains=["1h"], sinks="home.db").run()
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import plot
    from ._native import Reader, Schema, Table, __version__
    from .endpoint import Cassandra, Parquet, Postgres, Sqlite
    from .errors import (
        AmbiguousDates,
        AmbiguousZone,
        DataLost,
        EndpointError,
        Fenced,
        Interrupted,
        LedgerError,
        NoSuchGrain,
        NotFound,
        RejectLimit,
        SchemaError,
        SpecChanged,
        TimedOut,
        UsageError,
        WattlineError,
    )
    from .kafka import Kafka, produce, read_kafka, scan_kafka
    from .ledger import Ledger
    from .page import Page, report_page
    from .pipeline import Pipeline
    from .reading import read_csv, replay, scan_csv, sniff
    from .report import Report
    from .sink import Sink
    from .source import simulate
    from .state import Finding, Findings, State
    from .watch import Live, live
    from .window import Windows, windows

# Everything is imported when it is first used, so that `import wattline` costs next to nothing.
_ROOMS = {
    "_native": ["Reader", "Schema", "Table", "__version__"],
    "endpoint": ["Cassandra", "Parquet", "Postgres", "Sqlite"],
    "errors": [
        "AmbiguousDates",
        "AmbiguousZone",
        "DataLost",
        "EndpointError",
        "Fenced",
        "Interrupted",
        "LedgerError",
        "NoSuchGrain",
        "NotFound",
        "RejectLimit",
        "SchemaError",
        "SpecChanged",
        "TimedOut",
        "UsageError",
        "WattlineError",
    ],
    "kafka": ["Kafka", "produce", "read_kafka", "scan_kafka"],
    "ledger": ["Ledger"],
    "page": ["Page", "report_page"],
    "pipeline": ["Pipeline"],
    "reading": ["read_csv", "replay", "scan_csv", "sniff"],
    "report": ["Report"],
    "sink": ["Sink"],
    "source": ["simulate"],
    "state": ["Finding", "Findings", "State"],
    "watch": ["Live", "live"],
    "window": ["Windows", "windows"],
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "AmbiguousDates",
    "AmbiguousZone",
    "Cassandra",
    "DataLost",
    "EndpointError",
    "Fenced",
    "Finding",
    "Findings",
    "Interrupted",
    "Kafka",
    "Ledger",
    "LedgerError",
    "Live",
    "NoSuchGrain",
    "NotFound",
    "Page",
    "Parquet",
    "Pipeline",
    "Postgres",
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
    "live",
    "plot",
    "produce",
    "read_csv",
    "read_kafka",
    "replay",
    "report_page",
    "scan_csv",
    "scan_kafka",
    "simulate",
    "sniff",
    "windows",
]


def __getattr__(name: str) -> object:
    room = _ROOM_OF.get(name)
    if room is None and name != "plot":
        raise AttributeError(f"module 'wattline' has no attribute {name!r}")
    from importlib import import_module

    if room is None:
        return import_module("wattline.plot")
    found: object = getattr(import_module(f"wattline.{room}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
