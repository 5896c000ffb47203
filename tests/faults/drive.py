"""One run of the pipeline under test, in a process of its own so that it can be killed.

usage: drive.py FOLDER HOME [take_over]
"""

import json
import os
import sys
from pathlib import Path

import wattline as wl

GRAINS = ["15min", "1h", "1d", "1mo"]


def sinks(folder: Path, home: str, others: str) -> list[wl.Sink]:
    """HOME first: it decides. Each store takes windows, readings and (but for Parquet) rejects."""
    parquet, taking = folder / "parquet", ("windows", "readings", "rejects")
    found = {
        "sqlite": [wl.Sink(wl.Sqlite(folder / "out.db"), what) for what in taking],
        "parquet": [wl.Sink(wl.Parquet(parquet / what), what) for what in taking[:2]],
    }
    if "postgres" in home + others:
        url, schema = os.environ["WATTLINE_TEST_POSTGRES"], os.environ["WATTLINE_TEST_SCHEMA"]
        server = f"{url}{'&' if '?' in url else '?'}schema={schema}"
        found["postgres"] = [wl.Sink(server, what) for what in taking]
    if "cassandra" in home + others:
        keyspace = f"{os.environ['WATTLINE_TEST_CASSANDRA']}/{os.environ['WATTLINE_TEST_KEYSPACE']}"
        found["cassandra"] = [wl.Sink(keyspace, what) for what in taking]
    if "kafka" in home + others:
        server, name = os.environ["WATTLINE_TEST_KAFKA"], os.environ["WATTLINE_TEST_TOPIC"]
        options = f"state_topic={name}-state&partitions=2&transaction.timeout.ms=15000&retry_for=110&timeout=15s"
        found["kafka"] = [wl.Sink(f"{server}/{name}-{what}?{options}", what) for what in taking]
    if "s3" in home + others:
        bucket, _, query = os.environ["WATTLINE_TEST_S3"].partition("?")
        place = f"{bucket}/{os.environ['WATTLINE_TEST_PREFIX']}"
        found["s3"] = [wl.Sink(f"{place}/{what}?{query}", what) for what in taking[:2]]
    rest = [name for name in found if name != home and name in others]
    return [sink for name in (home, *rest) for sink in found[name]]


def pipeline(folder: Path, home: str, take_over: bool = False) -> wl.Pipeline:
    """SQLite and Parquet together, each taking windows, readings and rejects; HOME decides.

    HOME `postgres` (or `cassandra`, `kafka`, `s3`) decides for all three; `sqlite+postgres`: SQLite decides for all
    three; `only-cassandra`: no other store is written.
    """
    alone, home = home.startswith("only-"), home.removeprefix("only-")
    first = home.split("+")[0]
    return wl.Pipeline(
        "faults",
        source=str(folder / "in*.csv"),
        schema=str(folder / "schema.toml"),
        grains=GRAINS,
        sinks=sinks(folder, first, "" if alone else f"sqlite+parquet+{home}"),
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
