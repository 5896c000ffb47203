"""What a run over a topic holds in memory at its peak."""

import uuid
from pathlib import Path

import pyarrow.parquet as pq
import pytest

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


@pytest.fixture(scope="module")
def topic(kafka: Kafka) -> tuple[str, int]:
    """Eight partitions, and how many messages they hold."""
    url = f"kafka://{kafka.bootstrap}/w-{uuid.uuid4().hex[:12]}"
    simulated = "sim://?sensors=32&start=2024-01-01&end=2024-01-15&seed=1"
    return url, wl.produce(simulated, url, create={"partitions": 8}, progress=False).ledger["readings"]


@pytest.mark.parametrize("out", ["out.db", "out"])
def test_readings_of_many_partitions_on_their_way_to_a_store(topic: tuple[str, int], tmp_path: Path, out: str) -> None:
    """Flushes of eight partitions wait for one store: 318 MiB, when each batch lay in a large page of its own."""
    found = python(RUN, topic[0], tmp_path / out)
    read, peak = map(int, found.stdout.split())
    assert read == topic[1]
    assert peak < 256, f"{peak} MiB above the idle interpreter"


def test_files_are_closed_for_what_waits_in_all_partitions(topic: tuple[str, int], tmp_path: Path) -> None:
    """One partition of the eight has less than the bytes at which a file is closed."""
    sink = wl.Sink(wl.Parquet(str(tmp_path / "out"), roll_bytes=24 << 20), "readings")
    wl.Pipeline("files", source=topic[0], grains="1h", sinks=sink).run(until="now", progress=False)
    files = list((tmp_path / "out").rglob("*.parquet"))
    assert len(files) > 8
    assert sum(pq.ParquetFile(file).metadata.num_rows for file in files) == topic[1]
    for file in files:
        table = pq.read_table(file, columns=["sensor_id", "time"])
        assert table == table.sort_by([("sensor_id", "ascending"), ("time", "ascending")])
