"""Runs over a topic's partitions on a real broker: follow, until, idle, late readings, groups, states."""

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

import wattline as wl
from test_kafka import household
from test_topic_source import counts, make, pipeline, reading, rows, send
from tests.services import Kafka, Postgres


@pytest.fixture
def url(kafka: Kafka) -> Iterator[str]:
    yield f"kafka://{kafka.bootstrap}/r-{uuid.uuid4().hex[:12]}"


def followed(p: wl.Pipeline, done, seconds: float = 60) -> list[wl.Report]:
    """Follows until ``done`` says so of a report, or nothing is said any more."""
    seen: list[wl.Report] = []
    timer = threading.Timer(seconds, p.stop)
    timer.start()
    try:
        for report in p.follow():
            seen.append(report)
            if done(report):
                break
    except wl.Interrupted:
        pass
    finally:
        timer.cancel()
    return seen


def test_shared_state_waits_for_the_slowest_partition(kafka: Kafka, url: str, tmp_path: Path) -> None:
    """One partition is hours ahead: nothing of the other is late, and the watermark is the lesser's."""
    make(kafka, url, 2)
    ahead = [("a", reading("a", m), 0) for m in range(0, 400, 5)]
    behind = [("b", reading("b", m), 1) for m in range(0, 130, 5)]
    send(kafka, url, [*ahead, *behind], keyed=False)
    p = pipeline(url, tmp_path, state="shared")
    report = p.run(until="now", progress=False)
    assert report.ledger["grains"]["1h"]["late"] == 0
    final = rows(tmp_path, "select sensor_id, count(*) from windows where final group by sensor_id order by 1")
    assert final == [("a", 2), ("b", 2)]
    assert [part["partition"] for part in report.partitions] == [0, 1]
    send(kafka, url, [("b", reading("b", m), 1) for m in range(130, 200, 5)], keyed=False)
    p.run(until="now", progress=False)
    final = rows(tmp_path, "select sensor_id, count(*) from windows where final group by sensor_id order by 1")
    assert final == [("a", 3), ("b", 3)]


def test_until_a_time_makes_windows_final_and_the_next_run_goes_on(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url, 2)
    send(kafka, url, [(s, reading(s, m)) for s in ("a", "b", "c") for m in range(50)])
    p = pipeline(url, tmp_path)
    with pytest.raises(wl.UsageError, match="zone"):
        p.run(until="2007-01-01T01:00:00", progress=False)
    p.run(until="2007-01-01T00:30:00Z", progress=False)
    assert {final for *_, final in counts(tmp_path)} == {0}
    p.run(until=datetime(2007, 1, 1, 1, tzinfo=UTC), progress=False)
    assert counts(tmp_path) == [(s, 50, 1) for s in ("a", "b", "c")]
    flushes = p.state()["heads"]
    assert p.run(until="2007-01-01T01:00:00+00:00", progress=False).flushes == 0
    assert p.state()["heads"] == flushes
    send(kafka, url, [("a", reading("a", 55)), ("a", reading("a", 61))])
    assert p.run(until="now", progress=False).ledger["grains"]["1h"]["late"] == 1
    assert counts(tmp_path)[:2] == [("a", 50, 1), ("a", 1, 0)]


def test_a_file_has_no_time_to_assert(tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 10)
    p = wl.Pipeline("p", source=path, schema="household", grains=["1d"], sinks=tmp_path / "out.db")
    with pytest.raises(wl.UsageError, match="ends by itself"):
        p.run(until="2007-01-01T00:00:00Z")
    with pytest.raises(wl.UsageError, match="topics only"):
        wl.Pipeline("p", source=path, grains=["1d"], sinks=tmp_path / "out.db", state="shared").run()


def test_silence_closes_the_last_window(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url)
    p = pipeline(url, tmp_path, idle="1s", flush_interval="100ms", lateness="3481s")
    # The watermark is a second before the end of the first window, and goes on at the pace of the clock.
    send(kafka, url, [("a", reading("a", m)) for m in (0, 59)] + [("a", reading("a", 117))])

    def closed(report: wl.Report) -> bool:
        return bool(rows(tmp_path, "select 1 from windows where final"))

    followed(p, closed)
    assert counts(tmp_path)[0] == ("a", 2, 1)


@pytest.mark.parametrize("policy", ["side", "drop", "correct"])
def test_late_readings_go_as_told(kafka: Kafka, url: str, tmp_path: Path, policy: str) -> None:
    make(kafka, url)
    send(kafka, url, [("a", reading("a", m)) for m in (0, 10, 61)])
    p = pipeline(url, tmp_path, on_late=policy, correct_for="1d" if policy == "correct" else None)
    p.run(until="now", progress=False)
    send(kafka, url, [("a", reading("a", 20))])
    books = p.run(until="now", progress=False).ledger["grains"]["1h"]
    kinds = {"side": "late", "drop": "dropped", "correct": "corrected"}
    assert [books[kind] for kind in kinds.values()] == [int(kind == policy) for kind in kinds]
    found = rows(tmp_path, "select readings, revision from windows order by window_start limit 1")
    assert found == [(3, 1) if policy == "correct" else (2, 0)]
    assert rows(tmp_path, "select count(*) from late") == [(int(policy == "side"),)]


def test_the_state_shows_partitions_lag_and_silent_sensors(kafka: Kafka, url: str, tmp_path: Path) -> None:
    make(kafka, url, 2)
    send(kafka, url, [("a", reading("a", m)) for m in range(10)] + [("b", reading("b", 90))])
    p = pipeline(url, tmp_path, lateness="3h")
    p.run(until="now", progress=False)
    send(kafka, url, [("a", reading("a", m)) for m in range(10, 15)])
    state = p.state()
    lag = {row["partition"]: row["lag"] for row in state.partitions.to_arrow().to_pylist()}
    assert sum(lag.values()) == 5
    assert state.sensors.to_arrow().column("sensor_id").to_pylist() == ["a", "b"]
    assert len(state.open_windows) == 2
    found = p.check()
    assert found.ok
    assert any("5 messages to go" in finding.message for finding in found)


def test_a_topic_made_anew_or_with_more_partitions_is_refused(kafka: Kafka, url: str, tmp_path: Path) -> None:
    from confluent_kafka.admin import NewPartitions

    admin = make(kafka, url)
    topic = url.rpartition("/")[2]
    send(kafka, url, [("a", reading("a", 1))])
    p = pipeline(url, tmp_path)
    p.run(until="now", progress=False)
    admin.create_partitions([NewPartitions(topic, 2)])[topic].result()
    with pytest.raises(wl.SpecChanged, match="wattline repartition"):
        p.run(until="now", progress=False)
    assert not p.check().ok
    admin.delete_topics([topic])[topic].result()
    for _ in range(100):
        try:
            make(kafka, url)
            break
        except Exception:
            time.sleep(0.1)
    for _ in range(100):
        # It takes its time until every part of the broker knows it.
        try:
            p.run(until="now", progress=False)
        except wl.NotFound:
            time.sleep(0.1)
        except wl.DataLost as error:
            assert "made anew" in str(error)
            return
    pytest.fail("the topic made anew was taken for the old one")


WORKER = """
import sys
import wattline as wl
p = wl.Pipeline.from_toml(sys.argv[1])
for report in p.follow():
    print(report.flushes, flush=True)
"""


def worker(toml: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WORKER, toml], stdout=subprocess.PIPE, text=True)


def test_workers_share_the_partitions_and_one_may_be_killed(
    kafka: Kafka, postgres: Postgres, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(kafka, url, 4)
    schema = f"g{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute(f"create schema {schema}")
    monkeypatch.setenv("WATTLINE_TEST_PASSWORD", "wattline")
    login = {"user": "wattline", "password": "${WATTLINE_TEST_PASSWORD}", "dbname": "wattline"}
    store = wl.Postgres("127.0.0.1", port=postgres.port, schema=schema, **login)
    sinks = [wl.Sink(store, "windows"), wl.Sink(store, "readings")]
    group = f"g-{uuid.uuid4().hex[:8]}"
    short = f"{url}?session.timeout.ms=6000"
    told = {"group": group, "flush_interval": "200ms", "lateness": "5min", "sinks": sinks}
    p = pipeline(short, tmp_path, **told)
    definition = tmp_path / "p.toml"
    definition.write_text(p.to_toml())
    sensors = [f"s{n}" for n in range(16)]

    def counted() -> int:
        with psycopg.connect(postgres.url) as db:
            there = db.execute("select to_regclass(%s)", [f"{schema}.readings"]).fetchone()
            if there is None or there[0] is None:
                return 0
            found = db.execute(f"select count(*), count(distinct (sensor_id, time)) from {schema}.readings").fetchone()
            assert found is not None and found[0] == found[1]
            return int(found[0])

    def wait_for(rows: int) -> None:
        until = time.monotonic() + 90
        while counted() < rows:
            assert time.monotonic() < until, f"{counted()} of {rows} rows"
            time.sleep(0.2)

    workers = [worker(str(definition)) for _ in range(2)]
    try:
        send(kafka, url, [(s, reading(s, m)) for m in range(30) for s in sensors])
        wait_for(30 * 16)
        workers[0].kill()
        send(kafka, url, [(s, reading(s, m)) for m in range(30, 60) for s in sensors])
        wait_for(60 * 16)
    finally:
        for each in workers:
            each.kill()
            each.wait()
    report = pipeline(short, tmp_path, **told).run(until="now", progress=False)
    assert report.totals["readings"] == 60 * 16
    with psycopg.connect(postgres.url) as db:
        found = db.execute(f"select sensor_id, readings from {schema}.windows order by 1").fetchall()
    assert found == [(s, 60) for s in sorted(sensors)]


def counted_to(p: wl.Pipeline, messages: int) -> wl.Report:
    """Runs until so many are counted: the broker says that a transaction is committed before it lets all see it."""
    for _ in range(100):
        report = p.run(until="now", progress=False)
        if report.totals["messages"] >= messages:
            return report
        time.sleep(0.1)
    raise AssertionError(report.totals)


def test_files_and_then_the_topic_that_goes_on_from_them(kafka: Kafka, url: str, tmp_path: Path) -> None:
    """History from a file and the stream give what one file of all would give; the overlap counts once."""
    whole = household(tmp_path / "whole.txt", 3000)
    lines = whole.read_text().splitlines(keepends=True)
    history = tmp_path / "history.txt"
    history.write_text("".join([lines[0], *reversed(lines[1:2001])]))
    stream = tmp_path / "stream.txt"
    stream.write_text("".join([lines[0], *lines[1501:2501]]))
    wl.produce(stream, url, schema="household", create=True, progress=False)
    cut = "2007-01-02T06:00:00Z"
    told = {"schema": "household", "grains": ["1h", "1d"]}
    p = wl.Pipeline("p", source=[history, url], cut=cut, sinks=tmp_path / "out.db", **told)
    assert counted_to(p, 1000).totals["grains"]["1h"]["late"] == 0
    assert p.run(until="now", progress=False).ledger["messages"] == 0
    rest = tmp_path / "rest.txt"
    rest.write_text("".join([lines[0], *lines[2501:]]))
    wl.produce(rest, url, schema="household", progress=False)
    counted_to(p, 1500)
    due = wl.windows(whole, ["1h", "1d"], schema="household")
    for grain in ("1h", "1d"):
        sql = "select readings, global_active_power_mean from windows"
        found = rows(tmp_path, f"{sql} where grain = '{grain}' and readings > 0 order by window_start")
        table = due[grain].to_arrow().to_pylist()
        table = [row for row in table if row["readings"]]
        assert found == [(r["readings"], r["global_active_power_mean"]) for r in table]
    with pytest.raises(wl.UsageError, match="cut"):
        wl.Pipeline("q", source=[history, url], sinks=tmp_path / "q.db", **told).run(until="now", progress=False)
    with pytest.raises(wl.UsageError, match="no files"):
        wl.Pipeline("q", source=url, cut=cut, sinks=tmp_path / "q.db", **told).run(until="now", progress=False)


def test_few_large_messages_are_looked_at_no_longer_than_they_need(url: str, tmp_path: Path) -> None:
    table = wl.simulate(start="2026-01-01", end="2026-10-01")
    wl.produce(table, url, name="year", codec="arrow", create={"partitions": 1}, progress=False)
    p = wl.Pipeline("p", source=f"{url}?timeout=10s", schema=table.schema, grains="1d", sinks=tmp_path / "out.db")
    assert p.run(until="now", progress=False).ledger["readings"] == len(table)
