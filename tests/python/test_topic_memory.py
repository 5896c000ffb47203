"""What a run over a topic holds in memory at its peak."""

import uuid
from pathlib import Path

import wattline as wl
from conftest import python
from tests.services import Kafka

RUN = """
import sys
import wattline as wl
def status(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) // 1024
idle = status("VmRSS")
sink = wl.Sink(sys.argv[2], "readings")
report = wl.Pipeline("memory", source=sys.argv[1], grains="1h", sinks=sink).run(until="now", progress=False)
print(report.ledger["readings"], status("VmHWM") - idle)
"""


def test_readings_of_many_partitions_on_their_way_to_a_store(kafka: Kafka, tmp_path: Path) -> None:
    """Flushes of eight partitions wait for one store: 318 MiB, when each batch lay in a large page of its own."""
    url = f"kafka://{kafka.bootstrap}/w-{uuid.uuid4().hex[:12]}"
    simulated = "sim://?sensors=32&start=2024-01-01&end=2024-01-15&seed=1"
    sent = wl.produce(simulated, url, create={"partitions": 8}, progress=False).ledger["readings"]
    found = python(RUN, url, tmp_path / "out.db")
    read, peak = map(int, found.stdout.split())
    assert read == sent
    assert peak < 256, f"{peak} MiB above the idle interpreter"
