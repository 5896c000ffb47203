"""Windows into PostgreSQL: wattline and its peers in one run, on one server, the same rows.

usage: python benches/sinks.py [--rows 500000] [--rounds 5] [-o out/sinks.md]

Each contender writes the same 1min windows of seven measures into an empty table with the same primary key;
rounds are interleaved. wattline's time is that of its decisions alone: rows, record and head in one
transaction a flush. `bare` sends bytes that are ready, in the same portions, and knows no head. The server
is that of WATTLINE_TEST_POSTGRES, else one is started. Peers that are not installed are left out.
"""

import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg

import wattline as wl
from wattline.source import write_uci

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benches.rates import asked, interleaved, show

SCHEMA = "bench_sinks"
PORTION = 65_536
AGGREGATES = ["mean", "energy"]


@contextlib.contextmanager
def server() -> Iterator[str]:
    if told := os.environ.get("WATTLINE_TEST_POSTGRES"):
        yield told
        return
    from tests.services import Postgres

    with Postgres() as started:
        yield started.url


class Bench:
    """One server, one set of rows, a fresh table for each contender and round."""

    def __init__(self, url: str, file: Path) -> None:
        self.url, self.file = url, file
        self.link = psycopg.connect(url, autocommit=True)
        self.fresh()
        self.ours()
        self.link.execute("create temporary table kept as select * from windows")
        key = "select * from kept order by sensor_id, grain, window_start"
        self.rows = self.link.execute(key).fetchall()
        self.names = [column.name for column in self.link.execute("select * from kept limit 0").description]
        self.types = [c.type_display for c in self.link.execute("select * from kept limit 0").description]
        self.portions = [
            self.bytes_of(f"{key} limit {PORTION} offset {at}") for at in range(0, len(self.rows), PORTION)
        ]
        self.link.execute("create temporary table shape (like windows including all)")

    def bytes_of(self, select: str) -> bytes:
        held = io.BytesIO()
        with self.link.cursor().copy(f"copy ({select}) to stdout (format binary)") as out:
            for part in out:
                held.write(part)
        return held.getvalue()

    def fresh(self, table: bool = False) -> None:
        self.link.execute(f"drop schema if exists {SCHEMA} cascade; create schema {SCHEMA}; set search_path = {SCHEMA}")
        if table:
            self.link.execute("create table windows (like pg_temp.shape including all)")

    def ours(self) -> float:
        self.fresh()
        sink = wl.Sink(f"{self.url}?schema={SCHEMA}")
        p = wl.Pipeline("bench", source=self.file, schema="household", grains="1min", aggregates=AGGREGATES, sinks=sink)
        return float(p.run(progress=False).timings["decide"])

    def again(self) -> float:
        """The same rows once more, over those that are there: nothing changes."""
        self.link.execute("truncate wattline_head, wattline_flush, wattline_applied")
        sink = wl.Sink(f"{self.url}?schema={SCHEMA}")
        p = wl.Pipeline("bench", source=self.file, schema="household", grains="1min", aggregates=AGGREGATES, sinks=sink)
        return float(p.run(progress=False).timings["decide"])

    def timed(self, work: Callable[[psycopg.Connection], None]) -> float:
        with psycopg.connect(self.url, options=f"-c search_path={SCHEMA} -c temp_buffers=32MB") as link:
            began = time.perf_counter()
            work(link)
            link.commit()
            return time.perf_counter() - began

    def bare(self) -> float:
        self.fresh(table=True)
        return self.timed(self.upsert)

    def bare_again(self) -> float:
        return self.timed(self.upsert)

    def upsert(self, link: psycopg.Connection) -> None:
        link.execute("create temporary table stage on commit delete rows as select * from windows where false")
        outside = [name for name in self.names if name not in ("sensor_id", "grain", "window_start")]
        news = ", ".join(f"{name} = excluded.{name}" for name in outside)
        had, new = (", ".join(f"{of}.{name}" for name in outside) for of in ("had", "excluded"))
        for portion in self.portions:
            with link.cursor().copy("copy stage from stdin (format binary)") as into:
                into.write(portion)
            link.execute(
                f"insert into windows as had select * from stage on conflict (sensor_id, grain, window_start) "
                f"do update set {news} where ({had}) is distinct from ({new})"
            )
            link.commit()

    def psycopg_copy(self) -> float:
        self.fresh(table=True)

        def work(link: psycopg.Connection) -> None:
            with link.cursor().copy("copy windows from stdin (format binary)") as into:
                into.set_types(self.types)
                for row in self.rows:
                    into.write_row(row)

        return self.timed(work)

    def execute_values(self) -> float:
        import psycopg2
        from psycopg2.extras import execute_values

        self.fresh(table=True)
        part = self.rows[:5_000]
        with psycopg2.connect(self.url, options=f"-c search_path={SCHEMA}") as link, link.cursor() as cursor:
            began = time.perf_counter()
            execute_values(cursor, "insert into windows values %s", part, page_size=1000)
            link.commit()
            spent = time.perf_counter() - began
        link.close()
        return spent * len(self.rows) / len(part)

    def adbc(self) -> float:
        import adbc_driver_postgresql.dbapi as dbapi
        import pyarrow as pa

        self.fresh(table=True)
        columns = dict(zip(self.names, zip(*self.rows, strict=True), strict=True))
        table = pa.table({name: list(values) for name, values in columns.items()})
        with dbapi.connect(f"{self.url}?options=-csearch_path%3D{SCHEMA}") as link, link.cursor() as cursor:
            began = time.perf_counter()
            cursor.adbc_ingest("windows", table, mode="append")
            link.commit()
            return time.perf_counter() - began


def main() -> int:
    given = asked(__doc__, rounds=5)
    with tempfile.TemporaryDirectory() as folder, server() as url:
        file = Path(folder) / "household.txt"
        write_uci(file, rows=given.rows, seed=1)
        bench = Bench(url, file)
        contenders: dict[str, Callable[[], float]] = {
            "wattline, upsert with record and head, all new": bench.ours,
            "wattline, the same rows again": bench.again,
            "bare COPY + ON CONFLICT, all new": bench.bare,
            "bare COPY + ON CONFLICT, the same rows again": bench.bare_again,
            "psycopg3 COPY binary, plain": bench.psycopg_copy,
        }
        if find_spec("psycopg2"):
            contenders["psycopg2 execute_values, plain (5,000 rows, scaled)"] = bench.execute_values
        if find_spec("adbc_driver_postgresql"):
            contenders["ADBC ingest, plain"] = bench.adbc
        spent = interleaved(contenders, given.rounds)
        count = len(bench.rows)
        title = f"{count:,} windows of {len(bench.names)} columns into PostgreSQL"
        bench.link.execute(f"drop schema {SCHEMA} cascade")
    show(title, {name: [count / took for took in times] for name, times in spent.items()}, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
