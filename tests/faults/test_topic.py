"""A pipeline over a topic, killed at named points; the oracle judges the stores afterwards.

Half of each topic was sent twice, as a load without transactions sends it that was broken and begun again: the header
tells. A failing case prints its seed; run it alone with `-k`.
"""

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from drive import GRAINS
from oracle import Sent, complaints
from tests.services import Kafka

DRIVE = Path(__file__).with_name("drive_topic.py")
POINTS = ["after_read", "after_aggregate", "before_decide", "after_decide", "before_apply", "after_apply"]
SEEDS = range(5)
#: Few messages come at a time, so that there are many batches.
SMALL = "?fetch.message.max.bytes=3000"


def message(line: str) -> bytes:
    sensor, time, load = line.split(",")
    return line.encode() if load == "oops" else json.dumps({"sensor_id": sensor, "time": time, "load": load}).encode()


def send(server: Kafka, seed: int, folder: Path) -> tuple[Sent, str]:
    """Sends what the oracle knows of, with the header of a load; the first part of it twice."""
    sent, topic = Sent(seed, 600), f"f-{uuid.uuid4().hex[:10]}"
    sent.write(folder)
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    admin.create_topics([NewTopic(topic, 3, config={"retention.ms": "-1"})])[topic].result()
    settings = {"partitioner": "murmur2_random", "batch.num.messages": 20, "enable.idempotence": True}
    producer = Producer({"bootstrap.servers": server.bootstrap, **settings})
    name = seed.to_bytes(16, "big")
    for count in (len(sent.lines) // 2, len(sent.lines)):
        for order, line in enumerate(sent.lines[:count]):
            origin = [("wattline", name + order.to_bytes(8, "big"))]
            producer.produce(topic, message(line), line.split(",")[0], headers=origin)
        assert producer.flush(60) == 0
    return sent, f"kafka://{server.bootstrap}/{topic}{SMALL}"


def run(folder: Path, url: str, state: str, **env: str) -> tuple[int, str]:
    command = [sys.executable, str(DRIVE), str(folder), url, state]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False, timeout=180)
    return done.returncode, done.stdout + done.stderr


def state_of(seed: int) -> str:
    return "shared" if seed % 2 else "keyed"


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_each_message_counts_once(kafka: Kafka, tmp_path: Path, point: str) -> None:
    kills = 0
    for seed in SEEDS:
        folder, state = tmp_path / str(seed), state_of(seed)
        sent, url = send(kafka, seed, folder)
        for round_ in range(3):
            code, said = run(folder, url, state, WATTLINE_FAULT=f"{point}:{1 + (seed + 3 * round_) % 7}:kill")
            assert code in (0, -signal.SIGKILL), f"seed {seed}: {said}"
            kills += code == -signal.SIGKILL
        code, said = run(folder, url, state)
        assert code == 0, f"seed {seed}: {said}"
        assert complaints(sent, folder, GRAINS) == [], f"seed {seed}, point {point}, {state}"
        books = json.loads(said)["totals"]
        assert books["messages"] == len(sent.lines) + len(sent.lines) // 2
        assert books["repeated"] == len(sent.lines) // 2
    assert kills > 0, f"no process was killed: the point {point} is never passed"


@pytest.mark.parametrize("defect", ["early_position", "no_origin"])
def test_a_broken_build_is_noticed(kafka: Kafka, tmp_path: Path, defect: str) -> None:
    noticed = 0
    for seed in SEEDS:
        folder, state = tmp_path / str(seed), state_of(seed)
        sent, url = send(kafka, seed, folder)
        broken = {"WATTLINE_BROKEN": defect}
        for round_ in range(3):
            run(folder, url, state, WATTLINE_FAULT=f"before_decide:{2 + (seed + round_) % 3}:kill", **broken)
        code, _ = run(folder, url, state, **(broken if defect == "no_origin" else {}))
        noticed += code != 0 or bool(complaints(sent, folder, GRAINS))
    assert noticed > 0, f"nobody noticed {defect}"
