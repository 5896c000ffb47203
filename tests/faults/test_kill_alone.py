"""A Parquet home without followers: what waits is encoded in the manifests, and no kill loses or doubles a row."""

import os
import random
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.dataset as ds
import pytest

import wattline as wl
from runs import SEEDS

GRAINS = ["15min", "1h", "1d"]
COLUMNS = ["window_start", "readings", "load_min", "load_max", "final"]
#: How often each is passed before the files of a run are published, at most.
POINTS = {"after_decide": 4, "manifest": 5, "staged": 1, "published": 1}
RUN = """
import sys
import wattline as wl
folder, grains = sys.argv[1], ["15min", "1h", "1d"]
wl.Pipeline("alone", source=folder + "/in.csv", grains=grains, step="1min", sinks=[folder + "/out"],
            flush_rows=1500, chunk_bytes=65536).run(progress=False)
"""


def write(folder: Path, seed: int, rows: int = 180_000) -> Path:
    dice, start = random.Random(seed), datetime(2026, 3, 1)
    stamps = [start + timedelta(minutes=i) for i in range(rows) if dice.random() < 0.9]
    lines = [f"{stamp:%Y-%m-%d %H:%M:%S},a,{dice.randrange(5000)}" for stamp in stamps]
    folder.mkdir()
    (folder / "in.csv").write_text("\n".join(["time,sensor_id,load", *lines]) + "\n")
    return folder


def run(folder: Path, **env: str) -> tuple[int, str]:
    told = os.environ | env
    command = [sys.executable, "-c", RUN, str(folder)]
    done = subprocess.run(command, env=told, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


def encoded(folder: Path) -> bool:
    """Whether a manifest holds rows that are encoded."""
    entries = (folder / "out.wattline" / "p0").glob("0*")
    return any(b'"format":2' in entry.read_bytes() for entry in entries)


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_table_is_what_the_file_says(tmp_path: Path, point: str) -> None:
    kills, waited = 0, False
    for seed in SEEDS:
        folder = write(tmp_path / str(seed), seed)
        for round_ in range(3):
            code, said = run(folder, WATTLINE_FAULT=f"{point}:{1 + (seed + 2 * round_) % POINTS[point]}:kill")
            assert code in (0, -signal.SIGKILL), said
            kills += code == -signal.SIGKILL
            waited |= encoded(folder)
        code, said = run(folder)
        assert code == 0, f"seed {seed}: {said}"
        due = wl.windows(str(folder / "in.csv"), GRAINS, step="1min")
        for grain in GRAINS:
            table = ds.dataset(folder / "out" / f"grain={grain}", format="parquet").to_table(columns=COLUMNS)
            held = table.sort_by("window_start").to_pylist()
            assert held == due[grain].to_arrow().select(COLUMNS).to_pylist(), f"seed {seed}, {grain}"
    assert kills >= len(SEEDS)
    assert waited
