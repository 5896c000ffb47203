"""Real processes, killed at named points; the oracle judges the stores afterwards.

A failing case prints its seed; run it alone with `-k`.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drive import GRAINS
from oracle import Sent, complaints

DRIVE = Path(__file__).with_name("drive.py")
POINTS = [
    "after_read", "after_aggregate", "before_decide", "after_decide", "before_apply", "after_apply",
    "staged", "manifest", "published",
]  # fmt: skip
SEEDS = range(5)


def start(folder: Path, home: str, *words: str, **env: str) -> subprocess.Popen:
    command = [sys.executable, str(DRIVE), str(folder), home, *words]
    return subprocess.Popen(command, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def run(folder: Path, home: str, *words: str, **env: str) -> tuple[int, str]:
    return finish(start(folder, home, *words, **env))


def killed_then_run(folder: Path, home: str, point: str, seed: int) -> tuple[int, Sent]:
    """Kills at the point on three different passes, then runs to the end."""
    sent = Sent(seed)
    sent.write(folder)
    kills = 0
    for round_ in range(3):
        code, said = run(folder, home, WATTLINE_FAULT=f"{point}:{1 + (seed + 3 * round_) % 7}:kill")
        assert code in (0, -signal.SIGKILL), f"seed {seed}: {said}"
        kills += code == -signal.SIGKILL
    code, said = run(folder, home)
    assert code == 0, f"seed {seed}: {said}"
    return kills, sent


def noticed_defect(folder: Path, point: str, seed: int, defect: str, home: str = "sqlite") -> bool:
    """Whether a broken build that is killed at the point fails on its own or in front of the oracle."""
    sent = Sent(seed)
    sent.write(folder)
    for round_ in range(3):
        fault = f"{point}:{2 + (seed + round_) % 3}:kill"
        code, _ = run(folder, home, WATTLINE_FAULT=fault, WATTLINE_BROKEN=defect)
        if code == 1:
            return True
    code, _ = run(folder, home)
    return code != 0 or bool(complaints(sent, folder, GRAINS))


@pytest.mark.parametrize("home", ["sqlite", "parquet"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_stores_hold_what_was_sent(tmp_path: Path, home: str, point: str) -> None:
    kills = 0
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        killed, sent = killed_then_run(folder, home, point, seed)
        kills += killed
        assert complaints(sent, folder, GRAINS) == [], f"seed {seed}, home {home}, point {point}"
    assert kills > 0, f"no process was killed: the point {point} is never passed"


def flushes(folder: Path, home: str) -> str:
    code, said = run(folder, home)
    assert code == 0, said
    return said.split('"flushes": ')[1].split(",")[0]


@pytest.mark.parametrize("home", ["sqlite", "parquet"])
def test_run_again_changes_nothing(tmp_path: Path, home: str) -> None:
    sent = Sent(7)
    sent.write(tmp_path)
    assert int(flushes(tmp_path, home)) > 3, "the test wants a run of many flushes"
    assert flushes(tmp_path, home) == "0"
    assert complaints(sent, tmp_path, GRAINS) == []


@pytest.mark.parametrize("home", ["sqlite", "parquet"])
def test_a_failed_step_is_a_clean_error_and_the_next_run_goes_on(tmp_path: Path, home: str) -> None:
    for seed, point in enumerate(POINTS):
        folder = tmp_path / point
        sent = Sent(seed)
        sent.write(folder)
        code, said = run(folder, home, WATTLINE_FAULT=f"{point}:2:error")
        assert code in (0, 1), said
        assert "panicked" not in said, said
        code, said = run(folder, home)
        assert code == 0, said
        assert complaints(sent, folder, GRAINS) == [], f"point {point}"


def wait_stopped(process: subprocess.Popen) -> None:
    for _ in range(600):
        state = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if state == "T":
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("the owner never froze")


def frozen_owner(folder: Path, home: str, seed: int, point: str, first: int = 2, **env: str) -> tuple[int, str, Sent]:
    """An owner freezes before its decision; another takes over and ends the job; the first wakes up."""
    sent = Sent(seed)
    sent.write(folder)
    zombie = start(folder, home, WATTLINE_FAULT=f"{point}:{first + seed}:stop", **env)
    try:
        wait_stopped(zombie)
        code, said = run(folder, home, "take_over", **env)
        assert code == 0 or env, said
    finally:
        zombie.send_signal(signal.SIGCONT)
    code, said = finish(zombie)
    return code, said, sent


def zombie_complaints(code: int, said: str, sent: Sent, folder: Path) -> list[str]:
    """A stale owner must fail and say that it was fenced, and leave the stores as they should be."""
    told = [] if code == 1 and "Fenced" in said else [f"the stale owner was not fenced: exit code {code}, {said}"]
    return told + complaints(sent, folder, GRAINS)


@pytest.mark.parametrize("home", ["sqlite", "parquet"])
@pytest.mark.parametrize("point", ["before_decide", "after_decide", "before_apply"])
def test_a_zombie_is_fenced(tmp_path: Path, home: str, point: str) -> None:
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        code, said, sent = frozen_owner(folder, home, seed, point)
        assert zombie_complaints(code, said, sent, folder) == [], f"seed {seed}"


def one_works_the_other_is_told_so(folder: Path, home: str) -> None:
    """Two copies at once: the second is refused by name of the first, which then ends the job."""
    sent = Sent(3)
    sent.write(folder)
    first = start(folder, home, WATTLINE_FAULT="before_decide:2:stop")
    try:
        wait_stopped(first)
        code, said = run(folder, home)
        assert code == 1, said
        assert "Fenced" in said, said
        assert str(first.pid) in said, said
    finally:
        first.send_signal(signal.SIGCONT)
    code, said = finish(first)
    assert code == 0, said
    assert complaints(sent, folder, GRAINS) == []


@pytest.mark.parametrize("home", ["sqlite", "parquet"])
def test_two_copies_one_works_the_other_is_told_so(tmp_path: Path, home: str) -> None:
    one_works_the_other_is_told_so(tmp_path, home)


class TestBrokenBuildsAreNoticed:
    """The harness proves something only if these defects fail it."""

    @pytest.mark.parametrize("defect", ["early_position", "in_place"])
    def test_in_the_order_of_steps(self, tmp_path: Path, defect: str) -> None:
        assert any(noticed_defect(tmp_path / str(seed), "before_decide", seed, defect) for seed in SEEDS)

    def test_no_epoch_check(self, tmp_path: Path) -> None:
        for seed in SEEDS:
            folder = tmp_path / str(seed)
            code, said, sent = frozen_owner(folder, "sqlite", seed, "before_decide", WATTLINE_BROKEN="no_epoch")
            if zombie_complaints(code, said, sent, folder):
                return
        raise AssertionError("a build that does not check epochs passed every test")
