"""A password stands in no repr, no written definition, no message and no store."""

from pathlib import Path

import pytest

import wattline as wl
from test_topic_source import SCHEMA, make, reading, send, url  # noqa: F401
from tests.services import Kafka

SOURCE = wl.Kafka("h:9092", "t", user="alice", password="hunter2")


def test_a_source_shows_no_password() -> None:
    for source in (SOURCE, "kafka://alice:hunter2@h:9092/t", ["a.csv", "kafka://h/t?user=alice&password=hunter2"]):
        p = wl.Pipeline("p", source=source, grains="1h", sinks="o.db")
        for shown in (repr(p), p._repr_html_(), p.to_toml(), str(p)):
            assert "alice" in shown
            assert "hunter2" not in shown


def test_a_reference_is_shown_and_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_NAME", raising=False)
    for source in (wl.Kafka("h", "t", password="${NO_SUCH_NAME}"), "kafka://h/t?password=${NO_SUCH_NAME}"):
        p = wl.Pipeline("p", source=source, grains="1h", sinks="o.db")
        assert wl.Pipeline.from_toml(p.to_toml()) == p


@pytest.mark.parametrize(
    "endpoint",
    [
        "kafka://h/t?password=hunter2",
        "kafka://h/t?sasl.oauthbearer.config=hunter2",
        "kafka://me:hunter2@h/t",
        "kafka://me:x/hunter2@h/t",
        "kafka://h/t?password=a&hunter2",
        wl.Kafka("h", "t", config={"sasl.oauthbearer.config": "hunter2"}),
    ],
)
def test_a_sink_shows_no_password(endpoint: object) -> None:
    assert "hunter2" not in repr(wl.Sink(endpoint))


@pytest.mark.parametrize(
    "endpoint",
    [
        "kafka://h/t?password=a&hunter2",
        "kafka://me:hunter2/x@h/t",
        "kafka://me:x/hunter2@h/t",
        "kafka://me:x?hunter2@h/t",
    ],
)
def test_no_part_of_a_password_is_told(endpoint: str, tmp_path: Path) -> None:
    calls = [
        lambda: wl.read_kafka(endpoint),
        lambda: wl.Pipeline("p", source=endpoint, grains="1h", sinks=tmp_path / "o.db").run(progress=False),
        lambda: wl.Pipeline("p", source="a.csv", grains="1h", sinks=endpoint),
    ]
    for call in calls:
        with pytest.raises(wl.UsageError) as raised:
            call()
        assert "hunter2" not in str(raised.value)


def test_a_store_holds_no_password(kafka: Kafka, url: str, tmp_path: Path) -> None:  # noqa: F811
    make(kafka, url)
    send(kafka, url, [("a", reading("a", m)) for m in range(3)])
    source = url + "?ssl.key.password=hunter2"
    sinks = [wl.Sink(tmp_path / "o.db"), wl.Sink(tmp_path / "o"), wl.Sink(tmp_path / "r.db", "readings")]
    p = wl.Pipeline("p", source=source, schema=SCHEMA, grains="1h", sinks=sinks)
    report = p.run(until="now", progress=False)
    assert report.ledger["readings"] == 3
    held = p.state(export=tmp_path / "state.json")
    assert "hunter2" not in f"{report!r}{report.summary()}{held!r}{p.check()!r}"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        assert b"hunter2" not in path.read_bytes(), path
