"""Three workers share a topic; each is killed in turn and started again. The oracle judges all stores.

Half of the topic is sent twice, as a load without transactions sends it that was broken and begun again. With odd seeds
workers have fixed names in the group. A failing case prints its seed.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from drive import GRAINS
from oracle import Sent, complaints
from test_topic import SMALL, message
from tests.services import Kafka, Postgres

DRIVE = Path(__file__).with_name("drive_group.py")
SENSORS = [f"s{n:02}" for n in range(12)]
WORKERS, PARTITIONS = 3, 6
#: The dead are missed after so long.
SESSION = 2000


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    with Kafka(properties={"group.min.session.timeout.ms": 1000}) as server:
        yield server


class Group:
    """Workers over one topic, and what they were sent."""

    def __init__(self, server: Kafka, seed: int, folder: Path) -> None:
        self.server, self.seed, self.folder = server, seed, folder
        self.sent, self.topic = Sent(seed, 300, SENSORS), f"g-{uuid.uuid4().hex[:10]}"
        self.sent.write(folder)
        self.admin = AdminClient({"bootstrap.servers": server.bootstrap})
        made = NewTopic(self.topic, PARTITIONS, config={"retention.ms": "-1"})
        self.admin.create_topics([made])[self.topic].result()
        self.all_killed = threading.Event()
        self.workers = [self.start(number) for number in range(WORKERS)]

    def command(self, instance: str) -> list[str]:
        url = f"{self.server.url}/{self.topic}{SMALL}&session.timeout.ms={SESSION}&heartbeat.interval.ms=500"
        return [sys.executable, str(DRIVE), str(self.folder), url, f"group-{self.topic}", instance]

    def start(self, number: int) -> subprocess.Popen[bytes]:
        name = f"w{number}" if self.seed % 2 else "-"
        with (self.folder / f"said-{number}").open("ab") as said:
            return subprocess.Popen(self.command(name), stdout=said, stderr=said)

    def send(self) -> None:
        """All lines with the header of a load, the first half twice; there is more until all are killed."""
        settings = {"partitioner": "murmur2_random", "batch.num.messages": 20, "enable.idempotence": True}
        producer = Producer({"bootstrap.servers": self.server.bootstrap, **settings})
        lines, name = self.sent.lines, self.seed.to_bytes(16, "big")
        rest = [*enumerate(lines[: len(lines) // 2]), *enumerate(lines)]
        while rest:
            now = len(rest) if self.all_killed.wait(0.2) else 1 + len(rest) // 30
            for order, line in rest[:now]:
                origin = [("wattline", name + order.to_bytes(8, "big"))]
                producer.produce(self.topic, message(line), line.split(",")[0], headers=origin)
            producer.flush(10)
            rest = rest[now:]
        assert producer.flush(60) == 0

    def shares(self) -> list[int]:
        """How many partitions each member has, as the broker sees it."""
        name = f"group-{self.topic}"
        try:
            members = self.admin.describe_consumer_groups([name])[name].result().members
        except KafkaException:  # the coordinator is not there yet
            return []
        return [len(m.assignment.topic_partitions) for m in members]

    def wait(self, done: Callable[[], object], what: str) -> None:
        until = time.monotonic() + 120
        while not done():
            for number, each in enumerate(self.workers):
                said = (self.folder / f"said-{number}").read_text()
                assert each.poll() is None, f"seed {self.seed}: worker {number} ended by itself: {said}"
            assert time.monotonic() < until, f"seed {self.seed}: waited in vain until {what}"
            time.sleep(0.1)

    def close(self) -> None:
        for each in self.workers:
            each.kill()
            each.wait()


def counted() -> int:
    """Readings that the home has, each once."""
    with psycopg.connect(os.environ["WATTLINE_TEST_POSTGRES"]) as base:
        base.execute(f"set search_path = {os.environ['WATTLINE_TEST_SCHEMA']}")
        if base.execute("select to_regclass('readings')").fetchone() == (None,):
            return 0
        found = base.execute("select count(*), count(distinct (sensor_id, time)) from readings").fetchone()
    assert found is not None and found[0] == found[1], "readings stand twice"
    return int(found[0])


@pytest.fixture
def place(kafka: Kafka, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema and topics that are not there yet, for the workers and the oracle."""
    schema = f"g{uuid.uuid4().hex[:10]}"
    with psycopg.connect(postgres.url, autocommit=True) as base:
        base.execute(f"create schema {schema}")
    monkeypatch.setenv("WATTLINE_TEST_POSTGRES", postgres.url)
    monkeypatch.setenv("WATTLINE_TEST_SCHEMA", schema)
    monkeypatch.setenv("WATTLINE_TEST_KAFKA", kafka.url)
    monkeypatch.setenv("WATTLINE_TEST_TOPIC", f"out-{schema}")


def each_killed_in_turn(group: Group) -> None:
    """With the partitions shared out evenly before each kill."""
    dice = random.Random(group.seed)
    for number in range(WORKERS):
        group.wait(lambda: group.shares() == [PARTITIONS // WORKERS] * WORKERS, "the partitions are shared out")
        time.sleep(dice.random())
        group.workers[number].kill()
        assert group.workers[number].wait() == -signal.SIGKILL
        time.sleep(dice.random() * 2)
        group.workers[number] = group.start(number)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("seed", [4, 7])
def test_each_worker_killed_in_turn_loses_nothing(kafka: Kafka, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    group = Group(kafka, seed, tmp_path)
    sender = threading.Thread(target=group.send)
    sender.start()
    try:
        each_killed_in_turn(group)
        assert sender.is_alive()
        group.all_killed.set()
        group.wait(lambda: counted() == len(group.sent.readings), "all is counted")
    finally:
        group.all_killed.set()
        sender.join()
        group.close()
    last = subprocess.run(group.command("now"), capture_output=True, text=True, check=False, timeout=120)
    assert last.returncode == 0, f"seed {seed}: {last.stderr}"
    books, half = json.loads(last.stdout)["totals"], len(group.sent.lines) // 2
    assert (books["messages"], books["repeated"]) == (len(group.sent.lines) + half, half)
    assert complaints(group.sent, tmp_path, GRAINS, sqlite=False) == [], f"seed {seed}"
