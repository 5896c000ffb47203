"""Topics against a real broker: each row once, ranges, what is refused; judged by confluent-kafka where it can."""

import json
import logging
import random
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

import wattline as wl
from conftest import python
from tests.services import Kafka

QUIET = {"logger": logging.getLogger("kafka"), "log_level": 0}
NAMES = ["Date", "Time", "Global_active_power", "Global_reactive_power", "Voltage", "Global_intensity"]
HEAD = ";".join([*NAMES, *(f"Sub_metering_{n}" for n in (1, 2, 3))]) + "\n"


def line(i: int) -> str:
    minute = i % 1440
    day = 1 + i // 1440
    rest = "0.418;234.840;18.400;0.000;1.000;17.000"
    return f"{day}/1/2007;{minute // 60:02}:{minute % 60:02}:00;{i % 9000 / 1000:.3f};{rest}\n"


def household(path: Path, rows: int, first: int = 0) -> Path:
    path.write_text(HEAD + "".join(line(i) for i in range(first, rows)))
    return path


def messages(server: Kafka, topic: str, level: str = "read_committed") -> list[tuple[int, bytes, bytes, int]]:
    """Partition, key, value and record time of all messages, as another client sees them."""
    reader = Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": uuid.uuid4().hex,
            "isolation.level": level,
            "enable.partition.eof": True,
            **QUIET,
        }
    )
    partitions = reader.list_topics(topic, 10).topics[topic].partitions
    reader.assign([TopicPartition(topic, p, 0) for p in partitions])
    found, ended = [], set()
    while len(ended) < len(partitions):
        for message in reader.consume(10_000, timeout=1):
            if message.error():
                ended.add(message.partition())
            else:
                found.append((message.partition(), message.key(), message.value(), message.timestamp()[1]))
    reader.close()
    return found


@pytest.fixture
def url(kafka: Kafka) -> Iterator[str]:
    yield f"kafka://{kafka.bootstrap}/t-{uuid.uuid4().hex[:12]}"


def topic_of(url: str) -> str:
    return url.rpartition("/")[2]


def make(kafka: Kafka, url: str, partitions: int = 1, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, **QUIET})
    admin.create_topics([NewTopic(topic_of(url), partitions, config=config)])[topic_of(url)].result()


def send(kafka: Kafka, url: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, **QUIET})
    for value in values:
        producer.produce(topic_of(url), value)
    assert producer.flush(30) == 0


def test_a_file_is_sent_once_and_comes_back(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 5000)
    report = wl.produce(path, url, schema="household", create={"partitions": 3})
    assert report.ledger["readings"] == 5000
    found = messages(kafka, topic_of(url))
    assert len(found) == 5000
    assert {key for _, key, _, _ in found} == {b"household"}
    first = json.loads(found[0][2])
    assert found[0][2].startswith(b'{"sensor_id":"household","time":"2007-01-01T00:00:00","global_active_power":0.000,')
    assert first["voltage"] == 234.84
    assert found[0][3] == 1167609600000
    again = wl.produce(path, url, schema="household")
    assert again.ledger["readings"] == 0
    assert "nothing was sent" in repr(again)
    table = wl.read_kafka(url, schema="household").to_arrow()
    file = wl.read_csv(path, schema="household").to_arrow()
    for name in file.column_names:
        assert table.column(name).cast(file.column(name).type).equals(file.column(name)), name
    assert table.column("offset").to_pylist() == list(range(table.num_rows))
    sniffed = wl.read_kafka(url).to_arrow()
    assert sniffed.column("global_active_power").equals(file.column("global_active_power"))


def test_a_grown_file_goes_on(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 3000)
    wl.produce(path, url, schema="household", create=True)
    household(path, 7000)
    assert wl.produce(path, url, schema="household").ledger["readings"] == 4000
    assert wl.produce(path, url, schema="household").ledger["readings"] == 0
    values = [json.loads(value)["global_active_power"] for _, _, value, _ in messages(kafka, topic_of(url))]
    assert values == [i % 9000 / 1000 for i in range(7000)]


def test_a_file_replaced_behind_its_beginning_is_refused(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 5000)
    wl.produce(path, url, schema="household", create=True)
    lines = path.read_text().splitlines(keepends=True)
    lines[4000] = lines[4000].replace("0.418", "0.419")
    path.write_text("".join(lines) + line(5000))
    other = tmp_path / "b.txt"
    other.write_text(path.read_text())
    for again in (path, other):
        with pytest.raises(wl.DataLost, match="restore the file"):
            wl.produce(again, url, schema="household")
    assert len(messages(kafka, topic_of(url))) == 5000
    # Another file in its place is another stream.
    household(path, 11_000, first=5000)
    assert wl.produce(path, url, schema="household").ledger["readings"] == 6000


def open_transactions(kafka: Kafka, topic: str) -> list[int]:
    """Messages that readers of committed messages are kept from, by partition.

    A broker answers the end of a transaction a moment before its marker lies in the log, so that is waited for; a
    transaction that is left open outlasts the wait.
    """
    until = time.monotonic() + 10
    while any(found := hidden(kafka, topic)) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def hidden(kafka: Kafka, topic: str) -> list[int]:
    ends = []
    for level in ("read_committed", "read_uncommitted"):
        reader = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "x", "isolation.level": level, **QUIET})
        partitions = sorted(reader.list_topics(topic, 10).topics[topic].partitions)
        ends.append([reader.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in partitions])
        reader.close()
    return [all - committed for committed, all in zip(*ends, strict=True)]


def test_a_source_that_breaks_leaves_no_transaction_open(kafka: Kafka, url: str) -> None:
    make(kafka, url, **{"retention.ms": "-1"})
    schema = pa.schema({"sensor_id": pa.string(), "time": pa.timestamp("us", "UTC"), "power": pa.float64()})

    def batches() -> Iterator[pa.RecordBatch]:
        for n in range(500):
            rows = [{"sensor_id": "a", "time": datetime(2007, 1, 1, n % 24, tzinfo=UTC), "power": 1.0}]
            yield pa.RecordBatch.from_pylist(rows, schema)
        # What was given is under way; some of it lies in the log before this breaks.
        while not messages(kafka, topic_of(url), "read_uncommitted"):
            time.sleep(0.1)
        raise OSError("the meter is gone")

    reader = pa.RecordBatchReader.from_batches(schema, batches())
    with pytest.raises(wl.WattlineError):
        wl.produce(reader, url, name="meter", transaction="10min")
    assert open_transactions(kafka, topic_of(url)) == [0]
    assert messages(kafka, topic_of(url)) == []


def test_a_topic_made_anew_gets_the_file_again(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 100)
    wl.produce(path, url, schema="household", create=True)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, **QUIET})
    admin.delete_topics([topic_of(url)])[topic_of(url)].result()
    until = time.monotonic() + 20
    while topic_of(url) in admin.list_topics(timeout=10).topics and time.monotonic() < until:
        time.sleep(0.1)
    assert wl.produce(path, url, schema="household", create=True).ledger["readings"] == 100


def test_a_topic_made_for_history_keeps_it_in_few_files(kafka: Kafka, url: str, tmp_path: Path) -> None:
    wl.produce(household(tmp_path / "a.txt", 10), url, schema="household", create=True)
    admin, asked = AdminClient({"bootstrap.servers": kafka.bootstrap, **QUIET}), ConfigResource("topic", topic_of(url))
    made = admin.describe_configs([asked])[asked].result()
    assert (made["retention.ms"].value, made["segment.ms"].value) == ("-1", str(2**63 - 1))


def test_arrow_messages_are_packed_as_the_url_says(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path, sizes = household(tmp_path / "a.txt", 20_000), {}
    for packing in ("none", "lz4", "zstd"):
        to = f"{url}-{packing}"
        wl.produce(path, f"{to}?compression={packing}", schema="household", codec="arrow", create=True)
        values = [value for _, _, value, _ in messages(kafka, topic_of(to))]
        assert sum(pa.ipc.open_stream(value).read_all().num_rows for value in values) == 20_000
        assert len(wl.read_kafka(to)) == 20_000
        sizes[packing] = sum(map(len, values))
    wl.produce(path, url, schema="household", codec="arrow", create=True)
    usual = sum(len(value) for _, _, value, _ in messages(kafka, topic_of(url)))
    assert usual == sizes["lz4"] < sizes["none"] / 2
    assert sizes["zstd"] < sizes["none"] / 2


def test_arrow_messages_hold_the_same_rows(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 20_000)
    report = wl.produce(path, url, schema="household", codec="arrow", create=True)
    assert report.ledger["readings"] == 20_000
    assert len(messages(kafka, topic_of(url))) < 20
    file = wl.read_csv(path, schema="household").to_arrow()
    table = wl.read_kafka(url).to_arrow()
    assert table.select(file.column_names).to_pydict() == file.to_pydict()


def noisy(path: Path, rows: int) -> Path:
    """Rows that no compression makes much smaller."""
    draw = random.Random(7)
    measures = (";".join(f"{draw.uniform(0, 900):.3f}" for _ in range(7)) for _ in range(rows))
    stamps = (line(i).split(";")[:2] for i in range(rows))
    path.write_text(
        HEAD + "".join(f"{day};{time};{rest}\n" for (day, time), rest in zip(stamps, measures, strict=True))
    )
    return path


@pytest.mark.parametrize("codec", ["json", "arrow"])
@pytest.mark.parametrize("options", ["", "?compression=none", "?batch.size=900000&message.max.bytes=900000"])
def test_a_topic_of_small_messages_gets_all_rows(
    kafka: Kafka, url: str, tmp_path: Path, codec: Literal["json", "arrow"], options: str
) -> None:
    make(kafka, url, **{"max.message.bytes": "200000", "retention.ms": "-1"})
    path = noisy(tmp_path / "a.txt", 30_000)
    report = wl.produce(path, url + options, schema="household", codec=codec)
    assert report.ledger["readings"] == 30_000
    file = wl.read_csv(path, schema="household").to_arrow()
    table = wl.read_kafka(url, schema="household" if codec == "json" else None).to_arrow()
    assert table.select(file.column_names).to_pydict() == file.to_pydict()
    assert all(len(value) < 200_000 for _, _, value, _ in messages(kafka, topic_of(url)))


@pytest.mark.parametrize("codec", ["json", "arrow"])
def test_a_row_that_no_message_can_hold_is_named(kafka: Kafka, url: str, codec: Literal["json", "arrow"]) -> None:
    make(kafka, url, **{"max.message.bytes": "20000", "retention.ms": "-1"})
    times = [datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in range(5)]
    draw = random.Random(7)
    notes = ["".join(chr(draw.randrange(97, 123)) for _ in range(n)) for n in (10, 20, 15_000, 60_000, 10)]
    columns = {"sensor_id": ["a"] * 5, "time": times, "power": [1.0] * 5, "note": notes}
    with pytest.raises(wl.UsageError, match=r"row 3 .* max\.message\.bytes"):
        wl.produce(pa.table(columns), url, name="notes", codec=codec)
    assert open_transactions(kafka, topic_of(url)) == [0]
    fitting = pa.table(columns).slice(0, 3)
    assert wl.produce(fitting, url, name="notes", codec=codec).ledger["readings"] == 3


def test_a_topic_of_large_messages_takes_them(kafka: Kafka, url: str) -> None:
    make(kafka, url, **{"max.message.bytes": "3000000", "retention.ms": "-1"})
    draw = random.Random(7)
    note = "".join(chr(draw.randrange(97, 123)) for _ in range(2_000_000))
    columns = {"sensor_id": ["a"], "time": [datetime(2026, 1, 1, tzinfo=UTC)], "power": [1.0], "note": [note]}
    with pytest.raises(wl.UsageError, match=r"row 0 .* message\.max\.bytes in the URL"):
        wl.produce(pa.table(columns), url, name="notes")
    longer = f"{url}?message.max.bytes=2500000"
    assert wl.produce(pa.table(columns), longer, name="notes").ledger["readings"] == 1
    assert json.loads(messages(kafka, topic_of(url))[0][2])["note"] == note


def places(kafka: Kafka, topic: str) -> list[tuple[bytes, int]]:
    """What the header of each message says: which stream it is of, and its place there."""
    reader = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "h", "enable.partition.eof": True, **QUIET})
    reader.assign([TopicPartition(topic, 0, 0)])
    found = []
    while not (message := reader.poll(10)).error():
        ((name, value),) = message.headers()
        assert name == "wattline"
        found.append((value[:16], int.from_bytes(value[16:])))
    reader.close()
    return found


def test_each_message_says_its_row(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 40_000)
    lines = path.read_text().splitlines(keepends=True)
    for row in (3, 4, 20_000):
        lines[1 + row] = lines[1 + row].replace("234.840", "oops")
    path.write_text("".join(lines))
    wl.produce(path, url, schema="household", on_reject="collect", create=True)
    told = places(kafka, topic_of(url))
    assert [row for _, row in told] == [row for row in range(40_000) if row not in (3, 4, 20_000)]
    power = [json.loads(value)["global_active_power"] for _, _, value, _ in messages(kafka, topic_of(url))]
    assert power == [row % 9000 / 1000 for _, row in told]
    table = wl.simulate(sensors=3, start="2026-01-01", end="2026-01-08").to_arrow()
    wl.produce(table, url + "-table", name="houses", create=True)
    rows = places(kafka, topic_of(url) + "-table")
    assert [row for _, row in rows] == list(range(table.num_rows))
    assert len({stream for stream, _ in told}) == len({stream for stream, _ in rows}) == 1
    assert told[0][0] != rows[0][0]


def test_each_arrow_message_has_a_place_of_its_own(kafka: Kafka, url: str) -> None:
    table = wl.simulate(sensors=3, start="2026-01-01", end="2026-01-15").to_arrow()
    for _ in range(2):
        wl.produce(table, url, name="houses", codec="arrow", create=True)
    told = places(kafka, topic_of(url))
    rows = [pa.ipc.open_stream(value).read_all().num_rows for _, _, value, _ in messages(kafka, topic_of(url))]
    assert sum(rows) == table.num_rows
    assert len({stream for stream, _ in told}) == 1
    # They rise, and leave the room that their rows may need: a load that goes on begins behind.
    assert all(before < after for (_, before), (_, after) in pairwise(told))
    assert told[-1][1] < table.num_rows


def test_tables_and_readers_need_a_name(kafka: Kafka, url: str, tmp_path: Path) -> None:
    table = wl.simulate(sensors=3, start="2026-01-01", end="2026-01-02")
    with pytest.raises(wl.UsageError, match="name="):
        wl.produce(table, url, create=True)
    for _ in range(2):
        wl.produce(table, url, name="houses", create={"partitions": 4})
    wl.produce(table, url, name="houses", create=True)
    found = messages(kafka, topic_of(url))
    assert len(found) == len(table) == 3 * 1440
    by_key: dict[bytes, set[int]] = {}
    for partition, key, _, _ in found:
        by_key.setdefault(key, set()).add(partition)
    assert {key: len(where) for key, where in by_key.items()} == {b"house-1": 1, b"house-2": 1, b"house-3": 1}
    path = household(tmp_path / "a.txt", 50)
    reader = wl.scan_csv(path, schema="household")
    assert wl.produce(reader, url, name="file", timestamp="now").ledger["readings"] == 50


@pytest.mark.parametrize("codec", ["json", "arrow"])
def test_the_key_is_what_the_table_says(
    kafka: Kafka, url: str, tmp_path: Path, codec: Literal["json", "arrow"]
) -> None:
    read = wl.read_csv(household(tmp_path / "a.txt", 300), schema="household").to_arrow()
    at = read.column_names.index("sensor_id")
    names = pa.array([f"house {i % 3}" for i in range(300)])
    several = read.set_column(at, read.schema.field("sensor_id").with_type(names.type), names)
    assert several.schema.metadata == read.schema.metadata
    for schema in (None, "household"):
        to = f"{url}-{schema}"
        wl.produce(several, to, name="houses", schema=schema, codec=codec, create={"partitions": 4})
        found = messages(kafka, topic_of(to))
        for _, key, value, _ in found:
            rows = [json.loads(value)] if codec == "json" else pa.ipc.open_stream(value).read_all().to_pylist()
            assert {row["sensor_id"].encode() for row in rows} == {key}
        assert {key for _, key, _, _ in found} == {b"house 0", b"house 1", b"house 2"}
        # What a pipeline asks of keys holds.
        p = wl.Pipeline("p", source=to, grains=["1h"], schema="household", sinks=tmp_path / f"{schema}.db")
        assert p.run(until="now", progress=False).ledger["readings"] == 300
    wl.produce(read, url, name="one", codec=codec, create=True)
    assert {key for _, key, _, _ in messages(kafka, topic_of(url))} == {b"household"}


def test_java_clients_put_the_keys_where_we_do(kafka: Kafka, url: str) -> None:
    table = wl.simulate(sensors=20, start="2026-01-01", end="2026-01-01T00:10:00")
    wl.produce(table, url, name="houses", create={"partitions": 7})
    ours = {key: partition for partition, key, _, _ in messages(kafka, topic_of(url))}
    other = url + "x"
    make(kafka, other, 7)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random", **QUIET})
    for key in ours:
        producer.produce(topic_of(other), b"", key)
    producer.flush(30)
    assert {key: partition for partition, key, _, _ in messages(kafka, topic_of(other))} == ours


def test_a_simulated_day_is_played(kafka: Kafka, url: str) -> None:
    source = "sim://?sensors=2&start=2026-01-01T00:00:00Z&end=2026-01-01T12:00:00Z&seed=1"
    assert wl.produce(source, url, create=True).ledger["readings"] == 1440
    assert wl.produce(source, url).ledger["readings"] == 0
    table = wl.read_kafka(url)
    assert len(table) == 1440


def test_standard_input_goes_on_under_its_name(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 1000)
    command = [sys.executable, "-m", "wattline.cli", "produce", "-", url, "-s", "household", "--create", "--json"]
    nameless = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=False)
    assert nameless.returncode == 2
    assert b"name=" in nameless.stderr
    for rows, sent in [(1000, 1000), (1000, 0), (1500, 500)]:
        household(path, rows)
        done = subprocess.run([*command, "--name", "meter"], input=path.read_bytes(), capture_output=True, check=True)
        assert json.loads(done.stdout)["ledger"]["readings"] == sent
    assert len(messages(kafka, topic_of(url))) == 1500


def test_fast_says_what_it_gives_up(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 500)
    report = wl.produce(path, url, schema="household", mode="fast", create=True)
    assert "without transactions" in repr(report)
    assert len(messages(kafka, topic_of(url))) == 500


def test_fast_and_arrow_exclude_each_other(url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 5)
    with pytest.raises(wl.UsageError, match="send JSON"):
        wl.produce(path, url, schema="household", mode="fast", codec="arrow", create=True)


def test_old_readings_are_held_against_retention(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 10)
    make(kafka, url, **{"retention.ms": "604800000"})
    with pytest.raises(wl.UsageError, match=r"retention\.ms"):
        wl.produce(path, url, schema="household")
    assert messages(kafka, topic_of(url)) == []
    wl.produce(path, url, schema="household", timestamp="now")
    assert abs(messages(kafka, topic_of(url))[0][3] / 1000 - time.time()) < 600


def test_a_topic_that_is_not_there_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(wl.NotFound, match=topic_of(url)):
        wl.produce(household(tmp_path / "a.txt", 10), url, schema="household")
    with pytest.raises(wl.NotFound, match=topic_of(url)):
        wl.read_kafka(url)


def test_a_hanging_transaction_is_waited_for(kafka: Kafka, url: str, tmp_path: Path) -> None:
    progress = f"p-{uuid.uuid4().hex[:8]}"
    path = household(tmp_path / "a.txt", 100)
    wl.produce(path, url, schema="household", create=True, progress_topic=progress)
    hanging = Producer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "transactional.id": uuid.uuid4().hex,
            "transaction.timeout.ms": 60_000,
            **QUIET,
        }
    )
    hanging.init_transactions(30)
    hanging.begin_transaction()
    hanging.produce(progress, b"{}", "other/stream", partition=0)
    hanging.flush(30)
    household(path, 200)
    with pytest.raises(wl.TimedOut, match="progress_timeout"):
        wl.produce(path, url, schema="household", progress_topic=progress, progress_timeout="2s")
    hanging.abort_transaction(30)
    assert wl.produce(path, url, schema="household", progress_topic=progress).ledger["readings"] == 100
    assert len(messages(kafka, topic_of(url))) == 200


def test_ranges_by_offset_and_time(kafka: Kafka, url: str, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 3000)
    wl.produce(path, url, schema="household", create={"partitions": 2})
    whole = wl.read_kafka(url, schema="household")
    assert len(whole) == 3000
    partition = whole.to_arrow().column("partition")[0].as_py()
    some = wl.read_kafka(url, schema="household", since={partition: 100}, until=110).to_arrow()
    assert some.column("offset").to_pylist() == list(range(100, 110))
    day = wl.read_kafka(url, schema="household", since="2007-01-02T00:00:00Z", until="2007-01-03T00:00:00Z").to_arrow()
    assert day.num_rows == 1440
    assert len(wl.read_kafka(url, schema="household", limit=7)) == 7
    with pytest.raises(wl.UsageError, match="zone"):
        wl.read_kafka(url, schema="household", since="2007-01-02T00:00:00")
    pieces = wl.scan_kafka(url, schema="household")
    assert sum(len(piece) for piece in pieces) == 3000


def test_aborted_transactions_are_unseen(kafka: Kafka, url: str) -> None:
    make(kafka, url)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": uuid.uuid4().hex, **QUIET})
    producer.init_transactions(30)
    for n, end in [(1, producer.commit_transaction), (2, producer.abort_transaction), (3, producer.commit_transaction)]:
        producer.begin_transaction()
        producer.produce(topic_of(url), json.dumps({"ts": f"2026-01-0{n}T00:00:00Z", "sensor": "a", "v": n}).encode())
        producer.flush(30)
        end(30)
    assert wl.read_kafka(url).to_arrow().column("v").to_pylist() == [1, 3]


def test_messages_of_others_are_read(kafka: Kafka, url: str) -> None:
    make(kafka, url)
    values = [
        b'{"meter": "a", "ts": "2024-01-01T00:00:00Z", "kwh": "1.5", "extra": {"x": [1]}}',
        b'{"ts": "2024-01-01 00:15:00+01:00", "kwh": 2, "meter": "b\\n"}',
        b'["c", "2024-01-01T00:30:00Z", 3.25]',
        b"not json",
        b'{"meter": "a", "ts": "never", "kwh": 1}',
    ]
    send(kafka, url, values)
    schema = wl.Schema.from_toml(
        """
        [time]
        columns = ["time"]
        [[columns]]
        name = "sensor_id"
        names = ["meter"]
        type = "text"
        role = "sensor"
        [[columns]]
        name = "time"
        names = ["ts"]
        type = "timestamp"
        role = "time"
        [[columns]]
        name = "energy"
        names = ["kwh"]
        type = "float"
        role = "measure"
        """
    )
    with pytest.raises(wl.RejectLimit, match="offset 3"):
        wl.read_kafka(url, schema=schema)
    table = wl.read_kafka(url, schema=schema, on_reject="collect")
    rows = table.to_arrow()
    assert rows.column("sensor_id").to_pylist() == ["a", "b\n", "c"]
    assert rows.column("energy").to_pylist() == [1.5, 2.0, 3.25]
    assert rows.column("offset").to_pylist() == [0, 1, 2]
    rejects = table.rejects.to_arrow()
    assert rejects.column("row").to_pylist() == [3, 4]
    assert rejects.column("column").to_pylist() == ["", "time"]
    assert rejects.column("raw").to_pylist()[0] == "not json"


def test_secrets_are_not_shown() -> None:
    endpoint = wl.Kafka("k1:9092", "power", user="alice", password="hunter2", config={"ssl.key.password": "also"})
    assert "hunter2" not in repr(endpoint)
    assert "also" not in repr(endpoint)
    assert "alice" in repr(endpoint)


def test_the_readme_runs(kafka: Kafka, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    code = re.findall(r"^```py\n(.*?)^```", readme, re.M | re.S)
    assert code
    monkeypatch.chdir(tmp_path)
    household(tmp_path / "household.txt", 2000)
    exec("\n".join(code).replace("kafka://localhost:9092/power", url), {})
    assert len(messages(kafka, topic_of(url))) == 2000


def test_a_wrong_password_is_named(url: str) -> None:
    with Kafka(secure=True) as server:
        endpoint = wl.Kafka(server.scram, "t", user="wattline", password="wrong", ca=str(server.ca), timeout="5s")
        with pytest.raises(wl.EndpointError, match="password") as raised:
            wl.read_kafka(endpoint)
        assert "wrong" not in str(raised.value)


WAITING = """
import sys, time
import wattline as wl
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024
pieces = wl.scan_kafka(sys.argv[1], schema="household")
first, before = len(next(iter(pieces))), peak()
time.sleep(float(sys.argv[2]))
print(first, peak())
"""


def test_what_waits_in_memory_is_shared_among_the_partitions(kafka: Kafka, url: str) -> None:
    """A reader that stands still while the client fetches: what it holds does not grow with the partitions."""
    partitions, each = 48, 4000
    make(kafka, url, partitions)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "compression.type": "none", "linger.ms": 5, **QUIET})
    rest = random.Random(1).randbytes(500).hex()
    value = json.dumps({"time": "2007-01-01T00:00:00", "global_active_power": 1.5, "rest": rest}).encode()
    for n in range(each * partitions):
        while True:
            try:
                producer.produce(topic_of(url), value, partition=n % partitions)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(120) == 0
    found = python(WAITING, url, 4)
    first, peak = map(int, found.stdout.split())
    assert first > 0
    assert peak < 160, f"{peak} MiB of {partitions * each * len(value) >> 20} in the topic"
