"""What `check` tells of a topic before row one: retention against the lag, what is gone already, clocks that differ."""

import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

import wattline as wl
from test_kafka import QUIET, topic_of
from test_topic_source import make, pipeline, reading, send
from tests.services import Kafka

HOUR = 3_600_000
DAY = 24 * HOUR
#: What is too old stays for the length of the tests.
KEEPS = {"log.retention.check.interval.ms": DAY, "log.initial.task.delay.ms": DAY}


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    with Kafka(properties=KEEPS) as server:
        yield server


@pytest.fixture
def url(kafka: Kafka) -> Iterator[str]:
    yield f"kafka://{kafka.bootstrap}/c-{uuid.uuid4().hex[:12]}"


def now() -> int:
    return time.time_ns() // 1_000_000


def stamped(kafka: Kafka, url: str, times: list[int], partition: int = 0) -> None:
    """Sends readings with these record times."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, **QUIET})
    for number, stamp in enumerate(times):
        producer.produce(topic_of(url), reading("a", number), "a", partition, timestamp=stamp)
    assert producer.flush(30) == 0


def alter(admin: AdminClient, url: str, **settings: object) -> None:
    entries = [
        ConfigEntry(name.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic_of(url), incremental_configs=entries)
    for done in admin.incremental_alter_configs([resource]).values():
        done.result()


def told(p: wl.Pipeline, level: str = "warning") -> list[str]:
    return [finding.message for finding in p.check() if finding.level == level and finding.at in ("source", "state")]


def test_retention_that_is_shorter_than_the_lag(kafka: Kafka, url: str, tmp_path: Path) -> None:
    admin = make(kafka, url)
    began = now()
    stamped(kafka, url, [began - 3 * DAY + HOUR * n for n in range(10)])
    p = pipeline(url, tmp_path)
    assert told(p) == []
    alter(admin, url, retention_ms=4 * DAY)
    assert told(p) == []
    # The border lies between the fifth and the sixth.
    alter(admin, url, retention_ms=3 * DAY - HOUR * 4 - HOUR // 2)
    [finding] = told(p)
    assert "offset 0" in finding and "retention.ms" in finding and "about 5 messages" in finding, finding
    alter(admin, url, retention_ms=3 * DAY + HOUR)
    [finding] = told(p)
    assert "removes it in 59min" in finding or "removes it in 60min" in finding, finding
    # Compaction removes nothing by age.
    alter(admin, url, cleanup_policy="compact", retention_ms=DAY)
    assert told(p) == []
    assert p.check().ok


def test_only_what_is_still_to_be_read_counts(kafka: Kafka, url: str, tmp_path: Path) -> None:
    admin = make(kafka, url, 2)
    began = now()
    for partition in range(2):
        stamped(kafka, url, [began - 3 * DAY + n for n in range(4)], partition)
    p = pipeline(url, tmp_path, state="shared")
    alter(admin, url, retention_ms=DAY)
    [finding] = told(p)
    assert "about 8 messages" in finding and "2 of its partitions" in finding, finding
    p.run(until="now", progress=False)
    assert told(p) == []
    stamped(kafka, url, [began - 2 * DAY], 1)
    [finding] = told(p)
    assert "partition 1 offset 4" in finding and "about 1 messages" in finding, finding


def test_what_no_reader_sees_is_no_concern(kafka: Kafka, url: str, tmp_path: Path) -> None:
    """Old messages of an aborted transaction stand at the place, and behind them one that is new."""
    make(kafka, url, **{"retention.ms": str(DAY)})
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": uuid.uuid4().hex, **QUIET})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic_of(url), reading("a", 0), "a", timestamp=now() - 3 * DAY)
    producer.flush(30)
    producer.abort_transaction(30)
    p = pipeline(url, tmp_path)
    assert told(p) == []
    stamped(kafka, url, [now()])
    assert told(p) == []
    stamped(kafka, url, [now() - 3 * DAY])
    # The new one in front of it keeps it.
    assert told(p) == []


def test_what_retention_has_passed_is_told_before_the_run(kafka: Kafka, url: str, tmp_path: Path) -> None:
    admin = make(kafka, url, 2)
    p = pipeline(url, tmp_path, state="shared")
    send(kafka, url, [("a", reading("a", m), 0) for m in range(10)])
    p.run(until="now", progress=False)
    send(kafka, url, [("a", reading("a", m), 0) for m in range(10, 30)])
    cut = TopicPartition(topic_of(url), 0, 15)
    admin.delete_records([cut])[cut].result()
    found = p.check()
    assert not found.ok
    [wrong] = [finding for finding in found if finding.level == "error"]
    assert "offset 10 and begins at 15" in wrong.message and "retention has passed 5" in wrong.message
    with pytest.raises(wl.DataLost, match="offset 10 and begins at 15"):
        p.run(until="now", progress=False)
    # One that begins there has lost nothing.
    fresh = pipeline(url, tmp_path, state="shared", sinks=tmp_path / "other.db")
    assert fresh.check().ok


def test_record_times_ahead_of_the_clock(kafka: Kafka, url: str, tmp_path: Path) -> None:
    free = {"message.timestamp.after.max.ms": str(2**62)}
    admin = make(kafka, url, 2, **free)
    p = pipeline(url, tmp_path)
    stamped(kafka, url, [now(), now() + 30 * 60_000])
    assert told(p) == []
    stamped(kafka, url, [now() + 3 * DAY], 1)
    [finding] = told(p)
    assert "partition 1 offset 0" in finding and "`ahead`" in finding, finding
    assert "2d ahead" in finding or "3d ahead" in finding, finding
    # As if the broker had not taken what is further ahead of its clock than a minute.
    alter(admin, url, message_timestamp_after_max_ms=60_000)
    [finding] = told(p)
    assert "message.timestamp.after.max.ms" in finding and "behind the broker's" in finding, finding
    # As if the broker had set them.
    alter(admin, url, message_timestamp_type="LogAppendTime")
    [finding] = told(p)
    assert "LogAppendTime" in finding and "behind the broker's" in finding, finding


def test_a_clock_behind_that_of_the_last_flush(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    send(kafka, url, [("a", reading("a", m)) for m in range(10)])
    p = pipeline(url, tmp_path)
    p.run(until="now", progress=False)
    assert told(p) == []
    with sqlite3.connect(tmp_path / "out.db") as store:
        later = "json_set(head, '$.stamp', json_extract(head, '$.stamp') + 3600000000)"
        store.execute(f"update wattline_head set head = {later} where head is not null")
    [finding] = told(p)
    assert "the last flush was stamped" in finding and "past this machine's clock" in finding, finding
