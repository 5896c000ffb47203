"""Cassandra as home and follower, against a real node: the same rows as SQLite, existing tables, refusals."""

import sqlite3
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from cassandra.cluster import Cluster, Session

import wattline as wl
from tests.services import Cassandra

GRAINS = ["15min", "1h", "1d"]


def connect(server: Cassandra) -> Session:
    cluster = Cluster([server.addresses[0]], port=server.port)
    return cluster.connect()


@pytest.fixture
def base(cassandra: Cassandra) -> Iterator[tuple[str, Session]]:
    """A keyspace of the test's own: its URL and a session of another client in it."""
    name = f"t{uuid.uuid4().hex[:12]}"
    session = connect(cassandra)
    session.execute(f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}")
    session.set_keyspace(name)
    yield f"{cassandra.url}/{name}", session
    session.cluster.shutdown()


def pipeline(
    uci: Path, *sinks: object, name: str = "home", grains: list[str] = GRAINS, **options: object
) -> wl.Pipeline:
    return wl.Pipeline(name, source=uci, schema="household", grains=grains, sinks=list(sinks), **options)


def plain(value: object) -> object:
    """A CQL value as SQLite gives it."""
    return value.strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else value


def compare(session: Session, path: Path, table: str, key: str) -> int:
    """Every column of every row; gives how many rows there are."""
    with sqlite3.connect(path) as file:
        file.row_factory = sqlite3.Row
        due = [dict(row) for row in file.execute(f"SELECT * FROM {table} ORDER BY {key}")]
    names = list(due[0])
    held = [{n: plain(getattr(row, n)) for n in names} for row in session.execute(f"SELECT * FROM {table}")]
    held.sort(key=lambda row: [row[k.strip()] for k in key.split(",")])
    assert held == due
    return len(due)


@pytest.mark.parametrize("home", ["cassandra", "sqlite"])
def test_both_stores_hold_the_same_whoever_decides(
    base: tuple[str, Session], uci: Path, tmp_path: Path, home: str
) -> None:
    url, session = base
    path = tmp_path / "out.db"
    stores = [[wl.Sink(at, "windows"), wl.Sink(at, "readings")] for at in (url, wl.Sqlite(path))]
    first, second = stores if home == "cassandra" else stores[::-1]
    report = pipeline(uci, *first, *second, flush_rows=9_000, flush_interval="1ms").run(progress=False)
    assert report.flushes >= 1
    assert compare(session, path, "windows", "sensor_id, grain, window_start") > 2_000
    with sqlite3.connect(path) as file:
        readings = file.execute("SELECT count(*) FROM readings").fetchone()[0]
    assert session.execute("SELECT count(*) FROM readings").one()[0] == readings
    again = pipeline(uci, *first, *second, flush_rows=9_000, flush_interval="1ms").run(progress=False)
    assert again.flushes == 0


def test_records_are_gone_when_every_sink_shows_them(base: tuple[str, Session], uci: Path) -> None:
    url, session = base
    pipeline(uci, url).run(progress=False)
    kinds = [row.kind for row in session.execute("SELECT kind FROM wattline_flush")]
    assert "effects" not in kinds, kinds


def test_a_grown_file_continues_the_same_windows(base: tuple[str, Session], uci: Path, tmp_path: Path) -> None:
    url, session = base
    path = tmp_path / "grows.txt"
    lines = uci.read_bytes().splitlines(keepends=True)
    for part in (lines[:20_001], lines):
        path.write_bytes(b"".join(part))
        pipeline(path, url).run(until="now", progress=False)
    whole = tmp_path / "whole.db"
    pipeline(uci, whole).run(until="now", progress=False)
    with sqlite3.connect(whole) as file:
        due = file.execute("SELECT sum(readings), count(*) FROM windows WHERE grain = '1h'").fetchone()
    rows = list(session.execute("SELECT readings FROM windows WHERE grain = '1h' ALLOW FILTERING"))
    assert (sum(r.readings for r in rows), len(rows)) == due


def test_a_table_keyed_by_uuid_as_people_have_it(base: tuple[str, Session], uci: Path) -> None:
    url, session = base
    session.execute(
        "CREATE TABLE power_consumption (id uuid PRIMARY KEY, timestamp timestamp, global_active_power float,"
        " voltage float, sub_metering_1 float)"
    )
    columns = {"id": "id", "timestamp": "time"} | {
        name: name for name in ("global_active_power", "voltage", "sub_metering_1")
    }
    table = wl.Sink(url, "readings", table="power_consumption", columns=columns)
    for name in ("one", "two"):
        if name == "two":
            with pytest.raises(wl.UsageError, match="belongs to the pipeline"):
                pipeline(uci, table, name=name).run(progress=False)
            continue
        report = pipeline(uci, table, name=name).run(progress=False)
    count = session.execute("SELECT count(*) FROM power_consumption").one()[0]
    assert count == report.ledger["readings"]
    row = next(iter(session.execute("SELECT * FROM power_consumption LIMIT 1")))
    assert isinstance(row.id, uuid.UUID)
    assert row.timestamp.replace(tzinfo=UTC).second == 0


def test_raw_rows_expire_and_aggregates_are_mapped(base: tuple[str, Session], uci: Path) -> None:
    url, session = base
    session.execute("CREATE TABLE sensor_data (sensor text, ts timestamp, voltage double, PRIMARY KEY (sensor, ts))")
    session.execute(
        "CREATE TABLE aggregated_sensor_data (sensor text, minute timestamp, avg_voltage double, n int,"
        " PRIMARY KEY (sensor, minute))"
    )
    minutes = {"sensor": "sensor_id", "minute": "window_start", "avg_voltage": "voltage_mean", "n": "readings"}
    sinks = [
        wl.Sink(url, "windows", table="aggregated_sensor_data", columns=minutes),
        wl.Sink(url, "readings", table="sensor_data", ttl="5min", on_same_time="last",
                columns={"sensor": "sensor_id", "ts": "time", "voltage": "voltage"}),
    ]  # fmt: skip
    pipeline(uci, *sinks, grains=["1min"]).run(progress=False)
    left = session.execute("SELECT TTL(voltage) AS ttl FROM sensor_data LIMIT 1").one().ttl
    assert 0 < left <= 300
    rows = list(session.execute("SELECT avg_voltage, n FROM aggregated_sensor_data WHERE n = 1 ALLOW FILTERING"))
    assert len(rows) > 30_000


def test_a_table_made_with_ttl_is_compacted_by_time(base: tuple[str, Session], uci: Path) -> None:
    url, session = base
    pipeline(uci, url, wl.Sink(url, "readings", ttl="1d")).run(progress=False)
    keyspace = url.rsplit("/", 1)[1]
    made = session.execute(
        "SELECT default_time_to_live AS ttl, compaction FROM system_schema.tables"
        " WHERE keyspace_name = %s AND table_name = 'readings'",
        [keyspace],
    ).one()
    assert made.ttl == 86_400
    assert made.compaction["class"].endswith("TimeWindowCompactionStrategy")


@pytest.mark.parametrize(
    ("ddl", "sink", "words"),
    [
        ("CREATE TABLE w (s text PRIMARY KEY, v double)", {"columns": {"s": "sensor_id", "v": "voltage_mean"}},
         "does not tell windows apart"),
        ("CREATE TABLE w (s text, t timestamp, v int, PRIMARY KEY (s, t))",
         {"columns": {"s": "sensor_id", "t": "window_start", "v": "voltage_mean"}}, "declared int"),
        ("CREATE TABLE w (s text, t timestamp, PRIMARY KEY (s, t))",
         {"columns": {"s": "sensor_id", "t": "window_start", "x": "voltage_mean"}}, "no column 'x'|no column \"x\""),
        ("CREATE TABLE w (s text, t timestamp, v double, PRIMARY KEY (s, t))",
         {"columns": {"s": "sensor_id", "v": "voltage_mean"}}, "key column \"t\" is not mapped"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_is_refused_before_row_one(
    base: tuple[str, Session], uci: Path, ddl: str, sink: dict, words: str
) -> None:
    url, session = base
    session.execute(ddl)
    with pytest.raises(wl.UsageError, match=words):
        pipeline(uci, wl.Sink(url, "windows", table="w", **sink), grains=["1h"]).run(progress=False)
    assert session.execute("SELECT count(*) FROM w").one()[0] == 0


def test_nobody_there_is_one_clear_sentence_without_the_password(uci: Path) -> None:
    sink = wl.Cassandra("127.0.0.1:1", keyspace="k", user="u", password="hunter2")
    assert "hunter2" not in repr(sink)
    with pytest.raises(wl.EndpointError, match=r"no node of cassandra://127\.0\.0\.1:1/k answers") as caught:
        pipeline(uci, sink).run(progress=False)
    assert "hunter2" not in str(caught.value)


def test_passwords_and_tls(uci: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Cassandra(auth=True, encrypted=True) as server:
        monkeypatch.setenv("CASSANDRA_PASSWORD", "cassandra")
        place = {"hosts": f"{server.addresses[0]}:{server.port}", "keyspace": "secured", "user": "cassandra"}
        good = wl.Cassandra(**place, password="${CASSANDRA_PASSWORD}", tls_ca=server.ca)
        report = pipeline(uci, good).run(progress=False)
        assert report.ledger["readings"] > 0
        wrong = wl.Cassandra(**place, password="wr0ng", tls_ca=server.ca)
        with pytest.raises(wl.EndpointError, match="refuses the login") as caught:
            pipeline(uci, wrong).run(progress=False)
        assert "wr0ng" not in str(caught.value)
        with pytest.raises(wl.EndpointError, match="answers"):
            pipeline(uci, wl.Cassandra(**place, password="cassandra")).run(progress=False)


def test_the_last_of_one_time_stands_wherever_its_batch_was_cut(base: tuple[str, Session]) -> None:
    """Rows of one key and one writer's time would be mixed cell by cell: the greater value wins there."""
    url, session = base
    session.execute("CREATE TABLE held (sensor text, at timestamp, v double, PRIMARY KEY (sensor, at))")
    at = [datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in (0, 1, 1, 2)]
    rows = pa.table({"sensor_id": ["a"] * 4, "time": at, "v": [1.0, 9.0, 2.0, 3.0]})
    cut = pa.Table.from_batches(rows.to_batches(max_chunksize=2))
    sink = wl.Sink(
        url, "readings", table="held", on_same_time="last", columns={"sensor": "sensor_id", "at": "time", "v": "v"}
    )
    p = wl.Pipeline("held", source=cut, grains=["1h"], sinks=[sink])
    p.run(progress=False)
    assert [row.v for row in session.execute("SELECT v FROM held")] == [1.0, 2.0, 3.0]
