"""One run of the pipeline under test, in a process of its own so that it can be killed.

usage: drive.py FOLDER HOME [take_over]
"""

import json
import os
import sys
from pathlib import Path

import wattline as wl

GRAINS = ["15min", "1h", "1d", "1mo"]


def pipeline(folder: Path, home: str, take_over: bool = False) -> wl.Pipeline:
    """SQLite and Parquet together, each taking windows, readings and rejects; HOME decides.

    HOME `postgres` (or `cassandra`, `kafka`) decides for all three; `sqlite+postgres`: SQLite decides for all three.
    """
    sqlite, parquet = wl.Sqlite(folder / "out.db"), folder / "parquet"
    sinks = {
        "sqlite": [wl.Sink(sqlite, what) for what in ("windows", "readings", "rejects")],
        "parquet": [wl.Sink(wl.Parquet(parquet / what), what) for what in ("windows", "readings")],
    }
    if "postgres" in home:
        url, schema = os.environ["WATTLINE_TEST_POSTGRES"], os.environ["WATTLINE_TEST_SCHEMA"]
        server = f"{url}{'&' if '?' in url else '?'}schema={schema}"
        sinks["postgres"] = [wl.Sink(server, what) for what in ("windows", "readings", "rejects")]
    if "cassandra" in home:
        keyspace = f"{os.environ['WATTLINE_TEST_CASSANDRA']}/{os.environ['WATTLINE_TEST_KEYSPACE']}"
        sinks["cassandra"] = [wl.Sink(keyspace, what) for what in ("windows", "readings", "rejects")]
    if "kafka" in home:
        server, name = os.environ["WATTLINE_TEST_KAFKA"], os.environ["WATTLINE_TEST_TOPIC"]
        taking = ("windows", "readings", "rejects")
        options = f"state_topic={name}-state&partitions=2&transaction.timeout.ms=15000&retry_for=110&timeout=15s"
        sinks["kafka"] = [wl.Sink(f"{server}/{name}-{what}?{options}", what) for what in taking]
    first = home.split("+")[0]
    others = [sink for name, taking in sinks.items() if name != first for sink in taking]
    return wl.Pipeline(
        "faults",
        source=str(folder / "in*.csv"),
        schema=str(folder / "schema.toml"),
        grains=GRAINS,
        sinks=[*sinks[first], *others],
        on_reject="collect",
        flush_rows=150,
        flush_interval="1ms",
        chunk_bytes=4096,
        waiting_rows=500,
        take_over=take_over,
    )


if __name__ == "__main__":
    report = pipeline(Path(sys.argv[1]), sys.argv[2], "take_over" in sys.argv[3:]).run(progress=False)
    print(json.dumps(report.summary()))
