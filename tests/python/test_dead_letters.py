"""Dead letters: messages that cannot be read, in a topic of their own, as they were; and back again."""

import csv
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

import wattline as wl
from conftest import shell
from test_kafka import QUIET, topic_of
from test_topic_source import SCHEMA, make, pipeline, reading, rows, send
from tests.services import Kafka


@pytest.fixture
def url(kafka: Kafka) -> Iterator[str]:
    yield f"kafka://{kafka.bootstrap}/d-{uuid.uuid4().hex[:12]}"


def letters(kafka: Kafka, topic: str) -> list[Message]:
    settings = {"bootstrap.servers": kafka.bootstrap, "group.id": uuid.uuid4().hex, "enable.partition.eof": True}
    reader = Consumer({**settings, "isolation.level": "read_committed", **QUIET})
    partitions = reader.list_topics(topic).topics[topic].partitions
    reader.assign([TopicPartition(topic, p, 0) for p in partitions])
    found, ended = [], 0
    while ended < len(partitions):
        for message in reader.consume(1000, timeout=1):
            if message.error():
                ended += 1
            else:
                found.append(message)
    reader.close()
    return found


def bad(kafka: Kafka, url: str, value: bytes, key: str | None = "a", **headers: bytes) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, **QUIET})
    producer.produce(topic_of(url), value, key=key, headers=list(headers.items()), partition=0)
    assert producer.flush(30) == 0


def test_a_letter_is_the_message_with_its_place_and_reason(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    send(kafka, url, [("a", reading("a", 0))])
    bad(kafka, url, b"\xff{no json", trace=b"1", topic=b"mine")
    bad(kafka, url, reading("a", 2, "much"))
    send(kafka, url, [("a", reading("a", 3))])
    p = pipeline(url, tmp_path, dlq=True)
    report = p.run(until="now", progress=False)
    assert (report.ledger["readings"], report.ledger["dead"]) == (2, 2)
    first, second = letters(kafka, topic_of(url) + ".dlq")
    assert (first.key(), first.value()) == (b"a", b"\xff{no json")
    assert first.headers()[:2] == [("trace", b"1"), ("topic", b"mine")]
    told = dict(first.headers()[2:])
    place = {"topic": topic_of(url).encode(), "partition": b"0", "offset": b"1", "stage": b"decode"}
    assert {name: told[name] for name in place} == place
    assert b"JSON" in told["reason"]
    assert dict(second.headers())["reason"].startswith(b"power: ")
    assert rows(tmp_path, "select count(*) from rejects") == [(2,)]
    p.run(until="now", progress=False)
    assert len(letters(kafka, topic_of(url) + ".dlq")) == 2


def test_a_budget_fails_the_run_once_the_letters_are_safe(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    send(kafka, url, [("a", reading("a", m, "much" if m % 2 else 1.5)) for m in range(10)])
    p = pipeline(url, tmp_path, dlq="bad-" + topic_of(url), max_rejects=3)
    with pytest.raises(wl.RejectLimit, match="dead letter topic"):
        p.run(until="now", progress=False)
    assert len(letters(kafka, "bad-" + topic_of(url))) == 5
    # What was counted with them stands: the next run goes on behind them.
    assert p.run(until="now", progress=False).ledger["messages"] == 0
    assert p.state()["totals"]["dead"] == 5


def test_letters_are_exported_mended_and_sent_back_once(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    send(kafka, url, [("a", reading("a", m, "much" if m in (2, 4) else 1.5)) for m in range(6)])
    p = pipeline(url, tmp_path, dlq=True)
    p.run(until="now", progress=False)
    dead = url + ".dlq"
    out = tmp_path / "dead.csv"
    done = shell("rejects", dead, "-o", out)
    assert done.returncode == 0, done.stderr
    with out.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["topic"], row["offset"], row["key"]) for row in found] == [
        (topic_of(url), "2", "a"),
        (topic_of(url), "4", "a"),
    ]
    found[0]["raw"] = found[0]["raw"].replace('"much"', "7.5")
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerow(found[0])
    done = shell("rejects", "--replay", out, dead)
    assert (done.returncode, "1 messages sent back" in done.stderr) == (0, True), done.stderr
    done = shell("rejects", "--replay", out, dead)
    assert "0 messages sent back, 1 were before" in done.stderr
    report = p.run(until="now", progress=False)
    assert (report.ledger["messages"], report.ledger["readings"]) == (1, 1)
    assert rows(tmp_path, "select max(power) from readings") == [(7.5,)]


def test_letters_go_back_to_a_topic_of_small_messages(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url, **{"max.message.bytes": "20000"})
    for n in range(40):
        bad(kafka, url, b"{no json " + bytes(random.Random(n).choices(range(97, 123), k=2000)))
    p = pipeline(url, tmp_path, dlq=True)
    assert p.run(until="now", progress=False).ledger["dead"] == 40
    out, dead = tmp_path / "letters.csv", url + ".dlq"
    assert shell("rejects", dead, "-o", out).returncode == 0
    done = shell("rejects", "--replay", out, dead)
    assert "40 messages sent back" in done.stderr, done.stderr


def test_rows_of_an_arrow_message_that_lie_ahead_are_one_letter(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    for name, years in (("good", [2007, 2007]), ("ahead", [2007, 2907, 2907])):
        times = [datetime(year, 2, 1 + n, tzinfo=UTC) for n, year in enumerate(years)]
        table = pa.table({"sensor_id": ["a"] * len(times), "time": times, "power": [1.5] * len(times)})
        wl.produce(table, url, schema=SCHEMA, name=name, codec="arrow", timestamp="now")
    report = pipeline(url, tmp_path, dlq=True).run(until="now", progress=False)
    assert (report.ledger["readings"], report.ledger["rejected"]) == (3, 2)
    _, message = letters(kafka, topic_of(url))
    (letter,) = letters(kafka, topic_of(url) + ".dlq")
    assert (letter.key(), letter.value()) == (b"a", message.value())
    told = dict(letter.headers())
    assert (told["stage"], told["offset"]) == (b"ahead", str(message.offset()).encode())
    assert rows(tmp_path, 'select "row" from rejects') == [(message.offset(),)] * 2


def test_a_message_that_lies_ahead_is_a_letter_too(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    far = reading("a", 1).replace(b"2007", b"2907")
    send(kafka, url, [("a", reading("a", 0)), ("a", far)])
    pipeline(url, tmp_path, dlq=True).run(until="now", progress=False)
    (letter,) = letters(kafka, topic_of(url) + ".dlq")
    assert letter.value() == far
    assert dict(letter.headers())["stage"] == b"ahead"


def test_letters_cannot_be_skipped(url: str, tmp_path: Path) -> None:
    with pytest.raises(wl.UsageError, match="dlq"):
        pipeline(url, tmp_path, dlq=True, on_reject="skip")
