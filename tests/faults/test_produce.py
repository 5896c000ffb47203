"""``produce`` killed at named points and run again: each row of the file once for readers of committed messages.

A failing case prints its seed; run it alone with `-k`.
"""

import json
import os
import random
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

import oracle
from tests.services import Kafka

POINTS = ["sent", "progress_sent", "before_commit", "after_commit"]
SEEDS = range(5)
LOAD = """
import json, sys
import wattline as wl
told = {"schema": "household", "create": {"partitions": 2}, "transaction": "1ms", "progress": False}
report = wl.produce(sys.argv[1], sys.argv[2], **told)
print(json.dumps(report.summary()))
"""


def ledger(path: Path, seed: int) -> list[float]:
    """Writes a file of the household and gives what was in it, row by row."""
    chance = random.Random(seed)
    sent = [round(chance.random() * 9, 3) for _ in range(30_000 + chance.randrange(30_000))]
    stamps = (f"{1 + i // 1440 % 28}/{1 + i // 40_320}/2007;{i // 60 % 24:02}:{i % 60:02}:00" for i in range(len(sent)))
    rows = (
        f"{stamp};{value:.3f};0.418;234.840;18.400;0.000;1.000;17.000"
        for stamp, value in zip(stamps, sent, strict=True)
    )
    names = ["Date", "Time", "Global_active_power", "Global_reactive_power", "Voltage", "Global_intensity"]
    head = ";".join([*names, *(f"Sub_metering_{n}" for n in (1, 2, 3))])
    path.write_text("\n".join([head, *rows, ""]))
    return sent


def load(path: Path, url: str, fault: str = "") -> tuple[int, str]:
    env = {**os.environ, "WATTLINE_FAULT": fault} if fault else dict(os.environ)
    command = [sys.executable, "-c", LOAD, str(path), url]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=180)
    return done.returncode, done.stdout + done.stderr


def loads(server: Kafka, topic: str) -> list[float]:
    """What the oracle finds; the key is in one partition."""
    return [row["global_active_power"] for row in oracle.committed(server.bootstrap, topic)]


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_each_row_is_there_once(kafka: Kafka, tmp_path: Path, point: str) -> None:
    kills = 0
    for seed in SEEDS:
        topic, path = f"f-{uuid.uuid4().hex[:10]}", tmp_path / f"{seed}.txt"
        url, sent = f"kafka://{kafka.bootstrap}/{topic}", ledger(path, seed)
        for round_ in range(2):
            code, said = load(path, url, f"{point}:{1 + (seed + round_) % 3}:kill")
            assert code in (0, -signal.SIGKILL), f"seed {seed}: {said}"
            kills += code == -signal.SIGKILL
        code, said = load(path, url)
        assert code == 0, f"seed {seed}: {said}"
        assert loads(kafka, topic) == sent, f"seed {seed}, point {point}"
        code, said = load(path, url)
        assert code == 0, f"seed {seed}: {said}"
        assert json.loads(said)["ledger"]["readings"] == 0
    assert kills > 0, f"no process was killed: the point {point} is never passed"


@pytest.mark.parametrize("point", POINTS)
def test_an_error_on_the_way_is_mended_within_the_run(kafka: Kafka, tmp_path: Path, point: str) -> None:
    topic, path = f"f-{uuid.uuid4().hex[:10]}", tmp_path / "a.txt"
    url, sent = f"kafka://{kafka.bootstrap}/{topic}", ledger(path, 11)
    code, said = load(path, url, f"{point}:2:error")
    # Behind a commit there is nothing to mend: the run ends, and the next one goes on after it.
    ends = point == "after_commit"
    assert code == ends, said
    if ends:
        assert "the failpoint after_commit failed" in said
        code, said = load(path, url)
        assert code == 0, said
    assert loads(kafka, topic) == sent


def test_a_frozen_first_copy_adds_nothing_after_a_second(kafka: Kafka, tmp_path: Path) -> None:
    topic, path = f"f-{uuid.uuid4().hex[:10]}", tmp_path / "a.txt"
    url, sent = f"kafka://{kafka.bootstrap}/{topic}", ledger(path, 13)
    env = {**os.environ, "WATTLINE_FAULT": "progress_sent:2:stop"}
    first = subprocess.Popen([sys.executable, "-c", LOAD, str(path), url], env=env, stderr=subprocess.PIPE, text=True)
    os.waitpid(first.pid, os.WUNTRACED)
    code, said = load(path, url)
    assert code == 0, said
    first.send_signal(signal.SIGCONT)
    _, complaint = first.communicate(timeout=120)
    assert first.returncode == 1 and "Fenced" in complaint, complaint
    assert loads(kafka, topic) == sent
