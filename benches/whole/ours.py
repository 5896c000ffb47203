"""The whole way with wattline: what a user writes. Measured by benches/whole_way.py.

usage: ours.py send FILE SCHEMA TOPIC | land|share SCHEMA TOPIC POSTGRES CASSANDRA
"""

import contextlib
import sys

import wattline as wl


def send(file: str, schema: str, topic: str) -> None:
    wl.produce(file, topic, schema=schema, create={"partitions": 8}, progress=False)


def pipeline(schema: str, topic: str, *stores: str, group: str | None = None) -> wl.Pipeline:
    sinks = [wl.Sink(store, what) for store in stores for what in ("windows", "readings")]
    told = {"schema": schema, "grains": ["1h", "1d"], "lateness": "1h", "group": group}
    return wl.Pipeline("whole", source=topic, sinks=sinks, **told)


def land(*told: str) -> None:
    pipeline(*told).run(until="now", progress=False)


def share(*told: str) -> None:
    with contextlib.suppress(wl.Interrupted):
        for _ in pipeline(*told, group=told[1].rpartition("/")[2]).follow():
            pass


if __name__ == "__main__":
    {"send": send, "land": land, "share": share}[sys.argv[1]](*sys.argv[2:])
