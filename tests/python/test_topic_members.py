"""Fixed names in a group: a run that is started again within the session moves no partition of anyone."""

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

import wattline as wl
from test_kafka import QUIET
from test_topic_source import make, pipeline, reading, send
from tests.services import Kafka, Postgres

WORKER = """
import sys
import wattline as wl
try:
    for report in wl.Pipeline.from_toml(sys.argv[1], instance=sys.argv[2]).follow():
        pass
except wl.WattlineError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
SENSORS = [f"s{n}" for n in range(16)]


class Workers:
    """Runs of one pipeline in processes of their own, in a group of four partitions."""

    def __init__(self, kafka: Kafka, postgres: Postgres, tmp_path: Path) -> None:
        self.kafka, self.url = kafka, f"kafka://{kafka.bootstrap}/i-{uuid.uuid4().hex[:12]}"
        self.admin = make(kafka, self.url, 4)
        self.group, schema = f"g-{uuid.uuid4().hex[:8]}", f"g{uuid.uuid4().hex[:8]}"
        self.base = psycopg.connect(postgres.url, autocommit=True)
        self.base.execute(f"create schema {schema}; set search_path = {schema}")
        login = {"user": "wattline", "password": "${WATTLINE_TEST_PASSWORD}", "dbname": "wattline"}
        store = wl.Postgres("127.0.0.1", port=postgres.port, schema=schema, **login)
        told = {"group": self.group, "flush_interval": "100ms", "lateness": "5min"}
        sinks = [wl.Sink(store, "windows"), wl.Sink(store, "readings")]
        self.p = pipeline(f"{self.url}?session.timeout.ms=45000", tmp_path, sinks=sinks, **told)
        self.toml = tmp_path / "p.toml"
        self.toml.write_text(self.p.to_toml())
        self.running: list[subprocess.Popen[str]] = []

    def start(self, instance: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER, str(self.toml), instance]
        self.running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return self.running[-1]

    def close(self) -> None:
        for each in self.running:
            each.kill()
            each.wait()
        self.base.close()

    def send(self, first: int, end: int) -> None:
        """These minutes of every sensor; waits until they are counted, once."""
        send(self.kafka, self.url, [(s, reading(s, m)) for m in range(first, end) for s in SENSORS])
        wait(lambda: self.counted() >= end * len(SENSORS))
        assert self.counted() == end * len(SENSORS)

    def counted(self) -> int:
        if self.base.execute("select to_regclass('readings')").fetchone() == (None,):
            return 0
        found = self.base.execute("select count(*), count(distinct (sensor_id, time)) from readings").fetchone()
        assert found is not None and found[0] == found[1]
        return int(found[0])

    def shares(self) -> dict[str, list[int]]:
        """Instance to partitions, as the broker has it."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, **QUIET})
        try:
            members = admin.describe_consumer_groups([self.group])[self.group].result().members
        except KafkaException:  # the coordinator is not there yet
            return {}
        return {m.group_instance_id: sorted(p.partition for p in m.assignment.topic_partitions) for m in members}

    def epochs(self) -> dict[int, int]:
        """How often each partition was taken."""
        return dict(self.base.execute("select partition, epoch from wattline_head").fetchall())


def wait(done: Callable[[], object], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.1)


@pytest.fixture
def workers(kafka: Kafka, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    monkeypatch.setenv("WATTLINE_TEST_PASSWORD", "wattline")
    made = Workers(kafka, postgres, tmp_path)
    yield made
    made.close()


def test_a_member_with_a_name_moves_no_partition_when_started_again(workers: Workers) -> None:
    first, _ = workers.start("one"), workers.start("two")
    wait(lambda: sorted(map(len, workers.shares().values())) == [2, 2])
    workers.send(0, 30)
    shares, epochs = workers.shares(), workers.epochs()
    assert set(shares) == {"one", "two"} and set(epochs) == {0, 1, 2, 3}
    first.kill()
    first.wait()
    assert workers.shares() == shares
    workers.start("one")
    workers.send(30, 70)
    assert workers.shares() == shares
    again = workers.epochs()
    assert [again[p] for p in shares["two"]] == [epochs[p] for p in shares["two"]]
    assert [again[p] for p in shares["one"]] == [epochs[p] + 1 for p in shares["one"]]
    found = workers.base.execute("select sensor_id, readings from windows where final order by 1").fetchall()
    assert found == [(s, 60) for s in sorted(SENSORS)]


def test_of_two_runs_with_one_name_one_is_fenced(workers: Workers) -> None:
    pair = [workers.start("one")]
    workers.send(0, 10)
    pair.append(workers.start("one"))
    wait(lambda: any(each.poll() is not None for each in pair))
    [ended] = [each for each in pair if each.poll() is not None]
    assert ended.stderr is not None
    said = ended.stderr.read()
    assert said.startswith("Fenced: ") and "same instance name" in said, said
    workers.send(10, 20)
    assert [each.poll() for each in pair if each is not ended] == [None]


def test_a_name_without_a_group_is_refused(workers: Workers) -> None:
    with pytest.raises(wl.UsageError, match="instance"):
        wl.Pipeline("q", source=workers.url, grains=["1h"], sinks="q.db", instance="one").check()
