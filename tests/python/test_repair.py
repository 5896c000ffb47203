"""Repairs of a stored pipeline: its offsets moved, its state dropped, written out, shared out over more partitions."""

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from cassandra.cluster import Cluster
from confluent_kafka.admin import NewPartitions

import wattline as wl
from conftest import shell
from test_kafka import topic_of
from test_topic_source import SCHEMA, START, make, reading, send
from tests.services import Cassandra, Kafka, Postgres

HOMES = ["sqlite", "parquet", "kafka", "postgres", "cassandra"]


@pytest.fixture
def url(kafka: Kafka) -> Iterator[str]:
    yield f"kafka://{kafka.bootstrap}/r-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def home(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> str:
    """A store of the kind that is asked for, as a sink."""
    name = f"r_{uuid.uuid4().hex[:12]}"
    match request.param:
        case "sqlite":
            return str(tmp_path / "home.db")
        case "parquet":
            return str(tmp_path / "home")
        case "kafka":
            return f"{url}-windows?state_topic={topic_of(url)}-state"
        case "postgres":
            server: Postgres = request.getfixturevalue("postgres")
            with psycopg.connect(server.url, autocommit=True) as base:
                base.execute(f"create schema {name}")
            return f"{server.url}{'&' if '?' in server.url else '?'}schema={name}"
        case _:
            node: Cassandra = request.getfixturevalue("cassandra")
            with Cluster([node.addresses[0]], port=node.port) as cluster:
                replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
                cluster.connect().execute(f"CREATE KEYSPACE {name} WITH replication = {replication}")
            return f"{node.url}/{name}"


def pipeline(url: str, home: str, tmp_path: Path, **options) -> wl.Pipeline:
    """The home, and a follower that can be looked into."""
    sinks = [home, wl.Sink(tmp_path / "seen.db", "windows")]
    return wl.Pipeline("p", source=url, schema=SCHEMA, grains=["1h"], sinks=sinks, **options)


def counts(tmp_path: Path) -> dict[str, int]:
    """Readings by sensor, of the hour that all are in."""
    with sqlite3.connect(tmp_path / "seen.db") as base:
        found = base.execute("select sensor_id, readings from windows").fetchall()
    assert len(dict(found)) == len(found)
    return dict(found)


@pytest.mark.parametrize("home", HOMES, indirect=True)
def test_seek_moves_where_reading_goes_on(kafka: Kafka, url: str, home: str, tmp_path: Path) -> None:
    make(kafka, url)
    send(kafka, url, [("a", reading("a", m)) for m in range(10)])
    p = pipeline(url, home, tmp_path)
    p.run(until="now", progress=False)
    send(kafka, url, [("a", reading("a", m)) for m in range(10, 20)])
    with pytest.raises(wl.UsageError, match="yes=True"):
        p.state(seek={0: 17})
    held = p.state(seek={0: 17}, yes="p")
    assert (held["positions"][0]["at"], held["head"]["n"] > 1) == (17, True)
    assert p.run(until="now", progress=False).ledger["readings"] == 3
    assert counts(tmp_path) == {"a": 13}
    p.state(seek={0: 0}, yes=True)
    report = p.run(until="now", progress=False)
    # What was counted is known as counted; what was passed over is not.
    assert report.ledger["messages"] == 20
    assert counts(tmp_path) == {"a": 20}
    with pytest.raises(wl.UsageError, match="no partition 3"):
        p.state(seek={3: 0}, yes=True)


@pytest.mark.parametrize("home", HOMES, indirect=True)
def test_seek_back_brings_back_what_a_load_sent(kafka: Kafka, url: str, home: str, tmp_path: Path) -> None:
    make(kafka, url)
    minutes = [START + timedelta(minutes=m) for m in range(20)]
    rows = pa.table({"sensor_id": ["a"] * 20, "time": minutes, "power": [1.5] * 20})
    wl.produce(rows.slice(0, 10), url, schema=SCHEMA, name="load")
    p = pipeline(url, home, tmp_path)
    p.run(until="now", progress=False)
    assert wl.produce(rows, url, schema=SCHEMA, name="load").ledger["readings"] == 10
    # Each load ends with the mark of its transaction, an offset too.
    p.state(seek={0: 18}, yes=True)
    assert p.run(until="now", progress=False).ledger["readings"] == 3
    assert counts(tmp_path) == {"a": 13}
    p.state(seek={0: 0}, yes=True)
    assert p.run(until="now", progress=False).ledger["messages"] == 20
    assert counts(tmp_path) == {"a": 20}
    # A seek forward forgets nothing: what was counted and is sent again is a repeat.
    p.state(seek={0: 22}, yes=True)
    wl.produce(rows, url, schema=SCHEMA, name="load", mode="fast")
    assert p.run(until="now", progress=False).ledger["repeated"] == 20


@pytest.mark.parametrize("home", HOMES, indirect=True)
def test_reset_counts_from_the_beginning(kafka: Kafka, url: str, home: str, tmp_path: Path) -> None:
    make(kafka, url, 2)
    send(kafka, url, [(s, reading(s, m)) for m in range(10) for s in "abcd"])
    p = pipeline(url, home, tmp_path)
    p.run(until="now", progress=False)
    held = p.state(reset=True, yes=True)
    assert (held["totals"]["readings"], held["watermark"]) == (0, None)
    assert p.run(until="now", progress=False).totals["readings"] == 40
    assert counts(tmp_path) == dict.fromkeys("abcd", 10)


@pytest.mark.parametrize("home", ["cassandra"], indirect=True)
def test_a_newer_format_is_refused(kafka: Kafka, url: str, home: str, cassandra: Cassandra, tmp_path: Path) -> None:
    make(kafka, url)
    send(kafka, url, [("a", reading("a", 0))])
    p = pipeline(url, home, tmp_path)
    p.run(until="now", progress=False)
    with Cluster([cassandra.addresses[0]], port=cassandra.port) as cluster:
        session = cluster.connect(home.rsplit("/", 1)[1])
        session.execute("UPDATE wattline_head SET format = 99 WHERE pipeline = 'p' AND partition = 0")
    with pytest.raises(wl.SpecChanged, match="upgrade"):
        p.state()
    with pytest.raises(wl.SpecChanged, match="upgrade"):
        p.state(reset=True, yes=True)


def test_nothing_is_repaired_under_an_owner_that_lives(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    send(kafka, url, [("a", reading("a", 0))])
    p = pipeline(url, str(tmp_path / "home.db"), tmp_path, flush_interval="10ms")
    begun, over = threading.Event(), threading.Event()

    def follow() -> None:
        for _ in p.follow():
            begun.set()
            over.wait(60)
            break

    run = threading.Thread(target=follow)
    run.start()
    try:
        assert begun.wait(60)
        with pytest.raises(wl.Fenced):
            pipeline(url, str(tmp_path / "home.db"), tmp_path).state(reset=True, yes=True)
    finally:
        over.set()
        run.join(60)
    assert p.state()["totals"]["readings"] == 1


def test_export_holds_heads_positions_and_open_windows(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url, 2)
    send(kafka, url, [(s, reading(s, m)) for m in range(10) for s in "ab"])
    p = pipeline(url, str(tmp_path / "home.db"), tmp_path)
    p.run(until="now", progress=False)
    p.state(export=tmp_path / "state.json")
    held = json.loads((tmp_path / "state.json").read_text())
    assert (held["format"], held["pipeline"]) == (1, "p")
    offsets = [p["at"] for part in held["partitions"] for p in part["head"]["positions"]]
    assert sum(offsets) == 20
    assert sorted((w["sensor_id"], w["readings"], w["final"]) for w in held["open_windows"]) == [
        ("a", 10, False),
        ("b", 10, False),
    ]
    assert {s["sensor_id"] for s in held["sensors"]} == {"a", "b"}


def test_the_shell_wants_the_name_typed(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    send(kafka, url, [("a", reading("a", 0))])
    p = pipeline(url, str(tmp_path / "home.db"), tmp_path)
    p.run(until="now", progress=False)
    definition = tmp_path / "p.toml"
    definition.write_text(p.to_toml())
    done = shell("state", definition, "--reset", input="q\n")
    assert (done.returncode, "not the pipeline's name" in done.stderr) == (2, True), done.stderr
    assert p.state()["totals"]["readings"] == 1
    done = shell("state", definition, "--export", tmp_path / "s.json", "--seek", "0=0", input="p\n")
    assert done.returncode == 0, done.stderr
    assert p.state()["positions"][0]["at"] == 0
    done = shell("state", definition, "--reset", "--yes")
    assert done.returncode == 0, done.stderr
    assert shell("state", definition, "--seek", "zero", "--yes").returncode == 2


@pytest.mark.parametrize("home", ["sqlite", "kafka"], indirect=True)
def test_windows_move_to_the_partitions_that_were_added(kafka: Kafka, url: str, home: str, tmp_path: Path) -> None:
    admin = make(kafka, url, 2)
    sensors = [f"s{n}" for n in range(24)]
    p = pipeline(url, home, tmp_path)
    send(kafka, url, [(s, reading(s, m)) for m in range(10) for s in sensors])
    p.run(until="now", progress=False)
    assert p.repartition(yes=True) == ["2 partitions as before: nothing to do"]
    for future in admin.create_partitions([NewPartitions(topic_of(url), 4)]).values():
        future.result()
    with pytest.raises(wl.SpecChanged, match="repartition"):
        p.run(until="now", progress=False)
    with pytest.raises(wl.UsageError, match="yes=True"):
        p.repartition()
    done = shell("repartition", "--yes", _toml(p, tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4
    open_ = p.state().open_windows.rows()
    assert sorted(row[0] for row in open_) == sorted(sensors), "each window is in one partition"
    send(kafka, url, [(s, reading(s, m)) for m in range(10, 20) for s in sensors])
    report = p.run(until="now", progress=False)
    assert report.ledger["readings"] == 240
    assert counts(tmp_path) == dict.fromkeys(sensors, 20)
    assert p.state()["totals"]["readings"] == 480


def _toml(p: wl.Pipeline, tmp_path: Path) -> Path:
    path = tmp_path / "p.toml"
    path.write_text(p.to_toml())
    return path


def test_messages_left_behind_are_told_before_windows_move(kafka: Kafka, url: str, tmp_path: Path) -> None:
    admin = make(kafka, url, 2)
    sensors = [f"s{n}" for n in range(24)]
    p = pipeline(url, str(tmp_path / "home.db"), tmp_path)
    send(kafka, url, [(s, reading(s, 0)) for s in sensors])
    p.run(until="now", progress=False)
    send(kafka, url, [(s, reading(s, 1)) for s in sensors])
    for future in admin.create_partitions([NewPartitions(topic_of(url), 3)]).values():
        future.result()
    with pytest.raises(wl.UsageError, match="multiple of 2"):
        p.repartition(yes=True)
    for future in admin.create_partitions([NewPartitions(topic_of(url), 4)]).values():
        future.result()
    with pytest.raises(wl.UsageError, match="before partitions are added"):
        p.repartition(yes=True)
