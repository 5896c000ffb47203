"""Windows into SQLite: wattline, Python's client and the bare Rust client upsert the same rows into a file each.

usage: python benches/files.py [--rows 500000] [--rounds 5] [-o out/files.md]

1min windows of seven measures, the key and settings of the table that wattline makes; rounds are interleaved, each
begins with no file. wattline's time is that of its decisions alone: rows, record and head in one transaction a flush.
The others write all rows in one transaction. `bare` is a Rust program with the client alone (benches/bare).
"""

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

import wattline as wl
from wattline.source import write_uci

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benches import bare
from benches.rates import asked, interleaved, show

KEYS = 3
OWN = ("wattline_head", "wattline_flush", "wattline_applied")


class Bench:
    """One set of rows, a fresh file for each contender and round."""

    def __init__(self, folder: Path, file: Path) -> None:
        self.folder, self.file, self.program = folder, file, bare.built()
        self.ours()
        with sqlite3.connect(self.at("ours")) as link:
            self.ddl = link.execute("select sql from sqlite_schema where name = 'windows'").fetchone()[0]
            self.page = link.execute("pragma page_size").fetchone()[0]
            found = link.execute("select * from windows order by sensor_id, grain, window_start")
            self.names = [column[0] for column in found.description]
            self.rows = found.fetchall()
        columns = dict(zip(self.names, map(list, zip(*self.rows, strict=True)), strict=True))
        self.arrow = bare.keep(pa.table(columns), folder / "rows.arrow")
        news = ", ".join(f"{name} = excluded.{name}" for name in self.names[KEYS:])
        key, marks = ", ".join(self.names[:KEYS]), ", ".join("?" for _ in self.names)
        self.upsert = f"insert into windows values ({marks}) on conflict ({key}) do update set {news}"

    def at(self, name: str) -> Path:
        return self.folder / f"{name}.db"

    def fresh(self, name: str) -> Path:
        for file in self.folder.glob(f"{name}.db*"):
            file.unlink()
        return self.at(name)

    def ours(self) -> float:
        self.fresh("ours")
        return self.ours_again()

    def ours_again(self) -> float:
        with sqlite3.connect(self.at("ours")) as link:
            for table in OWN:
                if link.execute("select 1 from sqlite_schema where name = ?", (table,)).fetchone():
                    link.execute(f"delete from {table}")
        link.close()
        sinks = wl.Sink(f"sqlite:///{self.at('ours')}")
        aggregates = ["mean", "energy"]
        p = wl.Pipeline(
            "bench", source=self.file, schema="household", grains="1min", aggregates=aggregates, sinks=sinks
        )
        return float(p.run(progress=False).timings["decide"])

    def empty(self, name: str) -> None:
        """A file with the table and settings of wattline's own."""
        link = sqlite3.connect(self.fresh(name))
        link.execute(f"pragma page_size = {self.page}")
        link.execute("pragma journal_mode = wal")
        link.execute(self.ddl)
        link.close()

    def bare(self) -> float:
        self.empty("bare")
        return self.bare_again()

    def bare_again(self) -> float:
        return bare.seconds(self.program, "sqlite", self.at("bare"), "windows", self.arrow, KEYS)

    def python(self) -> float:
        self.empty("python")
        return self.python_again()

    def python_again(self) -> float:
        link = sqlite3.connect(self.at("python"))
        link.execute("pragma synchronous = full")
        link.execute("pragma cache_size = -16384")
        began = time.perf_counter()
        with link:
            link.executemany(self.upsert, self.rows)
        spent = time.perf_counter() - began
        link.close()
        return spent


def main() -> int:
    given = asked(__doc__, rounds=5)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "household.txt"
        write_uci(file, rows=given.rows, seed=1)
        bench = Bench(Path(folder), file)
        contenders: dict[str, Callable[[], float]] = {
            "wattline, upsert with record and head, all new": bench.ours,
            "wattline, the same rows again": bench.ours_again,
            "bare rusqlite, all new": bench.bare,
            "bare rusqlite, the same rows again": bench.bare_again,
            "Python sqlite3 executemany, all new": bench.python,
            "Python sqlite3 executemany, the same rows again": bench.python_again,
        }
        spent = interleaved(contenders, given.rounds)
        count = len(bench.rows)
    title = f"{count:,} windows of {len(bench.names)} columns into SQLite"
    show(title, {name: [count / took for took in times] for name, times in spent.items()}, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
