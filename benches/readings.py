"""Readings into Cassandra: wattline and the Python driver in one run, on one server, the same rows.

usage: python benches/readings.py [--rows 500000] [--rounds 3] [-o out/readings.md]

Each contender writes readings of seven measures into an empty table with the partition key (sensor_id, day); rounds
are interleaved, warm-up rounds are not counted. The slower ways write a part of the rows. wattline's time is that of
the whole run: a table in memory to rows, record and head, exactly once. `bare` is a Rust program with the driver alone
(benches/bare): prepared, unlogged batches of one partition, four tasks; what it does best with is found out first. Both
also write the wider table that wattline makes of its own, with quality, file, stream and row. The server is started as
the tests start it, with a heap of 2 GiB and the full compiler.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.concurrent import execute_concurrent, execute_concurrent_with_args
from cassandra.policies import RoundRobinPolicy
from cassandra.query import BatchStatement, BatchType

import wattline as wl
from wattline.source import write_uci

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benches import bare
from benches.rates import asked, interleaved, show
from tests.services import Cassandra

KEYSPACE = "bench"
MEASURES = ["global_active_power", "global_reactive_power", "voltage", "global_intensity"]
MEASURES += [f"sub_metering_{n}" for n in (1, 2, 3)]
COLUMNS = ["sensor_id", "day", "time", *MEASURES]
#: rows of a batch and batches on their way that the bare driver is tried with
LOADS = [(25, 32), (50, 16), (50, 32), (100, 4), (100, 16), (100, 32), (200, 16), (200, 32)]


class Bench:
    """One server, one table of readings, a fresh table of the store for each contender and round."""

    def __init__(self, server: Cassandra, readings: Any, folder: Path) -> None:
        self.server, self.readings, self.program = server, readings, bare.built()
        profile = ExecutionProfile(RoundRobinPolicy(), request_timeout=60)
        self.cluster = Cluster(["127.0.0.1"], port=server.port, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
        self.link = self.cluster.connect()
        replicas = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        self.link.execute(f"create keyspace {KEYSPACE} with replication = {replicas}")
        self.link.set_keyspace(KEYSPACE)
        measures = ", ".join(f"{name} double" for name in MEASURES)
        key = "primary key ((sensor_id, day), time)"
        self.columns = f"sensor_id text, day date, time timestamp, {measures}, {key}"
        self.link.execute(f"create table theirs ({self.columns})")
        marks = ", ".join("?" for _ in COLUMNS)
        self.insert = self.link.prepare(f"insert into theirs ({', '.join(COLUMNS)}) values ({marks})")
        frame = readings.to_polars()
        values = zip(*(frame[name].to_list() for name in MEASURES), strict=True)
        self.rows = [("house", at.date(), at, *row) for at, row in zip(frame["time"].to_list(), values, strict=True)]
        self.number = 0
        dated = frame.with_columns(pl.col("time").dt.date().alias("day"))
        self.files = {"theirs": bare.keep(dated.select(COLUMNS).to_arrow(), folder / "narrow.arrow")}
        self.load = LOADS[-1]
        self.ours(own=True)
        like = self.link.execute("select quality, file, stream from ours_1 limit 1").one()
        wide = [pl.lit(getattr(like, name)).alias(name) for name in ("quality", "file", "stream")]
        wide.append(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
        wide_rows = dated.select(*COLUMNS, *wide).to_arrow()
        self.files["ours_1"] = bare.keep(wide_rows, folder / "wide.arrow")

    def timed(self, rows: int, work: Callable[[], object]) -> float:
        """Rows a second."""
        self.link.execute("truncate theirs")
        began = time.perf_counter()
        work()
        return rows / (time.perf_counter() - began)

    def ours(self, own: bool = False) -> float:
        self.number += 1
        name, table = f"bench-{self.number}", f"ours_{self.number}" if own else f"theirs_{self.number}"
        mapped: dict[str, Any] = {}
        if not own:
            # A table belongs to one pipeline.
            self.link.execute(f"create table {table} ({self.columns})")
            mapped = {"columns": {column: column for column in COLUMNS}, "on_same_time": "last"}
        sink = wl.Sink(f"{self.server.url}/{KEYSPACE}", "readings", table=table, **mapped)
        p = wl.Pipeline(name, source=self.readings, grains="1mo", sinks=sink)
        rate = self.timed(len(self.rows), lambda: p.run(progress=False))
        if table != "ours_1":
            self.link.execute(f"drop table {table}")
        return rate

    def bare(self, load: tuple[int, int], table: str = "theirs") -> float:
        self.link.execute(f"truncate {table}")
        what = ("cassandra", f"127.0.0.1:{self.server.port}", f"{KEYSPACE}.{table}", self.files[table], *load)
        return len(self.rows) / bare.seconds(self.program, *what)

    def tune(self) -> None:
        """Finds what the bare driver does best with, in two passes over the better ones."""
        best = sorted(LOADS, key=self.bare, reverse=True)[:3]
        self.load = max(best, key=self.bare)

    def one_by_one(self, count: int) -> float:
        part = self.rows[:count]
        return self.timed(count, lambda: [self.link.execute(self.insert, row) for row in part])

    def concurrent(self, count: int) -> float:
        part = self.rows[:count]
        return self.timed(count, lambda: execute_concurrent_with_args(self.link, self.insert, part, concurrency=500))

    def batches(self, count: int) -> float:
        """Unlogged, 100 rows of one partition."""

        def statements() -> list[tuple[BatchStatement, None]]:
            made = []
            for _, day in groupby(self.rows[:count], key=lambda row: row[1]):
                rows = list(day)
                for at in range(0, len(rows), 100):
                    batch = BatchStatement(BatchType.UNLOGGED)
                    for row in rows[at : at + 100]:
                        batch.add(self.insert, row)
                    made.append((batch, None))
            return made

        return self.timed(count, lambda: execute_concurrent(self.link, statements(), concurrency=32))


def main() -> int:
    given = asked(__doc__, rounds=3)
    figures = {"heap": 2048, "jvm": ("-XX:TieredStopAtLevel=4",)}
    with tempfile.TemporaryDirectory() as folder, Cassandra(**figures) as server:
        write_uci(Path(folder, "household.txt"), rows=given.rows, seed=1)
        bench = Bench(server, wl.read_csv(Path(folder, "household.txt"), schema="household"), Path(folder))
        bench.tune()
        size, way = bench.load
        contenders: dict[str, Callable[[], float]] = {
            "wattline, rows with record and head": bench.ours,
            f"bare Rust driver, batches of {size}, {way} in flight": lambda: bench.bare(bench.load),
            "wattline, its own table of 14 columns": lambda: bench.ours(own=True),
            "bare Rust driver, that table": lambda: bench.bare(bench.load, "ours_1"),
            "cassandra-driver, prepared, one by one": lambda: bench.one_by_one(3_000),
            "cassandra-driver, execute_concurrent, 500": lambda: bench.concurrent(20_000),
            "cassandra-driver, unlogged batches of 100 in one partition": lambda: bench.batches(60_000),
        }
        interleaved(contenders, 1)
        rates = interleaved(contenders, given.rounds)
        bench.cluster.shutdown()
    show(f"{len(bench.rows):,} readings of {len(MEASURES)} measures into Cassandra", rates, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
