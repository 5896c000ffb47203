"""Attributes travel with the readings: from files and topics to stores and tables that ask for them."""

import json
import sqlite3
import uuid
from csv import DictWriter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from cassandra.cluster import Cluster

import wattline as wl
from test_topic_source import make, send
from tests.services import Cassandra, Kafka, Postgres

START = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = wl.Schema.from_toml("""
tz = "UTC"
[time]
columns = ["time"]
[[columns]]
name = "sensor_id"
type = "text"
role = "sensor"
[[columns]]
name = "time"
type = "timestamp"
[[columns]]
name = "power"
type = "float"
measure = "power"
unit = "W"
[[columns]]
name = "status"
type = "text"
[[columns]]
name = "valve"
type = "boolean"
[[columns]]
name = "code"
type = "integer"
[[columns]]
name = "built"
type = "date"
""")


def reading(minute: int) -> dict:
    """A reading with its attributes; every fifth has none."""
    values = {"sensor_id": f"m{minute % 3}", "time": START + timedelta(minutes=minute), "power": minute + 0.5}
    if minute % 5 == 0:
        return {**values, "status": None, "valve": None, "code": None, "built": None}
    built = date(2020, 1, 1 + minute % 28)
    return {**values, "status": f'"{minute}", ä', "valve": minute % 2 == 0, "code": 2**40 + minute, "built": built}


def messages(minutes: range) -> list[tuple[str, bytes]]:
    return [(m["sensor_id"], json.dumps(m, default=lambda v: v.isoformat()).encode()) for m in map(reading, minutes)]


def landed(path: Path) -> list[tuple]:
    with sqlite3.connect(path) as store:
        return store.execute("SELECT power, status, valve, code, built FROM readings ORDER BY power").fetchall()


def due(minutes: range) -> list[tuple]:
    rows = [reading(m) for m in minutes]
    return [(r["power"], r["status"], r["valve"], r["code"], r["built"] and r["built"].isoformat()) for r in rows]


@pytest.fixture
def url(kafka: Kafka) -> str:
    return f"kafka://{kafka.bootstrap}/a-{uuid.uuid4().hex[:12]}"


def csv(path: Path, minutes: range) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = [{**r, "time": r["time"].isoformat()} for r in map(reading, minutes)]
        out = DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(rows)
    return path


@pytest.mark.parametrize("state", ["keyed", "shared"])
def test_json_messages_land_with_their_attributes(kafka: Kafka, url: str, tmp_path: Path, state: str) -> None:
    make(kafka, url, 2)
    store = tmp_path / "out.db"
    p = wl.Pipeline(
        "p", source=url, schema=SCHEMA, grains=["1h"], state=state, sinks=[wl.Sink(store), wl.Sink(store, "readings")]
    )
    send(kafka, url, messages(range(100)))
    p.run(until="now", progress=False)
    send(kafka, url, messages(range(100, 200)))
    p.run(until="now", progress=False)
    assert p.run(until="now", progress=False).ledger["readings"] == 0
    assert landed(store) == due(range(200))


@pytest.mark.parametrize("codec", ["json", "arrow"])
def test_a_file_goes_over_a_topic_of_either_codec(kafka: Kafka, url: str, tmp_path: Path, codec: str) -> None:
    path = csv(tmp_path / "a.csv", range(150))
    wl.produce(path, url, schema=SCHEMA, create=True, codec=codec, progress=False)
    store = tmp_path / "out.db"
    p = wl.Pipeline("p", source=url, schema=SCHEMA, grains=["1h"], sinks=wl.Sink(store, "readings"))
    p.run(until="now", progress=False)
    assert landed(store) == due(range(150))


def test_late_messages_keep_theirs_and_readings_go_on_to_a_topic(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    store, to = tmp_path / "out.db", f"{url}-out"
    sinks = [wl.Sink(store), wl.Sink(store, "late"), wl.Sink(to, "readings", columns={"p": "power", "s": "status"})]
    send(kafka, url, messages(range(120, 200)) + messages(range(1, 4)))
    wl.Pipeline("p", source=url, schema=SCHEMA, grains=["1h"], sinks=sinks).run(until="now", progress=False)
    with sqlite3.connect(store) as base:
        late = base.execute("SELECT power, status, valve, code, built FROM late ORDER BY power").fetchall()
    assert late == due(range(1, 4))
    sent = wl.read_kafka(
        to,
        until="now",
        schema=wl.Schema.from_toml("""
[[columns]]
name = "p"
type = "float"
[[columns]]
name = "s"
type = "text"
"""),
    ).to_arrow()
    told = {(r["p"], r["s"]) for r in sent.select(["p", "s"]).to_pylist()}
    assert told == {(r[0], r[1]) for r in due(range(120, 200)) + due(range(1, 4))}


def test_postgres_tables_of_theirs_and_of_ours(postgres: Postgres, tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", range(90))
    with psycopg.connect(postgres.url, autocommit=True) as link:
        link.execute("drop schema if exists attributes cascade; create schema attributes; set search_path = attributes")
        link.execute(
            "create table theirs (meter text, at timestamptz, state varchar, open boolean, code bigint, built date,"
            " note text default 'kept', primary key (meter, at))"
        )
        at = f"{postgres.url}?schema=attributes"
        columns = {"meter": "sensor_id", "at": "time", "state": "status", "open": "valve"}
        columns |= {"code": "code", "built": "built"}
        theirs = wl.Sink(at, "readings", table="theirs", columns=columns, on_same_time="raise")

        def pipeline(name: str, *sinks: wl.Sink) -> wl.Pipeline:
            return wl.Pipeline(name, source=path, schema=SCHEMA, grains=["1h"], sinks=list(sinks))

        pipeline("p", theirs, wl.Sink(at, "readings")).run(progress=False)
        names = ["status", "valve", "code", "built"]
        rows = [tuple(r[n] for n in names) for r in map(reading, range(90))]
        held = link.execute("select state, open, code, built, note from theirs order by at").fetchall()
        assert held == [(*row, "kept") for row in rows]
        assert link.execute(f"select {', '.join(names)} from readings order by time").fetchall() == rows
        kinds = "select data_type from information_schema.columns where table_name = 'readings' and column_name = %s"
        assert [link.execute(kinds, [n]).fetchone()[0] for n in names] == ["text", "boolean", "bigint", "date"]
        # A type that would change values, a column that is not there, a table from before.
        link.execute("create table narrow (meter text, at timestamptz, state integer, primary key (meter, at))")
        few = {name: columns[name] for name in ("meter", "at", "state")}
        wrong = wl.Sink(at, "readings", table="narrow", columns=few, on_same_time="last")
        assert any("declare it text" in f.message for f in pipeline("q", wrong).check() if f.level == "error")
        link.execute("alter table readings drop column status")
        with pytest.raises(wl.UsageError, match='run ALTER TABLE "readings" ADD COLUMN "status" text'):
            pipeline("p", theirs, wl.Sink(at, "readings")).run(progress=False)


def test_cassandra_tables_of_theirs_and_of_ours(cassandra: Cassandra, tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", range(90))
    name = f"t{uuid.uuid4().hex[:12]}"
    with Cluster([cassandra.addresses[0]], port=cassandra.port) as cluster, cluster.connect() as session:
        session.execute(
            f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
        )
        session.set_keyspace(name)
        theirs = "meter text, at timestamp, state text, open boolean, built date"
        session.execute(f"CREATE TABLE theirs ({theirs}, PRIMARY KEY (meter, at))")
        at = f"{cassandra.url}/{name}"
        columns = {"meter": "sensor_id", "at": "time", "state": "status", "open": "valve", "built": "built"}
        theirs = wl.Sink(at, "readings", table="theirs", columns=columns, on_same_time="last")
        p = wl.Pipeline("p", source=path, schema=SCHEMA, grains=["1h"], sinks=[theirs, wl.Sink(at, "readings")])
        p.run(progress=False)

        def shown(sql: str) -> list[tuple]:
            rows = sorted(session.execute(sql), key=lambda r: r[0])
            return [(r[1], r[2], r[3] and r[3].date()) for r in rows]

        rows = [(r["status"], r["valve"], r["built"]) for r in map(reading, range(90))]
        assert shown("SELECT at, state, open, built FROM theirs") == rows
        assert shown("SELECT time, status, valve, built FROM readings") == rows
        session.execute("ALTER TABLE readings DROP status")
        assert any('ADD "status" text' in f.message for f in p.check() if f.level == "error")
        with pytest.raises(wl.UsageError, match='run ALTER TABLE "readings" ADD "status" text'):
            p.run(progress=False)


def test_windows_alone_ask_for_none(tmp_path: Path) -> None:
    rows = [reading(m) for m in range(60)]
    table = pa.table({name: [r[name] for r in rows] for name in rows[0]})
    options = {"time": "time", "sensor": "sensor_id", "measures": ["power"]}
    # No store keeps lists: none is asked to.
    listed = table.append_column("parts", pa.array([[1, 2]] * 60))
    plain = table.select(["sensor_id", "time", "power"])
    due = wl.windows(plain, ["1h"], **options)["1h"].to_arrow()
    assert wl.windows(listed, ["1h"], **options)["1h"].to_arrow() == due
    told = {"source": listed, "grains": ["1h"], **options}
    wl.Pipeline("p", sinks=wl.Sink(tmp_path / "a.db"), **told).run(progress=False)
    with pytest.raises(wl.SchemaError, match='"parts" holds List'):
        wl.Pipeline("p", sinks=wl.Sink(tmp_path / "b.db", "readings"), **told).run(progress=False)
