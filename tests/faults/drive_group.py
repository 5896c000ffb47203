"""One worker of a group over a topic, in a process of its own so that it can be killed.

usage: drive_group.py FOLDER URL GROUP INSTANCE, INSTANCE `-`: no fixed name, `now`: all partitions up to now, alone
"""

import json
import sys
from pathlib import Path
from typing import Any

import wattline as wl
from drive import GRAINS, sinks


def pipeline(folder: Path, url: str, **told: Any) -> wl.Pipeline:
    """PostgreSQL decides; Parquet and topics follow. Rows are in disorder over hours: nothing is late."""
    return wl.Pipeline(
        "faults",
        source=url,
        schema=str(folder / "schema.toml"),
        grains=GRAINS,
        sinks=sinks(folder, "postgres", "parquet+kafka"),
        lateness="12h",
        dedupe_for="3d",
        on_reject="collect",
        flush_rows=150,
        flush_interval="20ms",
        **told,
    )


if __name__ == "__main__":
    folder, url, group, instance = sys.argv[1:]
    if instance == "now":
        print(json.dumps(pipeline(Path(folder), url).run(until="now", progress=False).summary()))
    else:
        for _ in pipeline(Path(folder), url, group=group, instance=None if instance == "-" else instance).follow():
            pass
