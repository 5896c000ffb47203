"""Messages that begin like Arrow and are none, or not the topic's: one each is a reject, and the others count."""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import wattline as wl
from test_dead_letters import letters
from test_kafka import topic_of
from test_topic_source import SCHEMA, counts, make, pipeline, reading, rows, send
from tests.services import Kafka


@pytest.fixture
def url(kafka: Kafka) -> Iterator[str]:
    yield f"kafka://{kafka.bootstrap}/v-{uuid.uuid4().hex[:12]}"


def stream(**columns: object) -> bytes:
    table, out = pa.table(columns), io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def arrow(minute: int) -> bytes:
    time = pa.array([1_167_609_600_000_000 + minute * 60_000_000], pa.timestamp("us", "UTC"))
    return stream(sensor_id=["a"], time=time, power=[1.5])


POISON = {
    "ff": b"\xff" * 4,
    "other columns": stream(x=[1, 2]),
    "wrong types": stream(sensor_id=["a"], time=["x"], power=["y"]),
    "cut": arrow(5)[:-60],
}
poisoned = pytest.mark.parametrize("bad", POISON.values(), ids=POISON.keys())
at = pytest.mark.parametrize("at", [0, 5])


def put(kafka: Kafka, url: str, values: list[bytes], bad: bytes, at: int) -> None:
    make(kafka, url)
    send(kafka, url, [("a", value) for value in [*values[:at], bad, *values[at:]]])


@poisoned
@at
def test_a_pipeline_goes_on_behind_it(kafka: Kafka, url: str, tmp_path: Path, bad: bytes, at: int) -> None:
    put(kafka, url, [reading("a", m) for m in range(10)], bad, at)
    p = pipeline(url, tmp_path, on_reject="collect", dlq=True)
    report = p.run(until="now", progress=False)
    books = report.ledger
    assert (books["messages"], books["readings"], books["dead"]) == (11, 10, 1)
    assert counts(tmp_path) == [("a", 10, 0)]
    ((reason,),) = rows(tmp_path, "select reason from rejects")
    assert reason == "not a JSON object: it begins as Arrow messages do"
    (letter,) = letters(kafka, topic_of(url) + ".dlq")
    told = dict(letter.headers())
    assert (letter.value(), told["partition"], told["offset"]) == (bad, b"0", str(at).encode())
    assert p.run(until="now", progress=False).ledger["messages"] == 0


@poisoned
@at
def test_a_read_goes_on_behind_it(kafka: Kafka, url: str, bad: bytes, at: int) -> None:
    put(kafka, url, [reading("a", m) for m in range(10)], bad, at)
    for schema in (SCHEMA, None):
        table = wl.read_kafka(url, schema=schema, on_reject="collect")
        assert (len(table), table.rejects.to_arrow().column("row").to_pylist()) == (10, [at])
        with pytest.raises(wl.RejectLimit, match=f"offset {at}: not a JSON object") as told:
            wl.read_kafka(url, schema=schema)
        assert (told.value.topic, told.value.partition, told.value.offset) == (topic_of(url), 0, at)


@poisoned
@at
def test_raised_it_says_where_it_is(kafka: Kafka, url: str, tmp_path: Path, bad: bytes, at: int) -> None:
    put(kafka, url, [reading("a", m) for m in range(10)], bad, at)
    for _ in range(2):
        with pytest.raises(wl.RejectLimit, match=f"/0 offset {at}: not a JSON object") as told:
            pipeline(url, tmp_path, on_reject="raise").run(until="now", progress=False)
        assert (told.value.topic, told.value.partition, told.value.offset) == (topic_of(url), 0, at)


@poisoned
@at
def test_among_arrow_messages_it_is_a_reject_too(kafka: Kafka, url: str, tmp_path: Path, bad: bytes, at: int) -> None:
    put(kafka, url, [arrow(m) for m in range(10)], bad, at)
    report = pipeline(url, tmp_path, on_reject="collect").run(until="now", progress=False)
    assert (report.ledger["readings"], report.ledger["dead"]) == (10, 1)
    assert counts(tmp_path) == [("a", 10, 0)]
    assert rows(tmp_path, 'select "row" from rejects') == [(at,)]
    assert len(wl.read_kafka(url, on_reject="collect")) == 10
