"""One run over a topic up to now, in a process of its own so that it can be killed.

usage: drive_topic.py FOLDER URL STATE
"""

import json
import sys
from pathlib import Path

import wattline as wl
from drive import GRAINS


def pipeline(folder: Path, url: str, state: str) -> wl.Pipeline:
    """SQLite decides; Parquet follows. Rows come in disorder over days: nothing is late, nothing is final."""
    sqlite, parquet = wl.Sqlite(folder / "out.db"), folder / "parquet"
    sinks = [wl.Sink(sqlite, what) for what in ("windows", "readings", "rejects")]
    sinks += [wl.Sink(wl.Parquet(parquet / what), what) for what in ("windows", "readings")]
    return wl.Pipeline(
        "faults",
        source=url,
        schema=str(folder / "schema.toml"),
        grains=GRAINS,
        sinks=sinks,
        state=state,
        lateness="90d",
        dedupe_for="90d",
        on_reject="collect",
        flush_rows=150,
        flush_interval="1ms",
    )


if __name__ == "__main__":
    report = pipeline(Path(sys.argv[1]), sys.argv[2], sys.argv[3]).run(until="now", progress=False)
    print(json.dumps(report.summary()))
