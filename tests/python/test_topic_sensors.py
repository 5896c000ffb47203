"""Who a message is of: messages that name their sensor behind others that name none, on a real broker."""

import json
from pathlib import Path

import pytest

import wattline as wl
from test_topic_source import counts, make, pipeline, reading, rows, send, url
from tests.services import Kafka

__all__ = ["url"]

SCHEMA = wl.Schema.from_toml("""
tz = "UTC"
step = "1min"
sensor_id = "house"
[time]
columns = ["time"]
[[columns]]
name = "time"
type = "timestamp"
role = "time"
[[columns]]
name = "power"
type = "float"
role = "measure"
measure = "power"
unit = "W"
""")


def of(sensor: object, minute: int, key: str = "sensor_id") -> bytes:
    """A reading that names its sensor under this key, or none."""
    told = json.loads(reading("-", minute))
    del told["sensor_id"]
    return json.dumps(told if sensor is None else {**told, key: sensor}).encode()


def behind(first: int, *later: bytes) -> list[tuple]:
    """More messages without a sensor than a schema is looked for in, then these."""
    return [(None, of(None, m)) for m in range(first)] + [(None, value) for value in later]


def test_names_behind_the_first_thousand_are_honoured_under_a_schema(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    later = [of("a", 0), of("b", 0), b'["2007-01-01T23:00:00Z", 2]', of(None, 1380), of("a", 1)]
    send(kafka, url, behind(1200, *later))
    report = pipeline(url, tmp_path, schema=SCHEMA, grains="1d").run(until="now", progress=False)
    assert report.ledger["readings"] == 1205
    assert [(sensor, n) for sensor, n, _ in counts(tmp_path)] == [("a", 2), ("b", 1), ("house", 1202)]
    table = wl.read_kafka(url, schema=SCHEMA).to_arrow()
    assert table.column("sensor_id").to_pylist() == ["house"] * 1200 + ["a", "b", "house", "house", "a"]


@pytest.mark.parametrize("key", ["sensor_id", "meter"])
def test_names_behind_a_schema_found_without_them_are_refused(kafka: Kafka, url: str, tmp_path: Path, key: str) -> None:
    make(kafka, url)
    extra = json.loads(of(None, 1200)) | {"message_id": "x", "unit": "W", key: None}
    send(kafka, url, behind(1200, json.dumps(extra).encode(), of("a", 0, key), of("b", 0, key)))
    told = {"schema": None, "grains": "1d"}
    with pytest.raises(wl.RejectLimit, match="offset 1201: it names its sensor, and the first messages"):
        pipeline(url, tmp_path, **told).run(until="now", progress=False)
    report = pipeline(url, tmp_path, on_reject="collect", **told).run(until="now", progress=False)
    assert (report.ledger["readings"], report.ledger["dead"]) == (1201, 2)
    assert counts(tmp_path) == [("1", 1201, 0)]
    assert len(rows(tmp_path, "select * from rejects where reason like '%pass schema=%'")) == 2
    with pytest.raises(wl.RejectLimit, match="names its sensor"):
        wl.read_kafka(url)


@pytest.mark.parametrize("sensors", [["a"], [f"s{n}" for n in range(1100)]], ids=["one", "many"])
def test_a_name_is_found_before_it_comes_again(kafka: Kafka, url: str, tmp_path: Path, sensors: list[str]) -> None:
    """One message is in the topic, or one of each sensor: who they are of is known all the same."""
    make(kafka, url)
    send(kafka, url, [(None, of(sensor, 0)) for sensor in sensors])
    p = pipeline(url, tmp_path, schema=None, grains="1d")
    p.run(until="now", progress=False)
    send(kafka, url, [(None, of("later", 1))])
    p.run(until="now", progress=False)
    assert counts(tmp_path) == [(sensor, 1, 0) for sensor in sorted([*sensors, "later"])]
