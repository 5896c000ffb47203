"""A file that wattline writes is open in the same process through Python's own SQLite, as in a notebook."""

import sqlite3
import threading

import pytest

import wattline as wl
from conftest import python

START = "import sqlite3, sys, os, wattline as wl\nname, source = sys.argv[1:]\n"

LIVE = (
    START
    + """
p = wl.Pipeline("p", source=source, grains=["1min"], sinks=name, flush_interval="50ms", lateness="1min")
for n, report in enumerate(p.follow()):
    with sqlite3.connect(name) as reader:
        reader.execute("SELECT count(*) FROM windows").fetchone()
    reader.close()
    if n == 20:
        print(report.ledger["grains"]["1min"]["windows"], flush=True)
        os.kill(os.getpid(), 9)
"""
)


def rows(name, table="windows"):
    conn = sqlite3.connect(name)
    try:
        return conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        conn.close()


def test_flushes_stay_decided_while_another_sqlite_reads(tmp_path):
    name = tmp_path / "live.db"
    done = python(LIVE, name, "sim://?sensors=5&start=2024-01-01&end=2034-01-01&rate=6000")
    assert done.returncode == -9, done.stderr
    assert rows(name) >= int(done.stdout) > 100


def test_another_connection_stays_usable_after_a_run(tmp_path, write):
    name = tmp_path / "out.db"
    day = "time,power\n" + "".join(f"2024-01-01T{hour:02d}:00:00Z,1\n" for hour in range(24))
    p = wl.Pipeline("p", source=write(day), grains=["1h"], sinks=name)
    p.run(progress=False)
    mine = sqlite3.connect(name, isolation_level=None)
    assert mine.execute("SELECT count(*) FROM windows").fetchone() == (24,)
    write(day + "2024-01-02T00:00:00Z,1\n")
    p.run(progress=False)
    assert mine.execute("SELECT count(*) FROM windows").fetchone() == (25,)
    mine.execute("CREATE TABLE notes AS SELECT 1 AS one")
    written = python(
        "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT * FROM notes').fetchall())", name
    )
    mine.close()
    assert written.stdout.strip() == "[(1,)]", written.stderr
    assert sorted(f.name for f in tmp_path.glob("out.db*")) == ["out.db", "out.db.wattline-lock"]


def test_a_pipeline_of_many_flushes_into_parquet_runs_again(tmp_path):
    source = "sim://?sensors=3&start=2024-01-01&end=2024-02-01"
    p = wl.Pipeline("p", source=source, grains=["15min"], sinks=tmp_path / "out", flush_rows=1000)
    assert p.run(progress=False).flushes > 1
    assert p.run(progress=False).flushes == 0


def test_a_transaction_that_another_sqlite_has_open_is_waited_for(tmp_path, write):
    """Two that write at once would lose what one of them commits, though both are told that it is done."""
    name = tmp_path / "out.db"
    day = "time,power\n" + "".join(f"2024-01-01T{hour:02d}:00:00Z,1\n" for hour in range(24))
    source = write(day)
    quick = wl.Pipeline("p", source=source, grains=["1h"], sinks=wl.Sqlite(name, busy_timeout=0.2))
    quick.run(progress=False)
    mine = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
    mine.execute("CREATE TABLE notes (one)")
    mine.execute("BEGIN IMMEDIATE")
    mine.execute("INSERT INTO notes VALUES (1)")
    write(day + "2024-01-02T00:00:00Z,1\n")
    with pytest.raises(wl.EndpointError, match="another program"):
        quick.run(progress=False)
    later = threading.Timer(0.5, mine.execute, ["COMMIT"])
    later.start()
    patient = wl.Pipeline("p", source=source, grains=["1h"], sinks=wl.Sqlite(name, busy_timeout=30))
    assert patient.run(progress=False).totals["readings"] == 25
    later.join()
    mine.close()
    assert (rows(name), rows(name, "notes")) == (25, 1)
