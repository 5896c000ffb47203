"""A topic as the home of a pipeline that has more positions than a message holds."""

import threading
import time
import uuid
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

import wattline as wl
from conftest import shell
from test_kafka import QUIET, household, messages
from tests.services import Kafka, Postgres


def config(admin: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource("topic", topic)
    return {name: entry.value for name, entry in admin.describe_configs([resource])[resource].result().items()}


def test_a_head_may_have_any_number_of_positions(kafka: Kafka, tmp_path: Path) -> None:
    name = f"h-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, **QUIET})
    small = NewTopic(f"{name}-state", 12, config={"cleanup.policy": "compact", "max.message.bytes": "3000"})
    admin.create_topics([small])[small.topic].result()
    files = [household(tmp_path / f"{n:02}.txt", 60 * n + 60, first=60 * n) for n in range(30)]
    sinks = [f"kafka://{kafka.bootstrap}/{name}?state_topic={name}-state", wl.Sink(tmp_path / "seen.db")]

    def run(count: int) -> wl.Report:
        source = [str(path) for path in files[:count]]
        p = wl.Pipeline("p", source=source, schema="household", grains="1h", sinks=sinks)
        return p.run(progress=False)

    # Few, many, many and one more; then nothing is new.
    for count, new in [(2, 2), (29, 27), (30, 1), (30, 0)]:
        assert run(count).ledger["readings"] == 60 * new
    p = wl.Pipeline("p", source=str(tmp_path / "*.txt"), schema="household", grains="1h", sinks=sinks)
    assert len(p.state()["positions"]) == 30
    found = messages(kafka, f"{name}-state")
    assert max(len(value or b"") for _, _, value, _ in found) < 3000
    assert any(b'"head-part"' in key for _, key, _, _ in found)


def test_a_state_topic_is_made_so_that_it_is_compacted(kafka: Kafka, tmp_path: Path) -> None:
    name = f"h-{uuid.uuid4().hex[:12]}"
    sink = f"kafka://{kafka.bootstrap}/{name}?state_topic={name}-state"
    path = household(tmp_path / "a.txt", 60)
    wl.Pipeline("p", source=str(path), schema="household", grains="1h", sinks=sink).run(progress=False)
    made = config(AdminClient({"bootstrap.servers": kafka.bootstrap, **QUIET}), f"{name}-state")
    assert made["cleanup.policy"] == "compact"
    assert int(made["segment.bytes"]) <= 64 << 20
    assert int(made["segment.ms"]) <= 24 * 3600 * 1000


def test_a_home_is_given_up_though_a_follower_hung_when_the_run_ended(
    kafka: Kafka, postgres: Postgres, tmp_path: Path
) -> None:
    """The process lives on; another need not wait for the lease to run out."""
    name = f"h_{uuid.uuid4().hex[:12]}"
    path = household(tmp_path / "a.txt", 60)
    home = wl.Kafka(kafka.bootstrap, name, state_topic=f"{name}-state", lease=600.0)
    link = {"port": postgres.port, "dbname": "wattline", "user": "wattline", "password": "wattline"}
    with psycopg.connect(postgres.url) as base:
        base.execute(f"create schema {name}")
        base.commit()
        follower = wl.Postgres("127.0.0.1", schema=name, **link)
        p = wl.Pipeline("p", source=str(path), schema="household", grains="1h", sinks=[home, follower])
        p.run(progress=False)
        household(path, 120)
        base.execute(f"lock table {name}.windows in access exclusive mode")
        stop = threading.Timer(2, p.stop)
        stop.start()
        with pytest.raises(wl.Interrupted):
            p.run(progress=False)
        stop.join()
        base.rollback()
    definition = tmp_path / "p.toml"
    definition.write_text(p.to_toml().replace("***", "wattline"))
    for _ in range(100):
        done = shell("run", definition)
        if "is owned by" not in done.stderr:
            break
        time.sleep(0.1)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(postgres.url) as base:
        (count,) = base.execute(f"select sum(readings) from {name}.windows").fetchone()
        assert count == 120
        base.execute(f"drop schema {name} cascade")


def test_windows_into_a_topic_of_short_batches(kafka: Kafka, tmp_path: Path) -> None:
    """A batch that the broker refuses ends the transaction; so none is longer than the topic takes."""
    name = f"h-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, **QUIET})
    short = NewTopic(name, 1, config={"max.message.bytes": "20000"})
    admin.create_topics([short])[name].result()
    path = household(tmp_path / "a.txt", 3000)
    sink = f"kafka://{kafka.bootstrap}/{name}?state_topic={name}-state"
    report = wl.Pipeline("p", source=str(path), schema="household", grains="1min", sinks=sink).run(progress=False)
    assert report.ledger["readings"] == 3000
    assert len(messages(kafka, name)) >= 2990
