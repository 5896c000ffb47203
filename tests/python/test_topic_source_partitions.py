"""Several partitions as one source: keyed, each under its own head; shared, merged by event time under one."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import wattline as wl
from test_topic_source import counts, make, pipeline, reading, rows, send
from tests.services import Kafka


@pytest.fixture
def url(kafka: Kafka) -> Iterator[str]:
    yield f"kafka://{kafka.bootstrap}/m-{uuid.uuid4().hex[:12]}"


def test_keyed_partitions_have_their_own_heads(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url, 4)
    sensors = [f"s{n}" for n in range(12)]
    send(kafka, url, [(s, reading(s, m, n + m)) for m in range(70) for n, s in enumerate(sensors)])
    p = pipeline(url, tmp_path, lateness="1min")
    report = p.run(until="now", progress=False)
    assert report.ledger["readings"] == 12 * 70
    due = [(s, n, final) for s in sorted(sensors) for n, final in ((60, 1), (10, 0))]
    assert counts(tmp_path) == due
    assert p.run(until="now", progress=False).ledger["messages"] == 0
    send(kafka, url, [("s3", reading("s3", 70))])
    assert p.run(until="now", progress=False).ledger["messages"] == 1


def test_messages_without_keys_want_shared_state(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url, 2)
    send(kafka, url, [("a", reading("a", m), m % 2) for m in range(20)], keyed=False)
    with pytest.raises(wl.SchemaError, match=r'no key.*state="shared"'):
        pipeline(url, tmp_path).run(until="now", progress=False)
    assert rows(tmp_path, "select count(*) from readings") == [(0,)]
    told = {"state": "shared", "sinks": tmp_path / "b.db"}
    assert pipeline(url, tmp_path, **told).run(until="now", progress=False).ledger["readings"] == 20


def test_keys_in_the_wrong_partition_are_refused(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url, 2)
    send(kafka, url, [("a", reading("a", m), m % 2) for m in range(20)])
    with pytest.raises(wl.SchemaError, match="murmur2_random") as told:
        pipeline(url, tmp_path).run(until="now", progress=False)
    assert told.value.partition in (0, 1)
    with pytest.raises(wl.SchemaError, match="at random"):
        pipeline(f"{url}?partitioner=random", tmp_path).run(until="now", progress=False)


def keyed_by(partition: int, count: int = 2) -> list[str]:
    """Keys that are no sensor and belong into this partition, by murmur2."""
    return {0: ["k3", "k4"], 1: ["k0", "k1"]}[partition][:count]


def refused(p: wl.Pipeline, tmp_path: Path) -> None:
    with pytest.raises(wl.SchemaError, match=r'not the sensor.*state="shared"') as told:
        p.run(until="now", progress=False)
    assert (told.value.partition in (0, 1), told.value.offset) == (True, 0)
    assert rows(tmp_path, "select count(*) from readings") == rows(tmp_path, "select count(*) from windows") == [(0,)]


def test_keys_that_are_not_the_sensor_are_refused_by_every_run(kafka: Kafka, url: str, tmp_path: Path) -> None:
    """One sensor under several keys, each in its partition: half an hour would replace the other half."""
    make(kafka, url, 2)
    keys = keyed_by(0) + keyed_by(1)
    send(kafka, url, [(keys[m % 4], reading("b", m)) for m in range(40)])
    for _ in range(3):
        refused(pipeline(url, tmp_path), tmp_path)
    told = {"state": "shared", "sinks": tmp_path / "b.db"}
    assert pipeline(url, tmp_path, **told).run(until="now", progress=False).ledger["readings"] == 40


@pytest.mark.parametrize("first", [0, 1])
def test_a_sensor_whose_second_key_comes_later_is_refused(kafka: Kafka, url: str, tmp_path: Path, first: int) -> None:
    """The run that saw the first partition is over when the other has its first message."""
    make(kafka, url, 2)
    send(kafka, url, [(keyed_by(first)[0], reading("b", m)) for m in range(20)])
    refused(pipeline(url, tmp_path), tmp_path)
    send(kafka, url, [(keyed_by(1 - first)[0], reading("b", m)) for m in range(20, 40)])
    refused(pipeline(url, tmp_path), tmp_path)


def test_a_sensor_that_was_counted_is_refused_in_another_partition(kafka: Kafka, url: str, tmp_path: Path) -> None:
    """A later run has nothing in memory: what it counted under the sensor's own key stays as it is."""
    make(kafka, url, 2)
    send(kafka, url, [("b", reading("b", m)) for m in range(20)])
    assert pipeline(url, tmp_path).run(until="now", progress=False).ledger["readings"] == 20
    send(kafka, url, [(keyed_by(p)[0], reading("b", m)) for m in range(20, 40) for p in (0, 1)])
    for _ in range(2):
        with pytest.raises(wl.SchemaError, match=r'state="shared"'):
            pipeline(url, tmp_path).run(until="now", progress=False)
    assert counts(tmp_path) == [("b", 20, 0)]


def test_other_partitioners_are_named(kafka: Kafka, url: str, tmp_path: Path) -> None:
    from confluent_kafka import Producer

    make(kafka, url, 3)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "consistent_random"})
    for n in range(30):
        producer.produce(url.rpartition("/")[2], reading(f"s{n}", 0), key=f"s{n}")
    producer.flush(30)
    with pytest.raises(wl.SchemaError, match="murmur2_random"):
        pipeline(url, tmp_path).run(until="now", progress=False)
    found = pipeline(f"{url}?partitioner=consistent_random", tmp_path).run(until="now", progress=False)
    assert found.ledger["readings"] == 30


def test_shared_partitions_are_replayed_by_event_time(kafka: Kafka, url: str, tmp_path: Path) -> None:
    """One sensor over three partitions, each with weeks of its own: none of it is late, whatever comes first."""
    make(kafka, url, 3)
    minutes = 40_000
    for partition in range(3):
        mine = range(partition, minutes, 3)
        send(kafka, url, [("a", reading("a", m), partition) for m in mine], keyed=False)
    report = pipeline(url, tmp_path, state="shared").run(until="now", progress=False)
    books = report.ledger["grains"]["1h"]
    assert (report.ledger["readings"], books["late"], books["windowed"]) == (minutes, 0, minutes)
    found = counts(tmp_path)
    assert [n for _, n, _ in found] == [60] * (minutes // 60) + [minutes % 60]
    assert [final for _, _, final in found][:-1] == [1] * (len(found) - 1)


def test_a_silent_partition_holds_the_watermark(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url, 3)
    send(kafka, url, [("a", reading("a", m), 0) for m in range(0, 600, 10)], keyed=False)
    send(kafka, url, [("b", reading("b", 5), 1)], keyed=False)
    p = pipeline(url, tmp_path, state="shared")
    p.run(until="now", progress=False)
    assert {final for _, _, final in counts(tmp_path)} == {0}
    send(kafka, url, [("b", reading("b", 65), 1)], keyed=False)
    report = p.run(until="now", progress=False)
    assert report.ledger["grains"]["1h"]["late"] == 0
    done = rows(tmp_path, "select sensor_id from windows where final = 1 order by sensor_id")
    assert done == [("a",), ("b",)]


def test_a_topic_made_anew_is_not_gone_on_with(kafka: Kafka, url: str, tmp_path: Path) -> None:
    admin = make(kafka, url)
    send(kafka, url, [("a", reading("a", m)) for m in range(5)])
    pipeline(url, tmp_path).run(until="now", progress=False)
    topic = url.rpartition("/")[2]
    admin.delete_topics([topic])[topic].result()
    make(kafka, url)
    send(kafka, url, [("a", reading("a", m)) for m in range(9)])
    with pytest.raises((wl.DataLost, wl.SpecChanged), match="topic"):
        pipeline(url, tmp_path).run(until="now", progress=False)
