"""Runs as real processes that are killed, frozen and broken, and the tests that every home has in common."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drive import GRAINS
from oracle import Sent, complaints

DRIVE = Path(__file__).with_name("drive.py")
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


def wrong_after_kills(folder: Path, home: str, point: str, seed: int, **env: str) -> list[str]:
    """What a build that is killed at the point does wrong, on its own or in front of the oracle."""
    sent = Sent(seed)
    sent.write(folder)
    for round_ in range(3):
        fault = f"{point}:{2 + (seed + round_) % 3}:kill"
        code, said = run(folder, home, WATTLINE_FAULT=fault, **env)
        if code == 1:
            return [judged(said)]
    code, said = run(folder, home)
    return [judged(said)] if code else complaints(sent, folder, GRAINS)


def judged(said: str) -> str:
    """A failure that the build under test found itself, and not one of its surroundings."""
    assert "wattline.errors." in said and "EndpointError" not in said, said
    return said


def flushes(folder: Path, home: str) -> str:
    code, said = run(folder, home)
    assert code == 0, said
    return said.split('"flushes": ')[1].split(",")[0]


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
        assert code == 0, said
    finally:
        zombie.send_signal(signal.SIGCONT)
    code, said = finish(zombie)
    return code, said, sent


def zombie_complaints(code: int, said: str, sent: Sent, folder: Path) -> list[str]:
    """A stale owner must fail and say that it was fenced, and leave the stores as they should be."""
    told = [] if code == 1 and "Fenced" in said else [f"the stale owner was not fenced: exit code {code}, {said}"]
    return told + complaints(sent, folder, GRAINS)


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


def nothing_lost_where_killed(
    folder: Path, home: str, point: str, fresh: Callable[[], object] = tuple, seeds: range = SEEDS
) -> None:
    """Kills at the point with every seed; `fresh` empties the servers before each."""
    kills = 0
    for seed in seeds:
        fresh()
        killed, sent = killed_then_run(folder / str(seed), home, point, seed)
        kills += killed
        assert complaints(sent, folder / str(seed), GRAINS) == [], f"seed {seed}, home {home}, point {point}"
    assert kills > 0, f"no process was killed: the point {point} is never passed"


def again_changes_nothing(folder: Path, home: str) -> None:
    """A second run over the same files has nothing to do."""
    sent = Sent(7)
    sent.write(folder)
    assert int(flushes(folder, home)) > 3, "the test wants a run of many flushes"
    assert flushes(folder, home) == "0"
    assert complaints(sent, folder, GRAINS) == []


def frozen_is_fenced(
    folder: Path, home: str, point: str, first: int, fresh: Callable[[], object] = tuple, seeds: range = SEEDS
) -> None:
    """A stale owner is fenced, with every seed."""
    for seed in seeds:
        fresh()
        code, said, sent = frozen_owner(folder / str(seed), home, seed, point, first)
        assert zombie_complaints(code, said, sent, folder / str(seed)) == [], f"seed {seed}"


def defect_is_noticed(folder: Path, home: str, defect: str, fresh: Callable[[], object] = tuple) -> None:
    """The harness proves something only if a build with this defect fails it, and the same steps without it pass."""
    fresh()
    assert wrong_after_kills(folder / "whole", home, "before_decide", SEEDS[0]) == []
    for seed in SEEDS:
        fresh()
        if wrong_after_kills(folder / str(seed), home, "before_decide", seed, WATTLINE_BROKEN=defect):
            return
    raise AssertionError(f"a build with the defect {defect} passed every test")


def no_epoch_is_noticed(folder: Path, home: str, fresh: Callable[[], object] = tuple) -> None:
    """As above, for a build that does not check epochs; `frozen_is_fenced` takes the same steps without the defect."""
    for seed in SEEDS:
        fresh()
        code, said, sent = frozen_owner(folder / str(seed), home, seed, "before_decide", WATTLINE_BROKEN="no_epoch")
        if zombie_complaints(code, said, sent, folder / str(seed)):
            return
    raise AssertionError("a build that does not check epochs passed every test")


def through_a_killed_server(folder: Path, home: str, server: Any, fault: str, seed: int, **how: bool) -> None:
    """The server is killed while the run stands at a point, and comes back: the run goes on by itself."""
    sent = Sent(seed)
    sent.write(folder)
    owner = start(folder, home, WATTLINE_FAULT=f"{fault}:stop")
    try:
        wait_stopped(owner)
        server.kill(**how)
    finally:
        owner.send_signal(signal.SIGCONT)
    server.start()
    code, said = finish(owner)
    assert code == 0, f"{fault}: {said}"
    assert complaints(sent, folder, GRAINS) == [], fault
