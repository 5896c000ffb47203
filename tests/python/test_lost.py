"""Stores that lost what they showed: a run that goes on would hide it, so it is refused in one clear sentence."""

import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from cassandra.cluster import Cluster
from confluent_kafka.admin import AdminClient

import wattline as wl
from tests.services import S3, Cassandra, Kafka, Postgres

STORES = ["sqlite", "parquet", "s3", "kafka", "postgres", "cassandra"]


class Store:
    """A sink that windows go to, and how its table is taken away."""

    def __init__(self, sink: str, drop: Callable[[], object], empty: Callable[[], object] | None = None) -> None:
        self.sink, self.drop, self.empty = sink, drop, empty


def sqlite_store(path: Path) -> Store:
    def do(text: str) -> None:
        with sqlite3.connect(path) as base:
            base.execute(text)

    return Store(str(path), lambda: do("drop table windows"), lambda: do("delete from windows"))


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    name = f"lost_{uuid.uuid4().hex[:12]}"
    match request.param:
        case "sqlite":
            yield sqlite_store(tmp_path / "kept.db")
        case "parquet":
            folder = tmp_path / "kept"

            def empty() -> None:
                shutil.rmtree(folder)
                folder.mkdir()

            yield Store(str(folder), lambda: shutil.rmtree(folder), empty)
        case "s3":
            bucket: S3 = request.getfixturevalue("s3")
            yield Store(bucket.at(name), lambda: bucket.remove(f"{name}/"), lambda: bucket.remove(f"{name}/"))
        case "kafka":
            kafka: Kafka = request.getfixturevalue("kafka")
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

            def drop() -> None:
                admin.delete_topics([name])[name].result()
                while name in admin.list_topics(timeout=10).topics:
                    time.sleep(0.1)

            yield Store(f"kafka://{kafka.bootstrap}/{name}?state_topic={name}-state", drop)
        case "postgres":
            server: Postgres = request.getfixturevalue("postgres")
            with psycopg.connect(server.url, autocommit=True) as base:
                base.execute(f"create schema {name}")
                url = f"{server.url}{'&' if '?' in server.url else '?'}schema={name}"
                drop, empty = f"drop table {name}.windows", f"truncate {name}.windows"
                yield Store(url, lambda: base.execute(drop), lambda: base.execute(empty))
        case _:
            node: Cassandra = request.getfixturevalue("cassandra")
            with Cluster([node.addresses[0]], port=node.port) as cluster:
                session = cluster.connect()
                replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
                session.execute(f"CREATE KEYSPACE {name} WITH replication = {replication}")
                yield Store(f"{node.url}/{name}", lambda: session.execute(f"DROP TABLE {name}.windows"))


def grown(path: Path, hours: range) -> Path:
    lines = [f"2026-01-01T{h:02}:{m:02}:00Z,{h}\n" for h in hours for m in (0, 30)]
    before = path.read_text() if path.exists() else "at,kw\n"
    path.write_text(before + "".join(lines))
    return path


SCHEMA = wl.Schema.from_toml("""
tz = "UTC"
sensor_id = "a"
step = "30min"
[time]
columns = ["at"]
[[columns]]
name = "at"
type = "timestamp"
role = "time"
[[columns]]
name = "kw"
type = "float"
role = "measure"
measure = "power"
unit = "kW"
""")


def pipeline(tmp_path: Path, *sinks: object, hours: range, **options: object) -> wl.Pipeline:
    source = grown(tmp_path / "meter.csv", hours)
    return wl.Pipeline("meter", source=source, schema=SCHEMA, grains=["1h"], sinks=list(sinks), **options)


def refused(p: wl.Pipeline, kind: type[wl.WattlineError], *words: str) -> None:
    """Twice: what refuses must not mend what it refuses."""
    for _ in range(2):
        with pytest.raises(kind) as error:
            p.run(progress=False)
        for word in words:
            assert word in str(error.value), error.value


@pytest.mark.parametrize("store", STORES, indirect=True)
@pytest.mark.parametrize("place", ["home", "follower"])
def test_a_table_that_is_gone_is_told_and_reset_makes_it_anew(store: Store, place: str, tmp_path: Path) -> None:
    other = str(tmp_path / "other.db")
    sinks = [store.sink, other] if place == "home" else [other, store.sink]
    pipeline(tmp_path, *sinks, hours=range(3)).run(progress=False)
    store.drop()
    p = pipeline(tmp_path, *sinks, hours=range(3, 6))
    refused(p, wl.DataLost, "gone", '"meter"', "--reset", "new pipeline name")
    assert any("gone" in f.message for f in p.check() if f.level == "error")
    p.state(reset=True, yes=True)
    report = p.run(progress=False)
    assert report.totals["readings"] == 12
    assert report.ledger["grains"]["1h"]["windows"] == 6
    p.run(progress=False)


@pytest.mark.parametrize("store", ["sqlite", "postgres", "parquet", "s3"], indirect=True)
@pytest.mark.parametrize("place", ["home", "follower"])
def test_a_table_that_was_emptied_is_told(store: Store, place: str, tmp_path: Path) -> None:
    other = str(tmp_path / "other.db")
    sinks = [store.sink, other] if place == "home" else [other, store.sink]
    pipeline(tmp_path, *sinks, hours=range(3)).run(progress=False)
    assert store.empty is not None
    store.empty()
    p = pipeline(tmp_path, *sinks, hours=range(3, 6))
    refused(p, wl.DataLost, '"meter"', "--reset")
    p.state(reset=True, yes=True)
    assert p.run(progress=False).totals["readings"] == 12
    p.run(progress=False)


def test_tables_with_nothing_to_lose_stop_nobody(tmp_path: Path) -> None:
    """No late reading, no reject, no window yet; and old rows that were deleted."""
    sinks = [tmp_path / "a.db", wl.Sink(tmp_path / "b.db", "late"), wl.Sink(tmp_path / "c.db", "rejects")]
    pipeline(tmp_path, *sinks, hours=range(0)).run(progress=False)
    pipeline(tmp_path, *sinks, hours=range(3)).run(progress=False)
    with sqlite3.connect(tmp_path / "a.db") as base:
        base.execute("delete from windows where window_start < '2026-01-01 02:00:00'")
    pipeline(tmp_path, *sinks, hours=range(3, 6)).run(progress=False)
    with sqlite3.connect(tmp_path / "a.db") as base:
        assert base.execute("select count(*) from windows").fetchone() == (4,)


def test_one_published_file_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    pipeline(tmp_path, folder, hours=range(3)).run(progress=False)
    next(folder.rglob("part-*.parquet")).unlink()
    refused(pipeline(tmp_path, folder, hours=range(3, 6)), wl.DataLost, "part-0-1-1", "is gone")


def test_open_windows_that_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    path = tmp_path / "meter.csv"
    path.write_text("at,kw\n2026-01-01T00:10:00Z,1\n")
    p = pipeline(tmp_path, folder, hours=range(0))
    p.run(progress=False)
    opened = list(folder.rglob("open-*.parquet"))
    assert len(opened) == 1
    opened[0].unlink()
    refused(p, wl.DataLost, "open-0.parquet", "is gone")


@pytest.mark.parametrize("left", [0, 3, 700])
@pytest.mark.parametrize("cut", ["part-*.parquet", "open-*.parquet"])
def test_one_published_file_that_was_cut(tmp_path: Path, cut: str, left: int) -> None:
    folder = tmp_path / "out"
    path = tmp_path / "meter.csv"
    path.write_text("at,kw\n" + "".join(f"2026-01-01T0{h}:10:00Z,1\n" for h in range(3)))
    p = pipeline(tmp_path, folder, hours=range(3) if "part" in cut else range(0))
    p.run(progress=False)
    file = next(folder.rglob(cut))
    file.write_bytes(file.read_bytes()[:left])
    refused(p, wl.DataLost, file.name, "was cut short")


@pytest.mark.parametrize("by", ["date", "month"])
def test_old_folders_of_dates_may_go(by: str, tmp_path: Path) -> None:
    """Retention: a folder of a date goes as a whole; what is left goes on."""
    folder = tmp_path / "out"
    path = tmp_path / "meter.csv"
    path.write_text("at,kw\n" + "".join(f"2026-0{m}-01T{h:02}:00:00Z,1\n" for m in (1, 2, 3) for h in range(24)))
    sink = wl.Sink(wl.Parquet(folder, partition_by=by), "windows")
    pipeline(tmp_path, sink, hours=range(0)).run(progress=False)
    old = sorted(folder.glob("grain=1h/*=*"))
    shutil.rmtree(old[0])
    with path.open("a") as file:
        file.write("".join(f"2026-04-01T{h:02}:00:00Z,1\n" for h in range(24)))
    p = pipeline(tmp_path, sink, hours=range(0))
    p.run(progress=False)
    assert not old[0].exists()
    # And those of earlier publications one by one.
    for file in old[1].glob("*.parquet"):
        file.unlink()
    p.run(progress=False)


@pytest.mark.parametrize("kind", ["db", "parquet"])
def test_a_home_that_was_lost_beside_a_follower(kind: str, tmp_path: Path) -> None:
    home, kept = tmp_path / "home.db", tmp_path / f"kept.{kind}"
    kept = kept if kind == "db" else tmp_path / "kept"
    for hours in (range(1), range(1, 2), range(2, 3)):
        p = pipeline(tmp_path, home, kept, hours=hours)
        p.run(progress=False)
    copy = home.read_bytes()
    pipeline(tmp_path, home, kept, hours=range(3, 4)).run(progress=False)
    home.write_bytes(copy)
    refused(p, wl.DataLost, "older copy", "home.db", "kept")
    for file in tmp_path.glob("home.db*"):
        file.unlink()
    refused(p, wl.SpecChanged, "is new or was emptied", "home.db", "kept", "new name")


@pytest.mark.parametrize("place", ["home", "follower"])
def test_reset_counts_into_a_folder_once(place: str, tmp_path: Path) -> None:
    folder, other = tmp_path / "out", tmp_path / "other.db"
    sinks = [folder, other] if place == "home" else [other, folder]
    pipeline(tmp_path, *sinks, hours=range(3)).run(progress=False)
    p = pipeline(tmp_path, *sinks, hours=range(3, 6))
    p.state(reset=True, yes=True)
    p.run(progress=False)
    assert sum(pq.read_metadata(f).num_rows for f in folder.rglob("*.parquet")) == 6
    # What stood there is beside the table, where no reader looks.
    assert len(list(tmp_path.glob("out.wattline/p0/before-*/grain=1h/part-0-1-1-0.parquet"))) == 1


@pytest.mark.parametrize("place", ["home", "follower"])
def test_a_state_topic_that_is_gone_is_told(kafka: Kafka, place: str, tmp_path: Path) -> None:
    """The rows are there, how far they were counted is not: counted anew they would be there twice."""
    name = f"lost-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    sink = f"kafka://{kafka.bootstrap}/{name}?state_topic={name}-state"
    sinks = [sink] if place == "home" else [str(tmp_path / "other.db"), sink]
    pipeline(tmp_path, *sinks, hours=range(3)).run(progress=False)
    admin.delete_topics([f"{name}-state"])[f"{name}-state"].result()
    while f"{name}-state" in admin.list_topics(timeout=10).topics:
        time.sleep(0.1)
    p = pipeline(tmp_path, *sinks, hours=range(3, 6))
    refused(p, wl.DataLost, name, f"{name}-state", "not there", "another topic")
    assert any("not there" in f.message for f in p.check() if f.level == "error")
    other = [at.replace(f"/{name}?", f"/{name}-2?") for at in sinks]
    if place == "home":
        assert pipeline(tmp_path, *other, hours=range(6, 7)).run(progress=False).totals["readings"] == 14
