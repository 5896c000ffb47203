"""A topic as the source of a pipeline, on a real broker: what runs decide goes on, each message counts once."""

import json
import sqlite3
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import wattline as wl
from test_kafka import QUIET, household, topic_of
from tests.services import Kafka

START = datetime(2007, 1, 1, tzinfo=UTC)


@pytest.fixture
def url(kafka: Kafka) -> Iterator[str]:
    yield f"kafka://{kafka.bootstrap}/s-{uuid.uuid4().hex[:12]}"


def make(kafka: Kafka, url: str, partitions: int = 1, **config: str) -> AdminClient:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, **QUIET})
    settings = {"retention.ms": "-1", **config}
    admin.create_topics([NewTopic(topic_of(url), partitions, config=settings)])[topic_of(url)].result()
    return admin


def reading(sensor: str, minute: int, power: object = 1.5, **more: object) -> bytes:
    time = (START + timedelta(minutes=minute)).isoformat()
    return json.dumps({"sensor_id": sensor, "time": time, "power": power, **more}).encode()


def send(kafka: Kafka, url: str, values: list, keyed: bool = True) -> None:
    """Sends ``(sensor, value)`` or ``(sensor, value, partition)``."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random", **QUIET})
    for sensor, value, *partition in values:
        where = {"partition": partition[0]} if partition else {}
        producer.produce(topic_of(url), value, key=sensor if keyed else None, **where)
    assert producer.flush(30) == 0


SCHEMA = wl.Schema.from_toml("""
tz = "UTC"
step = "1min"
[time]
columns = ["time"]
[[columns]]
name = "sensor_id"
type = "text"
role = "sensor"
[[columns]]
name = "time"
type = "timestamp"
role = "time"
[[columns]]
name = "power"
names = ["watts"]
type = "float"
role = "measure"
measure = "power"
unit = "W"
""")


def pipeline(url: str, tmp_path: Path, **options) -> wl.Pipeline:
    db = tmp_path / "out.db"
    sinks = [wl.Sink(db, what) for what in ("windows", "readings", "late", "rejects")]
    told = {"schema": SCHEMA, "grains": ["1h"], "sinks": sinks, **options}
    return wl.Pipeline("p", source=url, **told)


def rows(tmp_path: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(tmp_path / "out.db") as store:
        return store.execute(sql).fetchall()


def counts(tmp_path: Path) -> list[tuple]:
    return rows(tmp_path, "select sensor_id, readings, final from windows order by sensor_id, window_start")


def test_a_file_sent_and_read_gives_the_windows_of_the_file(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 3000)
    wl.produce(path, url, schema="household", create=True, progress=False)
    told = {"schema": "household", "grains": ["1h", "1d"]}
    report = wl.Pipeline("p", source=url, sinks=tmp_path / "out.db", **told).run(until="now", progress=False)
    assert report.ledger["readings"] == report.ledger["messages"] == 3000
    due = wl.windows(wl.read_csv(path, schema="household"), ["1h", "1d"])
    for grain in ("1h", "1d"):
        sql = "select window_start, global_active_power_mean, global_active_power_energy_wh, readings from windows"
        found = rows(tmp_path, f"{sql} where grain = '{grain}' order by window_start")
        table = due[grain].to_arrow()
        for at, name in enumerate(["global_active_power_mean", "global_active_power_energy_wh", "readings"]):
            assert [row[at + 1] for row in found] == table.column(name).to_pylist()


def test_the_next_run_goes_on_and_open_windows_stay_open(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    p = pipeline(url, tmp_path)
    send(kafka, url, [("a", reading("a", m)) for m in range(90)])
    assert p.run(until="now", progress=False).ledger["readings"] == 90
    assert counts(tmp_path) == [("a", 60, 1), ("a", 30, 0)]
    assert p.run(until="now", progress=False).ledger["messages"] == 0
    send(kafka, url, [("a", reading("a", m)) for m in range(90, 130)])
    report = p.run(until="now", progress=False)
    assert (report.ledger["readings"], report.totals["readings"]) == (40, 130)
    assert counts(tmp_path) == [("a", 60, 1), ("a", 60, 1), ("a", 10, 0)]


def test_an_empty_topic_is_read_once_there_is_something(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    p = pipeline(url, tmp_path)
    assert p.run(until="now", progress=False).ledger["messages"] == 0
    with pytest.raises(wl.SchemaError, match="holds no message yet"):
        pipeline(url, tmp_path, schema=None).run(until="now", progress=False)
    send(kafka, url, [("a", reading("a", 1))])
    assert p.run(until="now", progress=False).ledger["readings"] == 1


def test_rows_of_a_file_sent_twice_count_once(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 500)
    told = {"schema": "household", "mode": "fast", "progress": False}
    p = wl.Pipeline("p", source=url, schema="household", grains=["1d"], sinks=tmp_path / "out.db")
    wl.produce(path, url, create=True, **told)
    wl.produce(path, url, **told)
    first = p.run(until="now", progress=False).ledger
    assert (first["messages"], first["decoded"], first["repeated"]) == (1000, 500, 500)
    household(path, 700)
    wl.produce(path, url, **told)
    # The whole file again, 200 of its rows for the first time; a small file has another name when it has grown.
    second = p.run(until="now", progress=False)
    assert second.ledger["messages"] == 700
    assert second.totals["messages"] == second.totals["decoded"] + second.totals["repeated"] == 1700


def test_tables_without_a_name_are_not_repeats_of_each_other(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    for day in (0, 1):
        found = [json.loads(reading("a", m)) for m in range(1440 * day, 1440 * day + 5)]
        table = pa.Table.from_pylist([row | {"time": datetime.fromisoformat(row["time"])} for row in found])
        wl.produce(table, url, schema=SCHEMA, mode="fast", progress=False)
    ledger = pipeline(url, tmp_path).run(until="now", progress=False).ledger
    assert (ledger["readings"], ledger["repeated"]) == (10, 0)


def test_tombstones_and_dead_messages_are_counted_with_their_place(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    good = [("a", reading("a", m)) for m in range(3)]
    send(kafka, url, [*good, ("a", None), ("a", b"{no json"), ("a", reading("a", 5, "much")), ("a", reading("a", 6))])
    with pytest.raises(wl.RejectLimit, match="/0 offset 4") as told:
        pipeline(url, tmp_path).run(until="now", progress=False)
    assert (told.value.topic, told.value.partition, told.value.offset) == (topic_of(url), 0, 4)
    assert rows(tmp_path, "select count(*) from windows") == [(0,)]
    report = pipeline(url, tmp_path, on_reject="collect").run(until="now", progress=False)
    books = report.ledger
    assert (books["messages"], books["decoded"], books["tombstones"], books["dead"]) == (7, 4, 1, 2)
    assert (books["records"], books["accepted"], books["rejected"]) == (6, 4, 2)
    found = rows(tmp_path, 'select "file", "row", "column", raw from rejects order by "row"')
    stream = f"{topic_of(url)}/0"
    assert found == [(stream, 4, "", "{no json"), (stream, 5, "power", reading("a", 5, "much").decode())]
    with pytest.raises(wl.RejectLimit, match="more than 1 messages"):
        told_more = {"on_reject": "skip", "max_rejects": 1}
        wl.Pipeline("q", source=url, schema=SCHEMA, grains=["1h"], sinks=tmp_path / "q.db", **told_more).run(
            until="now"
        )


def test_what_retention_has_passed_is_lost_data(kafka: Kafka, url: str, tmp_path: Path) -> None:
    from confluent_kafka import TopicPartition

    admin = make(kafka, url)
    p = pipeline(url, tmp_path)
    send(kafka, url, [("a", reading("a", m)) for m in range(10)])
    p.run(until="now", progress=False)
    send(kafka, url, [("a", reading("a", m)) for m in range(10, 30)])
    cut = TopicPartition(topic_of(url), 0, 15)
    admin.delete_records([cut])[cut].result()
    for again in (p, pipeline(url, tmp_path, take_over=True)):
        with pytest.raises(wl.DataLost, match="offset 10 and begins at 15"):
            again.run(until="now", progress=False)
    assert counts(tmp_path) == [("a", 10, 0)]


def test_a_first_run_begins_where_it_is_told(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    send(kafka, url, [("a", reading("a", m)) for m in range(10)])
    p = pipeline(url, tmp_path, since="now")
    assert p.run(until="now", progress=False).ledger["messages"] == 0
    with pytest.raises(wl.UsageError, match="zone"):
        pipeline(url, tmp_path, since="2007-01-01T00:00:00").run(until="now", progress=False)


def test_arrow_messages_are_a_source(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 20_000)
    wl.produce(path, url, schema="household", codec="arrow", create=True, progress=False)
    sinks = [tmp_path / "out.db", wl.Sink(tmp_path / "out.db", "readings")]
    report = wl.Pipeline("p", source=url, grains=["1d"], sinks=sinks).run(until="now", progress=False)
    assert report.ledger["readings"] == 20_000 > report.ledger["messages"] == report.ledger["decoded"] > 0
    due = wl.windows(wl.read_csv(path, schema="household"), ["1d"])["1d"].to_arrow()
    found = rows(tmp_path, "select global_active_power_mean from windows order by window_start")
    assert [mean for (mean,) in found] == due.column("global_active_power_mean").to_pylist()
    # A reading's row is its place in the log: all differ, and rise with time.
    assert rows(tmp_path, 'select count(distinct "row") from readings') == [(20_000,)]
    times = rows(tmp_path, 'select time from readings order by "row"')
    assert times == sorted(times)


def test_messages_of_others(kafka: Kafka, url: str, tmp_path: Path) -> None:
    """Records as arrays, renames, extra fields, numbers as text, several time layouts in one topic; epochs declared."""
    make(kafka, url)
    values = [
        b'["a", "2007-01-01T00:00:00Z", 1]',
        b'{"time": "2007-01-01 00:01:00", "watts": "2.5", "sensor_id": "a", "site": {"x": [1, 2]}}',
        b'{"sensor_id":"a","time":"2007-01-01T01:02:00+01:00","Power":3e0}',
    ]
    send(kafka, url, [("a", value) for value in values])
    pipeline(url, tmp_path).run(until="now", progress=False)
    found = rows(tmp_path, "select time, power from readings order by time")
    assert found == [(f"2007-01-01 00:0{m}:00", v) for m, v in enumerate([1, 2.5, 3])]
    epochs = f"{url}-epochs"
    make(kafka, epochs)
    send(kafka, epochs, [("a", b'{"sensor_id":"a","time":1167609780,"power":4}')])
    schema = SCHEMA.replace(columns={"time": {"type": "epoch_seconds"}})
    wl.Pipeline("q", source=epochs, schema=schema, grains=["1h"], sinks=tmp_path / "q.db").run(until="now")
    with sqlite3.connect(tmp_path / "q.db") as store:
        assert store.execute("select window_start, power_mean from windows").fetchall() == [("2007-01-01 00:00:00", 4)]


def test_a_reading_behind_a_final_window_is_late(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    send(kafka, url, [("a", reading("a", m)) for m in (0, 10, 200, 5)])
    ledger = pipeline(url, tmp_path, lateness="30min").run(until="now", progress=False).ledger
    assert ledger["grains"]["1h"]["late"] == 1
    assert rows(tmp_path, "select power, reason from late") == [(1.5, "behind a final window")]


def test_aborted_transactions_are_unseen_and_leave_no_lag(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": uuid.uuid4().hex, **QUIET})
    producer.init_transactions(30)
    for number, ends in enumerate([True, False, True]):
        producer.begin_transaction()
        producer.produce(topic_of(url), reading("a", number), key="a")
        (producer.commit_transaction if ends else producer.abort_transaction)(30)
    p = pipeline(url, tmp_path)
    assert p.run(until="now", progress=False).ledger["messages"] == 2
    assert p.run(until="now", progress=False).ledger["messages"] == 0
    assert rows(tmp_path, "select count(*) from readings") == [(2,)]
